// What a 1080p picture in a DMA-BUF costs our side of hardware encoding: CPU
// time of the encode thread in VaEncoder, without what is spent inside libva's
// functions, behind which the driver (tests/softva) does its own work.
//
// `ms_in_va` is the rest, for what it is worth: a driver that checks everything
// and reads the packed headers back.
#include <benchmark/benchmark.h>
#include <dlfcn.h>
#include <time.h>
#include <va/va.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <utility>
#include <vector>

#include "daemon/base/check.h"
#include "encode/va/va_encoder.h"
#include "tests/va/va_rig.h"

namespace {

int64_t ThreadNanos() {
  timespec now{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return now.tv_sec * int64_t{1'000'000'000} + now.tv_nsec;
}

int64_t nanos_in_va = 0;

class InVa {
 public:
  InVa() : start_(ThreadNanos()) {}
  ~InVa() { nanos_in_va += ThreadNanos() - start_; }
  InVa(const InVa&) = delete;
  InVa& operator=(const InVa&) = delete;

 private:
  const int64_t start_;
};

template <typename Function>
Function* Real(const char* name) {
  void* const found = dlsym(RTLD_NEXT, name);
  KINE_CHECK(found != nullptr);
  return reinterpret_cast<Function*>(found);
}

}  // namespace

// What is called for each picture. The linker takes these first.
#define TIMED(name, parameters, arguments)                \
  VAStatus name parameters {                              \
    static const auto real = Real<decltype(name)>(#name); \
    const InVa in_va;                                     \
    return real arguments;                                \
  }
extern "C" {
TIMED(vaCreateBuffer,
      (VADisplay display, VAContextID context, VABufferType type, unsigned size,
       unsigned count, void* data, VABufferID* id),
      (display, context, type, size, count, data, id))
TIMED(vaDestroyBuffer, (VADisplay display, VABufferID id), (display, id))
TIMED(vaMapBuffer, (VADisplay display, VABufferID id, void** data),
      (display, id, data))
TIMED(vaUnmapBuffer, (VADisplay display, VABufferID id), (display, id))
TIMED(vaBeginPicture,
      (VADisplay display, VAContextID context, VASurfaceID target),
      (display, context, target))
TIMED(vaRenderPicture,
      (VADisplay display, VAContextID context, VABufferID* buffers, int count),
      (display, context, buffers, count))
TIMED(vaEndPicture, (VADisplay display, VAContextID context),
      (display, context))
TIMED(vaSyncBuffer, (VADisplay display, VABufferID id, uint64_t timeout_ns),
      (display, id, timeout_ns))
TIMED(vaSyncSurface, (VADisplay display, VASurfaceID surface),
      (display, surface))
TIMED(vaSyncSurface2,
      (VADisplay display, VASurfaceID surface, uint64_t timeout_ns),
      (display, surface, timeout_ns))
}
#undef TIMED

namespace {

using kine::Damage;
using kine::Frame;
using kine::Rect;

constexpr int kWidth = 1920;
constexpr int kHeight = 1080;
constexpr int kBuffers = 4;

// Buffers as a source lends them, in turn. They all show the same, so that the
// driver, which loses nothing, has little to say; `SOFTVA_FILLER` makes a
// picture of a usual size of it.
class Buffers {
 public:
  Buffers() {
    const kine::TestImage page = kine::RandomImage(kWidth, kHeight, 3);
    for (uint64_t i = 0; i < kBuffers; ++i)
      buffers_.push_back(kine::MemfdFrame(page, i + 1));
  }
  Frame Next(const Damage& damage) {
    const Frame& from = buffers_[static_cast<size_t>(number_ % kBuffers)];
    Frame frame([] {});
    frame.format = from.format;
    frame.crop = from.crop;
    frame.plane_count = from.plane_count;
    frame.planes = from.planes;
    frame.buffer_id = from.buffer_id;
    frame.time = kine::MonoTime::FromNanos(int64_t{33'333'333} * ++number_);
    frame.damage = damage;
    frame.damage_is_source = true;
    return frame;
  }

 private:
  std::vector<Frame> buffers_;
  int number_ = 0;
};

void Import(benchmark::State& state, const char* packed, const char* filler,
            const Damage& damage) {
  const std::filesystem::path binary =
      std::filesystem::read_symlink("/proc/self/exe");
  const auto driver = binary.parent_path().parent_path() / "tests" / "softva";
  setenv("LIBVA_DRIVERS_PATH", driver.c_str(), 1);
  setenv("LIBVA_DRIVER_NAME", "softva", 1);
  setenv("LIBVA_MESSAGING_LEVEL", "0", 1);
  setenv("SOFTVA_PACKED", packed, 1);
  setenv("SOFTVA_FILLER", filler, 1);
  kine::VaOptions options;
  options.render_node = kine::kFakeRenderNode;
  auto encoder = kine::CreateVaEncoder({}, options);
  if (!encoder.ok()) return state.SkipWithError("no encoder");
  Buffers buffers;
  std::vector<kine::Packet> packets;
  const auto encode = [&] {
    Frame frame = buffers.Next(damage);
    const auto outcome = (*encoder)->Encode(frame, {}, packets);
    if (!outcome.ok() || *outcome != kine::Encoder::Outcome::kEncoded)
      state.SkipWithError("a picture was not encoded");
    packets.clear();
  };
  // The keyframe, and each buffer's import, are not what is measured.
  for (int i = 0; i < kBuffers + 1; ++i) encode();
  int64_t in_va = 0;
  for (auto _ : state) {
    nanos_in_va = 0;
    const int64_t start = ThreadNanos();
    encode();
    const int64_t all = ThreadNanos() - start;
    in_va += nanos_in_va;
    state.SetIterationTime(static_cast<double>(all - nanos_in_va) / 1e9);
  }
  state.counters["ms_in_va"] = static_cast<double>(in_va) / 1e6 /
                               static_cast<double>(state.iterations());
}

Damage Cursor() {
  Damage damage;
  damage.Add(Rect{600, 400, 8, 14});
  return damage;
}

}  // namespace

BENCHMARK_CAPTURE(Import, typing, "0x1f", "2000", Cursor())
    ->Unit(benchmark::kMillisecond)
    ->UseManualTime()
    ->Iterations(100);
BENCHMARK_CAPTURE(Import, all_damaged_60_kb, "0x1f", "60000", Damage::Full())
    ->Unit(benchmark::kMillisecond)
    ->UseManualTime()
    ->Iterations(100);
BENCHMARK_CAPTURE(Import, drivers_headers_60_kb, "0", "60000", Damage::Full())
    ->Unit(benchmark::kMillisecond)
    ->UseManualTime()
    ->Iterations(100);

BENCHMARK_MAIN();
