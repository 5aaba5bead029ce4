// Replays with the fake recorder: the width of the source says how its ring
// behaves (tests/programs/fake_recorder.cc).
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <optional>
#include <sstream>
#include <string>

#include "daemon/control/catalogue.h"
#include "daemon/control/manifest_writer.h"
#include "daemon/control/record_store.h"
#include "daemon/control/replay/replay_ring.h"
#include "ipc/json_out.h"
#include "ipc/problem.h"
#include "tests/control/control_rig.h"

namespace kine {
namespace {

using ::testing::HasSubstr;
using S = RecordingState;

constexpr int kRingEnds = 101;
constexpr int kRingEmpty = 102;
constexpr int kRingAsks = 105;
const Viewer kAll{"", true};

ReplayRequest Last(int seconds, const std::string& id = "r") {
  ReplayRequest request;
  request.id = id;
  request.seconds = seconds;
  return request;
}

class ReplayTest : public testing::Test {
 protected:
  ReplayTest() { Open(10); }
  ~ReplayTest() override {
    ring_->Stop();
    rig_.RunUntil([&] { return rig_.recorders().running() == 0; });
    rig_.StopFileIo();
  }

  void Open(int64_t seconds, int width = 640, uint64_t bytes_max = 1 << 20) {
    ring_.reset();
    catalogue_.reset();
    events_.emplace(rig_.loop(), "instance");
    catalogue_.emplace(rig_.context(), *events_, CatalogueLimits{4, 4},
                       "instance");
    ring_.emplace(
        rig_.context(), *catalogue_, *events_,
        ReplayRing::Options{seconds * 1000, bytes_max, TestRequest{width}});
  }
  std::string Info() const {
    std::string text;
    JsonOut out(text);
    out.BeginObject();
    WriteReplay(out, "replay", ring_->info());
    out.End();
    return text;
  }
  void UntilInfo(const std::string& what) {
    rig_.RunUntil([&] { return Info().find(what) != std::string::npos; });
  }
  struct Answered {
    absl::StatusOr<RecordingRecord> record = absl::UnknownError("");
    bool attached = false;
  };
  Answered Replay(const ReplayRequest& request, const std::string& owner = "") {
    std::optional<Answered> out;
    catalogue_->StartReplay(
        request, owner, *ring_,
        [&](absl::StatusOr<const RecordingRecord*> record, bool attached) {
          out.emplace();
          out->attached = attached;
          if (record.ok())
            out->record = **record;
          else
            out->record = record.status();
        });
    rig_.RunUntil([&] { return out.has_value(); });
    return *out;
  }
  RecordingRecord End(const std::string& id) {
    std::optional<RecordingRecord> out;
    catalogue_->Wait(id, kAll, Catalogue::WaitFor::kReady, absl::Minutes(1),
                     [&](auto record) { out.emplace(**record); });
    rig_.RunUntil([&] { return out.has_value(); });
    return *out;
  }
  Problem Refusal(const ReplayRequest& request, const std::string& owner = "") {
    return ProblemOf(Replay(request, owner).record.status());
  }
  void Record(const std::string& id) {
    RecordingRequest request;
    request.id = id;
    request.settings.source = TestRequest{640};
    bool started = false;
    catalogue_->Start(request, "", [&](auto, bool) { started = true; });
    rig_.RunUntil([&] { return started; });
  }

  ControlRig rig_;
  std::optional<EventRing> events_;
  std::optional<Catalogue> catalogue_;
  std::optional<ReplayRing> ring_;
};

TEST_F(ReplayTest, BecomesAnOrdinaryRecordingThatMayBeAskedForAgain) {
  ring_->Start();
  UntilInfo("keeping");
  ReplayRequest request = Last(5);
  request.labels = {{"why", "bug"}};

  const Answered started = Replay(request, "me");
  ASSERT_TRUE(started.record.ok()) << started.record.status();
  EXPECT_FALSE(started.attached);
  const RecordingRecord record = End("r");
  EXPECT_EQ(record.state, S::kReady) << record.message;
  EXPECT_EQ(record.reason, "stopped");
  EXPECT_FALSE(record.truncated);
  EXPECT_EQ(record.first_frame_at, absl::FromUnixSeconds(1'700'000'000));
  EXPECT_EQ(record.request.settings.source, SourceRequest(TestRequest{640}));
  EXPECT_THAT(StateReplyOf(record, std::nullopt),
              HasSubstr("\"replay\":{\"seconds\":5}"));

  EXPECT_TRUE(Replay(request, "me").attached);
  EXPECT_EQ(Refusal(request, "you").code, "id_in_use");
  EXPECT_EQ(Refusal(Last(4), "me").code, "different_request");
  RecordingRequest recording = record.request;
  absl::Status other;
  catalogue_->Start(recording, "me",
                    [&](auto result, bool) { other = result.status(); });
  EXPECT_EQ(ProblemOf(other).code, "different_request");

  // After the daemon's end, and without a ring, it is still the same.
  rig_.RunUntil([&] { return catalogue_->active() == 0; });
  Open(0);
  std::vector<Stranger> strangers;
  catalogue_->Adopt(LoadRecords(rig_.state_dir(), strangers));
  EXPECT_TRUE(Replay(request, "me").attached);
  EXPECT_EQ(Refusal(Last(5, "new"), "me").code, "replay_off");
}

TEST_F(ReplayTest, SharesItsRecorderWithRecordingsAndOutlivesThem) {
  ring_->Start();
  Record("a");
  Record("b");
  EXPECT_EQ(rig_.recorders().running(), 1);
  EXPECT_EQ(rig_.recorders().uses(), 3);
  for (const char* id : {"a", "b"}) {
    catalogue_->Stop(id, kAll, false, [](auto) {});
    End(id);
  }
  UntilInfo("keeping");
  EXPECT_EQ(rig_.recorders().uses(), 1);
  EXPECT_THAT(Info(), HasSubstr("\"packets\":150"));
  ring_->Stop();
  EXPECT_THAT(Info(), HasSubstr("\"state\":\"off\""));
  EXPECT_EQ(Refusal(Last(1)).code, "replay_empty");
}

TEST_F(ReplayTest, WhatCannotBeHadIsRefusedByName) {
  EXPECT_EQ(Refusal(Last(1)).code, "replay_empty");  // Not started.
  ring_->Start();
  UntilInfo("keeping");
  const Problem more = Refusal(Last(11));
  EXPECT_EQ(more.status, 400);
  EXPECT_EQ(more.field, "seconds");
  EXPECT_THAT(more.message, HasSubstr("at most 10"));
  ReplayRequest request = Last(5);
  request.source = TestRequest{320};
  const Problem elsewhere = Refusal(request);
  EXPECT_EQ(elsewhere.status, 409);
  EXPECT_EQ(elsewhere.code, "replay_off");
  EXPECT_THAT(elsewhere.message, HasSubstr("--replay_source"));
  request.expect_instance = "another";
  EXPECT_EQ(Refusal(request).code, "instance_changed");
  request.expect_instance.clear();
  request.source = TestRequest{640};
  EXPECT_TRUE(Replay(request).record.ok());

  // The recorder has the last word.
  (void)Replay(Last(5, "empty-1"));
  const RecordingRecord record = End("empty-1");
  EXPECT_EQ(record.state, S::kFailed);
  EXPECT_EQ(record.reason, "no_frame");
}

TEST_F(ReplayTest, AllThatTheRingHoldsFitsIntoTheFile) {
  Open(10, 640, 256u << 20);
  ring_->Start();
  UntilInfo("keeping");
  const Answered started = Replay(Last(5));
  ASSERT_TRUE(started.record.ok()) << started.record.status();
  EXPECT_EQ(started.record->request.settings.max_bytes, 512u << 20);
  EXPECT_EQ(End("r").state, S::kReady);
}

// As long as limits::kReplayRetryMs.
TEST_F(ReplayTest, ARingWithoutAPictureOrASourceSaysWhy) {
  Open(10, kRingEnds);
  ring_->Start();
  UntilInfo("no such desktop");
  EXPECT_THAT(Info(), HasSubstr("\"state\":\"waiting\""));
  EXPECT_THAT(events_->newest_id(), testing::EndsWith("-1"));
  const Problem ended = Refusal(Last(1));
  EXPECT_EQ(ended.code, "replay_empty");
  EXPECT_THAT(ended.message, HasSubstr("no such desktop"));
  EXPECT_THAT(Info(), HasSubstr("\"retry_ms\":1000"));
  UntilInfo("\"retry_ms\":2000");

  Open(10, kRingEmpty);
  ring_->Start();
  rig_.RunUntil([&] { return rig_.recorders().running() == 1; });
  EXPECT_EQ(Refusal(Last(1)).code, "replay_empty");

  Open(10, kRingAsks);
  ring_->Start();
  UntilInfo("\"needs_consent\":true");
  const Problem asks = Refusal(Last(1));
  EXPECT_EQ(asks.code, "replay_empty");
  EXPECT_THAT(asks.message, HasSubstr("a person must agree"));
  EXPECT_THAT(events_->newest_id(), testing::EndsWith("-1"));
}

// As long as limits::kReplayRetryMs.
TEST_F(ReplayTest, ARingIsKeptAgainAfterItsRecorderHasDied) {
  ring_->Start();
  UntilInfo("keeping");
  (void)Replay(Last(5, "crash-1"));
  EXPECT_EQ(End("crash-1").state, S::kInterrupted);
  EXPECT_THAT(Info(), HasSubstr("signal 9"));
  UntilInfo("keeping");
  EXPECT_THAT(Info(), testing::Not(HasSubstr("signal 9")));
}

}  // namespace
}  // namespace kine
