// The catalogue with real processes: each test's ids say how the fake recorder
// behaves (tests/programs/fake_recorder.cc).
#include "daemon/control/catalogue.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <optional>
#include <sstream>
#include <string>
#include <vector>

#include "daemon/base/limits.h"
#include "daemon/control/manifest_writer.h"
#include "daemon/control/record_store.h"
#include "daemon/storage/append_log.h"
#include "daemon/storage/directory.h"
#include "ipc/problem.h"
#include "tests/control/control_rig.h"

namespace kine {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using S = RecordingState;

constexpr char kInstance[] = "11111111-2222-4333-8444-555555555555";

class CatalogueTest : public testing::Test {
 protected:
  CatalogueTest() { Reopen(); }
  ~CatalogueTest() override { rig_.StopFileIo(); }

  void Reopen() {
    catalogue_.reset();
    events_.emplace(rig_.loop(), kInstance);
    catalogue_.emplace(rig_.context(), *events_, CatalogueLimits{4, 3},
                       kInstance);
  }
  static RecordingRequest Request(const std::string& id) {
    RecordingRequest request;
    request.id = id;
    request.settings.source = TestRequest{};
    return request;
  }

  struct Started {
    absl::StatusOr<RecordingRecord> record = absl::UnknownError("");
    bool attached = false;
  };
  Started Start(const RecordingRequest& request,
                const std::string& owner = "") {
    std::optional<Started> out;
    catalogue_->Start(request, owner,
                      [&](absl::StatusOr<const RecordingRecord*> r, bool a) {
                        out.emplace();
                        out->attached = a;
                        if (r.ok())
                          out->record = **r;
                        else
                          out->record = r.status();
                      });
    rig_.RunUntil([&] { return out.has_value(); });
    return *out;
  }
  RecordingRecord Wait(const std::string& id, Catalogue::WaitFor what) {
    std::optional<RecordingRecord> out;
    catalogue_->Wait(id, {"", true}, what, absl::Minutes(1),
                     [&](auto r) { out.emplace(**r); });
    rig_.RunUntil([&] { return out.has_value(); });
    return *out;
  }
  RecordingRecord Stop(const std::string& id) {
    std::optional<RecordingRecord> out;
    catalogue_->Stop(id, {"", true}, /*wait_ready=*/true,
                     [&](auto r) { out.emplace(**r); });
    rig_.RunUntil([&] { return out.has_value(); });
    return *out;
  }
  absl::Status Delete(const std::string& id,
                      const Viewer& viewer = {"", true}) {
    std::optional<absl::Status> out;
    catalogue_->Delete(id, viewer, [&](absl::Status s) { out = s; });
    rig_.RunUntil([&] { return out.has_value(); });
    return *out;
  }
  void UntilIdle(int left = 0) {
    rig_.RunUntil([&] { return catalogue_->active() == left; });
  }
  std::string FileOf(const std::string& id, const std::string& name) {
    std::ifstream file(rig_.path() + "/state/recordings/" + id + "/" + name);
    std::stringstream text;
    text << file.rdbuf();
    return text.str();
  }
  static std::string CodeOf(const absl::Status& status) {
    return ProblemOf(status).code;
  }

  ControlRig rig_;
  std::optional<EventRing> events_;
  std::optional<Catalogue> catalogue_;
};

TEST_F(CatalogueTest, AStartIsAnsweredWhenManifestAndRecorderStand) {
  const Started started = Start(Request("a"));

  ASSERT_TRUE(started.record.ok()) << started.record.status();
  EXPECT_FALSE(started.attached);
  EXPECT_THAT(FileOf("a", kManifestName), HasSubstr("\"id\":\"a\""));
  const RecordingRecord record = Wait("a", Catalogue::WaitFor::kFirstFrame);
  EXPECT_EQ(record.state, S::kRecording);
  EXPECT_EQ(record.format.encoder.name, "fake");
  EXPECT_EQ(record.first_frame_at, absl::FromUnixSeconds(1'700'000'000));
}

TEST_F(CatalogueTest, ReadyIsToldOnlyWhenTheManifestSaysSo) {
  (void)Start(Request("a"));
  Wait("a", Catalogue::WaitFor::kFirstFrame);

  const RecordingRecord record = Stop("a");

  EXPECT_EQ(record.state, S::kReady);
  EXPECT_EQ(record.reason, "stopped");
  EXPECT_FALSE(record.truncated);
  EXPECT_EQ(record.frames, 45u);
  const auto manifest = ParseManifest(FileOf("a", kManifestName));
  ASSERT_TRUE(manifest.ok());
  EXPECT_EQ(manifest->state, S::kReady);
  EXPECT_EQ(manifest->bytes, 10u);
}

TEST_F(CatalogueTest, TheSameRequestAttachesInEveryState) {
  (void)Start(Request("a"));
  EXPECT_TRUE(Start(Request("a")).attached);
  Stop("a");
  const Started again = Start(Request("a"));
  EXPECT_TRUE(again.attached);
  EXPECT_EQ(again.record->state, S::kReady);
  EXPECT_EQ(catalogue_->totals().started, 1u);
}

TEST_F(CatalogueTest, ConcurrentStartsOfOneIdAreOneRecording) {
  int answered = 0;
  int attached = 0;
  for (int i = 0; i < 16; ++i)
    catalogue_->Start(Request("a"), "", [&](auto record, bool a) {
      EXPECT_TRUE(record.ok());
      ++answered;
      attached += a;
    });
  rig_.RunUntil([&] { return answered == 16; });
  EXPECT_EQ(attached, 15);
  EXPECT_EQ(catalogue_->totals().started, 1u);
}

TEST_F(CatalogueTest, AnotherRequestForAnActiveIdIsRefused) {
  (void)Start(Request("a"));
  RecordingRequest other = Request("a");
  other.settings.fps_max = 15;
  other.on_existing = RecordingRequest::OnExisting::kRestart;
  const Started started = Start(other);
  EXPECT_EQ(CodeOf(started.record.status()), "different_request");
  EXPECT_EQ(ProblemOf(started.record.status()).status, 409);
}

TEST_F(CatalogueTest, AFinishedIdIsReplacedOnlyWhenAsked) {
  (void)Start(Request("a"));
  Stop("a");
  RecordingRequest other = Request("a");
  other.settings.fps_max = 15;
  EXPECT_EQ(CodeOf(Start(other).record.status()), "different_request");

  other.on_existing = RecordingRequest::OnExisting::kRestart;
  const Started started = Start(other);
  ASSERT_TRUE(started.record.ok()) << started.record.status();
  EXPECT_FALSE(started.attached);
  EXPECT_EQ(FileOf("a", "video.mp4"), "");  // The old one is gone.
  // A retry of the restart is the same request: it attaches.
  EXPECT_TRUE(Start(other).attached);
}

// `ready` is told while the run still closes its event log: what follows at
// once must not take the entry from under it.
TEST_F(CatalogueTest, ARestartAndADeletionRightAfterReadyWaitForTheRun) {
  for (const bool restart : {true, false}) {
    const std::string id = restart ? "restarted" : "deleted";
    (void)Start(Request(id));
    Wait(id, Catalogue::WaitFor::kFirstFrame);
    std::optional<absl::Status> result;
    catalogue_->Stop(id, {"", true}, /*wait_ready=*/true, [&](auto record) {
      ASSERT_EQ((*record)->state, S::kReady);
      if (!restart) {
        catalogue_->Delete(id, {"", true}, [&](absl::Status s) { result = s; });
        return;
      }
      RecordingRequest other = Request(id);
      other.settings.fps_max = 15;
      other.on_existing = RecordingRequest::OnExisting::kRestart;
      catalogue_->Start(other, "",
                        [&](auto started, bool) { result = started.status(); });
    });
    rig_.RunUntil([&] { return result.has_value(); });
    EXPECT_TRUE(result->ok()) << *result;
    EXPECT_EQ(catalogue_->Find(id, {"", true}).ok(), restart);
  }
}

TEST_F(CatalogueTest, LimitsAreToldByName) {
  for (const char* id : {"a", "b", "c"}) (void)Start(Request(id), "me");
  EXPECT_THAT(std::string(Start(Request("d"), "me").record.status().message()),
              HasSubstr("recordings_per_owner (3)"));
  EXPECT_TRUE(Start(Request("d"), "you").record.ok());
  const absl::Status full = Start(Request("e"), "they").record.status();
  EXPECT_THAT(std::string(full.message()), HasSubstr("recordings (4)"));
  EXPECT_EQ(ProblemOf(full).status, 429);
  Stop("a");
  EXPECT_TRUE(Start(Request("e"), "they").record.ok());
}

TEST_F(CatalogueTest, SixteenConcurrentStopsGetTheSameAnswer) {
  (void)Start(Request("a"));
  Wait("a", Catalogue::WaitFor::kFirstFrame);
  std::vector<std::string> answers;
  for (int i = 0; i < 16; ++i)
    catalogue_->Stop("a", {"", true}, true, [&](auto record) {
      answers.push_back(StateReplyOf(**record, std::nullopt));
    });
  rig_.RunUntil([&] { return answers.size() == 16; });
  for (const std::string& answer : answers) EXPECT_EQ(answer, answers[0]);
  EXPECT_EQ(Stop("a").state, S::kReady);  // And once more, later.
}

TEST_F(CatalogueTest, AStopBeforeTheFirstFrameEndsFailedWithoutAFile) {
  (void)Start(Request("wait-1"));
  const RecordingRecord record = Stop("wait-1");
  EXPECT_EQ(record.state, S::kFailed);
  EXPECT_EQ(record.reason, "no_frame");
}

TEST_F(CatalogueTest, AStopDuringTheStartIsCarriedOut) {
  std::optional<absl::Status> started;
  std::optional<RecordingRecord> stopped;
  catalogue_->Start(Request("a"), "",
                    [&](auto record, bool) { started = record.status(); });
  catalogue_->Stop("a", {"", true}, true,
                   [&](auto record) { stopped = **record; });
  rig_.RunUntil([&] { return started.has_value() && stopped.has_value(); });
  EXPECT_FALSE(IsActive(stopped->state));
  EXPECT_EQ(stopped->state, S::kReady) << stopped->message;
}

TEST_F(CatalogueTest, ASourceThatFailsFailsTheStartWithItsReason) {
  const Started started = Start(Request("refuse-1"));
  EXPECT_EQ(CodeOf(started.record.status()), "start_failed");
  EXPECT_THAT(std::string(started.record.status().message()),
              HasSubstr("there is no such node"));
  const auto found = catalogue_->Find("refuse-1", {"", true});
  ASSERT_TRUE(found.ok());
  EXPECT_EQ((*found)->state, S::kFailed);
  EXPECT_EQ((*found)->reason, "source_failed");
}

TEST_F(CatalogueTest, ADeadRecordersFileIsFinalisedAndTold) {
  for (const char* id : {"die-1", "crash-1"}) {
    (void)Start(Request(id));
    const RecordingRecord record = Wait(id, Catalogue::WaitFor::kReady);
    EXPECT_EQ(record.state, S::kInterrupted) << record.message;
    EXPECT_EQ(record.reason, "recorder_died");
    EXPECT_TRUE(record.truncated);
    EXPECT_EQ(FileOf(id, "video.mp4"), "fake video");
  }
  EXPECT_EQ(catalogue_->totals().recorder_deaths, 2u);
  // The next recording gets a new recorder.
  EXPECT_TRUE(Start(Request("a")).record.ok());
}

TEST_F(CatalogueTest, RecordingsOfOneSourceShareARecorderAndItsDeath) {
  (void)Start(Request("a"), "me");
  Wait("a", Catalogue::WaitFor::kFirstFrame);
  (void)Start(Request("b"), "you");
  Wait("b", Catalogue::WaitFor::kFirstFrame);
  EXPECT_EQ(rig_.recorders().running(), 1);
  RecordingRequest other = Request("other");
  other.settings.source = TestRequest{.width = 320};
  (void)Start(other);

  (void)Start(Request("crash-1"));

  for (const char* id : {"a", "b", "crash-1"}) {
    const RecordingRecord record = Wait(id, Catalogue::WaitFor::kReady);
    EXPECT_EQ(record.state, S::kInterrupted) << record.message;
    EXPECT_EQ(record.reason, "recorder_died");
    EXPECT_EQ(FileOf(id, "video.mp4"), "fake video");
  }
  EXPECT_EQ(catalogue_->totals().recorder_deaths, 1u);
  EXPECT_EQ(Stop("other").state, S::kReady);
}

TEST_F(CatalogueTest, AStopLeavesTheOthersOfTheRecorderAlone) {
  (void)Start(Request("a"));
  (void)Start(Request("b"));
  Wait("b", Catalogue::WaitFor::kFirstFrame);
  EXPECT_EQ(Stop("a").state, S::kReady);
  UntilIdle(1);
  EXPECT_EQ((*catalogue_->Find("b", {"", true}))->state, S::kRecording);
  EXPECT_EQ(Stop("b").state, S::kReady);
  rig_.RunUntil([&] { return rig_.recorders().running() == 0; });
}

TEST_F(CatalogueTest, AnEncoderTooManyIsRefusedBeforeAnythingIsMade) {
  for (int i = 0; i < 3; ++i) {
    RecordingRequest request = Request("r" + std::to_string(i));
    request.settings.fps_max = 10 + i;
    EXPECT_TRUE(Start(request, std::to_string(i)).record.ok());
  }
  const absl::Status full = Start(Request("d")).record.status();
  EXPECT_EQ(CodeOf(full), "encoders");
  EXPECT_FALSE(catalogue_->Find("d", {"", true}).ok());
  RecordingRequest same = Request("e");
  same.settings.fps_max = 11;
  EXPECT_TRUE(Start(same).record.ok());
}

TEST_F(CatalogueTest, ARecorderThatBreaksTheProtocolIsKilled) {
  const Started started = Start(Request("garble-1"));
  EXPECT_THAT(std::string(started.record.status().message()),
              HasSubstr("broke the protocol"));
}

TEST_F(CatalogueTest, ASilentRecorderIsKilled) {
  (void)Start(Request("silent-1"));
  const RecordingRecord record = Wait("silent-1", Catalogue::WaitFor::kReady);
  EXPECT_EQ(record.state, S::kFailed);
  EXPECT_EQ(record.reason, "no_frame");
  EXPECT_EQ(catalogue_->totals().recorder_deaths, 1u);
}

TEST_F(CatalogueTest, ARecorderOfAnotherVersionIsRefused) {
  ::setenv("FAKE_RECORDER_VERSION", "0.0.1", 1);
  const Started started = Start(Request("a"));
  ::unsetenv("FAKE_RECORDER_VERSION");
  EXPECT_THAT(std::string(started.record.status().message()),
              HasSubstr("version '0.0.1'"));
}

TEST_F(CatalogueTest, LossesAndFallbacksAreInTheRecordAndInTheLog) {
  (void)Start(Request("lost-1"));
  Wait("lost-1", Catalogue::WaitFor::kFirstFrame);
  const RecordingRecord record = Stop("lost-1");
  EXPECT_EQ(record.gaps, 1);
  ASSERT_EQ(record.fallbacks.size(), 1u);
  EXPECT_EQ(record.fallbacks[0].reason, "no render node");
  UntilIdle();
  const absl::StatusOr<UniqueFd> log =
      OpenBeneath(rig_.state_dir().recordings_fd(), "lost-1/events.ndjson",
                  O_RDONLY | O_CLOEXEC);
  std::string lines;
  const auto summary = ReadAppendLog(log->get(), [&](absl::string_view line) {
    lines.append(line.data(), line.size());
  });
  EXPECT_FALSE(summary->damaged);
  for (const char* type : {"recording.source_lost", "recording.source_back",
                           "recording.fallback", "\"ready\""})
    EXPECT_THAT(lines, HasSubstr(type));
}

TEST_F(CatalogueTest, OwnersSeeOnlyTheirOwn) {
  (void)Start(Request("a"), "me");
  EXPECT_TRUE(catalogue_->Find("a", {"me", false}).ok());
  EXPECT_EQ(CodeOf(catalogue_->Find("a", {"you", false}).status()),
            "not_found");
  EXPECT_EQ(CodeOf(catalogue_->Find("a", {"", false}).status()), "not_found");
  EXPECT_TRUE(catalogue_->Find("a", {"", true}).ok());
  EXPECT_TRUE(catalogue_->List({"you", false}).empty());
  EXPECT_EQ(CodeOf(Start(Request("a"), "you").record.status()), "id_in_use");
  Stop("a");
  UntilIdle();
  EXPECT_EQ(CodeOf(Delete("a", {"you", false})), "not_found");
  EXPECT_TRUE(Delete("a", {"me", false}).ok());
}

TEST_F(CatalogueTest, DeletingTakesTheFilesAndRefusesTheActive) {
  (void)Start(Request("a"));
  EXPECT_EQ(CodeOf(Delete("a")), "wrong_state");
  Stop("a");
  UntilIdle();
  EXPECT_TRUE(Delete("a").ok());
  EXPECT_FALSE(std::filesystem::exists(rig_.path() + "/state/recordings/a"));
  EXPECT_EQ(CodeOf(Delete("a")), "not_found");
}

TEST_F(CatalogueTest, TheListHasTheActiveFirstThenTheNewest) {
  for (const char* id : {"old", "new", "run"}) {
    (void)Start(Request(id));
    if (std::string(id) != "run") Stop(id);
  }
  std::vector<std::string> ids;
  for (const RecordingRecord* record : catalogue_->List({"", true}))
    ids.push_back(record->id);
  EXPECT_THAT(ids, ElementsAre("run", "new", "old"));
}

TEST_F(CatalogueTest, AWaitThatRunsOutAnswersWithTheStateAsItIs) {
  (void)Start(Request("wait-1"));
  std::optional<RecordingState> state;
  catalogue_->Wait("wait-1", {"", true}, Catalogue::WaitFor::kReady,
                   absl::Milliseconds(30),
                   [&](auto record) { state = (*record)->state; });
  rig_.RunUntil([&] { return state.has_value(); });
  EXPECT_EQ(state, S::kStarting);
}

TEST_F(CatalogueTest, ShutdownEndsEveryRecordingWithAFile) {
  for (const char* id : {"a", "b", "c"}) {
    (void)Start(Request(id));
    Wait(id, Catalogue::WaitFor::kFirstFrame);
  }
  bool done = false;
  catalogue_->Shutdown([&] { done = true; });
  EXPECT_FALSE(Start(Request("late")).record.ok());
  rig_.RunUntil([&] { return done; });
  for (const char* id : {"a", "b", "c"}) {
    const auto record = ParseManifest(FileOf(id, kManifestName));
    ASSERT_TRUE(record.ok());
    EXPECT_EQ(record->state, S::kReady);
    EXPECT_EQ(record->reason, "shutdown");
    EXPECT_TRUE(record->truncated);
  }
}

// What a daemon that was killed leaves: manifests that say "recording".
TEST_F(CatalogueTest, WhatACrashLeftIsFinalisedAtTheNextStart) {
  for (const char* id : {"a", "b", "c", "wait-x", "unfinalisable-1"}) {
    (void)rig_.state_dir().CreateRecording(id);
    RecordingRecord record;
    record.id = id;
    record.request = Request(id);
    record.state = S::kRecording;
    record.created_at = absl::FromUnixSeconds(1'700'000'000);
    std::ofstream(rig_.path() + "/state/recordings/" + id + "/" + kManifestName)
        << ManifestOf(record);
  }
  (void)rig_.state_dir().CreateRecording("stranger");
  std::ofstream(rig_.path() + "/state/recordings/stranger/video.mp4") << "?";
  // Killed between the directory and its first manifest: the id is free again.
  (void)rig_.state_dir().CreateRecording("stillborn");
  std::vector<Stranger> strangers;
  catalogue_->Adopt(LoadRecords(rig_.state_dir(), strangers));
  ASSERT_EQ(strangers.size(), 1u);
  EXPECT_EQ(strangers[0].name, "stranger");
  EXPECT_THAT(strangers[0].reason, HasSubstr("video.mp4 has 1 bytes"));
  UntilIdle();
  EXPECT_TRUE(Start(Request("stillborn")).record.ok());

  for (const char* id : {"a", "b", "c"}) {
    const auto record = ParseManifest(FileOf(id, kManifestName));
    ASSERT_TRUE(record.ok());
    EXPECT_EQ(record->state, S::kInterrupted);
    EXPECT_EQ(record->reason, "daemon_restarted");
  }
  EXPECT_EQ((*catalogue_->Find("wait-x", {"", true}))->reason, "no_frame");
  const RecordingRecord& bad =
      **catalogue_->Find("unfinalisable-1", {"", true});
  EXPECT_EQ(bad.state, S::kFailed);
  EXPECT_THAT(bad.message, HasSubstr("exit status 3"));
  // Its manifest still says that there is something to do: the next start tries
  // again.
  EXPECT_EQ(ParseManifest(FileOf("unfinalisable-1", kManifestName))->state,
            S::kRecording);
}

TEST_F(CatalogueTest, ARestoreTokenIsKeptForTheNextStartAndTheNextDaemon) {
  EXPECT_EQ(LoadRestoreToken(rig_.state_dir()), "");
  (void)Start(Request("token-1"));  // Gives "<" + its own + ">".
  Wait("token-1", Catalogue::WaitFor::kFirstFrame);
  rig_.RunUntil([&] { return LoadRestoreToken(rig_.state_dir()) == "<>"; });
  (void)Start(Request("token-2"));
  rig_.RunUntil([&] { return LoadRestoreToken(rig_.state_dir()) == "<<>>"; });
}

TEST_F(CatalogueTest, AnotherInstanceIsRefusedByName) {
  RecordingRequest request = Request("a");
  request.expect_instance = "99999999-2222-4333-8444-555555555555";
  EXPECT_EQ(CodeOf(Start(request).record.status()), "instance_changed");
  request.expect_instance = kInstance;
  EXPECT_TRUE(Start(request).record.ok());
}

}  // namespace
}  // namespace kine
