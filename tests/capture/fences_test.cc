#include "capture/dmabuf/fences.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "daemon/base/epoll_loop.h"
#include "daemon/base/limits.h"

namespace kine {
namespace {

using testing::ElementsAre;

// An eventfd stands for a fence: readable once it has signalled.
class FenceGateTest : public testing::Test {
 protected:
  Frame NewFrame(uint64_t id) {
    ++lent_;
    Frame frame([this] { --lent_; });
    frame.buffer_id = id;
    frame.crop = Rect{0, 0, 64, 64};
    frame.damage = Damage();
    frame.damage.Add(Rect{static_cast<int>(id), 0, 1, 1});
    frame.damage_is_source = true;
    return frame;
  }
  // `count` fences; the test keeps them to signal.
  std::vector<UniqueFd> Fences(size_t count) {
    std::vector<UniqueFd> fences;
    for (size_t i = 0; i < count; ++i) {
      fences.emplace_back(eventfd(0, EFD_CLOEXEC));
      ours_.emplace_back(dup(fences.back().get()));
    }
    return fences;
  }
  void Signal(size_t which) {
    const uint64_t one = 1;
    ASSERT_EQ(write(ours_[which].get(), &one, sizeof one), 8);
  }
  // Until something is told.
  void RunUntilTold() {
    const size_t before = ready_.size() + lost_.size();
    loop_ready_ = [this, before] {
      if (ready_.size() + lost_.size() > before) loop_->Quit();
    };
    loop_->Run();
    loop_ready_ = nullptr;
  }

  std::unique_ptr<EpollLoop> loop_ = *EpollLoop::Create();
  std::function<void()> loop_ready_;
  int lent_ = 0;
  std::vector<UniqueFd> ours_;
  std::vector<uint64_t> ready_;
  std::vector<Damage> damages_;
  std::vector<FenceGate::Lost> lost_;
  FenceGate gate_{*loop_,
                  [this](Frame frame) {
                    ready_.push_back(frame.buffer_id);
                    damages_.push_back(frame.damage);
                    if (loop_ready_) loop_ready_();
                  },
                  [this](FenceGate::Lost why) {
                    lost_.push_back(why);
                    if (loop_ready_) loop_ready_();
                  }};
};

TEST_F(FenceGateTest, AFinishedFrameGoesThroughAtOnce) {
  gate_.Put(NewFrame(1), {});
  EXPECT_THAT(ready_, ElementsAre(1));
  EXPECT_EQ(lent_, 0);
}

TEST_F(FenceGateTest, AFrameWaitsForAllOfItsFences) {
  gate_.Put(NewFrame(1), Fences(2));
  EXPECT_EQ(ready_.size(), 0u);
  Signal(1);
  loop_->PostAfter(absl::Milliseconds(20), [this] {
    EXPECT_EQ(ready_.size(), 0u);
    Signal(0);
  });
  RunUntilTold();
  EXPECT_THAT(ready_, ElementsAre(1));
  EXPECT_EQ(lent_, 0);
}

TEST_F(FenceGateTest, AFinishedFrameDoesNotOvertakeOneThatIsNot) {
  gate_.Put(NewFrame(1), Fences(1));
  gate_.Put(NewFrame(2), {});
  EXPECT_EQ(ready_.size(), 0u);
  Signal(0);
  RunUntilTold();
  EXPECT_THAT(ready_, ElementsAre(1, 2));
}

TEST_F(FenceGateTest, OnlyOneStandsBehindAndItsDamageIsNotLost) {
  gate_.Put(NewFrame(1), Fences(1));
  for (uint64_t id = 2; id <= 5; ++id) gate_.Put(NewFrame(id), {});
  EXPECT_EQ(lent_, 2);
  EXPECT_EQ(lost_.size(), 3u);
  Signal(0);
  RunUntilTold();
  EXPECT_THAT(ready_, ElementsAre(1, 5));
  EXPECT_EQ(damages_[1].end() - damages_[1].begin(), 4);
}

TEST_F(FenceGateTest, AFenceThatNeverSignalsCostsItsFrame) {
  gate_.Put(NewFrame(1), Fences(1));
  gate_.Put(NewFrame(2), {});
  RunUntilTold();
  EXPECT_THAT(lost_, ElementsAre(FenceGate::Lost::kTimeout));
  EXPECT_THAT(ready_, ElementsAre(2));
  EXPECT_TRUE(damages_[0].full());
  EXPECT_EQ(lent_, 0);
  gate_.Put(NewFrame(3), {});
  EXPECT_FALSE(damages_[1].full());
}

TEST_F(FenceGateTest, CountsTheTimeOutsInARow) {
  gate_.Put(NewFrame(1), Fences(1));
  gate_.Put(NewFrame(2), Fences(1));
  RunUntilTold();
  EXPECT_EQ(gate_.timeouts(), 1);
  RunUntilTold();
  EXPECT_EQ(gate_.timeouts(), 2);
  gate_.Put(NewFrame(3), {});
  EXPECT_EQ(gate_.timeouts(), 0);
}

TEST_F(FenceGateTest, WhatIsClearedNeverComes) {
  gate_.Put(NewFrame(1), Fences(1));
  gate_.Put(NewFrame(2), Fences(1));
  gate_.Clear();
  EXPECT_EQ(lent_, 0);
  Signal(0);
  gate_.Put(NewFrame(3), {});
  EXPECT_THAT(ready_, ElementsAre(3));
}

TEST(PendingFencesTest, MemoryAndMemfdsHaveNone) {
  Frame frame;
  frame.plane_count = 1;
  EXPECT_EQ(PendingFences(frame).size(), 0u);
  const UniqueFd memory(memfd_create("memory", MFD_CLOEXEC));
  frame.planes[0].fd = memory.get();
  EXPECT_EQ(PendingFences(frame).size(), 0u);
}

// Something without sync files that poll() calls busy, as a dmabuf of an old
// kernel does.
TEST(PendingFencesTest, WithoutSyncFilesTheBufferItselfIsPolled) {
  int pair[2];
  ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
  const UniqueFd buffer(pair[0]);
  const UniqueFd other(pair[1]);
  Frame frame;
  frame.plane_count = 2;
  frame.planes[0].fd = frame.planes[1].fd = buffer.get();
  EXPECT_EQ(PendingFences(frame).size(), 1u) << "one descriptor, one fence";
  ASSERT_EQ(write(other.get(), "x", 1), 1);
  EXPECT_EQ(PendingFences(frame).size(), 0u);
}

}  // namespace
}  // namespace kine
