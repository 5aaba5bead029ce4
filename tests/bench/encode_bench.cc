// The product's case: a 1080p page of text that scrolls one line of 14 pixels
// every third frame while a counter runs in a corner. CPU time per frame, all
// in (conversion, comparison, x264), against x264's usual "ultrafast
// zerolatency" on whole frames with the same conversion in front.
#include <benchmark/benchmark.h>
#include <drm_fourcc.h>

#include <cstdint>
#include <cstring>
#include <memory>
#include <random>
#include <utility>
#include <vector>

#include "encode/create_encoder.h"
#include "encode/picture/picture.h"
#if KINE_HAVE_X264
#include <x264.h>

namespace {

using kine::Frame;
using kine::Rect;

constexpr int kWidth = 1920;
constexpr int kHeight = 1080;
constexpr int kLine = 14;
constexpr int kLines = 160;
constexpr Rect kCounter = {1700, 4, 200, 30};

// Letters of strokes, as tall as `kLines` lines.
std::vector<uint32_t> TallPage() {
  std::vector<uint32_t> page(size_t{kWidth} * kLine * kLines, 0xfffafafa);
  std::mt19937 random(1);
  for (int line = 0; line < kLines; ++line) {
    const auto letters = static_cast<int>(40 + random() % 180);
    for (int i = 0; i < letters; ++i) {
      std::mt19937 glyph(static_cast<uint32_t>(random() % 70));
      for (int stroke = 0; stroke < 4; ++stroke) {
        const bool flat = glyph() % 2 == 0;
        auto x = static_cast<int>(8 * i + 10 + static_cast<int>(glyph() % 6));
        auto y =
            static_cast<int>(line * kLine + 2 + static_cast<int>(glyph() % 8));
        for (int n = 0; n < 4; ++n) {
          page[static_cast<size_t>(y * kWidth + x)] = 0xff202028;
          flat ? ++x : ++y;
        }
      }
    }
  }
  return page;
}

class Desktop {
 public:
  explicit Desktop(int scroll_pixels)
      : scroll_pixels_(scroll_pixels),
        page_(TallPage()),
        screen_(size_t{kWidth} * kHeight) {}

  // With the damage that a compositor reports, or without.
  Frame Next(bool with_damage) {
    const bool scrolls = number_ % 3 == 0;
    if (scrolls) {
      const int top = number_ / 3 * scroll_pixels_ % (kLine * kLines - kHeight);
      std::memcpy(screen_.data(), &page_[static_cast<size_t>(top * kWidth)],
                  screen_.size() * 4);
    }
    for (int y = kCounter.y; y < kCounter.y + kCounter.height; ++y) {
      for (int x = kCounter.x; x < kCounter.x + kCounter.width; ++x) {
        const bool ink = ((x * 7 + y * number_ * 3) / 40 & 1) != 0;
        screen_[static_cast<size_t>(y * kWidth + x)] =
            ink ? 0xfffafafa : 0xff202028;
      }
    }
    ++number_;
    Frame frame;
    frame.format.fourcc = DRM_FORMAT_XRGB8888;
    frame.format.width = kWidth;
    frame.format.height = kHeight;
    frame.crop = Rect{0, 0, kWidth, kHeight};
    frame.plane_count = 1;
    frame.planes[0].data = reinterpret_cast<const std::byte*>(screen_.data());
    frame.planes[0].size = screen_.size() * 4;
    frame.planes[0].stride = kWidth * 4;
    frame.time = kine::MonoTime::FromNanos(int64_t{33'333'333} * number_);
    if (with_damage && !scrolls) {
      frame.damage = kine::Damage();
      frame.damage.Add(kCounter);
    }
    return frame;
  }

 private:
  const int scroll_pixels_;
  const std::vector<uint32_t> page_;
  std::vector<uint32_t> screen_;
  int number_ = 0;
};

void Ours(benchmark::State& state, bool with_damage, int scroll_pixels) {
  Desktop desktop(scroll_pixels);
  auto created = kine::CreateEncoder(kine::EncoderChoice::kAuto, {}, "");
  if (!created.ok()) return state.SkipWithError("no encoder");
  std::vector<kine::Packet> packets;
  double bytes = 0;
  const auto encode = [&] {
    Frame frame = desktop.Next(with_damage);
    benchmark::DoNotOptimize(created->encoder->Encode(frame, {}, packets));
  };
  encode();  // The keyframe is not what is measured.
  packets.clear();
  for (auto _ : state) {
    encode();
    for (const kine::Packet& packet : packets) {
      bytes += static_cast<double>(packet.data.size());
    }
    packets.clear();
  }
  state.counters["bytes/frame"] =
      bytes / static_cast<double>(state.iterations());
}

// A still page over which the pointer moves, an arrow of 24 pixels: what one of
// its pictures costs; or, without one, a frame in which nothing has changed.
void StillPage(benchmark::State& state, bool with_pointer) {
  Desktop desktop(kLine);
  auto created = kine::CreateEncoder(kine::EncoderChoice::kAuto, {}, "");
  if (!created.ok()) return state.SkipWithError("no encoder");
  auto shape = std::make_shared<kine::CursorShape>();
  shape->width = shape->height = 24;
  for (int i = 0; i < 24 * 24; ++i) {
    const auto alpha = i % 24 > i / 24 * 2 / 3 ? std::byte{0} : std::byte{255};
    shape->bgra.insert(shape->bgra.end(), {alpha, alpha, alpha, alpha});
  }
  kine::Pointer pointer = {shape, 0, 0, {}};
  Frame still = desktop.Next(false);
  std::vector<kine::Packet> packets;
  benchmark::DoNotOptimize(created->encoder->Encode(still, {}, packets));
  packets.clear();
  double bytes = 0;
  for (auto _ : state) {
    if (with_pointer) {
      pointer.x = (pointer.x + 13) % kWidth;
      pointer.y = (pointer.y + 5) % kHeight;
      benchmark::DoNotOptimize(created->encoder->EncodeAgain(
          kine::Encoder::Again::kPointer, {}, {.pointer = &pointer}, packets));
    } else {
      still.damage = kine::Damage();
      benchmark::DoNotOptimize(created->encoder->Encode(still, {}, packets));
    }
    for (const kine::Packet& packet : packets)
      bytes += static_cast<double>(packet.data.size());
    packets.clear();
  }
  state.counters["bytes/frame"] =
      bytes / static_cast<double>(state.iterations());
}

void UsualX264(benchmark::State& state) {
  Desktop desktop(kLine);
  x264_param_t p;
  x264_param_default_preset(&p, "ultrafast", "zerolatency");
  p.i_width = kWidth;
  p.i_height = kHeight;
  p.i_csp = X264_CSP_NV12;
  p.i_fps_num = 30;
  p.i_fps_den = 1;
  p.i_threads = 1;
  p.i_keyint_max = X264_KEYINT_MAX_INFINITE;
  p.i_log_level = X264_LOG_NONE;
  std::unique_ptr<x264_t, void (*)(x264_t*)> x264(x264_encoder_open(&p),
                                                  x264_encoder_close);
  kine::Picture picture;
  double bytes = 0;
  int64_t number = 0;
  const auto encode = [&] {
    const Frame frame = desktop.Next(false);
    benchmark::DoNotOptimize(picture.Take(frame));
    x264_picture_t in;
    x264_picture_t out;
    x264_picture_init(&in);
    in.img.i_csp = X264_CSP_NV12;
    in.img.i_plane = 2;
    in.img.plane[0] = const_cast<uint8_t*>(picture.luma());
    in.img.plane[1] = const_cast<uint8_t*>(picture.chroma());
    in.img.i_stride[0] = in.img.i_stride[1] = picture.stride();
    in.i_pts = number++;
    x264_nal_t* nals = nullptr;
    int count = 0;
    return x264_encoder_encode(x264.get(), &nals, &count, &in, &out);
  };
  encode();
  for (auto _ : state) bytes += encode();
  state.counters["bytes/frame"] =
      bytes / static_cast<double>(state.iterations());
}

}  // namespace

// A multiple of three frames: one scrolls, two do not.
BENCHMARK(UsualX264)->Unit(benchmark::kMillisecond)->Iterations(300);
BENCHMARK_CAPTURE(Ours, damage, true, kLine)
    ->Unit(benchmark::kMillisecond)
    ->Iterations(300);
BENCHMARK_CAPTURE(Ours, no_damage_from_source, false, kLine)
    ->Unit(benchmark::kMillisecond)
    ->Iterations(300);
BENCHMARK_CAPTURE(Ours, damage_three_lines, true, 3 * kLine)
    ->Unit(benchmark::kMillisecond)
    ->Iterations(300);
BENCHMARK_CAPTURE(StillPage, without_pointer, false)
    ->Unit(benchmark::kMillisecond)
    ->Iterations(300);
BENCHMARK_CAPTURE(StillPage, pointer_moves, true)
    ->Unit(benchmark::kMillisecond)
    ->Iterations(300);
#endif

BENCHMARK_MAIN();
