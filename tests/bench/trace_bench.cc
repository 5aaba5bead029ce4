// What the trace of a recording costs a picture: one record, and the way of a
// packet through the writer with and without it (a disk that takes everything
// at once), both sides in one run. The encoder takes 2 to 3 ms of each.
#include <benchmark/benchmark.h>
#include <sys/mman.h>

#include <deque>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "daemon/base/epoll_loop.h"
#include "daemon/recorder/video_writer.h"
#include "daemon/timeline/trace_ring.h"
#include "encode/mp4/init_segment.h"

namespace kine {
namespace {

class NoDisk final : public FileIo {
 public:
  void WriteAt(int, uint64_t, std::vector<std::byte>, Done done) override {
    done_.push_back(std::move(done));
  }
  void Sync(int, Done done) override { done_.push_back(std::move(done)); }
  void Reserve(int, uint64_t, uint64_t, Done done) override {
    done_.push_back(std::move(done));
  }
  void Run(Work, Done done) override { done_.push_back(std::move(done)); }
  size_t pending() const override { return done_.size(); }
  void FinishAll() {
    while (!done_.empty()) {
      Done done = std::move(done_.front());
      done_.pop_front();
      done(absl::OkStatus());
    }
  }

 private:
  std::deque<Done> done_;
};

class NoClient final : public VideoWriter::Client {
 public:
  void OnCredits(int, uint64_t) override {}
  void OnMustEnd(link::EndReason, absl::Status) override {}
  void OnHead(const mp4::FileHeader&) override {}
  void OnFragment(link::Fragment) override {}
  void OnCannotReserve(absl::Status) override {}
  void OnNeedsSample() override {}
};

SharedPacket MakePacket(int64_t number) {
  // Parameter sets and one slice.
  constexpr uint8_t kUnit[] = {0, 0, 0,    4, 0x67, 100, 0, 31, 0,    0,
                               0, 2, 0x68, 1, 0,    0,   0, 2,  0x65, 1};
  auto packet = std::make_shared<Packet>();
  packet->data.resize(2'000);
  for (size_t i = 0; i < sizeof kUnit; ++i)
    packet->data[i] = std::byte{kUnit[i]};
  packet->keyframe = true;
  packet->time = MonoTime::FromNanos(1'000'000'000 + number * 33'000'000);
  packet->width = packet->true_width = 1920;
  packet->height = packet->true_height = 1080;
  return packet;
}

void BM_TraceRecord(benchmark::State& state) {
  const UniqueFd memory = *MakeTraceMemory();
  const std::shared_ptr<TraceRing> ring = *TraceRing::Map(memory);
  TracePacket packet;
  int64_t nanos = 0;
  for (auto _ : state) {
    packet.time = ++nanos;
    ring->Add(MonoTime::FromNanos(nanos), packet);
  }
}
BENCHMARK(BM_TraceRecord);

void BM_PacketThroughTheWriter(benchmark::State& state) {
  const std::unique_ptr<EpollLoop> loop = *EpollLoop::Create();
  NoDisk disk;
  NoClient client;
  RecordingFiles files;
  files.video = UniqueFd(::memfd_create("video", MFD_CLOEXEC));
  files.alive = UniqueFd(::memfd_create("alive", MFD_CLOEXEC));
  if (state.range(0) != 0) files.trace = *TraceRing::Map(*MakeTraceMemory());
  VideoWriter::Options options;
  options.max_bytes = 1ull << 40;
  options.reserve_bytes = 1u << 20;
  options.queue_packets = 30;  // Half of it is one fragment.
  options.check_free_space = [](int) { return absl::OkStatus(); };
  VideoWriter writer(*loop, disk, std::move(files), options, client);
  int64_t number = 0;
  for (auto _ : state) {
    writer.Add(MakePacket(number++));
    disk.FinishAll();
  }
  writer.Finish(MonoTime::FromNanos(0), [](auto) {});
  disk.FinishAll();
}
BENCHMARK(BM_PacketThroughTheWriter)->Arg(0)->Arg(1)->ArgName("traced");

// On the daemon's file worker, when somebody asks: of a full ring.
void BM_TraceJson(benchmark::State& state) {
  const UniqueFd memory = *MakeTraceMemory();
  const std::shared_ptr<TraceRing> ring = *TraceRing::Map(memory);
  TraceFragment fragment;
  for (int64_t i = 0; i < 2'048; ++i) {
    TracePacket packet;
    packet.time = packet.arrival = packet.encode_start = packet.encode_end =
        i * 33'000'000;
    const MonoTime now = MonoTime::FromNanos(i * 33'000'000);
    ring->Add(now, packet);
    if (i % 15 != 0) continue;
    ++fragment.number;
    for (const TraceKind kind : {TraceKind::kFragment, TraceKind::kWrite,
                                 TraceKind::kWritten, TraceKind::kDurable})
      ring->Add(now, kind, fragment);
  }
  size_t bytes = 0;
  for (auto _ : state)
    bytes = TraceJson(*ReadTrace(memory.get()), "bench").size();
  state.counters["bytes"] = static_cast<double>(bytes);
}
BENCHMARK(BM_TraceJson)->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace kine

BENCHMARK_MAIN();
