// The FileIo contract, on io_uring, on the thread, and on the fake.
#include "daemon/storage/file_io.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <atomic>
#include <cerrno>
#include <future>
#include <thread>

#include "absl/cleanup/cleanup.h"
#include "daemon/base/limits.h"
#include "daemon/base/status.h"
#include "tests/storage/storage_rig.h"

namespace kine {
namespace {

class FileIoTest : public testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    rig_ = StorageRig::Make(GetParam());
    if (rig_ == nullptr) GTEST_SKIP() << "io_uring is forbidden here";
  }
  bool fake() const { return rig_->fake() != nullptr; }
  absl::Status Write(int fd, uint64_t offset, Bytes data) {
    return rig_->Wait([&](FileIo& io, FileIo::Done done) {
      io.WriteAt(fd, offset, data, std::move(done));
    });
  }
  absl::Status Sync(int fd) {
    return rig_->Wait(
        [&](FileIo& io, FileIo::Done done) { io.Sync(fd, std::move(done)); });
  }
  absl::Status Reserve(int fd, uint64_t offset, uint64_t length) {
    return rig_->Wait([&](FileIo& io, FileIo::Done done) {
      io.Reserve(fd, offset, length, std::move(done));
    });
  }

  std::unique_ptr<StorageRig> rig_;
};

INSTANTIATE_TEST_SUITE_P(All, FileIoTest,
                         testing::Values("uring", "thread", "fake"),
                         [](const auto& kind) { return kind.param; });

TEST_P(FileIoTest, WritesEveryByteAtItsOffset) {
  const int fd = rig_->NewFile();
  const Bytes large = Pattern((5u << 20) + 17);

  EXPECT_EQ(Write(fd, 1000, large), absl::OkStatus());
  EXPECT_EQ(Write(fd, 0, Pattern(1000, 2)), absl::OkStatus());
  EXPECT_EQ(Write(fd, 500, {}), absl::OkStatus());
  EXPECT_EQ(Sync(fd), absl::OkStatus());

  Bytes expected = Pattern(1000, 2);
  expected.insert(expected.end(), large.begin(), large.end());
  EXPECT_TRUE(rig_->Contents(fd) == expected);
}

TEST_P(FileIoTest, CallbacksRunLaterAndOnTheLoop) {
  const int fd = rig_->NewFile();
  std::vector<std::thread::id> threads;
  std::thread::id loop_thread;
  rig_->OnLoop([&] {
    FileIo& io = rig_->file_io();
    loop_thread = std::this_thread::get_id();
    const auto done = [&](absl::Status) {
      threads.push_back(std::this_thread::get_id());
    };
    io.WriteAt(fd, 0, Pattern(10), done);
    io.Sync(fd, done);
    io.Reserve(fd, 0, 4096, done);
    io.Run([] { return absl::OkStatus(); }, done);
    EXPECT_EQ(io.pending(), 4u);
    EXPECT_THAT(threads, testing::IsEmpty());
  });
  rig_->Drain();
  EXPECT_EQ(threads.size(), 4u);
  EXPECT_THAT(threads, testing::Each(loop_thread));
}

TEST_P(FileIoTest, MoreOperationsThanTheRingHoldsAllFinish) {
  const int fd = rig_->NewFile();
  std::atomic<int> done{0};
  rig_->OnLoop([&] {
    for (unsigned i = 0; i < 400; ++i) {
      rig_->file_io().WriteAt(fd, i * 100, Pattern(100, i),
                              [&](absl::Status status) {
                                EXPECT_EQ(status, absl::OkStatus());
                                ++done;
                              });
    }
  });
  rig_->Drain();
  EXPECT_EQ(done, 400);
  const Bytes contents = rig_->Contents(fd);
  ASSERT_EQ(contents.size(), 40'000u);
  for (unsigned i = 0; i < 400; ++i) {
    ASSERT_TRUE(std::equal(contents.begin() + i * 100,
                           contents.begin() + i * 100 + 100,
                           Pattern(100, i).begin()))
        << i;
  }
}

TEST_P(FileIoTest, ABadDescriptorIsReportedWithItsErrno) {
  EXPECT_EQ(ErrnoOf(Write(-1, 0, Pattern(1))), EBADF);
  EXPECT_EQ(ErrnoOf(Sync(-1)), EBADF);
  EXPECT_EQ(ErrnoOf(Reserve(-1, 0, 1)), EBADF);
}

TEST_P(FileIoTest, AFullDiskIsReported) {
  const UniqueFd full(::open("/dev/full", O_WRONLY | O_CLOEXEC));
  if (fake()) rig_->fake()->set_capacity(0);
  const absl::Status status = Write(full.get(), 0, Pattern(10));
  EXPECT_EQ(ErrnoOf(status), ENOSPC);
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted);
}

// The kernel writes the part that fits and says so; only the next attempt
// fails. A back end that takes a short write for success shows here.
TEST_P(FileIoTest, AWriteThatOnlyPartlyFitsIsAnError) {
  constexpr rlim_t kLimit = 8u << 20;
  rlimit old;
  ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &old), 0);
  const rlimit small{kLimit, old.rlim_max};
  const auto old_handler = ::signal(SIGXFSZ, SIG_IGN);
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &small), 0);
  absl::Cleanup restore = [&] {
    ::setrlimit(RLIMIT_FSIZE, &old);
    ::signal(SIGXFSZ, old_handler);
  };
  if (fake()) rig_->fake()->set_file_bytes_max(kLimit);
  const int fd = rig_->NewFile();

  EXPECT_EQ(ErrnoOf(Write(fd, kLimit - 5000, Pattern(8192))), EFBIG);
  EXPECT_EQ(rig_->Contents(fd).size(), kLimit);
  EXPECT_EQ(Write(fd, kLimit - 5000, Pattern(5000)), absl::OkStatus());
}

TEST_P(FileIoTest, ReserveKeepsTheSize) {
  const int fd = rig_->NewFile();
  const absl::Status status = Reserve(fd, 0, 1u << 20);
  if (absl::IsUnimplemented(status)) GTEST_SKIP() << "no fallocate here";
  EXPECT_EQ(status, absl::OkStatus());
  EXPECT_TRUE(rig_->Contents(fd).empty());
  if (fake()) return;
  struct stat info;
  ASSERT_EQ(::fstat(fd, &info), 0);
  EXPECT_GE(info.st_blocks * 512, 1 << 20);
}

TEST_P(FileIoTest, RunReturnsTheStatusOfTheWork) {
  std::thread::id worker;
  EXPECT_EQ(rig_->Wait([&](FileIo& io, FileIo::Done done) {
    io.Run(
        [&] {
          worker = std::this_thread::get_id();
          return absl::AbortedError("so it is");
        },
        std::move(done));
  }),
            absl::AbortedError("so it is"));
  if (fake()) return;
  rig_->OnLoop([&] { EXPECT_NE(worker, std::this_thread::get_id()); });
}

TEST_P(FileIoTest, WhatIsTooMuchIsRefusedAndTheRestIsDone) {
  constexpr int kExcess = 7;
  const int fd = rig_->NewFile();
  int fine = 0;
  int refused = 0;
  const auto count = [&](absl::Status status) {
    if (status.ok()) {
      ++fine;
    } else {
      EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted);
      EXPECT_EQ(ErrnoOf(status), 0);
      ++refused;
    }
  };
  rig_->OnLoop([&] {
    for (size_t i = 0; i + 10 < limits::kFileIoOperationsMax; ++i)
      rig_->file_io().WriteAt(fd, i, Pattern(1), count);
    for (size_t i = 0; i < 10 + kExcess; ++i)
      rig_->file_io().Run([] { return absl::OkStatus(); }, count);
  });
  rig_->Drain();
  EXPECT_EQ(refused, kExcess);
  EXPECT_EQ(fine, static_cast<int>(limits::kFileIoOperationsMax));

  rig_->OnLoop([&] {
    rig_->file_io().WriteAt(fd, 0, Bytes(limits::kFileIoBytesMax + 1), count);
  });
  rig_->Drain();
  EXPECT_EQ(refused, kExcess + 1);
  EXPECT_EQ(Write(fd, 0, Pattern(1)), absl::OkStatus());
}

TEST_P(FileIoTest, DestroyingItRunsNoCallback) {
  const int fd = rig_->NewFile();
  std::atomic<int> called{0};
  rig_->OnLoop([&] {
    const auto count = [&](absl::Status) { ++called; };
    for (unsigned i = 0; i < 200; ++i) {
      rig_->file_io().WriteAt(fd, i * 8192, Pattern(8192), count);
      rig_->file_io().Sync(fd, count);
    }
    rig_->file_io().Run([] { return absl::OkStatus(); }, count);
  });
  const int before = called;
  rig_->Destroy();
  const int at_the_end = called;
  rig_->OnLoop([] {});
  EXPECT_EQ(called, at_the_end);
  EXPECT_GE(at_the_end, before);
}

TEST_P(FileIoTest, ACallbackMayStartTheNextOperation) {
  const int fd = rig_->NewFile();
  std::promise<void> finished;
  int left = 50;
  std::function<void(absl::Status)> next = [&](absl::Status status) {
    EXPECT_EQ(status, absl::OkStatus());
    if (left == 0) return finished.set_value();
    --left;
    rig_->file_io().WriteAt(fd, static_cast<uint64_t>(left), Pattern(1), next);
  };
  rig_->OnLoop([&] { next(absl::OkStatus()); });
  if (fake()) rig_->fake()->RunAll();
  finished.get_future().wait();
  EXPECT_EQ(rig_->Contents(fd).size(), 50u);
}

}  // namespace
}  // namespace kine
