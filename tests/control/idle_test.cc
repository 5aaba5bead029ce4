// The idle stop: its watch under a clock of the test's, and through the
// catalogue with the fake recorder.
#include <gtest/gtest.h>

#include <optional>
#include <string>

#include "daemon/control/catalogue.h"
#include "daemon/control/timeline/idle_watch.h"
#include "tests/control/control_rig.h"
#include "tests/fakes/fake_loop.h"

namespace kine {
namespace {

TEST(IdleWatchTest, TellsOnceAfterTheLastThingThatHappened) {
  FakeWorld world;
  FakeLoop& loop = world.AddLoop("control");
  int told = 0;
  IdleWatch watch(loop, absl::Minutes(10), [&] { ++told; });
  world.Advance(absl::Minutes(9));
  watch.Note();
  world.Advance(absl::Minutes(9));
  EXPECT_EQ(told, 0);
  // What is reported late counts from when it happened.
  watch.NoteAt(world.Now() - absl::Minutes(5));
  watch.NoteAt(world.Now() - absl::Minutes(60));
  world.Advance(absl::Minutes(5) - absl::Milliseconds(1));
  EXPECT_EQ(told, 0);
  world.Advance(absl::Milliseconds(1));
  EXPECT_EQ(told, 1);
  world.Advance(absl::Hours(1));
  EXPECT_EQ(told, 1);
  EXPECT_EQ(loop.timer_count(), 0u);
}

class IdleTest : public testing::Test {
 protected:
  IdleTest() {
    events_.emplace(rig_.loop(), "instance");
    catalogue_.emplace(rig_.context(), *events_, CatalogueLimits{4, 4},
                       "instance");
  }
  ~IdleTest() override { rig_.StopFileIo(); }
  void Start(const std::string& id, int64_t stop_after_ms) {
    RecordingRequest request;
    request.id = id;
    request.settings.source = TestRequest{};
    request.settings.idle.stop_after_ms = stop_after_ms;
    bool started = false;
    catalogue_->Start(request, "", [&](auto, bool) { started = true; });
    rig_.RunUntil([&] { return started; });
  }
  RecordingRecord Of(const std::string& id) {
    return **catalogue_->Find(id, {});
  }

  ControlRig rig_;
  std::optional<EventRing> events_;
  std::optional<Catalogue> catalogue_;
};

TEST_F(IdleTest, WhatNobodyUsesEndsReadyAndSaysWhy) {
  Start("never", 0);
  Start("a", 100);
  rig_.RunUntil([&] { return !IsActive(Of("a").state); });
  EXPECT_EQ(Of("a").state, RecordingState::kReady);
  EXPECT_EQ(Of("a").reason, "idle");
  EXPECT_TRUE(Of("a").truncated);
  EXPECT_TRUE(IsActive(Of("never").state));
}

TEST_F(IdleTest, ActivityOfItsOwnerKeepsIt) {
  Start("a", 300);
  const Clock& clock = rig_.loop().clock();
  const MonoTime until = clock.Now() + absl::Milliseconds(700);
  rig_.RunUntil([&] {
    EXPECT_EQ(catalogue_->NoteActivity(Viewer{"stranger"}), 0);
    EXPECT_EQ(catalogue_->NoteActivity(Viewer{}), 1);
    return clock.Now() >= until;
  });
  EXPECT_TRUE(IsActive(Of("a").state));
  EXPECT_EQ(catalogue_->NoteActivity("a", Viewer{}).value(), 1);
  EXPECT_TRUE(
      absl::IsNotFound(catalogue_->NoteActivity("a", {"stranger"}).status()));
  rig_.RunUntil([&] { return !IsActive(Of("a").state); });
  EXPECT_TRUE(absl::IsFailedPrecondition(
      catalogue_->NoteActivity("a", Viewer{}).status()));
}

}  // namespace
}  // namespace kine
