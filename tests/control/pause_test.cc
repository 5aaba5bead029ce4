// Pause and resume through the catalogue, with the fake recorder.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <optional>
#include <string>

#include "daemon/control/catalogue.h"
#include "tests/control/control_rig.h"

namespace kine {
namespace {

using testing::HasSubstr;
using S = RecordingState;

class PauseTest : public testing::Test {
 protected:
  PauseTest() {
    events_.emplace(rig_.loop(), "instance");
    catalogue_.emplace(rig_.context(), *events_, CatalogueLimits{4, 4},
                       "instance");
  }
  ~PauseTest() override { rig_.StopFileIo(); }

  using Result = absl::StatusOr<RecordingRecord>;
  static Catalogue::Answer Into(std::optional<Result>& out) {
    return [&out](absl::StatusOr<const RecordingRecord*> record) {
      if (record.ok())
        out = **record;
      else
        out = record.status();
    };
  }
  void Start(const std::string& id, Catalogue::WaitFor what) {
    RecordingRequest request;
    request.id = id;
    request.settings.source = TestRequest{};
    bool started = false;
    catalogue_->Start(request, "", [&](auto, bool) { started = true; });
    rig_.RunUntil([&] { return started; });
    if (what != Catalogue::WaitFor::kFirstFrame) return;
    std::optional<Result> out;
    catalogue_->Wait(id, {}, what, absl::Minutes(1), Into(out));
    rig_.RunUntil([&] { return out.has_value(); });
  }
  Result SetPaused(const std::string& id, bool paused,
                   const Viewer& viewer = {}) {
    std::optional<Result> out;
    catalogue_->SetPaused(id, viewer, paused, Into(out));
    rig_.RunUntil([&] { return out.has_value(); });
    return *out;
  }
  Result Stop(const std::string& id) {
    std::optional<Result> out;
    catalogue_->Stop(id, {}, /*wait_ready=*/true, Into(out));
    rig_.RunUntil([&] { return out.has_value(); });
    return *out;
  }

  ControlRig rig_;
  std::optional<EventRing> events_;
  std::optional<Catalogue> catalogue_;
};

TEST_F(PauseTest, TheStateFollowsTheRecorderAndBothMayBeRepeated) {
  Start("a", Catalogue::WaitFor::kFirstFrame);
  EXPECT_EQ(SetPaused("a", true)->state, S::kPaused);
  EXPECT_EQ(SetPaused("a", true)->state, S::kPaused);
  EXPECT_EQ(SetPaused("a", false)->state, S::kRecording);
  const Result resumed = SetPaused("a", false);
  EXPECT_EQ(resumed->state, S::kRecording);
  EXPECT_EQ(resumed->paused_us, 500'000);  // One pause, counted once.
  const Result ended = Stop("a");
  EXPECT_EQ(ended->state, S::kReady);
  EXPECT_EQ(ended->paused_us, 500'000);
}

TEST_F(PauseTest, APausedRecordingStopsAndCountsAsActiveUntilThen) {
  Start("a", Catalogue::WaitFor::kFirstFrame);
  EXPECT_EQ(SetPaused("a", true)->state, S::kPaused);
  EXPECT_EQ(catalogue_->active(), 1);
  EXPECT_EQ(Stop("a")->state, S::kReady);
}

TEST_F(PauseTest, OnlyWhatRunsAndHasAPictureCanBePaused) {
  Start("wait-a", Catalogue::WaitFor::kReady);
  EXPECT_THAT(std::string(SetPaused("wait-a", true).status().message()),
              HasSubstr("wait for `first_frame`"));
  Start("a", Catalogue::WaitFor::kFirstFrame);
  (void)Stop("a");
  EXPECT_EQ(SetPaused("a", true).status().code(),
            absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(SetPaused("a", false).status().code(),
            absl::StatusCode::kFailedPrecondition);
  EXPECT_TRUE(absl::IsNotFound(SetPaused("nobody", true).status()));
  EXPECT_TRUE(
      absl::IsNotFound(SetPaused("a", true, Viewer{"stranger"}).status()));
}

TEST_F(PauseTest, AStopAnswersAPauseThatNeverCame) {
  Start("deaf-a", Catalogue::WaitFor::kFirstFrame);
  std::optional<Result> pause;
  catalogue_->SetPaused("deaf-a", {}, true, Into(pause));
  EXPECT_FALSE(pause.has_value());
  EXPECT_EQ(Stop("deaf-a")->state, S::kReady);
  ASSERT_TRUE(pause.has_value());
  EXPECT_EQ(pause->status().code(), absl::StatusCode::kFailedPrecondition);
}

}  // namespace
}  // namespace kine
