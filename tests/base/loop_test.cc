// The Loop contract, on the real loop and on the fake one.
#include "daemon/base/loop.h"

#include <gtest/gtest.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <atomic>
#include <functional>
#include <future>
#include <memory>
#include <thread>
#include <vector>

#include "daemon/base/epoll_loop.h"
#include "daemon/base/fd.h"
#include "daemon/base/loop_thread.h"
#include "daemon/base/metrics.h"
#include "tests/fakes/fake_loop.h"

namespace kine {
namespace {

// Runs a loop until everything that was asked for has happened.
class Rig {
 public:
  virtual ~Rig() = default;
  virtual Loop& loop() = 0;
  virtual void RunUntil(const bool& done) = 0;
};

class RealRig final : public Rig {
 public:
  Loop& loop() override { return *loop_; }
  void RunUntil(const bool& done) override {
    // A helper that looks after each turn whether to end.
    std::function<void()> look = [this, &done, &look] {
      if (done)
        loop_->Quit();
      else
        loop_->PostAfter(absl::Milliseconds(1), [&look] { look(); });
    };
    look();
    loop_->Run();
  }

 private:
  std::unique_ptr<EpollLoop> loop_ = EpollLoop::Create().value();
};

class FakeRig final : public Rig {
 public:
  Loop& loop() override { return loop_; }
  void RunUntil(const bool& done) override {
    ASSERT_TRUE(world_.RunUntil([&done] { return done; }, 100'000));
  }

 private:
  FakeWorld world_{7};
  FakeLoop& loop_ = world_.AddLoop("only");
};

class LoopTest : public testing::TestWithParam<const char*> {
 protected:
  LoopTest() {
    if (std::string_view(GetParam()) == "real")
      rig_ = std::make_unique<RealRig>();
    else
      rig_ = std::make_unique<FakeRig>();
  }
  Loop& loop() { return rig_->loop(); }
  std::unique_ptr<Rig> rig_;
};
INSTANTIATE_TEST_SUITE_P(All, LoopTest, testing::Values("real", "fake"),
                         [](const auto& p) { return p.param; });

TEST_P(LoopTest, PostedTasksRunInOrderAndNeverInsidePost) {
  std::vector<int> order;
  bool done = false;
  loop().Post([&] {
    loop().Post([&] {
      order.push_back(3);
      done = true;
    });
    order.push_back(1);
  });
  loop().Post([&] { order.push_back(2); });
  EXPECT_TRUE(order.empty());

  rig_->RunUntil(done);

  EXPECT_EQ(order, (std::vector<int>{1, 2, 3}));
}

TEST_P(LoopTest, TimersRunInTheOrderOfTheirTimes) {
  std::vector<int> order;
  bool done = false;
  loop().PostAfter(absl::Milliseconds(30), [&] {
    order.push_back(3);
    done = true;
  });
  loop().PostAfter(absl::Milliseconds(10), [&] { order.push_back(1); });
  loop().PostAfter(absl::Milliseconds(20), [&] { order.push_back(2); });

  rig_->RunUntil(done);

  EXPECT_EQ(order, (std::vector<int>{1, 2, 3}));
}

TEST_P(LoopTest, ATimerNeverFiresEarly) {
  bool done = false;
  const MonoTime start = loop().clock().Now();
  MonoTime fired;
  loop().PostAfter(absl::Milliseconds(7), [&] {
    fired = loop().clock().Now();
    done = true;
  });

  rig_->RunUntil(done);

  EXPECT_GE(fired - start, absl::Milliseconds(7));
}

TEST_P(LoopTest, ACancelledTimerDoesNotFire) {
  bool done = false;
  bool fired = false;
  const Loop::Id id =
      loop().PostAfter(absl::Milliseconds(1), [&] { fired = true; });
  loop().PostAfter(absl::Milliseconds(10), [&] { done = true; });
  loop().Cancel(id);
  loop().Cancel(id);  // Twice is once.

  rig_->RunUntil(done);

  EXPECT_FALSE(fired);
}

TEST_P(LoopTest, AHandleCancelsWhenItIsDestroyedOrReplaced) {
  bool done = false;
  int fired = 0;
  {
    LoopHandle handle(
        loop(), loop().PostAfter(absl::Milliseconds(1), [&] { ++fired; }));
    handle = LoopHandle(
        loop(), loop().PostAfter(absl::Milliseconds(1), [&] { ++fired; }));
  }
  loop().PostAfter(absl::Milliseconds(10), [&] { done = true; });

  rig_->RunUntil(done);

  EXPECT_EQ(fired, 0);
}

TEST_P(LoopTest, AWatchReportsReadinessUntilItIsCancelled) {
  UniqueFd fd(::eventfd(1, EFD_CLOEXEC | EFD_NONBLOCK));
  int calls = 0;
  bool done = false;
  Loop::Id id = 0;
  id = loop().Watch(fd.get(), EPOLLIN, [&](uint32_t ready) {
    EXPECT_EQ(ready & EPOLLIN, static_cast<uint32_t>(EPOLLIN));
    if (++calls < 3) return;
    loop().Cancel(id);  // From inside its own callback.
    loop().PostAfter(absl::Milliseconds(5), [&] { done = true; });
  });

  rig_->RunUntil(done);

  EXPECT_EQ(calls, 3);
}

TEST_P(LoopTest, AWatchCancelledByAnotherInTheSameTurnIsNotCalled) {
  UniqueFd a(::eventfd(1, EFD_CLOEXEC | EFD_NONBLOCK));
  UniqueFd b(::eventfd(1, EFD_CLOEXEC | EFD_NONBLOCK));
  int calls = 0;
  bool done = false;
  Loop::Id ids[2];
  auto callback = [&](int other) {
    ++calls;
    loop().Cancel(ids[0]);
    loop().Cancel(ids[1]);
    (void)other;
    loop().PostAfter(absl::Milliseconds(5), [&] { done = true; });
  };
  ids[0] = loop().Watch(a.get(), EPOLLIN, [&](uint32_t) { callback(1); });
  ids[1] = loop().Watch(b.get(), EPOLLIN, [&](uint32_t) { callback(0); });

  rig_->RunUntil(done);

  EXPECT_EQ(calls, 1);
}

TEST(EpollLoopTest, PostsFromManyThreadsAllRunOnTheLoopsThread) {
  auto thread = LoopThread::Start("poster").value();
  constexpr int kThreads = 4;
  constexpr int kEach = 2'000;
  int count = 0;  // Loop thread only; TSan would object.
  std::atomic<bool> wrong{false};
  std::vector<std::thread> posters;
  for (int t = 0; t < kThreads; ++t)
    posters.emplace_back([&] {
      for (int i = 0; i < kEach; ++i)
        thread->loop().Post([&] {
          if (!thread->loop().IsCurrent()) wrong = true;
          ++count;
        });
    });
  for (std::thread& poster : posters) poster.join();
  std::promise<int> result;
  thread->loop().Post([&] { result.set_value(count); });

  EXPECT_EQ(result.get_future().get(), kThreads * kEach);
  EXPECT_FALSE(wrong);
  EXPECT_FALSE(thread->loop().IsCurrent());
}

TEST(EpollLoopTest, TasksPostedBeforeQuitRunAndLaterOnesDieUnrun) {
  auto loop = EpollLoop::Create().value();
  auto token = std::make_shared<int>(0);
  bool before = false;
  bool after = false;
  loop->Post([&] { before = true; });
  loop->Quit();
  loop->Run();
  loop->Post([&after, token] { after = true; });
  EXPECT_EQ(token.use_count(), 2);
  loop.reset();

  EXPECT_TRUE(before);
  EXPECT_FALSE(after);
  EXPECT_EQ(token.use_count(), 1);
}

TEST(EpollLoopTest, ALoopThatWasQuitRunsAgain) {
  auto loop = EpollLoop::Create().value();
  int runs = 0;
  for (int i = 0; i < 3; ++i) {
    loop->PostAfter(absl::Milliseconds(2), [&] {
      ++runs;
      loop->Quit();
    });
    loop->Run();
  }
  EXPECT_EQ(runs, 3);
}

TEST(EpollLoopTest, ATimerThatRearmsItselfDoesNotStarveDescriptors) {
  auto loop = EpollLoop::Create().value();
  UniqueFd fd(::eventfd(1, EFD_CLOEXEC | EFD_NONBLOCK));
  int spins = 0;
  std::function<void()> spin = [&] {
    ++spins;
    loop->PostAfter(absl::ZeroDuration(), [&] { spin(); });
  };
  spin();
  loop->Watch(fd.get(), EPOLLIN, [&](uint32_t) { loop->Quit(); });
  loop->Run();  // Hangs when the timer has the loop for itself.

  EXPECT_LT(spins, 10);
}

TEST(EpollLoopTest, TheTurnHistogramSeesASlowTask) {
  auto loop = EpollLoop::Create().value();
  Histogram turns;
  loop->set_turn_histogram(&turns);
  loop->Post([&] {
    const MonoTime end = SystemClock().Now() + absl::Milliseconds(5);
    while (SystemClock().Now() < end) {
    }
    loop->Quit();
  });
  loop->Run();

  EXPECT_GE(turns.max(), absl::Milliseconds(5));
}

}  // namespace
}  // namespace kine
