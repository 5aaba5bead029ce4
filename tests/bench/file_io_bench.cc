// What a write costs the thread that asks: the time it is blocked (the
// benchmark's own time), and CPU of the whole process, for one 64 KiB write
// with an fdatasync behind it.
//   TMPDIR=... picks the disk.
#include <benchmark/benchmark.h>
#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cstdlib>
#include <memory>
#include <string>
#include <vector>

#include "daemon/base/epoll_loop.h"
#include "daemon/base/fd.h"
#include "daemon/storage/create_file_io.h"

namespace kine {
namespace {

constexpr size_t kBytes = 64u << 10;
constexpr uint64_t kFileBytes = 64u << 20;

double ProcessCpuMicros() {
  rusage usage;
  ::getrusage(RUSAGE_SELF, &usage);
  const auto micros = [](const timeval& t) {
    return static_cast<double>(t.tv_sec) * 1e6 + static_cast<double>(t.tv_usec);
  };
  return micros(usage.ru_utime) + micros(usage.ru_stime);
}

UniqueFd ScratchFile() {
  const char* root = std::getenv("TMPDIR");
  std::string path =
      std::string(root != nullptr ? root : "/tmp") + "/kine-bench.XXXXXX";
  UniqueFd fd(::mkostemp(path.data(), O_CLOEXEC));
  (void)::unlink(path.c_str());
  return fd;
}

// One at a time, as a recording does: the next write starts when the sync of
// the last is done.
class Writer {
 public:
  Writer(benchmark::State& state, EpollLoop& loop, FileIo& file_io)
      : state_(state), loop_(loop), file_io_(file_io), file_(ScratchFile()) {}

  void Next() {
    if (!state_.KeepRunning()) return loop_.Quit();
    const MonoTime before = SystemClock().Now();
    std::vector<std::byte> data(kBytes, std::byte{7});
    file_io_.WriteAt(file_.get(), offset_, std::move(data),
                     [this](absl::Status status) { Sync(std::move(status)); });
    offset_ = (offset_ + kBytes) % kFileBytes;
    blocked_ += SystemClock().Now() - before;
  }
  double blocked_seconds() const { return absl::ToDoubleSeconds(blocked_); }

 private:
  void Sync(absl::Status status) {
    if (!status.ok()) {
      state_.SkipWithError(std::string(status.message()).c_str());
      return loop_.Quit();
    }
    const MonoTime before = SystemClock().Now();
    file_io_.Sync(file_.get(), [this](absl::Status) {
      state_.SetIterationTime(absl::ToDoubleSeconds(blocked_ - counted_));
      counted_ = blocked_;
      Next();
    });
    blocked_ += SystemClock().Now() - before;
  }

  benchmark::State& state_;
  EpollLoop& loop_;
  FileIo& file_io_;
  const UniqueFd file_;
  uint64_t offset_ = 0;
  absl::Duration blocked_;
  absl::Duration counted_;
};

void WriteAndSync(benchmark::State& state, FileIoChoice choice) {
  auto loop = EpollLoop::Create().value();
  auto chosen = CreateFileIo(choice, {}, *loop, [](absl::Status) {});
  if (!chosen.ok()) {
    state.SkipWithError(std::string(chosen.status().message()).c_str());
    return;
  }
  const double cpu_before = ProcessCpuMicros();
  Writer writer(state, *loop, *chosen->file_io);
  loop->Post([&writer] { writer.Next(); });
  loop->Run();
  state.counters["blocked_us"] = benchmark::Counter(
      writer.blocked_seconds() * 1e6, benchmark::Counter::kAvgIterations);
  state.counters["process_cpu_us"] = benchmark::Counter(
      ProcessCpuMicros() - cpu_before, benchmark::Counter::kAvgIterations);
}

BENCHMARK_CAPTURE(WriteAndSync, uring, FileIoChoice::kUring)
    ->UseManualTime()
    ->Iterations(500)
    ->Unit(benchmark::kMicrosecond);
BENCHMARK_CAPTURE(WriteAndSync, thread, FileIoChoice::kThread)
    ->UseManualTime()
    ->Iterations(500)
    ->Unit(benchmark::kMicrosecond);

}  // namespace
}  // namespace kine

BENCHMARK_MAIN();
