#include "ipc/link.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <functional>
#include <optional>

#include "daemon/base/epoll_loop.h"
#include "daemon/base/limits.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/fakes/fake_loop.h"

namespace kine {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class Recorder : public Link::Client {
 public:
  void OnMessage(absl::string_view text, std::vector<UniqueFd> fds) override {
    messages.emplace_back(text);
    for (UniqueFd& fd : fds) descriptors.push_back(std::move(fd));
    if (on_message) on_message();
  }
  void OnClosed(absl::Status reason) override {
    EXPECT_FALSE(closed.has_value()) << "told twice";
    closed = std::move(reason);
    if (on_closed) on_closed();
  }
  std::vector<std::string> messages;
  std::vector<UniqueFd> descriptors;
  std::optional<absl::Status> closed;
  std::function<void()> on_message;
  std::function<void()> on_closed;
};

class LinkTest : public ::testing::Test {
 protected:
  LinkTest() : loop_(world_.AddLoop("control")) {
    auto pair = Link::MakePair();
    EXPECT_TRUE(pair.ok()) << pair.status();
    ours_ = std::move(pair->ours);
    theirs_ = std::move(pair->theirs);
  }
  std::unique_ptr<Link> MakeLink(Recorder& recorder, UniqueFd fd) {
    return std::make_unique<Link>(loop_, std::move(fd), recorder);
  }
  // A read end of a pipe whose other end tells when every copy is closed.
  UniqueFd WatchedFd(UniqueFd& alive) {
    int fds[2];
    EXPECT_EQ(::pipe2(fds, O_CLOEXEC | O_NONBLOCK), 0);
    alive = UniqueFd(fds[0]);
    return UniqueFd(fds[1]);
  }
  static bool EveryCopyClosed(const UniqueFd& alive) {
    char byte;
    return ::read(alive.get(), &byte, 1) == 0;
  }

  FakeWorld world_;
  FakeLoop& loop_;
  UniqueFd ours_;
  UniqueFd theirs_;
};

TEST_F(LinkTest, MessagesArriveWholeInOrderInBothDirections) {
  Recorder a;
  Recorder b;
  auto left = MakeLink(a, std::move(ours_));
  auto right = MakeLink(b, std::move(theirs_));
  EXPECT_TRUE(left->Send("one").ok());
  EXPECT_TRUE(left->Send("two").ok());
  EXPECT_TRUE(right->Send("three").ok());
  world_.Settle();
  EXPECT_THAT(b.messages, ElementsAre("one", "two"));
  EXPECT_THAT(a.messages, ElementsAre("three"));
}

TEST_F(LinkTest, TheLongestMessageFitsAndALongerOneIsRefusedBeforeSending) {
  Recorder a;
  Recorder b;
  auto left = MakeLink(a, std::move(ours_));
  auto right = MakeLink(b, std::move(theirs_));
  const std::string longest(limits::kLinkMessageBytesMax, 'x');
  EXPECT_TRUE(left->Send(longest).ok());
  EXPECT_EQ(left->Send(longest + "x").code(),
            absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(left->Send("").code(), absl::StatusCode::kInvalidArgument);
  world_.Settle();
  EXPECT_THAT(b.messages, ElementsAre(longest));
  EXPECT_TRUE(left->open());
}

TEST_F(LinkTest, DescriptorsTravelAndAreCloseOnExec) {
  Recorder a;
  Recorder b;
  auto left = MakeLink(a, std::move(ours_));
  auto right = MakeLink(b, std::move(theirs_));
  UniqueFd alive;
  std::vector<UniqueFd> fds;
  fds.push_back(WatchedFd(alive));
  EXPECT_TRUE(left->Send("with fd", std::move(fds)).ok());
  world_.Settle();
  ASSERT_EQ(b.descriptors.size(), 1u);
  EXPECT_EQ(::fcntl(b.descriptors[0].get(), F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
  EXPECT_EQ(::write(b.descriptors[0].get(), "!", 1), 1);
  char byte = 0;
  EXPECT_EQ(::read(alive.get(), &byte, 1), 1);
  EXPECT_EQ(byte, '!');
  b.descriptors.clear();
  EXPECT_TRUE(EveryCopyClosed(alive));
}

TEST_F(LinkTest, MoreThanFourDescriptorsAreRefusedBeforeSendingAndClosed) {
  Recorder a;
  auto left = MakeLink(a, std::move(ours_));
  UniqueFd alive;
  std::vector<UniqueFd> fds;
  fds.push_back(WatchedFd(alive));
  while (fds.size() < size_t{limits::kLinkFdsMax} + 1)
    fds.emplace_back(::fcntl(fds[0].get(), F_DUPFD_CLOEXEC, 0));
  EXPECT_EQ(left->Send("x", std::move(fds)).code(),
            absl::StatusCode::kInvalidArgument);
  EXPECT_TRUE(EveryCopyClosed(alive));
  EXPECT_TRUE(left->open());
}

// Sends what a Link never would.
void SendRaw(int socket, const std::string& text, std::vector<int> fds) {
  iovec part{const_cast<char*>(text.data()), text.size()};
  alignas(cmsghdr) char control[CMSG_SPACE(16 * sizeof(int))] = {};
  msghdr header{};
  header.msg_iov = &part;
  header.msg_iovlen = 1;
  if (!fds.empty()) {
    header.msg_control = control;
    header.msg_controllen = CMSG_SPACE(fds.size() * sizeof(int));
    cmsghdr* c = CMSG_FIRSTHDR(&header);
    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN(fds.size() * sizeof(int));
    std::copy(fds.begin(), fds.end(), reinterpret_cast<int*>(CMSG_DATA(c)));
  }
  ASSERT_EQ(::sendmsg(socket, &header, MSG_NOSIGNAL),
            static_cast<ssize_t>(text.size()));
}

TEST_F(LinkTest, TooManyDescriptorsFromThePeerCloseTheLinkAndAllOfThem) {
  Recorder b;
  auto right = MakeLink(b, std::move(theirs_));
  UniqueFd alive;
  {
    UniqueFd watched = WatchedFd(alive);
    SendRaw(ours_.get(), "x", std::vector<int>(6, watched.get()));
  }
  world_.Settle();
  ASSERT_TRUE(b.closed.has_value());
  EXPECT_EQ(b.closed->code(), absl::StatusCode::kDataLoss);
  EXPECT_THAT(b.closed->message(), HasSubstr("more than 4 descriptors"));
  EXPECT_THAT(b.messages, IsEmpty());
  EXPECT_TRUE(EveryCopyClosed(alive));
}

TEST_F(LinkTest, ATooLongMessageFromThePeerClosesTheLink) {
  Recorder b;
  auto right = MakeLink(b, std::move(theirs_));
  UniqueFd alive;
  {
    UniqueFd watched = WatchedFd(alive);
    SendRaw(ours_.get(), std::string(limits::kLinkMessageBytesMax + 1, 'x'),
            {watched.get()});
  }
  world_.Settle();
  ASSERT_TRUE(b.closed.has_value());
  EXPECT_EQ(b.closed->code(), absl::StatusCode::kDataLoss);
  EXPECT_THAT(b.closed->message(), HasSubstr("65536"));
  EXPECT_THAT(b.messages, IsEmpty());
  EXPECT_TRUE(EveryCopyClosed(alive));
  EXPECT_FALSE(right->open());
}

TEST_F(LinkTest, WhatThePeerDoesNotReadYetWaitsAndArrivesInOrder) {
  Recorder a;
  auto left = MakeLink(a, std::move(ours_));
  const std::string body(10'000, 'x');
  std::vector<std::string> sent;
  UniqueFd alive;
  while (left->queued() < 10) {
    sent.push_back(std::to_string(sent.size()) + body);
    std::vector<UniqueFd> fds;
    if (left->queued() == 9) fds.push_back(WatchedFd(alive));
    ASSERT_TRUE(left->Send(sent.back(), std::move(fds)).ok());
  }
  Recorder b;
  auto right = MakeLink(b, std::move(theirs_));
  world_.Settle();
  EXPECT_EQ(b.messages, sent);
  EXPECT_EQ(left->queued(), 0u);
  ASSERT_EQ(b.descriptors.size(), 1u);  // The queued one's.
  // And the queue is really usable again.
  EXPECT_TRUE(left->Send("after").ok());
  world_.Settle();
  EXPECT_EQ(b.messages.back(), "after");
}

TEST_F(LinkTest, AFullQueueIsAnErrorAndClosesTheLinkLater) {
  Recorder a;
  auto left = MakeLink(a, std::move(ours_));
  absl::Status status;
  size_t accepted = 0;
  while (status.ok() && accepted < 100'000) {
    status = left->Send("a short message");
    accepted += status.ok();
  }
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_THAT(status.message(), HasSubstr("64 messages"));
  EXPECT_FALSE(a.closed.has_value()) << "told inside Send";
  EXPECT_FALSE(left->open());
  EXPECT_EQ(left->Send("more").code(), absl::StatusCode::kFailedPrecondition);
  world_.Settle();
  ASSERT_TRUE(a.closed.has_value());
  EXPECT_EQ(a.closed->code(), absl::StatusCode::kResourceExhausted);
}

TEST_F(LinkTest, TheQueueIsBoundedInBytesToo) {
  Recorder a;
  auto left = MakeLink(a, std::move(ours_));
  const std::string longest(limits::kLinkMessageBytesMax, 'x');
  absl::Status status;
  size_t queued = 0;
  while (status.ok()) {
    queued = left->queued();
    status = left->Send(longest);
  }
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(queued, limits::kLinkQueueBytesMax / longest.size());
}

TEST_F(LinkTest, ThePeersDeathIsSeenAfterItsLastMessages) {
  Recorder a;
  Recorder b;
  auto left = MakeLink(a, std::move(ours_));
  auto right = MakeLink(b, std::move(theirs_));
  // It has not read this one: the kernel reports a reset before its messages.
  EXPECT_TRUE(left->Send("unread").ok());
  EXPECT_TRUE(right->Send("last words").ok());
  EXPECT_TRUE(right->Send("really").ok());
  right->Close();
  world_.Settle();
  EXPECT_THAT(a.messages, ElementsAre("last words", "really"));
  ASSERT_TRUE(a.closed.has_value());
  EXPECT_TRUE(a.closed->ok()) << *a.closed;
  EXPECT_FALSE(b.closed.has_value()) << "whoever closes is not told";
}

TEST_F(LinkTest, SendingToADeadPeerFailsAndItsLastMessagesStillCome) {
  Recorder a;
  Recorder b;
  auto left = MakeLink(a, std::move(ours_));
  auto right = MakeLink(b, std::move(theirs_));
  EXPECT_TRUE(right->Send("last words").ok());
  right->Close();
  EXPECT_FALSE(left->Send("too late").ok());
  EXPECT_THAT(a.messages, IsEmpty());
  world_.Settle();
  EXPECT_THAT(a.messages, ElementsAre("last words"));
  ASSERT_TRUE(a.closed.has_value());
  EXPECT_TRUE(a.closed->ok()) << *a.closed;
}

TEST_F(LinkTest, APeerThatDiesWithMessagesQueuedForItIsSeen) {
  Recorder a;
  auto left = MakeLink(a, std::move(ours_));
  while (left->queued() < 3) ASSERT_TRUE(left->Send("waiting").ok());
  theirs_.Reset();
  world_.Settle();
  ASSERT_TRUE(a.closed.has_value());
  EXPECT_TRUE(a.closed->ok()) << *a.closed;
}

TEST_F(LinkTest, TheClientMayDestroyTheLinkInAnyCallback) {
  for (const bool in_message : {true, false}) {
    auto pair = Link::MakePair();
    ASSERT_TRUE(pair.ok());
    Recorder b;
    std::unique_ptr<Link> right = MakeLink(b, std::move(pair->theirs));
    (in_message ? b.on_message : b.on_closed) = [&right] { right.reset(); };
    SendRaw(pair->ours.get(), "one", {});
    SendRaw(pair->ours.get(), "two", {});
    pair->ours.Reset();
    world_.Settle();
    EXPECT_EQ(right, nullptr);
    EXPECT_EQ(b.messages.size(), in_message ? 1u : 2u);
    EXPECT_EQ(b.closed.has_value(), !in_message);
    EXPECT_EQ(loop_.watch_count(), 0u);
    EXPECT_EQ(loop_.timer_count(), 0u);
  }
}

TEST_F(LinkTest, NothingIsCalledAfterTheLinkIsDestroyed) {
  Recorder b;
  auto right = MakeLink(b, std::move(theirs_));
  SendRaw(ours_.get(), "x", {});
  right.reset();
  world_.Settle();
  EXPECT_THAT(b.messages, IsEmpty());
  EXPECT_FALSE(b.closed.has_value());
  EXPECT_EQ(loop_.watch_count(), 0u);
}

// The real loop, and a real process that is killed.
TEST(LinkProcessTest, AKilledProcessIsSeenAtOnce) {
  auto loop = EpollLoop::Create();
  ASSERT_TRUE(loop.ok());
  auto pair = Link::MakePair();
  ASSERT_TRUE(pair.ok());
  const pid_t child = ::fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    ::send(pair->theirs.get(), "alive", 5, MSG_NOSIGNAL);
    ::close(pair->ours.get());
    while (true) ::pause();
  }
  pair->theirs.Reset();
  Recorder recorder;
  Link link(**loop, std::move(pair->ours), recorder);
  recorder.on_message = [child] { ::kill(child, SIGKILL); };
  recorder.on_closed = [&loop] { (*loop)->Quit(); };
  const auto hang = (*loop)->PostAfter(absl::Seconds(10), [&loop] {
    ADD_FAILURE() << "the death was never seen";
    (*loop)->Quit();
  });
  (*loop)->Run();
  (*loop)->Cancel(hang);
  EXPECT_THAT(recorder.messages, ElementsAre("alive"));
  ASSERT_TRUE(recorder.closed.has_value());
  EXPECT_TRUE(recorder.closed->ok());
  ::waitpid(child, nullptr, 0);
}

}  // namespace
}  // namespace kine
