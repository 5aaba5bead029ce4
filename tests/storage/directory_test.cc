#include "daemon/storage/directory.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/seccomp.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>

#include "absl/strings/str_cat.h"
#include "daemon/base/status.h"
#include "daemon/storage/blocking_io.h"
#include "tests/storage/storage_rig.h"

namespace kine {
namespace {

using testing::ElementsAre;

// Returns the number of the first expectation that does not hold, or 0: also
// runs in children, under a filter.
int WhatOpenBeneathMustDo(const TempDir& dir) {
  const auto open = [&](const std::string& path, int flags) {
    return OpenBeneath(dir.fd(), path, flags);
  };
  if (!open("sub/file", O_RDONLY).ok()) return 1;
  if (!open("new", O_RDWR | O_CREAT).ok()) return 2;
  const auto file = open("sub/file", O_RDWR);
  if (!file.ok()) return 3;
  if ((::fcntl(file->get(), F_GETFD) & FD_CLOEXEC) == 0) return 4;
  if ((::fcntl(file->get(), F_GETFL) & O_NONBLOCK) != 0) return 5;
  if (!open("sub", O_RDONLY | O_DIRECTORY).ok()) return 6;
  if (!absl::IsNotFound(open("none", O_RDONLY).status())) return 7;
  if (!absl::IsNotFound(open("none/file", O_RDONLY).status())) return 8;
  // Symlinks: last, in the middle, to a directory, and one that stays inside.
  for (const char* path : {"link", "linkdir/file", "inside"}) {
    if (open(path, O_RDONLY).ok() || open(path, O_RDWR | O_CREAT).ok())
      return 9;
  }
  if (open("linkdir", O_RDONLY | O_DIRECTORY).ok()) return 10;
  for (const char* path :
       {"", "/etc/passwd", "..", "sub/../sub/file", "sub//file"}) {
    if (!absl::IsInvalidArgument(open(path, O_RDONLY).status())) return 11;
  }
  // Planted: would hang without O_NONBLOCK.
  if (!absl::IsFailedPrecondition(open("fifo", O_RDONLY).status())) return 12;
  if (open("fifo", O_WRONLY).ok()) return 13;
  if (!absl::IsFailedPrecondition(open("fifo", O_RDWR).status())) return 14;
  if (!absl::IsFailedPrecondition(open("sub", O_RDONLY).status())) return 15;
  const auto unnamed = OpenBeneath(dir.fd(), "sub", O_TMPFILE | O_RDWR);
  if (!unnamed.ok() && ErrnoOf(unnamed.status()) != EOPNOTSUPP) return 16;
  return 0;
}

void Plant(const TempDir& dir) {
  ASSERT_EQ(::mkdirat(dir.fd(), "sub", 0700), 0);
  dir.Put("sub/file", "content");
  ASSERT_EQ(::symlinkat("/etc/passwd", dir.fd(), "link"), 0);
  ASSERT_EQ(::symlinkat("sub", dir.fd(), "linkdir"), 0);
  ASSERT_EQ(::symlinkat("sub/file", dir.fd(), "inside"), 0);
  ASSERT_EQ(::mkfifoat(dir.fd(), "fifo", 0600), 0);
}

TEST(OpenBeneathTest, ReachesOnlyWhatLiesBelowAndIsAFile) {
  const TempDir dir;
  Plant(dir);
  EXPECT_EQ(WhatOpenBeneathMustDo(dir), 0);
}

TEST(OpenBeneathTest, DoesTheSameWhereOpenat2IsForbidden) {
  for (const int error : {ENOSYS, EPERM}) {
    const TempDir dir;
    Plant(dir);
    const int status = InChild([&] {
      ForbidSyscalls({SYS_openat2},
                     SECCOMP_RET_ERRNO | static_cast<unsigned>(error));
      if (::syscall(SYS_openat2, -1, nullptr, nullptr, 0) != -1 ||
          errno != error)
        return 100;
      return WhatOpenBeneathMustDo(dir);
    });
    EXPECT_TRUE(WIFEXITED(status));
    EXPECT_EQ(WEXITSTATUS(status), 0) << error;
  }
}

TEST(DirectoryTest, ListsSortedWithoutDotsTwiceTheSame) {
  const TempDir dir;
  EXPECT_THAT(ListDirectory(dir.fd()).value(), ElementsAre());
  dir.Put("b", "");
  dir.Put(".a", "");
  dir.Put("c", "");
  EXPECT_THAT(ListDirectory(dir.fd()).value(), ElementsAre(".a", "b", "c"));
  EXPECT_THAT(ListDirectory(dir.fd()).value(), ElementsAre(".a", "b", "c"));
}

TEST(DirectoryTest, MakesADirectoryOnceAndNeverThroughALink) {
  const TempDir dir;
  EXPECT_TRUE(MakeDirectory(dir.fd(), "x").ok());
  EXPECT_TRUE(MakeDirectory(dir.fd(), "x").ok());
  struct stat info;
  ASSERT_EQ(::fstatat(dir.fd(), "x", &info, 0), 0);
  EXPECT_EQ(info.st_mode & 07777u, 0700u);
  ASSERT_EQ(::symlinkat("x", dir.fd(), "y"), 0);
  EXPECT_FALSE(MakeDirectory(dir.fd(), "y").ok());
}

TEST(DirectoryTest, RemovesATreeButNothingThatLinksPointTo) {
  const TempDir dir;
  dir.Put("precious", "keep");
  ASSERT_EQ(::mkdirat(dir.fd(), "outside", 0700), 0);
  dir.Put("outside/too", "keep");
  ASSERT_EQ(::mkdirat(dir.fd(), "r", 0700), 0);
  ASSERT_EQ(::mkdirat(dir.fd(), "r/cursors", 0700), 0);
  dir.Put("r/video.mp4", "v");
  dir.Put("r/cursors/1.png", "p");
  ASSERT_EQ(::symlinkat("../precious", dir.fd(), "r/link"), 0);
  ASSERT_EQ(::symlinkat("../outside", dir.fd(), "r/linkdir"), 0);

  EXPECT_EQ(RemoveTree(dir.fd(), "r"), absl::OkStatus());
  EXPECT_EQ(RemoveTree(dir.fd(), "r"), absl::OkStatus()) << "already gone";
  EXPECT_THAT(ListDirectory(dir.fd()).value(),
              ElementsAre("outside", "precious"));
  EXPECT_EQ(dir.Get("outside/too"), "keep");
}

TEST(DirectoryTest, RemovingStopsAtTheDepthLimit) {
  const TempDir dir;
  std::string path = "d";
  for (int i = 0; i < 6; ++i, path += "/d")
    ASSERT_EQ(::mkdirat(dir.fd(), path.c_str(), 0700), 0);
  EXPECT_TRUE(absl::IsResourceExhausted(RemoveTree(dir.fd(), "d")));
  EXPECT_EQ(RemoveTree(dir.fd(), "d/d/d"), absl::OkStatus());
}

TEST(DirectoryTest, RemovingEntersNoOtherFileSystem) {
  const TempDir dir;
  ASSERT_EQ(::mkdirat(dir.fd(), "r", 0700), 0);
  ASSERT_EQ(::mkdirat(dir.fd(), "r/mnt", 0700), 0);
  const std::string target = dir.path() + "/r/mnt";
  if (::mount("none", target.c_str(), "tmpfs", 0, "size=1m") != 0)
    GTEST_SKIP() << "may not mount";
  dir.Put("r/mnt/file", "keep");
  EXPECT_TRUE(absl::IsFailedPrecondition(RemoveTree(dir.fd(), "r")));
  EXPECT_EQ(dir.Get("r/mnt/file"), "keep");
  EXPECT_EQ(::umount(target.c_str()), 0);
}

TEST(FileSystemTest, SharedOnesAreRefusedAndLentOnesPass) {
  const TempDir dir;
  EXPECT_EQ(CheckLocalFileSystem(dir.fd()), absl::OkStatus());
  EXPECT_TRUE(absl::IsFailedPrecondition(CheckSharedFileSystem(0x6969, "")));
  EXPECT_TRUE(
      absl::IsFailedPrecondition(CheckSharedFileSystem(0xff534d42, "")));
  constexpr uint32_t kFuse = 0x65735546;
  EXPECT_TRUE(
      absl::IsFailedPrecondition(CheckSharedFileSystem(kFuse, "fuse.sshfs")));
  EXPECT_EQ(CheckSharedFileSystem(kFuse, "virtiofs"), absl::OkStatus());
  EXPECT_EQ(CheckSharedFileSystem(kFuse, "fuse.overlayfs"), absl::OkStatus());
  EXPECT_EQ(CheckSharedFileSystem(0x01021997, ""), absl::OkStatus()) << "9p";
  EXPECT_EQ(CheckSharedFileSystem(0xef53, ""), absl::OkStatus()) << "ext4";
}

TEST(ReadSmallFileTest, ReadsUpToTheLimitAndRefusesMore) {
  const TempDir dir;
  dir.Put("f", std::string(10'000, 'x'));
  EXPECT_EQ(ReadSmallFile(dir.fd(), "f", 10'000).value().size(), 10'000u);
  EXPECT_TRUE(
      absl::IsResourceExhausted(ReadSmallFile(dir.fd(), "f", 9'999).status()));
  dir.Put("empty", "");
  EXPECT_EQ(ReadSmallFile(dir.fd(), "empty", 10).value(), "");
  EXPECT_TRUE(absl::IsNotFound(ReadSmallFile(dir.fd(), "no", 10).status()));
}

}  // namespace
}  // namespace kine
