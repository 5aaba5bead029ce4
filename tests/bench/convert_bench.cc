// Colour conversion into the kept picture, 1080p: by format and kernel, whole
// and 5 % damaged, and the comparison of a picture delivered twice.
#include <benchmark/benchmark.h>
#include <drm_fourcc.h>

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "capture/pixel_format.h"
#include "encode/picture/picture.h"

namespace {

using kine::ColorKernel;
using kine::Frame;
using kine::Picture;
using kine::Rect;

constexpr int kWidth = 1920;
constexpr int kHeight = 1080;

// `seed` makes the pictures differ in every byte.
Frame NoiseFrame(uint32_t fourcc, uint32_t seed, std::vector<uint8_t>& memory) {
  const kine::PixelFormatInfo* const info = kine::FindPixelFormat(fourcc);
  const auto stride = static_cast<size_t>(kWidth * info->bytes_per_pixel);
  memory.resize(stride * kHeight * (info->yuv ? 2 : 1));
  for (uint8_t& byte : memory) {
    seed = seed * 1664525 + 1013904223;
    byte = static_cast<uint8_t>(seed >> 24);
  }
  Frame frame;
  frame.format.fourcc = fourcc;
  frame.format.width = kWidth;
  frame.format.height = kHeight;
  frame.crop = Rect{0, 0, kWidth, kHeight};
  frame.plane_count = info->planes;
  for (int i = 0; i < info->planes; ++i) {
    kine::Plane& plane = frame.planes[static_cast<size_t>(i)];
    const size_t at = i == 0 ? 0 : stride * kHeight;
    plane.data = reinterpret_cast<const std::byte*>(memory.data()) + at;
    plane.size = memory.size() - at;
    plane.stride = static_cast<uint32_t>(stride);
  }
  return frame;
}

// Alternates between two pictures.
void Convert(benchmark::State& state, uint32_t fourcc,
             const ColorKernel& kernel, const Rect& damage, bool same) {
  std::vector<uint8_t> memory[2];
  Frame frames[2] = {NoiseFrame(fourcc, 1, memory[0]),
                     NoiseFrame(fourcc, same ? 1 : 2, memory[1])};
  Picture picture(kernel);
  size_t i = 0;
  if (!picture.Take(frames[1]).ok()) state.SkipWithError("Take");
  for (Frame& frame : frames) {
    if (damage.width == kWidth) continue;
    frame.damage = kine::Damage();
    frame.damage.Add(damage);
  }
  for (auto _ : state) {
    benchmark::DoNotOptimize(picture.Take(frames[i++ % 2]));
  }
  state.counters["changed_macroblocks"] = picture.changed().count();
}

void Register(const std::string& name, uint32_t fourcc,
              const ColorKernel& kernel) {
  const std::string prefix = "convert/" + name + "/" + kernel.name;
  const Rect whole = {0, 0, kWidth, kHeight};
  // 5 % of the area, as a window is.
  const Rect part = {320, 160, 432, 240};
  const std::pair<const char*, std::pair<Rect, bool>> cases[] = {
      {"/whole", {whole, false}},
      {"/5%", {part, false}},
      {"/unchanged", {whole, true}}};
  for (const auto& [suffix, what] : cases) {
    benchmark::RegisterBenchmark((prefix + suffix).c_str(), Convert, fourcc,
                                 kernel, what.first, what.second)
        ->Unit(benchmark::kMicrosecond);
  }
}

}  // namespace

int main(int argc, char** argv) {
  benchmark::Initialize(&argc, argv);
  for (const ColorKernel& kernel : kine::ColorKernels()) {
    Register("BGRx", DRM_FORMAT_XRGB8888, kernel);
  }
  const ColorKernel& best = kine::ColorKernels().front();
  Register("RGB", DRM_FORMAT_BGR888, best);
  Register("NV12", DRM_FORMAT_NV12, best);
  Register("I420", DRM_FORMAT_YUV420, best);
  benchmark::RunSpecifiedBenchmarks();
  return 0;
}
