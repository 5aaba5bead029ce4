// kinescope-demo-source: a PipeWire Video/Source node that shows the test
// pattern (capture/pattern.h), as a compositor would cast a desktop: header
// times and sequence numbers, damage, and on wish the cursor as metadata.
// Works with a session manager and without one.
//
//   kinescope-demo-source --node=demo --size=1920x1080 --fps=30 &
//
// Runs until SIGTERM or SIGINT, or for --seconds. SIGUSR1 (or --resize_at)
// changes to --second_size in mid-stream. Exit status 1 when the server is
// missing or goes away.
#include <drm_fourcc.h>
#include <pipewire/pipewire.h>
#include <spa/param/video/format-utils.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cmath>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/flags/flag.h"
#include "absl/flags/parse.h"
#include "absl/flags/usage.h"
#include "capture/pattern.h"
#include "daemon/base/clock.h"
#include "daemon/base/limits.h"
#include "tools/demo/demo_formats.h"
#include "tools/demo/demo_node.h"

ABSL_FLAG(std::string, node, "kinescope-demo", "node.name");
ABSL_FLAG(std::string, size, "1280x720", "WIDTHxHEIGHT");
ABSL_FLAG(std::string, second_size, "", "the size to change to");
ABSL_FLAG(uint64_t, resize_at, 0, "frame that has the second size; 0 = none");
ABSL_FLAG(double, fps, 30, "frames a second");
ABSL_FLAG(std::string, pattern, "scroll", "scroll, typing, video or still");
ABSL_FLAG(std::string, format, "BGRx",
          "BGRx, BGRA, RGBx, RGBA, xRGB, ARGB, xBGR, ABGR, RGB, BGR, NV12 or "
          "I420");
ABSL_FLAG(bool, cursor, false, "move a cursor, as metadata");
ABSL_FLAG(int, pointer_rate, 0,
          "with --cursor: move it by so many buffers a second without a "
          "picture, instead of with each picture");
ABSL_FLAG(double, seconds, 0, "how long to run; 0 = until a signal");

namespace kine {
namespace {

constexpr int kBuffersMin = 2;
constexpr int kBuffersDefault = 8;
constexpr int kBuffersMax = 16;
constexpr int kCursorSide = 24;
// Compositors send the shape when it changes; this one at times, to show it,
// and since a first buffer may come before anybody reads.
constexpr uint64_t kShapeEvery = 10;

// What the command line asks for.
struct Settings {
  std::string node;
  Size size;
  std::optional<Size> second_size;
  uint64_t resize_at = 0;
  double fps = 30;
  TestPatternSpec::Pattern pattern = TestPatternSpec::Pattern::kScroll;
  const FormatRow* format = nullptr;
  bool cursor = false;
  int pointer_rate = 0;
  double seconds = 0;
};

// Everything runs on the main loop's thread.
class DemoSource {
 public:
  explicit DemoSource(const Settings& settings)
      : settings_(settings), size_(settings.size) {
    ShowSize(size_);
  }
  ~DemoSource();

  // The exit status.
  int Run();

 private:
  // What a buffer shows; hangs on its pw_buffer.
  struct BufferState {
    std::optional<uint64_t> shows;
  };

  void ShowSize(const Size& size);
  bool Connect();
  void Renegotiate();
  const spa_pod* FormatPod(spa_pod_builder& builder) const;
  void OnState(pw_stream_state state, const char* error);
  void OnParam(uint32_t id, const spa_pod* param);
  void OnTick(uint64_t expirations);
  void OnPointerTick();
  void Arm(bool on);
  void Draw(pw_buffer& buffer, MonoTime now);
  void WriteMetas(spa_buffer& buffer, MonoTime now);
  void WriteCursor(spa_meta_cursor& cursor);
  void Quit(int status);

  const Settings settings_;
  Size size_;
  std::unique_ptr<PatternPicture> picture_;
  Layout layout_;
  pw_main_loop* loop_ = nullptr;
  pw_stream* stream_ = nullptr;
  spa_source* timer_ = nullptr;
  spa_source* pointer_timer_ = nullptr;
  int status_ = 0;
  uint64_t number_ = 0;
  // The last one that was delivered at this size, which damage is relative to.
  std::optional<uint64_t> delivered_;
  bool shape_sent_ = false;
  uint64_t turn_ = 0;           // Of the pointer on its circle.
  uint64_t pointer_moves_ = 0;  // By buffers without a picture.
  uint64_t frames_ = 0;
  uint64_t lost_ = 0;
};

void DemoSource::ShowSize(const Size& size) {
  size_ = size;
  layout_ = LayoutOf(settings_.format->fourcc, size);
  picture_ = std::make_unique<PatternPicture>(settings_.pattern, size.width,
                                              size.height);
  delivered_.reset();
}

DemoSource::~DemoSource() {
  if (stream_ != nullptr) pw_stream_destroy(stream_);
  if (loop_ != nullptr) pw_main_loop_destroy(loop_);
}

void DemoSource::Quit(int status) {
  status_ = std::max(status_, status);
  pw_main_loop_quit(loop_);
}

const spa_pod* DemoSource::FormatPod(spa_pod_builder& builder) const {
  spa_video_info_raw info{};
  info.format = static_cast<spa_video_format>(settings_.format->spa);
  info.size.width = static_cast<uint32_t>(size_.width);
  info.size.height = static_cast<uint32_t>(size_.height);
  info.framerate.num = static_cast<uint32_t>(std::lround(settings_.fps * 1000));
  info.framerate.denom = 1000;
  if (settings_.format->fourcc == DRM_FORMAT_NV12 ||
      settings_.format->fourcc == DRM_FORMAT_YUV420) {
    info.color_matrix = SPA_VIDEO_COLOR_MATRIX_BT709;
    info.color_range = SPA_VIDEO_COLOR_RANGE_16_235;
  }
  return spa_format_video_raw_build(&builder, SPA_PARAM_EnumFormat, &info);
}

bool DemoSource::Connect() {
  static const pw_stream_events kEvents = [] {
    pw_stream_events events{};
    events.version = PW_VERSION_STREAM_EVENTS;
    events.state_changed = [](void* self, pw_stream_state,
                              pw_stream_state state, const char* error) {
      static_cast<DemoSource*>(self)->OnState(state, error);
    };
    events.param_changed = [](void* self, uint32_t id, const spa_pod* param) {
      static_cast<DemoSource*>(self)->OnParam(id, param);
    };
    events.add_buffer = [](void*, pw_buffer* buffer) {
      buffer->user_data = new BufferState;
    };
    events.remove_buffer = [](void*, pw_buffer* buffer) {
      delete static_cast<BufferState*>(buffer->user_data);
    };
    return events;
  }();
  const char* node = settings_.node.c_str();
  stream_ = NewVideoNode(pw_main_loop_get_loop(loop_), node,
                         "Kinescope demo page", kEvents, this);
  if (stream_ == nullptr) return false;
  std::array<uint8_t, 1024> memory;
  spa_pod_builder builder{};
  spa_pod_builder_init(&builder, memory.data(), memory.size());
  const spa_pod* params[] = {FormatPod(builder)};
  return pw_stream_connect(
             stream_, PW_DIRECTION_OUTPUT, PW_ID_ANY,
             static_cast<pw_stream_flags>(PW_STREAM_FLAG_DRIVER |
                                          PW_STREAM_FLAG_MAP_BUFFERS),
             params, 1) >= 0;
}

int DemoSource::Run() {
  loop_ = pw_main_loop_new(nullptr);
  pw_loop* const loop = pw_main_loop_get_loop(loop_);
  const auto quit = [](void* self, int) {
    static_cast<DemoSource*>(self)->Quit(0);
  };
  pw_loop_add_signal(loop, SIGTERM, quit, this);
  pw_loop_add_signal(loop, SIGINT, quit, this);
  pw_loop_add_signal(
      loop, SIGUSR1,
      [](void* self, int) { static_cast<DemoSource*>(self)->Renegotiate(); },
      this);
  timer_ = pw_loop_add_timer(
      loop,
      [](void* self, uint64_t expirations) {
        static_cast<DemoSource*>(self)->OnTick(expirations);
      },
      this);
  pointer_timer_ = pw_loop_add_timer(
      loop,
      [](void* self, uint64_t) {
        static_cast<DemoSource*>(self)->OnPointerTick();
      },
      this);
  if (settings_.seconds > 0) {
    spa_source* const end = pw_loop_add_timer(
        loop,
        [](void* self, uint64_t) { static_cast<DemoSource*>(self)->Quit(0); },
        this);
    const double whole = std::floor(settings_.seconds);
    timespec value{static_cast<time_t>(whole),
                   static_cast<long>((settings_.seconds - whole) * 1e9)};
    pw_loop_update_timer(loop, end, &value, nullptr, false);
  }
  if (!Connect()) {
    std::fprintf(stderr, "kinescope-demo-source: no PipeWire server: %s\n",
                 std::strerror(errno));
    return 1;
  }
  pw_main_loop_run(loop_);
  std::fprintf(stderr,
               "kinescope-demo-source: %llu frames shown, %llu without a free "
               "buffer, %llu moves of the pointer alone\n",
               static_cast<unsigned long long>(frames_),
               static_cast<unsigned long long>(lost_),
               static_cast<unsigned long long>(pointer_moves_));
  return status_;
}

void DemoSource::OnState(pw_stream_state state, const char* error) {
  Arm(state == PW_STREAM_STATE_STREAMING);
  if (state == PW_STREAM_STATE_ERROR) {
    std::fprintf(stderr, "kinescope-demo-source: %s\n",
                 error == nullptr ? "the stream failed" : error);
    Quit(1);
  }
  // Only the server ends a stream that this program did not end.
  if (state == PW_STREAM_STATE_UNCONNECTED) Quit(1);
}

void DemoSource::Arm(bool on) {
  timespec first{0, on ? 1 : 0};
  const double period = 1 / settings_.fps;
  timespec interval{static_cast<time_t>(period),
                    static_cast<long>((period - std::floor(period)) * 1e9)};
  pw_loop_update_timer(pw_main_loop_get_loop(loop_), timer_, &first, &interval,
                       false);
  if (settings_.pointer_rate == 0) return;
  timespec often{0, 1'000'000'000 / settings_.pointer_rate};
  pw_loop_update_timer(pw_main_loop_get_loop(loop_), pointer_timer_, &first,
                       &often, false);
}

void DemoSource::Renegotiate() {
  if (!settings_.second_size) return;
  const Size other = *settings_.second_size;
  const bool back = size_.width == other.width && size_.height == other.height;
  Arm(false);
  ShowSize(back ? settings_.size : other);
  std::array<uint8_t, 1024> memory;
  spa_pod_builder builder{};
  spa_pod_builder_init(&builder, memory.data(), memory.size());
  const spa_pod* params[] = {FormatPod(builder)};
  pw_stream_update_params(stream_, params, 1);
}

// The format is agreed on: says what the buffers must hold.
void DemoSource::OnParam(uint32_t id, const spa_pod* param) {
  if (param == nullptr || id != SPA_PARAM_Format) return;
  std::array<uint8_t, 2048> memory;
  spa_pod_builder b{};
  spa_pod_builder_init(&b, memory.data(), memory.size());
  std::vector<const spa_pod*> params;
  spa_pod_frame frame{};
  spa_pod_builder_push_object(&b, &frame, SPA_TYPE_OBJECT_ParamBuffers,
                              SPA_PARAM_Buffers);
  spa_pod_builder_add(
      &b, SPA_PARAM_BUFFERS_buffers,
      SPA_POD_CHOICE_RANGE_Int(kBuffersDefault, kBuffersMin, kBuffersMax),
      SPA_PARAM_BUFFERS_blocks, SPA_POD_Int(1), SPA_PARAM_BUFFERS_size,
      SPA_POD_Int(static_cast<int32_t>(layout_.size)), SPA_PARAM_BUFFERS_stride,
      SPA_POD_Int(static_cast<int32_t>(layout_.strides[0])), 0);
  params.push_back(
      static_cast<const spa_pod*>(spa_pod_builder_pop(&b, &frame)));
  params.push_back(HeaderMetaPod(b));
  params.push_back(DamageMetaPod(b));
  if (settings_.cursor) {
    params.push_back(MetaPod(b, SPA_META_Cursor,
                             sizeof(spa_meta_cursor) + sizeof(spa_meta_bitmap) +
                                 kCursorSide * kCursorSide * 4));
  }
  pw_stream_update_params(stream_, params.data(),
                          static_cast<uint32_t>(params.size()));
  // Renegotiate() stopped the clock; without a session manager the stream does
  // not leave its state for a new format, so no change of state starts it.
  Arm(pw_stream_get_state(stream_, nullptr) == PW_STREAM_STATE_STREAMING);
}

void DemoSource::OnTick(uint64_t expirations) {
  // A missed tick advances the number: it says when a frame was due.
  number_ += expirations - 1;
  lost_ += expirations - 1;
  if (settings_.resize_at != 0 && frames_ + lost_ >= settings_.resize_at &&
      size_.width == settings_.size.width &&
      size_.height == settings_.size.height) {
    return Renegotiate();
  }
  const bool still = settings_.pattern == TestPatternSpec::Pattern::kStill;
  if (still && delivered_) return;
  pw_buffer* const buffer = DequeueToDraw(stream_);
  if (buffer == nullptr) {
    ++number_;
    ++lost_;
    return;
  }
  Draw(*buffer, SystemClock().Now());
  pw_stream_queue_buffer(stream_, buffer);
  delivered_ = number_++;
  ++frames_;
}

// What compositors send when only the pointer moved.
void DemoSource::OnPointerTick() {
  if (!delivered_) return;
  pw_buffer* const buffer = pw_stream_dequeue_buffer(stream_);
  if (buffer == nullptr) return;
  spa_data& data = buffer->buffer->datas[0];
  data.chunk->offset = 0;
  data.chunk->size = 0;
  data.chunk->flags = SPA_CHUNK_FLAG_CORRUPTED;
  if (auto* const cursor =
          static_cast<spa_meta_cursor*>(spa_buffer_find_meta_data(
              buffer->buffer, SPA_META_Cursor, sizeof(spa_meta_cursor)))) {
    ++turn_;
    WriteCursor(*cursor);
    ++pointer_moves_;
  }
  WriteHeader(*buffer->buffer, SystemClock().Now(), 0);
  pw_stream_queue_buffer(stream_, buffer);
}

void DemoSource::Draw(pw_buffer& buffer, MonoTime now) {
  spa_data& data = buffer.buffer->datas[0];
  const bool fits = data.data != nullptr && data.maxsize >= layout_.size;
  data.chunk->offset = 0;
  data.chunk->size = fits ? static_cast<uint32_t>(layout_.size) : 0;
  data.chunk->stride = static_cast<int32_t>(layout_.strides[0]);
  data.chunk->flags = fits ? SPA_CHUNK_FLAG_NONE : SPA_CHUNK_FLAG_CORRUPTED;
  if (fits) {
    PatternTarget target;
    target.fourcc = settings_.format->fourcc;
    for (size_t i = 0; i < target.planes.size(); ++i) {
      target.planes[i].data =
          static_cast<std::byte*>(data.data) + layout_.offsets[i];
      target.planes[i].stride = layout_.strides[i];
    }
    auto& shows = static_cast<BufferState*>(buffer.user_data)->shows;
    picture_->Draw(number_, now,
                   shows ? picture_->Changes(*shows, number_) : Damage::Full(),
                   target);
    shows = number_;
  }
  WriteMetas(*buffer.buffer, now);
}

void DemoSource::WriteMetas(spa_buffer& buffer, MonoTime now) {
  WriteHeader(buffer, now, number_);
  WriteDamage(
      buffer,
      delivered_ ? picture_->Changes(*delivered_, number_) : Damage::Full(),
      size_);
  if (auto* const cursor =
          static_cast<spa_meta_cursor*>(spa_buffer_find_meta_data(
              &buffer, SPA_META_Cursor, sizeof(spa_meta_cursor)))) {
    if (settings_.pointer_rate == 0) turn_ = number_;
    WriteCursor(*cursor);
  }
}

// An arrow on a circle.
void DemoSource::WriteCursor(spa_meta_cursor& cursor) {
  const double angle = static_cast<double>(turn_) * 0.02;
  cursor.id = 1;
  cursor.flags = 0;
  cursor.position = {
      static_cast<int32_t>(size_.width * (0.5 + 0.25 * std::cos(angle))),
      static_cast<int32_t>(size_.height * (0.5 + 0.25 * std::sin(angle)))};
  cursor.hotspot = {0, 0};
  cursor.bitmap_offset = 0;
  if (shape_sent_ && turn_ % kShapeEvery != 0) return;
  shape_sent_ = true;
  cursor.hotspot = {2, 1};
  cursor.bitmap_offset = sizeof(cursor);
  auto* const bitmap = reinterpret_cast<spa_meta_bitmap*>(&cursor + 1);
  *bitmap = spa_meta_bitmap{SPA_VIDEO_FORMAT_RGBA,
                            {kCursorSide, kCursorSide},
                            kCursorSide * 4,
                            sizeof(*bitmap)};
  auto* const pixels = reinterpret_cast<uint32_t*>(bitmap + 1);
  for (int y = 0; y < kCursorSide; ++y) {
    const int edge = y * 2 / 3;
    for (int x = 0; x < kCursorSide; ++x) {
      pixels[y * kCursorSide + x] = x > edge              ? 0
                                    : x == 0 || x == edge ? 0xff000000
                                                          : 0xffffffff;
    }
  }
}

std::optional<Settings> ReadFlags() {
  Settings settings;
  settings.node = absl::GetFlag(FLAGS_node);
  settings.resize_at = absl::GetFlag(FLAGS_resize_at);
  settings.fps = absl::GetFlag(FLAGS_fps);
  settings.cursor = absl::GetFlag(FLAGS_cursor);
  settings.pointer_rate = absl::GetFlag(FLAGS_pointer_rate);
  settings.seconds = absl::GetFlag(FLAGS_seconds);
  settings.format = FindFormat(absl::GetFlag(FLAGS_format));
  const auto bad = [](const char* flag) -> std::optional<Settings> {
    std::fprintf(stderr, "kinescope-demo-source: bad --%s; see --help\n", flag);
    return std::nullopt;
  };
  if (settings.format == nullptr) return bad("format");
  if (!(settings.fps >= limits::kFpsMin && settings.fps <= limits::kFpsMax))
    return bad("fps");
  if (settings.pointer_rate < 0 || settings.pointer_rate > 10'000)
    return bad("pointer_rate");
  const auto size = ParseSize(absl::GetFlag(FLAGS_size));
  if (!size) return bad("size");
  settings.size = *size;
  const std::string second = absl::GetFlag(FLAGS_second_size);
  settings.second_size = ParseSize(second);
  if (!second.empty() && !settings.second_size) return bad("second_size");
  if (settings.resize_at != 0 && !settings.second_size) return bad("resize_at");
  const auto pattern = ParsePattern(absl::GetFlag(FLAGS_pattern));
  if (!pattern) return bad("pattern");
  settings.pattern = *pattern;
  return settings;
}

}  // namespace
}  // namespace kine

int main(int argc, char** argv) {
  absl::SetProgramUsageMessage(
      "a PipeWire video source that shows a moving page with frame numbers");
  absl::ParseCommandLine(argc, argv);
  const std::optional<kine::Settings> settings = kine::ReadFlags();
  if (!settings) return 2;
  pw_init(nullptr, nullptr);
  int status;
  {
    kine::DemoSource source(*settings);
    status = source.Run();
  }
  pw_deinit();
  return status;
}
