#include "ipc/unix_socket.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>

#include "tests/ipc/http_world.h"

namespace kine {
namespace {

using ::testing::HasSubstr;

mode_t ModeOf(const std::string& path) {
  struct stat info {};
  return ::lstat(path.c_str(), &info) == 0 ? info.st_mode & 07777 : 0;
}

TEST(UnixSocketTest, IsBornWithItsModeInADirectoryOfItsOwn) {
  const SocketDir dir;
  const std::string path = dir.path() + "/d/s";
  const mode_t old = ::umask(0);
  auto wide = UnixListener::Listen(path, 0600, std::nullopt);
  ::umask(0077);
  ASSERT_TRUE(wide.ok()) << wide.status();
  EXPECT_EQ(ModeOf(path), 0600u);
  EXPECT_EQ(ModeOf(dir.path() + "/d"), 0700u);
  { const UnixListener done = *std::move(wide); }

  auto group = UnixListener::Listen(path, 0660, ::getegid());
  ::umask(old);

  ASSERT_TRUE(group.ok()) << group.status();
  EXPECT_EQ(ModeOf(path), 0660u);  // Whatever the umask was.
  UniqueFd fd = group->TakeFd();
  EXPECT_EQ(GroupOfListener(fd.get()), ::getegid());
  EXPECT_NE(::fcntl(fd.get(), F_GETFL) & O_NONBLOCK, 0);
  EXPECT_NE(::fcntl(fd.get(), F_GETFD) & FD_CLOEXEC, 0);
}

TEST(UnixSocketTest, AGroupThatMayNotWriteDoesNotCount) {
  const SocketDir dir;
  auto listener = UnixListener::Listen(dir.socket(), 0600, std::nullopt);
  const UniqueFd fd = listener->TakeFd();

  EXPECT_EQ(GroupOfListener(fd.get()), std::nullopt);
}

TEST(UnixSocketTest, ASecondDaemonIsRefusedAndTheFirstKeepsItsSocket) {
  const SocketDir dir;
  auto first = UnixListener::Listen(dir.socket(), 0600, std::nullopt);
  ASSERT_TRUE(first.ok());

  const auto second = UnixListener::Listen(dir.socket(), 0600, std::nullopt);

  EXPECT_TRUE(absl::IsAlreadyExists(second.status())) << second.status();
  EXPECT_TRUE(ConnectUnix(dir.socket(), absl::Seconds(2)).ok());
  EXPECT_TRUE(*IsServed(dir.socket()));
}

TEST(UnixSocketTest, AStaleSocketIsReplaced) {
  const SocketDir dir;
  {
    // As after a kill -9: bound, and nobody behind it.
    auto dead = UnixListener::Listen(dir.socket(), 0600, std::nullopt);
    ASSERT_EQ(::rename(dir.socket().c_str(), (dir.path() + "/x").c_str()), 0);
    { const UnixListener done = *std::move(dead); }
    ASSERT_EQ(::rename((dir.path() + "/x").c_str(), dir.socket().c_str()), 0);
  }
  EXPECT_TRUE(absl::IsUnavailable(
      ConnectUnix(dir.socket(), absl::Seconds(2)).status()));

  const auto listener = UnixListener::Listen(dir.socket(), 0600, std::nullopt);

  EXPECT_TRUE(listener.ok()) << listener.status();
  EXPECT_TRUE(ConnectUnix(dir.socket(), absl::Seconds(2)).ok());
}

TEST(UnixSocketTest, ASocketThatAnswersWithoutTheLockIsLeftAlone) {
  const SocketDir dir;
  auto first = UnixListener::Listen(dir.socket(), 0600, std::nullopt);
  ASSERT_EQ(::unlink((dir.socket() + ".lock").c_str()), 0);

  const auto second = UnixListener::Listen(dir.socket(), 0600, std::nullopt);

  EXPECT_TRUE(absl::IsAlreadyExists(second.status())) << second.status();
  EXPECT_TRUE(ConnectUnix(dir.socket(), absl::Seconds(2)).ok());
}

TEST(UnixSocketTest, AFileThatIsNoSocketIsLeftAlone) {
  const SocketDir dir;
  const UniqueFd file(
      ::open(dir.socket().c_str(), O_CREAT | O_WRONLY | O_CLOEXEC, 0600));

  const auto listener = UnixListener::Listen(dir.socket(), 0600, std::nullopt);

  EXPECT_TRUE(absl::IsFailedPrecondition(listener.status()));
  EXPECT_EQ(::access(dir.socket().c_str(), F_OK), 0);
}

TEST(UnixSocketTest, TheFileGoesWithTheListener) {
  const SocketDir dir;
  { auto made = UnixListener::Listen(dir.socket(), 0600, std::nullopt); }

  EXPECT_NE(::access(dir.socket().c_str(), F_OK), 0);
  EXPECT_FALSE(*IsServed(dir.socket()));
  EXPECT_TRUE(
      absl::IsNotFound(ConnectUnix(dir.socket(), absl::Seconds(2)).status()));
}

TEST(UnixSocketTest, APathThatIsTooLongIsRefused) {
  const std::string path(108, 'x');

  EXPECT_TRUE(absl::IsInvalidArgument(
      UnixListener::Listen(path, 0600, std::nullopt).status()));
  EXPECT_TRUE(
      absl::IsInvalidArgument(ConnectUnix(path, absl::Seconds(1)).status()));
}

TEST(UnixSocketTest, AFullBacklogIsAnErrorOfItsOwnAfterTheDeadline) {
  const SocketDir dir;
  auto listener = UnixListener::Listen(dir.socket(), 0600, std::nullopt);
  const UniqueFd fd = listener->TakeFd();
  ASSERT_EQ(::listen(fd.get(), 0), 0);  // Makes the backlog small.
  std::vector<UniqueFd> waiting;

  absl::Status status;
  while (status.ok() && waiting.size() < 8) {
    auto connected = ConnectUnix(dir.socket(), absl::Milliseconds(20));
    status = connected.status();
    if (connected.ok()) waiting.push_back(*std::move(connected));
  }

  EXPECT_TRUE(absl::IsResourceExhausted(status)) << status;
}

TEST(UnixSocketTest, AConnectionBlocksWithoutATimeOutAfterwards) {
  const SocketDir dir;
  auto listener = UnixListener::Listen(dir.socket(), 0600, std::nullopt);
  const auto fd = ConnectUnix(dir.socket(), absl::Milliseconds(20));
  ASSERT_TRUE(fd.ok());

  timeval timeout{1, 1};
  socklen_t size = sizeof timeout;
  ::getsockopt(fd->get(), SOL_SOCKET, SO_SNDTIMEO, &timeout, &size);

  EXPECT_EQ(timeout.tv_sec, 0);
  EXPECT_EQ(timeout.tv_usec, 0);
}

TEST(UnixSocketTest, KnowsWhoIsThere) {
  int fds[2];
  ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
  const UniqueFd a(fds[0]), b(fds[1]);

  const auto peer = PeerOf(a.get());

  ASSERT_TRUE(peer.ok());
  EXPECT_EQ(peer->uid, ::geteuid());
  EXPECT_EQ(peer->gid, ::getegid());
  EXPECT_EQ(peer->pid, ::getpid());
  EXPECT_EQ(static_cast<int>(peer->groups.size()), ::getgroups(0, nullptr));
}

TEST(UnixSocketTest, WithoutAServiceManagerThereIsNoActivatedSocket) {
  ::setenv("LISTEN_PID", "1", 1);  // Meant for somebody else.
  ::setenv("LISTEN_FDS", "1", 1);

  const auto activated = TakeActivatedSocket();

  ASSERT_TRUE(activated.ok());
  EXPECT_FALSE(activated->has_value());
  EXPECT_EQ(::getenv("LISTEN_FDS"), nullptr);  // Children must not see it.
  EXPECT_EQ(::getenv("LISTEN_PID"), nullptr);
}

// In a child, because descriptor 3 and the environment are the process's.
int StatusOfActivation(int fd, const char* count) {
  const pid_t child = ::fork();
  if (child == 0) {
    ::dup2(fd, 3);
    ::setenv("LISTEN_PID", std::to_string(::getpid()).c_str(), 1);
    ::setenv("LISTEN_FDS", count, 1);
    const auto activated = TakeActivatedSocket();
    if (!activated.ok()) ::_exit(static_cast<int>(activated.status().code()));
    const bool good = activated->has_value() && (*activated)->get() == 3 &&
                      (::fcntl(3, F_GETFD) & FD_CLOEXEC) != 0 &&
                      (::fcntl(3, F_GETFL) & O_NONBLOCK) != 0;
    ::_exit(good ? 0 : 99);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

TEST(UnixSocketTest, TheServiceManagersSocketIsTakenIfItIsOne) {
  const SocketDir dir;
  auto listener = UnixListener::Listen(dir.socket(), 0600, std::nullopt);
  const UniqueFd listening = listener->TakeFd();
  const auto connected = ConnectUnix(dir.socket(), absl::Seconds(2));
  constexpr int kInvalid = static_cast<int>(absl::StatusCode::kInvalidArgument);

  EXPECT_EQ(StatusOfActivation(listening.get(), "1"), 0);
  EXPECT_EQ(StatusOfActivation(listening.get(), "2"), kInvalid);
  EXPECT_EQ(StatusOfActivation(connected->get(), "1"), kInvalid);
}

}  // namespace
}  // namespace kine
