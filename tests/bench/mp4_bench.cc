// The cost of fragments, of the index, of finalising an hour and of scanning a
// gigabyte's worth of headers.
#include <benchmark/benchmark.h>

#include <algorithm>
#include <utility>
#include <vector>

#include "daemon/base/check.h"
#include "daemon/base/limits.h"
#include "encode/mp4/byte_source.h"
#include "encode/mp4/finalise.h"
#include "encode/mp4/fragment_writer.h"
#include "encode/mp4/init_segment.h"
#include "encode/mp4/scanner.h"

namespace kine::mp4 {
namespace {

constexpr uint64_t kHourSamples = 108'000;  // At 30 fps.
constexpr uint64_t kFragmentSamples = 15;
constexpr size_t kMemory = limits::kIndexMemoryBytesMax;

InitSegment MakeInit() {
  constexpr uint8_t kKeyframe[] = {0,  0, 0, 4, 0x67, 100,  0,
                                   31, 0, 0, 0, 2,    0x68, 1};
  InitOptions options;
  options.width = 1920;
  options.height = 1080;
  options.keyframe = std::as_bytes(std::span(kKeyframe));
  options.reserve_bytes = 4u << 20;
  auto init = BuildInitSegment(options);
  KINE_CHECK(init.ok());
  return *std::move(init);
}

// With the jitter of a real clock.
uint64_t TimeOf(uint64_t sample) { return sample * 3000 + sample * 7919 % 40; }

Sample MakeSample(uint64_t i, size_t bytes) {
  return {std::vector<std::byte>(bytes, std::byte{5}), TimeOf(i), i % 150 == 0,
          Priority(static_cast<uint32_t>(i % 8160), i % 2 == 0)};
}

// Half a second of 1080p: 15 samples; the argument is bytes a sample.
void BM_CloseFragment(benchmark::State& state) {
  const auto bytes = static_cast<size_t>(state.range(0));
  FragmentWriter writer(MakeInit().header, kMemory);
  uint64_t i = 0;
  for (auto _ : state) {
    state.PauseTiming();
    for (uint64_t k = 0; k < kFragmentSamples; ++k)
      writer.Add(MakeSample(i++, bytes));
    state.ResumeTiming();
    benchmark::DoNotOptimize(writer.Close(TimeOf(i)));
  }
  state.SetBytesProcessed(state.iterations() *
                          static_cast<int64_t>(kFragmentSamples * bytes));
}
BENCHMARK(BM_CloseFragment)->Arg(900)->Arg(20'000)->Arg(200'000);

SampleIndex HourIndex() {
  SampleIndex index(kMemory);
  uint64_t offset = 5u << 20;
  for (uint64_t i = 0; i < kHourSamples; ++i) {
    if (i % kFragmentSamples == 0) index.BeginChunk(offset += 308);
    const auto size = static_cast<uint32_t>(900 + i * 31 % 20'000);
    index.Add(TimeOf(i), size, i % 150 == 0, static_cast<uint16_t>(i % 8160));
    offset += size;
  }
  return index;
}

void BM_IndexAnHour(benchmark::State& state) {
  size_t memory = 0;
  for (auto _ : state) memory = HourIndex().memory_bytes();
  state.SetItemsProcessed(state.iterations() *
                          static_cast<int64_t>(kHourSamples));
  state.counters["bytes_a_sample"] =
      static_cast<double>(memory) / static_cast<double>(kHourSamples);
}
BENCHMARK(BM_IndexAnHour)->Unit(benchmark::kMillisecond);

void BM_PlanFinaliseOfAnHour(benchmark::State& state) {
  FileMap map{MakeInit().header, HourIndex(), uint64_t{2} << 30};
  for (auto _ : state) {
    auto plan = PlanFinalise(map, TimeOf(kHourSamples));
    KINE_CHECK(plan.ok() && plan->index_in_front);
    benchmark::DoNotOptimize(plan);
  }
}
BENCHMARK(BM_PlanFinaliseOfAnHour)->Unit(benchmark::kMillisecond);

class Memory : public ByteSource {
 public:
  uint64_t size() const override { return bytes.size(); }
  absl::StatusOr<size_t> ReadAt(uint64_t offset,
                                std::span<std::byte> into) override {
    const size_t count =
        std::min(into.size(), bytes.size() - static_cast<size_t>(offset));
    std::copy_n(bytes.begin() + static_cast<std::ptrdiff_t>(offset), count,
                into.begin());
    return count;
  }
  std::vector<std::byte> bytes;
};

// An hour of typed text (7,200 fragments); 1: with all CRCs.
void BM_ScanAnHour(benchmark::State& state) {
  Memory file;
  const InitSegment init = MakeInit();
  file.bytes = init.head;
  file.bytes.resize(static_cast<size_t>(init.header.moov_offset()));
  file.bytes.insert(file.bytes.end(), init.moov.begin(), init.moov.end());
  FragmentWriter writer(init.header, kMemory);
  for (uint64_t i = 0; i < kHourSamples; ++i) {
    writer.Add(MakeSample(i, 900));
    if (i % kFragmentSamples != kFragmentSamples - 1) continue;
    const Fragment fragment = writer.Close(TimeOf(i + 1));
    file.bytes.insert(file.bytes.end(), fragment.bytes.begin(),
                      fragment.bytes.end());
  }
  const uint64_t durable = state.range(0) == 0 ? UINT64_MAX : 0;
  for (auto _ : state) {
    auto scan =
        Scan(file, {.durable_bytes = durable, .index_memory_max = kMemory});
    KINE_CHECK(scan.ok() && scan->fragments == kHourSamples / kFragmentSamples);
    benchmark::DoNotOptimize(scan);
  }
}
BENCHMARK(BM_ScanAnHour)->Arg(0)->Arg(1)->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace kine::mp4

BENCHMARK_MAIN();
