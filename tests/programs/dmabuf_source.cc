// dmabuf_source: a PipeWire node that offers DMA-BUFs, as a compositor does
// (modifiers that it chooses among, then memory), for machines without a GPU:
// what it passes as DMA-BUFs is memfds, which is enough for every reader that
// maps them. It shows the page of capture/pattern.h, linear whatever the
// modifier says, behind `kOffset` bytes and with padded rows.
//
// SIGUSR1: the other size. Runs until it is killed or the server is gone.
#include <drm_fourcc.h>
#include <fcntl.h>
#include <pipewire/pipewire.h>
#include <spa/param/video/format-utils.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <csignal>
#include <cstdio>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/flags/flag.h"
#include "absl/flags/parse.h"
#include "absl/strings/numbers.h"
#include "capture/pattern.h"
#include "daemon/base/clock.h"
#include "tools/demo/demo_formats.h"
#include "tools/demo/demo_node.h"

ABSL_FLAG(std::string, node, "dmabuf", "node.name");
ABSL_FLAG(std::string, size, "320x240", "WIDTHxHEIGHT");
ABSL_FLAG(std::string, second_size, "", "what SIGUSR1 changes to");
ABSL_FLAG(double, fps, 30, "frames a second");
ABSL_FLAG(std::string, pattern, "scroll", "scroll, typing, video or still");
ABSL_FLAG(std::vector<std::string>, modifiers, {}, "hexadecimal, best first");
ABSL_FLAG(std::vector<std::string>, unallocatable, {},
          "of those, the ones that turn out not to work");
ABSL_FLAG(bool, memory, true, "offer memory as well");

namespace kine {
namespace {

constexpr size_t kOffset = 4096;
constexpr size_t kPadding = 64;
constexpr int kBuffers = 4;

std::vector<uint64_t> ParseModifiers(const std::vector<std::string>& texts) {
  std::vector<uint64_t> modifiers(texts.size());
  for (size_t i = 0; i < texts.size(); ++i) {
    if (!absl::SimpleHexAtoi(texts[i], &modifiers[i])) std::exit(2);
  }
  return modifiers;
}

class DmabufSource {
 public:
  DmabufSource();
  ~DmabufSource();
  int Run();

 private:
  struct Memory {
    std::byte* bytes = nullptr;
    size_t size = 0;
  };

  void ShowSize(const Size& size);
  std::vector<const spa_pod*> Formats();
  const spa_pod* FormatPod(std::vector<uint64_t> modifiers, bool fixed);
  void OnFormat(const spa_pod* param);
  // True when it has chosen one of several and offered that.
  bool Choose(const spa_pod_prop& modifier);
  void OnAddBuffer(pw_buffer* buffer);
  static void OnRemoveBuffer(pw_buffer* buffer);
  void OnTick();
  size_t stride() const {
    return static_cast<size_t>(size_.width) * 4 + kPadding;
  }
  size_t bytes() const {
    return kOffset + stride() * static_cast<size_t>(size_.height);
  }

  const TestPatternSpec::Pattern pattern_;
  const std::vector<uint64_t> modifiers_;
  std::vector<uint64_t> unallocatable_;
  bool tried_ = false;
  std::optional<uint64_t> chosen_;
  bool dmabuf_ = false;
  Size size_;
  std::unique_ptr<PatternPicture> picture_;
  uint64_t number_ = 0;
  std::optional<uint64_t> delivered_;
  // Of the pods that are being offered.
  std::vector<std::unique_ptr<std::array<uint8_t, 4096>>> pods_;
  pw_main_loop* loop_ = nullptr;
  pw_stream* stream_ = nullptr;
  spa_source* timer_ = nullptr;
  int status_ = 0;
};

DmabufSource::DmabufSource()
    : pattern_(*ParsePattern(absl::GetFlag(FLAGS_pattern))),
      modifiers_(ParseModifiers(absl::GetFlag(FLAGS_modifiers))),
      unallocatable_(ParseModifiers(absl::GetFlag(FLAGS_unallocatable))) {
  ShowSize(*ParseSize(absl::GetFlag(FLAGS_size)));
}

DmabufSource::~DmabufSource() {
  if (stream_ != nullptr) pw_stream_destroy(stream_);
  if (loop_ != nullptr) pw_main_loop_destroy(loop_);
}

void DmabufSource::ShowSize(const Size& size) {
  size_ = size;
  picture_ =
      std::make_unique<PatternPicture>(pattern_, size.width, size.height);
  delivered_.reset();
}

const spa_pod* DmabufSource::FormatPod(std::vector<uint64_t> modifiers,
                                       bool fixed) {
  pods_.push_back(std::make_unique<std::array<uint8_t, 4096>>());
  spa_pod_builder b{};
  spa_pod_builder_init(&b, pods_.back()->data(), 4096);
  spa_pod_frame frame{};
  spa_pod_builder_push_object(&b, &frame, SPA_TYPE_OBJECT_Format,
                              SPA_PARAM_EnumFormat);
  const spa_rectangle size{static_cast<uint32_t>(size_.width),
                           static_cast<uint32_t>(size_.height)};
  const spa_fraction rate{0, 1};
  spa_pod_builder_add(
      &b, SPA_FORMAT_mediaType, SPA_POD_Id(SPA_MEDIA_TYPE_video),
      SPA_FORMAT_mediaSubtype, SPA_POD_Id(SPA_MEDIA_SUBTYPE_raw),
      SPA_FORMAT_VIDEO_format, SPA_POD_Id(SPA_VIDEO_FORMAT_BGRx),
      SPA_FORMAT_VIDEO_size, SPA_POD_Rectangle(&size),
      SPA_FORMAT_VIDEO_framerate, SPA_POD_Fraction(&rate), 0);
  if (fixed) {
    spa_pod_builder_prop(&b, SPA_FORMAT_VIDEO_modifier,
                         SPA_POD_PROP_FLAG_MANDATORY);
    spa_pod_builder_long(&b, static_cast<int64_t>(modifiers[0]));
  } else if (!modifiers.empty()) {
    spa_pod_frame choice{};
    spa_pod_builder_prop(
        &b, SPA_FORMAT_VIDEO_modifier,
        SPA_POD_PROP_FLAG_MANDATORY | SPA_POD_PROP_FLAG_DONT_FIXATE);
    spa_pod_builder_push_choice(&b, &choice, SPA_CHOICE_Enum, 0);
    spa_pod_builder_long(&b, static_cast<int64_t>(modifiers[0]));
    for (const uint64_t modifier : modifiers)
      spa_pod_builder_long(&b, static_cast<int64_t>(modifier));
    spa_pod_builder_pop(&b, &choice);
  }
  return static_cast<const spa_pod*>(spa_pod_builder_pop(&b, &frame));
}

// The chosen one, all that may be chosen, memory.
std::vector<const spa_pod*> DmabufSource::Formats() {
  pods_.clear();
  std::vector<uint64_t> usable;
  for (const uint64_t modifier : modifiers_) {
    if (std::ranges::count(unallocatable_, modifier) == 0)
      usable.push_back(modifier);
  }
  // What does not work is found out only when it is chosen.
  const std::vector<uint64_t>& offered = tried_ ? usable : modifiers_;
  std::vector<const spa_pod*> pods;
  if (chosen_) pods.push_back(FormatPod({*chosen_}, /*fixed=*/true));
  if (!offered.empty()) pods.push_back(FormatPod(offered, /*fixed=*/false));
  if (absl::GetFlag(FLAGS_memory)) pods.push_back(FormatPod({}, false));
  return pods;
}

bool DmabufSource::Choose(const spa_pod_prop& modifier) {
  uint32_t count = 0;
  uint32_t kind = 0;
  const spa_pod* values = spa_pod_get_values(&modifier.value, &count, &kind);
  const auto* choices = static_cast<const int64_t*>(SPA_POD_BODY_CONST(values));
  const auto usable = [this](int64_t choice) {
    return std::ranges::count(unallocatable_, static_cast<uint64_t>(choice)) ==
           0;
  };
  const bool fixed = (modifier.flags & SPA_POD_PROP_FLAG_DONT_FIXATE) == 0;
  if (fixed && usable(choices[0])) return false;
  chosen_.reset();
  const int64_t* first = std::find_if(choices, choices + count, usable);
  if (first != choices + count) chosen_ = static_cast<uint64_t>(*first);
  tried_ = true;
  std::vector<const spa_pod*> formats = Formats();
  pw_stream_update_params(stream_, formats.data(),
                          static_cast<uint32_t>(formats.size()));
  return true;
}

void DmabufSource::OnFormat(const spa_pod* param) {
  const spa_pod_prop* modifier =
      spa_pod_find_prop(param, nullptr, SPA_FORMAT_VIDEO_modifier);
  dmabuf_ = modifier != nullptr;
  if (dmabuf_ && Choose(*modifier)) return;
  std::array<uint8_t, 1024> memory;
  spa_pod_builder b{};
  spa_pod_builder_init(&b, memory.data(), memory.size());
  const int types = 1 << (dmabuf_ ? SPA_DATA_DmaBuf : SPA_DATA_MemFd);
  std::vector<const spa_pod*> params;
  params.push_back(static_cast<const spa_pod*>(spa_pod_builder_add_object(
      &b, SPA_TYPE_OBJECT_ParamBuffers, SPA_PARAM_Buffers,
      SPA_PARAM_BUFFERS_buffers, SPA_POD_Int(kBuffers),
      SPA_PARAM_BUFFERS_blocks, SPA_POD_Int(1), SPA_PARAM_BUFFERS_size,
      SPA_POD_Int(static_cast<int>(bytes())), SPA_PARAM_BUFFERS_stride,
      SPA_POD_Int(static_cast<int>(stride())), SPA_PARAM_BUFFERS_dataType,
      SPA_POD_CHOICE_FLAGS_Int(types))));
  params.push_back(HeaderMetaPod(b));
  params.push_back(DamageMetaPod(b));
  pw_stream_update_params(stream_, params.data(),
                          static_cast<uint32_t>(params.size()));
}

void DmabufSource::OnAddBuffer(pw_buffer* buffer) {
  spa_data& data = buffer->buffer->datas[0];
  auto* memory = new Memory;
  buffer->user_data = memory;
  memory->size = bytes();
  const int fd = memfd_create("dmabuf", MFD_CLOEXEC);
  if (ftruncate(fd, static_cast<off_t>(memory->size)) != 0) std::exit(3);
  memory->bytes = static_cast<std::byte*>(
      mmap(nullptr, memory->size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0));
  data.type = dmabuf_ ? SPA_DATA_DmaBuf : SPA_DATA_MemFd;
  data.flags = SPA_DATA_FLAG_READWRITE;
  data.fd = fd;
  data.mapoffset = 0;
  // Of a DMA-BUF it means nothing, and compositors say so.
  data.maxsize = dmabuf_ ? 0 : static_cast<uint32_t>(memory->size);
  data.data = memory->bytes;
}

void DmabufSource::OnRemoveBuffer(pw_buffer* buffer) {
  auto* memory = static_cast<Memory*>(buffer->user_data);
  munmap(memory->bytes, memory->size);
  close(static_cast<int>(buffer->buffer->datas[0].fd));
  delete memory;
}

void DmabufSource::OnTick() {
  pw_buffer* const buffer = DequeueToDraw(stream_);
  if (buffer == nullptr) {
    ++number_;
    return;
  }
  auto* memory = static_cast<Memory*>(buffer->user_data);
  spa_chunk& chunk = *buffer->buffer->datas[0].chunk;
  const bool fits = memory->size >= bytes();
  chunk.offset = kOffset;
  chunk.size = fits ? static_cast<uint32_t>(bytes() - kOffset) : 0;
  chunk.stride = static_cast<int32_t>(stride());
  chunk.flags = fits ? SPA_CHUNK_FLAG_NONE : SPA_CHUNK_FLAG_CORRUPTED;
  const MonoTime now = SystemClock().Now();
  if (fits) {
    PatternTarget target;
    target.fourcc = DRM_FORMAT_XRGB8888;
    target.planes[0] = {memory->bytes + kOffset, stride()};
    picture_->Draw(number_, now, Damage::Full(), target);
  }
  WriteHeader(*buffer->buffer, now, number_);
  WriteDamage(
      *buffer->buffer,
      delivered_ ? picture_->Changes(*delivered_, number_) : Damage::Full(),
      size_);
  pw_stream_queue_buffer(stream_, buffer);
  delivered_ = number_++;
}

int DmabufSource::Run() {
  static const pw_stream_events kEvents = [] {
    pw_stream_events events{};
    events.version = PW_VERSION_STREAM_EVENTS;
    events.state_changed = [](void* data, pw_stream_state,
                              pw_stream_state state, const char*) {
      auto& self = *static_cast<DmabufSource*>(data);
      if (state == PW_STREAM_STATE_ERROR ||
          state == PW_STREAM_STATE_UNCONNECTED) {
        self.status_ = 1;
        pw_main_loop_quit(self.loop_);
      }
    };
    events.param_changed = [](void* self, uint32_t id, const spa_pod* param) {
      if (id == SPA_PARAM_Format && param != nullptr)
        static_cast<DmabufSource*>(self)->OnFormat(param);
    };
    events.add_buffer = [](void* self, pw_buffer* buffer) {
      static_cast<DmabufSource*>(self)->OnAddBuffer(buffer);
    };
    events.remove_buffer = [](void*, pw_buffer* buffer) {
      OnRemoveBuffer(buffer);
    };
    return events;
  }();
  loop_ = pw_main_loop_new(nullptr);
  pw_loop* const loop = pw_main_loop_get_loop(loop_);
  timer_ = pw_loop_add_timer(
      loop,
      [](void* data, uint64_t) {
        auto& self = *static_cast<DmabufSource*>(data);
        if (pw_stream_get_state(self.stream_, nullptr) ==
            PW_STREAM_STATE_STREAMING)
          self.OnTick();
      },
      this);
  timespec interval{0, static_cast<long>(1e9 / absl::GetFlag(FLAGS_fps))};
  pw_loop_update_timer(loop, timer_, &interval, &interval, false);
  pw_loop_add_signal(
      loop, SIGUSR1,
      [](void* data, int) {
        auto& self = *static_cast<DmabufSource*>(data);
        self.ShowSize(*ParseSize(absl::GetFlag(FLAGS_second_size)));
        std::vector<const spa_pod*> formats = self.Formats();
        pw_stream_update_params(self.stream_, formats.data(),
                                static_cast<uint32_t>(formats.size()));
      },
      this);
  const std::string node = absl::GetFlag(FLAGS_node);
  stream_ = NewVideoNode(loop, node.c_str(), "Kinescope's test of DMA-BUFs",
                         kEvents, this);
  std::vector<const spa_pod*> formats = Formats();
  if (stream_ == nullptr ||
      pw_stream_connect(
          stream_, PW_DIRECTION_OUTPUT, PW_ID_ANY,
          static_cast<pw_stream_flags>(PW_STREAM_FLAG_DRIVER |
                                       PW_STREAM_FLAG_ALLOC_BUFFERS),
          formats.data(), static_cast<uint32_t>(formats.size())) < 0)
    return 1;
  pw_main_loop_run(loop_);
  return status_;
}

}  // namespace
}  // namespace kine

int main(int argc, char** argv) {
  absl::ParseCommandLine(argc, argv);
  pw_init(nullptr, nullptr);
  int status;
  {
    kine::DmabufSource source;
    status = source.Run();
  }
  pw_deinit();
  return status;
}
