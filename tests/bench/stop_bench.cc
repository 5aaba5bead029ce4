// From the stop of an hour at 30 fps to its finished file, on a real disk: the
// recorder's own writer and finaliser, fed with an hour of packets as fast as
// the disk takes them. What passes quickly is only the pictures' own clock:
// fragments hold half a second each, as they do in an hour. And what an hour in
// which nothing changes costs, on a clock that jumps.
//
// KINE_BENCH_DIR says where (the current directory).
#include <benchmark/benchmark.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "daemon/base/check.h"
#include "daemon/base/epoll_loop.h"
#include "daemon/base/limits.h"
#include "daemon/recorder/video_writer.h"
#include "daemon/storage/create_file_io.h"
#include "daemon/storage/uring_file_io.h"
#include "encode/mp4/init_segment.h"
#include "tests/fakes/fake_file_io.h"
#include "tests/fakes/fake_loop.h"

namespace kine {
namespace {

constexpr int kHourSamples = 108'000;
constexpr int kFragmentSamples = 15;
// Of sizes that all differ, 324 MB an hour.
size_t SampleBytes(int sample) {
  return 1'000 + static_cast<size_t>(sample) * 7919 % 4'001;
}
constexpr uint64_t kMaxBytes = 1ull << 30;

// An access unit as its framing has it, with parameter sets in a keyframe.
std::vector<std::byte> AccessUnit(int sample, bool keyframe) {
  constexpr uint8_t kSets[] = {0,  0, 0, 4, 0x67, 100,  0,
                               31, 0, 0, 0, 2,    0x68, 1};
  std::vector<std::byte> data(SampleBytes(sample), std::byte{5});
  size_t at = 0;
  if (keyframe)
    for (const uint8_t byte : kSets) data[at++] = std::byte{byte};
  // The rest is one slice behind its length.
  const auto length = static_cast<uint32_t>(data.size() - at - 4);
  for (int shift = 24; shift >= 0; shift -= 8)
    data[at++] = static_cast<std::byte>(length >> shift);
  data[at] = keyframe ? std::byte{0x65} : std::byte{0x41};
  return data;
}

Packet MakePacket(int sample, MonoTime time) {
  Packet packet;
  packet.keyframe = sample % 150 == 0;
  packet.time = time;
  packet.data = AccessUnit(sample, packet.keyframe);
  packet.damaged_macroblocks = static_cast<uint32_t>(sample % 8160);
  packet.width = packet.true_width = 1920;
  packet.height = packet.true_height = 1080;
  return packet;
}

class Hour final : private VideoWriter::Client {
 public:
  explicit Hour(bool uring) : loop_(EpollLoop::Create().value()) {
    UringProbe probe;
    probe.usable = uring;
    absl::StatusOr<ChosenFileIo> io = CreateFileIo(
        uring ? FileIoChoice::kUring : FileIoChoice::kThread, probe, *loop_,
        [this](absl::Status status) { error_ = std::move(status); });
    if (!io.ok()) {
      error_ = io.status();
      return;
    }
    file_io_ = std::move(io->file_io);
    const char* const where = std::getenv("KINE_BENCH_DIR");
    directory_ = std::string(where != nullptr ? where : ".") + "/hour-XXXXXX";
    KINE_CHECK(::mkdtemp(directory_.data()) != nullptr);
    const UniqueFd directory(
        ::open(directory_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    VideoWriter::Options options;
    options.max_bytes = kMaxBytes;
    options.reserve_bytes =
        mp4::ReserveBytes(limits::kMaxDurationDefaultMs, 30, kMaxBytes);
    // Half of it is one fragment.
    options.queue_packets = 2 * kFragmentSamples;
    options.check_free_space = [](int) { return absl::OkStatus(); };
    absl::StatusOr<RecordingFiles> files =
        CreateRecordingFiles(directory.get(), options.reserve_bytes);
    if (!files.ok()) {
      error_ = files.status();
      return;
    }
    VideoWriter::Client& client = *this;
    writer_.emplace(*loop_, *file_io_, *std::move(files), options, client);
  }
  ~Hour() override {
    file_io_.reset();
    writer_.reset();
    ::unlink((directory_ + "/video.mp4").c_str());
    ::unlink((directory_ + "/alive").c_str());
    ::rmdir(directory_.c_str());
  }

  const absl::Status& error() const { return error_; }

  void Record() {
    loop_->Post([this] { Feed(); });
    loop_->Run();
  }

  absl::StatusOr<FinaliseResult> Stop() {
    absl::StatusOr<FinaliseResult> result = absl::UnknownError("never done");
    writer_->Finish(TimeOf(kHourSamples),
                    [&](absl::StatusOr<FinaliseResult> done) {
                      result = std::move(done);
                      loop_->Quit();
                    });
    loop_->Run();
    return result;
  }

 private:
  // With the jitter of a real clock: no two pictures in a row last equally.
  static MonoTime TimeOf(int sample) {
    const uint32_t noise = static_cast<uint32_t>(sample) * 2'654'435'761u >> 8;
    return MonoTime::FromNanos(1'000'000'000 + sample * int64_t{33'333'333} +
                               int64_t{noise % 40} * 11'111);
  }

  void Feed() {
    while (packets_out_ < kFragmentSamples && sent_ < kHourSamples) {
      Packet packet = MakePacket(sent_, TimeOf(sent_));
      ++sent_;
      ++packets_out_;
      writer_->Add(std::move(packet));
    }
    if (sent_ == kHourSamples && packets_out_ == 0) loop_->Quit();
  }

  void OnCredits(int packets, uint64_t) override {
    packets_out_ -= packets;
    loop_->Post([this] { Feed(); });
  }
  void OnMustEnd(link::EndReason, absl::Status why) override {
    error_ = std::move(why);
    loop_->Quit();
  }
  void OnHead(const mp4::FileHeader&) override {}
  void OnFragment(link::Fragment) override {}
  void OnCannotReserve(absl::Status) override {}
  void OnNeedsSample() override {}

  std::unique_ptr<EpollLoop> loop_;
  std::unique_ptr<FileIo> file_io_;
  std::optional<VideoWriter> writer_;
  std::string directory_;
  absl::Status error_;
  int sent_ = 0;
  int packets_out_ = 0;
};

// The argument: by io_uring, or by the thread.
void BM_StopOfAnHour(benchmark::State& state) {
  for (auto _ : state) {
    Hour hour(state.range(0) != 0);
    if (hour.error().ok()) hour.Record();
    if (!hour.error().ok()) {
      state.SkipWithError(std::string(hour.error().message()).c_str());
      return;
    }
    const MonoTime asked = SystemClock().Now();
    const absl::StatusOr<FinaliseResult> result = hour.Stop();
    state.SetIterationTime(absl::ToDoubleSeconds(SystemClock().Now() - asked));
    if (!result.ok()) {
      state.SkipWithError(std::string(result.status().message()).c_str());
      return;
    }
    state.counters["samples"] = static_cast<double>(result->samples);
    state.counters["index_bytes"] = static_cast<double>(result->index_bytes);
    state.counters["in_front"] = result->index_in_front ? 1 : 0;
    state.counters["bytes"] = static_cast<double>(result->bytes);
  }
}
BENCHMARK(BM_StopOfAnHour)
    ->Arg(1)
    ->Arg(0)
    ->UseManualTime()
    ->Iterations(3)
    ->Unit(benchmark::kMillisecond);

class Nobody final : public VideoWriter::Client {
  void OnCredits(int, uint64_t) override {}
  void OnMustEnd(link::EndReason, absl::Status) override {}
  void OnHead(const mp4::FileHeader&) override {}
  void OnFragment(link::Fragment) override {}
  void OnCannotReserve(absl::Status) override {}
  void OnNeedsSample() override {}
};

uint64_t BytesOf(int fd) {
  struct stat file {};
  KINE_CHECK(::fstat(fd, &file) == 0);
  return static_cast<uint64_t>(file.st_size);
}

// One picture, and then nothing for an hour: what the two files grow by.
void BM_AnHourOfStillness(benchmark::State& state) {
  for (auto _ : state) {
    FakeWorld world;
    FakeLoop& loop = world.AddLoop("control");
    FakeFileIo disk(&loop);
    disk.set_write_through(true);
    world.AddActor(disk);
    RecordingFiles files;
    files.video = UniqueFd(::memfd_create("video", MFD_CLOEXEC));
    files.alive = UniqueFd(::memfd_create("alive", MFD_CLOEXEC));
    const int video = files.video.get();
    const int alive = files.alive.get();
    VideoWriter::Options options;
    options.max_bytes = limits::kMaxBytesMin;
    options.reserve_bytes = limits::kReserveMinBytes;
    options.queue_packets = 96;
    options.check_free_space = [](int) { return absl::OkStatus(); };
    Nobody nobody;
    std::optional<VideoWriter> writer;
    writer.emplace(loop, disk, std::move(files), options, nobody);
    writer->Add(MakePacket(0, world.Now()));
    world.Advance(absl::Seconds(1));
    const uint64_t before = BytesOf(video);
    world.Advance(absl::Hours(1));
    const uint64_t grown = BytesOf(video) - before + BytesOf(alive);
    bool done = false;
    uint64_t finished = 0;
    writer->Finish(world.Now(), [&](absl::StatusOr<FinaliseResult> result) {
      KINE_CHECK(result.ok());
      done = true;
      finished = result->bytes;
    });
    world.Settle();
    KINE_CHECK(done);
    state.counters["grown_per_minute"] = static_cast<double>(grown) / 60;
    state.counters["grown_by_the_end"] =
        static_cast<double>(finished) - static_cast<double>(before);
    writer.reset();
    world.RemoveActor(disk);
  }
}
BENCHMARK(BM_AnHourOfStillness)->Iterations(1);

}  // namespace
}  // namespace kine

BENCHMARK_MAIN();
