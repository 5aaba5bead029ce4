// Atomic files, the state directory, locks, ballast and preallocation.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>

#include "absl/strings/str_cat.h"
#include "daemon/base/clock.h"
#include "daemon/base/limits.h"
#include "daemon/base/status.h"
#include "daemon/storage/atomic_file.h"
#include "daemon/storage/blocking_io.h"
#include "daemon/storage/directory.h"
#include "daemon/storage/file_lock.h"
#include "daemon/storage/free_space.h"
#include "daemon/storage/preallocator.h"
#include "daemon/storage/state_dir.h"
#include "tests/storage/storage_rig.h"

namespace kine {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

absl::Status Replace(const TempDir& dir, std::string_view text,
                     IfExists if_exists = IfExists::kReplace) {
  return WriteFileAtomically(dir.fd(), "f", BytesOf(text), if_exists);
}

TEST(AtomicFileTest, ReplacesTheContentAndLeavesNothingElse) {
  const TempDir dir;
  dir.Put(".f.tmp", "of a writer that died");
  EXPECT_EQ(Replace(dir, "one"), absl::OkStatus());
  EXPECT_EQ(Replace(dir, "two"), absl::OkStatus());
  EXPECT_EQ(dir.Get("f"), "two");
  EXPECT_THAT(ListDirectory(dir.fd()).value(), ElementsAre("f"));
  struct stat info;
  ASSERT_EQ(::fstatat(dir.fd(), "f", &info, 0), 0);
  EXPECT_EQ(info.st_mode & 07777u, 0600u);
}

TEST(AtomicFileTest, KeepsAnExistingFileWhenAsked) {
  const TempDir dir;
  EXPECT_EQ(Replace(dir, "one", IfExists::kFail), absl::OkStatus());
  EXPECT_TRUE(absl::IsAlreadyExists(Replace(dir, "two", IfExists::kFail)));
  EXPECT_EQ(dir.Get("f"), "one");
  EXPECT_THAT(ListDirectory(dir.fd()).value(), ElementsAre("f"));
}

TEST(AtomicFileTest, KeepsItAlsoWhereRenameat2IsForbidden) {
  const TempDir dir;
  const int status = InChild([&] {
    ForbidSyscalls({SYS_renameat2}, SECCOMP_RET_ERRNO | ENOSYS);
    if (!Replace(dir, "one", IfExists::kFail).ok()) return 1;
    return absl::IsAlreadyExists(Replace(dir, "two", IfExists::kFail)) ? 0 : 2;
  });
  EXPECT_EQ(status, 0);
  EXPECT_EQ(dir.Get("f"), "one");
  EXPECT_THAT(ListDirectory(dir.fd()).value(), ElementsAre("f"));
}

TEST(AtomicFileTest, WritesThroughNothingThatWasPlanted) {
  const TempDir dir;
  dir.Put("precious", "keep");
  ASSERT_EQ(::symlinkat("precious", dir.fd(), ".f.tmp"), 0);
  ASSERT_EQ(::symlinkat("precious", dir.fd(), "f"), 0);
  EXPECT_EQ(Replace(dir, "new"), absl::OkStatus());
  EXPECT_EQ(dir.Get("precious"), "keep");
  for (const char* name : {"", ".", "..", "a/b"}) {
    EXPECT_TRUE(absl::IsInvalidArgument(
        WriteFileAtomically(dir.fd(), name, {}, IfExists::kReplace)));
  }
}

// Dies at the first system call of each kind: the name has the old content,
// whole, until the file's own fsync is done, and the new one after the rename.
TEST(AtomicFileTest, KilledAtAnyStepTheFileIsWhole) {
  struct Step {
    int number;
    const char* expected;
  };
  for (const Step step : {Step{SYS_unlinkat, "old"}, Step{SYS_pwrite64, "old"},
                          Step{SYS_fsync, "old"}, Step{SYS_renameat, "old"},
                          Step{SYS_exit_group, "new"}}) {
    SCOPED_TRACE(step.number);
    const TempDir dir;
    ASSERT_EQ(Replace(dir, "old"), absl::OkStatus());
    const int status = InChild([&] {
      ForbidSyscalls({step.number}, SECCOMP_RET_KILL_PROCESS);
      return Replace(dir, "new").ok() ? 0 : 1;
    });
    EXPECT_TRUE(WIFSIGNALED(status));
    EXPECT_EQ(dir.Get("f"), step.expected);
    EXPECT_EQ(Replace(dir, "later"), absl::OkStatus());
    EXPECT_EQ(dir.Get("f"), "later");
  }
}

TEST(AtomicFileTest, AFailedSyncOfTheDirectoryIsAnError) {
  const TempDir dir;
  const int status = InChild([&] {
    ForbidSyscallOn(SYS_fsync, dir.fd(), SECCOMP_RET_ERRNO | EIO);
    return absl::IsDataLoss(Replace(dir, "new")) ? 0 : 1;
  });
  EXPECT_EQ(status, 0);
  EXPECT_EQ(dir.Get("f"), "new") << "the rename was done before";
}

TEST(AtomicFileTest, AFailedSyncIsAnErrorAndLeavesTheOldContent) {
  const TempDir dir;
  ASSERT_EQ(Replace(dir, "old"), absl::OkStatus());
  const int status = InChild([&] {
    ForbidSyscalls({SYS_fsync}, SECCOMP_RET_ERRNO | EIO);
    return absl::IsDataLoss(Replace(dir, "new")) ? 0 : 1;
  });
  EXPECT_EQ(status, 0);
  EXPECT_EQ(dir.Get("f"), "old");
  EXPECT_THAT(ListDirectory(dir.fd()).value(), ElementsAre("f"));
}

TEST(AtomicFileTest, WorksOnTheWorkerToo) {
  const TempDir dir;
  auto rig = StorageRig::Make("thread");
  EXPECT_EQ(rig->Wait([&](FileIo& io, FileIo::Done done) {
    WriteFileAtomically(io, dir.fd(), "f", BytesOf("x"), IfExists::kFail,
                        std::move(done));
  }),
            absl::OkStatus());
  EXPECT_EQ(dir.Get("f"), "x");
}

TEST(StateDirTest, ASecondDaemonIsRefusedByName) {
  const TempDir dir;
  const std::string path = dir.path() + "/a/b/state";
  auto first = StateDir::Open(path);
  ASSERT_TRUE(first.ok()) << first.status();
  const auto second = StateDir::Open(path);
  EXPECT_TRUE(absl::IsFailedPrecondition(second.status()));
  EXPECT_THAT(std::string(second.status().message()),
              HasSubstr(absl::StrCat("(pid ", ::getpid(), ")")));
  EXPECT_THAT(std::string(second.status().message()), HasSubstr(path));
  *first = nullptr;
  EXPECT_TRUE(StateDir::Open(path).ok());
}

TEST(StateDirTest, RecordingsAreMadeListedAndRemoved) {
  const TempDir dir;
  auto state = StateDir::Open(dir.path() + "/s").value();
  ASSERT_TRUE(state->CreateRecording("b").ok());
  const UniqueFd a = state->CreateRecording("a").value();
  EXPECT_TRUE(absl::IsAlreadyExists(state->CreateRecording("a").status()));
  EXPECT_TRUE(absl::IsInvalidArgument(state->CreateRecording("../a").status()));
  dir.Put("s/recordings/stray", "file");
  dir.Put("s/recordings/a/video.mp4", "v");

  std::vector<std::string> strangers;
  EXPECT_THAT(state->ListRecordings(&strangers).value(), ElementsAre("a", "b"));
  EXPECT_THAT(strangers, ElementsAre("stray"));
  EXPECT_EQ(state->RemoveRecording("a"), absl::OkStatus());
  EXPECT_TRUE(absl::IsNotFound(state->RemoveRecording("a")));
  EXPECT_TRUE(absl::IsNotFound(state->OpenRecording("a").status()));
  EXPECT_THAT(ListDirectory(state->recordings_fd()).value(),
              ElementsAre("b", "stray"));
}

TEST(StateDirTest, AnInterruptedRemovalIsFinishedAtTheNextStart) {
  const TempDir dir;
  auto state = StateDir::Open(dir.path() + "/s").value();
  ASSERT_TRUE(state->CreateRecording("a").ok());
  dir.Put("s/recordings/a/video.mp4", "v");
  const int status = InChild([&] {
    // rmdir and unlink are one system call: the rename is all that happens.
    ForbidSyscalls({SYS_unlinkat}, SECCOMP_RET_ERRNO | EIO);
    (void)::renameat(state->recordings_fd(), "a", state->recordings_fd(),
                     ".removed-a");
    return state->RemoveRecording("a").ok() ? 1 : 0;
  });
  ASSERT_EQ(status, 0);
  std::vector<std::string> strangers;
  EXPECT_THAT(state->ListRecordings(&strangers).value(), ElementsAre());
  EXPECT_THAT(strangers, ElementsAre(".removed-a"));
  ASSERT_EQ(ListDirectory(state->recordings_fd()).value().size(), 1u);
  state = nullptr;
  state = StateDir::Open(dir.path() + "/s").value();
  EXPECT_THAT(ListDirectory(state->recordings_fd()).value(), ElementsAre());
}

TEST(StateDirTest, IdsAreNames) {
  EXPECT_TRUE(ValidRecordingId("20261121-a_b.C"));
  EXPECT_TRUE(ValidRecordingId(std::string(limits::kRecordingIdMax, 'x')));
  for (const std::string& id :
       {std::string(), std::string("."), std::string(".."), std::string(".a"),
        std::string("a/b"), std::string("a b"), std::string("a\0", 2),
        std::string("\xc3\xa4"),
        std::string(limits::kRecordingIdMax + 1, 'x')}) {
    EXPECT_FALSE(ValidRecordingId(id)) << id;
  }
}

TEST(StateDirTest, TheDefaultPlaceFollowsTheEnvironment) {
  const int status = InChild([] {
    const auto is = [](const char* expected) {
      const auto path = DefaultStatePath();
      return path.ok() && *path == expected;
    };
    ::setenv("STATE_DIRECTORY", "/var/lib/k:/other", 1);
    ::setenv("XDG_STATE_HOME", "/x", 1);
    ::setenv("HOME", "/h", 1);
    if (!is("/var/lib/k")) return 1;
    ::unsetenv("STATE_DIRECTORY");
    if (!is("/x/kinescope")) return 2;
    ::setenv("XDG_STATE_HOME", "relative", 1);
    if (!is("/h/.local/state/kinescope")) return 3;
    ::unsetenv("HOME");
    return DefaultStatePath().ok() ? 4 : 0;
  });
  EXPECT_EQ(status, 0);
}

// A child that holds the lock of `path` until the returned pipe closes, or is
// killed.
struct Holder {
  explicit Holder(const std::string& path) {
    int ready[2];
    int quit[2];
    EXPECT_EQ(::pipe2(ready, O_CLOEXEC), 0);
    EXPECT_EQ(::pipe2(quit, O_CLOEXEC), 0);
    pid = ::fork();
    if (pid == 0) {
      ::close(quit[1]);
      const UniqueFd file(::open(path.c_str(), O_RDWR | O_CLOEXEC));
      char c = TryLockFile(file.get()).ok() ? 'y' : 'n';
      (void)!::write(ready[1], &c, 1);
      (void)!::read(quit[0], &c, 1);
      ::_exit(0);
    }
    ::close(quit[0]);
    ::close(ready[1]);
    stop = UniqueFd(quit[1]);
    char c = 0;
    EXPECT_EQ(::read(ready[0], &c, 1), 1);
    EXPECT_EQ(c, 'y');
    ::close(ready[0]);
  }
  int Wait() {
    stop.Reset();
    int status = 0;
    EXPECT_EQ(::waitpid(pid, &status, 0), pid);
    return status;
  }
  pid_t pid = -1;
  UniqueFd stop;
};

class FileLockTest : public testing::Test {
 protected:
  FileLockTest() {
    dir_.Put("video.mp4", "x");
    file_ = UniqueFd(::open(path_.c_str(), O_RDWR | O_CLOEXEC));
  }
  TempDir dir_;
  const std::string path_ = dir_.path() + "/video.mp4";
  UniqueFd file_;
};

TEST_F(FileLockTest, OneHolderAtATime) {
  Holder holder(path_);
  EXPECT_TRUE(absl::IsUnavailable(TryLockFile(file_.get())));
  EXPECT_EQ(FindLockHolder(file_.get()).value(), holder.pid);
  holder.Wait();
  EXPECT_EQ(TryLockFile(file_.get()), absl::OkStatus());
  EXPECT_TRUE(absl::IsNotFound(FindLockHolder(file_.get()).status()));
  EXPECT_EQ(ErrnoOf(TryLockFile(-1)), EBADF);
}

TEST_F(FileLockTest, WaitingEndsAtItsTimeWithTheHolderAlive) {
  Holder holder(path_);
  const MonoTime start = SystemClock().Now();
  EXPECT_TRUE(
      absl::IsUnavailable(LockFileFor(file_.get(), absl::Milliseconds(100))));
  EXPECT_GE(SystemClock().Now() - start, absl::Milliseconds(100));
  EXPECT_TRUE(
      absl::IsUnavailable(LockFileFor(file_.get(), absl::ZeroDuration())));
  EXPECT_TRUE(WIFEXITED(holder.Wait()));
}

TEST_F(FileLockTest, WaitingEndsWhenTheLockIsLetGo) {
  Holder holder(path_);
  // The child's end is seen by the kernel's wait, not by looking again: the
  // limit would fail the test.
  const pid_t pid = ::fork();
  if (pid == 0) {
    holder.stop.Reset();
    const absl::Status status = LockFileFor(file_.get(), absl::Seconds(60));
    ::_exit(status.ok() ? 0 : 1);
  }
  holder.Wait();
  int status = 0;
  ASSERT_EQ(::waitpid(pid, &status, 0), pid);
  EXPECT_EQ(status, 0);
}

TEST_F(FileLockTest, AHolderThatStaysIsKilled) {
  Holder holder(path_);
  EXPECT_EQ(LockFileOrKillHolder(file_.get(), absl::Milliseconds(50)),
            absl::OkStatus());
  const int status = holder.Wait();
  EXPECT_TRUE(WIFSIGNALED(status));
  EXPECT_EQ(WTERMSIG(status), SIGKILL);
}

// A child that has the file open without a lock.
pid_t StartReader(const std::string& path) {
  const UniqueFd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  const pid_t pid = ::fork();
  if (pid == 0) {
    ::pause();
    ::_exit(0);
  }
  return pid;
}

// One before and one after it in the order of processes.
TEST_F(FileLockTest, AReaderOfTheFileIsNotTakenForTheHolder) {
  const pid_t before = StartReader(path_);
  Holder holder(path_);
  const pid_t after = StartReader(path_);
  EXPECT_EQ(FindLockHolder(file_.get()).value(), holder.pid);
  for (const pid_t reader : {before, after}) {
    ::kill(reader, SIGKILL);
    ::waitpid(reader, nullptr, 0);
  }
  holder.Wait();
}

TEST(FreeSpaceTest, TheBallastTakesRealBlocksAndGivesThemBack) {
  const TempDir dir;
  const absl::Status made = EnsureBallast(dir.fd(), 1u << 20);
  if (absl::IsUnimplemented(made)) GTEST_SKIP() << made;
  ASSERT_EQ(made, absl::OkStatus());
  struct stat info;
  ASSERT_EQ(::fstatat(dir.fd(), "ballast", &info, 0), 0);
  EXPECT_GE(info.st_blocks * 512, 1 << 20);
  EXPECT_EQ(EnsureBallast(dir.fd(), 1u << 20), absl::OkStatus());
  EXPECT_EQ(ReleaseBallast(dir.fd()), absl::OkStatus());
  EXPECT_EQ(ReleaseBallast(dir.fd()), absl::OkStatus());
  EXPECT_THAT(ListDirectory(dir.fd()).value(), ElementsAre());
}

TEST(FreeSpaceTest, ASmallDiskHasNoBallastAndIsBelowTheFloor) {
  const TempDir dir;
  ASSERT_EQ(::mkdirat(dir.fd(), "m", 0700), 0);
  const std::string path = dir.path() + "/m";
  if (::mount("none", path.c_str(), "tmpfs", 0, "size=3m") != 0)
    GTEST_SKIP() << "may not mount";
  {
    const UniqueFd disk(::open(path.c_str(), O_RDONLY | O_DIRECTORY));
    EXPECT_EQ(FreeBytes(disk.get()).value(), 3u << 20);
    const absl::Status status = CheckFreeSpace(disk.get());
    EXPECT_TRUE(absl::IsResourceExhausted(status));
    EXPECT_THAT(std::string(status.message()), HasSubstr("67108864"));
    EXPECT_EQ(EnsureBallast(disk.get(), 1u << 20), absl::OkStatus());
    EXPECT_EQ(FreeBytes(disk.get()).value(), 2u << 20);
    EXPECT_EQ(ReleaseBallast(disk.get()), absl::OkStatus());
    EXPECT_TRUE(absl::IsResourceExhausted(EnsureBallast(disk.get(), 2u << 20)));
    EXPECT_THAT(ListDirectory(disk.get()).value(), ElementsAre());
  }
  EXPECT_EQ(::umount(path.c_str()), 0);
  EXPECT_EQ(CheckFreeSpace(dir.fd()).ok(),
            FreeBytes(dir.fd()).value() >= limits::kFreeSpaceFloorBytes);
}

class PreallocatorTest : public testing::Test {
 protected:
  static constexpr uint64_t kStep = 1000;
  FileIo::Done Told() {
    return [this](absl::Status status) { told_.push_back(std::move(status)); };
  }
  FakeFileIo disk_;
  std::vector<absl::Status> told_;
};

TEST_F(PreallocatorTest, KeepsAStepAheadInWholeSteps) {
  Preallocator ahead(disk_, 3, 100, kStep, Told());
  ahead.Advance(150);
  EXPECT_EQ(disk_.queued(), 1u);
  ahead.Advance(5000);
  EXPECT_EQ(disk_.queued(), 1u) << "one at a time";
  disk_.RunAll();
  EXPECT_EQ(disk_.counts().reserves, 2u);
  EXPECT_EQ(ahead.reserved(), 6100u);
  ahead.Advance(5100);
  EXPECT_EQ(disk_.queued(), 0u);
  EXPECT_THAT(told_, ElementsAre());
}

TEST_F(PreallocatorTest, AFileSystemThatCannotIsNamedOnce) {
  disk_.set_can_reserve(false);
  Preallocator ahead(disk_, 3, 0, kStep, Told());
  for (uint64_t end = 0; end < 10'000; end += 500) {
    ahead.Advance(end);
    disk_.RunAll();
  }
  ASSERT_EQ(told_.size(), 1u);
  EXPECT_TRUE(absl::IsUnimplemented(told_[0]));
  EXPECT_FALSE(ahead.supported());
  EXPECT_EQ(disk_.counts().reserves, 1u);
}

TEST_F(PreallocatorTest, AFullDiskIsToldAndTriedAgainLater) {
  Preallocator ahead(disk_, 3, 0, kStep, Told());
  disk_.FailNext(0, ENOSPC);
  ahead.Advance(10);
  disk_.RunAll();
  ASSERT_EQ(told_.size(), 1u);
  EXPECT_EQ(ErrnoOf(told_[0]), ENOSPC);
  EXPECT_EQ(disk_.queued(), 0u);
  ahead.Advance(10);
  disk_.RunAll();
  EXPECT_EQ(ahead.reserved(), 2000u);
}

TEST_F(PreallocatorTest, FinishWaitsAndGivesTheTailBack) {
  const TempDir dir;
  for (const char* kind : {"uring", "thread"}) {
    auto rig = StorageRig::Make(kind);
    if (rig == nullptr) continue;
    const int fd = rig->NewFile();
    ASSERT_EQ(WriteFully(fd, 0, Pattern(5000)), absl::OkStatus());
    std::unique_ptr<Preallocator> ahead;
    EXPECT_EQ(rig->Wait([&](FileIo& io, FileIo::Done done) {
      ahead = std::make_unique<Preallocator>(io, fd, 0, 1u << 20, Told());
      ahead->Advance(5000);
      ahead->Finish(5000, std::move(done));
    }),
              absl::OkStatus());
    if (!ahead->supported()) GTEST_SKIP() << "no fallocate here";
    EXPECT_EQ(ahead->reserved(), 2u << 20);
    struct stat info;
    ASSERT_EQ(::fstat(fd, &info), 0);
    EXPECT_EQ(info.st_size, 5000);
    EXPECT_LE(info.st_blocks * 512, 64 << 10) << "the reserve was given back";
  }
}

}  // namespace
}  // namespace kine
