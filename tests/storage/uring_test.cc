// What only the io_uring back end does, the probe, and the choice.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <thread>

#include "absl/strings/str_cat.h"
#include "daemon/base/epoll_loop.h"
#include "daemon/base/status.h"
#include "daemon/storage/blocking_io.h"
#include "daemon/storage/create_file_io.h"
#include "daemon/storage/directory.h"
#include "daemon/storage/uring_probe.h"
#include "tests/storage/storage_rig.h"

namespace kine {
namespace {

using testing::HasSubstr;

// This binary is its own probe, as kinescope-recorder is.
[[gnu::constructor]] void BeTheProbe(int argc, char** argv, char**) {
  if (argc == 2 && std::strcmp(argv[1], "--probe_io") == 0)
    std::_Exit(ProbeUringMain());
}

std::string Self() {
  char path[4096];
  const ssize_t n = ::readlink("/proc/self/exe", path, sizeof path);
  return std::string(path, static_cast<size_t>(n));
}

constexpr unsigned kEperm = SECCOMP_RET_ERRNO | EPERM;

// Runs a loop with a FileIo in this thread until `body` quits it.
absl::Status WriteThrough(EpollLoop& loop, FileIo& io, int fd, Bytes data) {
  absl::Status result = absl::UnknownError("no callback");
  io.WriteAt(fd, 0, std::move(data), [&](absl::Status status) {
    result = std::move(status);
    loop.Quit();
  });
  loop.Run();
  return result;
}

// In a child under `action` for io_uring_setup: the probe's reason, and what
// `auto` then takes and whether that writes.
std::string ReasonUnder(unsigned action, int expected_exit = 0) {
  const TempDir dir;
  const int status = InChild([&] {
    ForbidSyscalls({SYS_io_uring_setup}, action);
    const UringProbe probe = RunUringProbe(Self());
    dir.Put("reason", probe.reason);
    auto loop = EpollLoop::Create().value();
    auto chosen = CreateFileIo(FileIoChoice::kAuto, probe, *loop, nullptr);
    if (!chosen.ok() || chosen->name != "thread" ||
        chosen->reason != probe.reason)
      return 1;
    const UniqueFd file = MemoryFile();
    const Bytes data = Pattern(100'000);
    if (!WriteThrough(*loop, *chosen->file_io, file.get(), data).ok()) return 2;
    return ReadAll(file.get()) == data ? 0 : 3;
  });
  EXPECT_TRUE(WIFEXITED(status)) << "killed by " << WTERMSIG(status);
  EXPECT_EQ(WEXITSTATUS(status), expected_exit);
  return dir.Get("reason");
}

class UringTest : public testing::Test {
 protected:
  void SetUp() override {
    const UringProbe& probe = UringProbeOnce(Self());
    if (!probe.usable) GTEST_SKIP() << probe.reason;
  }
};

TEST_F(UringTest, AutoTakesItWhereTheProbeFoundItUsable) {
  auto loop = EpollLoop::Create().value();
  const auto chosen =
      CreateFileIo(FileIoChoice::kAuto, UringProbeOnce(Self()), *loop, nullptr);
  ASSERT_TRUE(chosen.ok());
  EXPECT_EQ(chosen->name, "uring");
  EXPECT_THAT(chosen->reason, HasSubstr("probed in a child"));
}

TEST_F(UringTest, TheRingIsCloseOnExec) {
  auto loop = EpollLoop::Create().value();
  const auto io = UringFileIo::Create(*loop, nullptr).value();
  const UniqueFd fds(::open("/proc/self/fd", O_RDONLY | O_DIRECTORY));
  int rings = 0;
  const auto names = ListDirectory(fds.get()).value();
  for (const std::string& name : names) {
    char target[64] = {};
    (void)!::readlinkat(fds.get(), name.c_str(), target, sizeof target - 1);
    if (std::strstr(target, "io_uring") == nullptr) continue;
    ++rings;
    EXPECT_NE(::fcntl(std::atoi(name.c_str()), F_GETFD) & FD_CLOEXEC, 0);
  }
  EXPECT_EQ(rings, 1);
}

// A pipe takes 64 KiB at a time: the one place where short writes are sure.
TEST_F(UringTest, ShortWritesAreFinishedInside) {
  int ends[2];
  ASSERT_EQ(::pipe2(ends, O_CLOEXEC), 0);
  UniqueFd out(ends[0]);
  UniqueFd in(ends[1]);
  Bytes got;
  std::thread reader([&] {
    Bytes chunk(1000);
    while (true) {
      const ssize_t n = ::read(out.get(), chunk.data(), chunk.size());
      if (n <= 0) break;
      got.insert(got.end(), chunk.begin(), chunk.begin() + n);
    }
  });
  const Bytes sent = Pattern(300'000);
  {
    auto rig = StorageRig::Make("uring");
    EXPECT_EQ(rig->Wait([&](FileIo& io, FileIo::Done done) {
      io.WriteAt(in.get(), 0, sent, std::move(done));
    }),
              absl::OkStatus());
  }
  in.Reset();
  reader.join();
  EXPECT_TRUE(got == sent);
}

// The recorder's cage answers EPERM: were io_uring_enter not let through, the
// worker goes on and says so.
TEST_F(UringTest, ARingThatIsForbiddenLaterIsReplacedByTheWorker) {
  const int status = InChild([] {
    auto loop = EpollLoop::Create().value();
    absl::Status told;
    auto io = UringFileIo::Create(*loop, [&](absl::Status why) {
                told = std::move(why);
              }).value();
    ForbidSyscalls({SYS_io_uring_enter}, kEperm);
    const UniqueFd file = MemoryFile();
    int left = 100;
    for (unsigned i = 0; i < 100; ++i) {
      io->WriteAt(file.get(), i * 10, Pattern(10, i), [&](absl::Status s) {
        if (!s.ok()) ::_exit(2);
        if (--left == 0) loop->Quit();
      });
    }
    loop->Run();
    if (io->pending() != 0) return 3;
    if (ErrnoOf(told) != EPERM) return 4;
    return ReadAll(file.get()).size() == 1000 ? 0 : 5;
  });
  EXPECT_TRUE(WIFEXITED(status));
  EXPECT_EQ(WEXITSTATUS(status), 0);
}

TEST(UringProbeTest, AFilterThatRefusesIsNamedAndTheThreadTaken) {
  const std::string reason = ReasonUnder(kEperm);
  EXPECT_THAT(reason, HasSubstr("seccomp"));
  EXPECT_THAT(reason, HasSubstr("kernel.io_uring_disabled"));
  EXPECT_THAT(reason, HasSubstr("--file_io=thread"));
  EXPECT_THAT(reason, HasSubstr("Operation not permitted"));
}

TEST(UringProbeTest, AFilterThatKillsKillsOnlyTheProbe) {
  const std::string reason = ReasonUnder(SECCOMP_RET_KILL_PROCESS);
  EXPECT_THAT(reason, HasSubstr("killed by signal 31"));
  EXPECT_THAT(reason, HasSubstr("seccomp"));
  EXPECT_THAT(reason, HasSubstr("--file_io=thread"));
}

TEST(UringProbeTest, AMissingSystemCallIsNamed) {
  EXPECT_THAT(ReasonUnder(SECCOMP_RET_ERRNO | ENOSYS),
              HasSubstr("the kernel is built without it"));
}

TEST(UringProbeTest, ARingThatCannotSubmitIsNoRing) {
  const TempDir dir;
  const int status = InChild([&] {
    ForbidSyscalls({SYS_io_uring_enter}, kEperm);
    const UringProbe probe = RunUringProbe(Self());
    dir.Put("reason", probe.reason);
    return probe.usable ? 1 : 0;
  });
  EXPECT_EQ(status, 0) << dir.Get("reason");
}

TEST(UringProbeTest, AProgramThatIsMissingOrHangsIsNoRing) {
  EXPECT_FALSE(RunUringProbe("/nonexistent/recorder").usable);
  const TempDir dir;
  dir.Put("hang", "#!/bin/sh\nexec sleep 60\n");
  ASSERT_EQ(::fchmodat(dir.fd(), "hang", 0700, 0), 0);
  const UringProbe probe = RunUringProbe(dir.path() + "/hang");
  EXPECT_FALSE(probe.usable);
  EXPECT_THAT(probe.reason, HasSubstr("did not end"));
}

TEST(CreateFileIoTest, AskingForIoUringWhereItIsForbiddenIsAnError) {
  const int status = InChild([] {
    ForbidSyscalls({SYS_io_uring_setup}, kEperm);
    auto loop = EpollLoop::Create().value();
    const auto chosen = CreateFileIo(FileIoChoice::kUring, {}, *loop, nullptr);
    if (chosen.ok()) return 1;
    if (!absl::IsPermissionDenied(chosen.status())) return 2;
    // A probe may be older than a cage: auto still finds a way.
    const auto automatic =
        CreateFileIo(FileIoChoice::kAuto, {true, "was"}, *loop, nullptr);
    return automatic.ok() && automatic->name == "thread" ? 0 : 3;
  });
  EXPECT_EQ(status, 0);
}

TEST(CreateFileIoTest, TheChoiceIsParsedStrictly) {
  EXPECT_EQ(ParseFileIoChoice("auto").value(), FileIoChoice::kAuto);
  EXPECT_EQ(ParseFileIoChoice("uring").value(), FileIoChoice::kUring);
  EXPECT_EQ(ParseFileIoChoice("thread").value(), FileIoChoice::kThread);
  EXPECT_TRUE(absl::IsInvalidArgument(ParseFileIoChoice("Auto").status()));
}

}  // namespace
}  // namespace kine
