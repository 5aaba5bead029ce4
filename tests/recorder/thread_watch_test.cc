#include "daemon/recorder/thread_watch.h"

#include <gtest/gtest.h>

#include "tests/fakes/fake_loop.h"

namespace kine {
namespace {

TEST(ThreadWatchTest, AThreadThatRunsIsWell) {
  FakeWorld world(1);
  ThreadWatch watch(world.AddLoop("watched"));
  for (int i = 0; i < 100; ++i) {
    EXPECT_EQ(watch.Beat(), 0);
    world.Settle();
  }
}

TEST(ThreadWatchTest, SilenceIsCountedFromTheFirstBeatWithoutAnAnswer) {
  FakeWorld world(1);
  ThreadWatch watch(world.AddLoop("watched"));
  EXPECT_EQ(watch.Beat(), 0);
  EXPECT_EQ(watch.Beat(), 1);  // Nothing ran in between.
  EXPECT_EQ(watch.Beat(), 2);
  world.Settle();
  EXPECT_EQ(watch.Beat(), 0);
  EXPECT_EQ(watch.Beat(), 1);
}

TEST(ThreadWatchTest, AnAnswerMayComeAfterItsEnd) {
  FakeWorld world(1);
  FakeLoop& loop = world.AddLoop("watched");
  {
    ThreadWatch watch(loop);
    watch.Beat();
  }
  world.Settle();
}

}  // namespace
}  // namespace kine
