// Markers through the catalogue, with the fake recorder.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <optional>
#include <string>

#include "daemon/control/catalogue.h"
#include "daemon/storage/append_log.h"
#include "ipc/problem.h"
#include "tests/control/control_rig.h"

namespace kine {
namespace {

using testing::HasSubstr;

class MarkerTest : public testing::Test {
 protected:
  MarkerTest() { Reopen(); }
  ~MarkerTest() override { rig_.StopFileIo(); }
  void Reopen() {
    catalogue_.reset();
    events_.emplace(rig_.loop(), "instance");
    catalogue_.emplace(rig_.context(), *events_, CatalogueLimits{4, 4},
                       "instance");
  }

  // Up to its first frame, or where there is none.
  void Start(const std::string& id, const std::string& owner = "") {
    RecordingRequest request;
    request.id = id;
    request.settings.source = TestRequest{};
    bool started = false;
    catalogue_->Start(request, owner, [&](auto, bool) { started = true; });
    rig_.RunUntil([&] { return started; });
    if (id.starts_with("wait-")) return;
    bool seen = false;
    catalogue_->Wait(id, {owner}, Catalogue::WaitFor::kFirstFrame,
                     absl::Minutes(1), [&](auto) { seen = true; });
    rig_.RunUntil([&] { return seen; });
  }
  void Stop(const std::string& id, const std::string& owner = "") {
    bool stopped = false;
    catalogue_->Stop(id, {owner}, /*wait_ready=*/true,
                     [&](auto) { stopped = true; });
    rig_.RunUntil([&] { return stopped; });
  }
  using Result = absl::StatusOr<Timeline::Accepted>;
  Result Mark(const std::string& id, const std::string& label,
              std::optional<int64_t> at_media_us = std::nullopt,
              const std::string& key = "", const Viewer& viewer = {}) {
    MarkerRequest request;
    request.label = label;
    request.at_media_us = at_media_us;
    std::optional<Result> out;
    catalogue_->AddMarker(id, viewer, request, key,
                          [&](Result result) { out = std::move(result); });
    rig_.RunUntil([&] { return out.has_value(); });
    return *out;
  }
  Timeline Read(const std::string& id, const Viewer& viewer = {}) {
    std::optional<Timeline> out;
    catalogue_->ReadTimeline(id, viewer,
                             [&](auto record, const Timeline& t, auto) {
                               EXPECT_TRUE(record.ok());
                               out = t;
                             });
    rig_.RunUntil([&] { return out.has_value(); });
    return *out;
  }
  // As a reader of the disk sees it now.
  Timeline OnDisk(const std::string& id) {
    const auto directory = rig_.state_dir().OpenRecording(id);
    return ReadTimeline(directory->get()).value();
  }

  ControlRig rig_;
  std::optional<EventRing> events_;
  std::optional<Catalogue> catalogue_;
};

TEST_F(MarkerTest, WhatIsAnsweredIsOnTheDisk) {
  Start("a");
  ASSERT_TRUE(Mark("a", "one").ok());
  ASSERT_EQ(OnDisk("a").markers().size(), 1u);
  EXPECT_EQ(OnDisk("a").markers()[0].label, "one");
  EXPECT_EQ(Mark("a", "two")->marker.number, 2);
  EXPECT_EQ(Read("a").markers().size(), 2u);
}

TEST_F(MarkerTest, APausedOneIsMarkedWhereItStands) {
  Start("a");
  bool paused = false;
  catalogue_->SetPaused("a", {}, true, [&](auto) { paused = true; });
  rig_.RunUntil([&] { return paused; });
  EXPECT_EQ(Mark("a", "x")->marker.media_us, 1'000'000);
}

TEST_F(MarkerTest, AnEndedOneIsMarkedByTheMomentAndCountsWhatCameLate) {
  Start("a");
  ASSERT_TRUE(Mark("a", "first", 0, "key").ok());
  Stop("a");

  EXPECT_EQ(FieldOf(Mark("a", "x").status()), "at_media_us");
  const Result late = Mark("a", "late", 1'500'000);
  ASSERT_TRUE(late.ok()) << late.status();
  EXPECT_EQ(late->marker.number, 2);
  // The key of its life before the end still stands.
  EXPECT_TRUE(Mark("a", "first", 0, "key")->attached);
  EXPECT_EQ(Read("a").markers().size(), 2u);
  EXPECT_EQ((*catalogue_->Find("a", {}))->late_markers, 1);
}

TEST_F(MarkerTest, WhatComesDuringTheEndIsKeptBehindIt) {
  Start("a");
  catalogue_->Stop("a", {}, false, [](auto) {});
  const Result marked = Mark("a", "x", 5);
  ASSERT_TRUE(marked.ok()) << marked.status();
  EXPECT_EQ((*catalogue_->Find("a", {}))->late_markers, 1);
  EXPECT_EQ(OnDisk("a").markers().size(), 1u);
}

TEST_F(MarkerTest, ATornTailIsCutBeforeTheNextMarker) {
  Start("a");
  ASSERT_TRUE(Mark("a", "one").ok());
  Stop("a");
  const std::string log = rig_.path() + "/state/recordings/a/events.ndjson";
  // Longer than what will be written over it.
  std::ofstream(log, std::ios::app) << std::string(2000, '{') << "\n";

  ASSERT_TRUE(Mark("a", "two", 0).ok());

  EXPECT_EQ(OnDisk("a").markers().size(), 2u);
  const UniqueFd file(::open(log.c_str(), O_RDONLY | O_CLOEXEC));
  EXPECT_FALSE(ReadAppendLog(file.get(), [](absl::string_view) {})->damaged);
}

TEST_F(MarkerTest, OnlyItsOwnerMarksWhatHasAPicture) {
  Start("a", "me");
  EXPECT_TRUE(absl::IsNotFound(Mark("a", "x").status()));
  EXPECT_TRUE(absl::IsNotFound(Mark("nobody", "x").status()));
  EXPECT_TRUE(Mark("a", "x", std::nullopt, "", Viewer{"me"}).ok());
  Start("wait-a");
  EXPECT_THAT(std::string(Mark("wait-a", "x").status().message()),
              HasSubstr("wait for `first_frame`"));
  Stop("wait-a");
  EXPECT_THAT(std::string(Mark("wait-a", "x", 0).status().message()),
              HasSubstr("no picture to mark"));
}

TEST_F(MarkerTest, CommandsAreChaptersOfTheirOwnersRecordingsThatRun) {
  Start("a", "me");
  Start("b", "me");
  Start("c", "other");
  CommandSpan start;
  start.process = "p";
  start.command = "make";
  const auto ids = catalogue_->AddCommand("me", "", start);
  EXPECT_THAT(ids, testing::UnorderedElementsAre("a", "b"));
  start.process = "q";
  EXPECT_THAT(catalogue_->AddCommand("me", "b", start),
              testing::ElementsAre("b"));
  CommandSpan end;
  end.process = "p";
  end.code = 2;
  end.outcome = "exit 2";
  catalogue_->EndCommand(ids, end);
  end.process = "nobody";
  catalogue_->EndCommand(ids, end);

  const Timeline b = Read("b", Viewer{"me"});
  ASSERT_EQ(b.commands().size(), 2u);
  EXPECT_EQ(b.commands()[0].code, 2);
  EXPECT_GE(b.commands()[0].end_media_us, b.commands()[0].media_us);
  EXPECT_FALSE(b.commands()[1].end_media_us.has_value());
  EXPECT_EQ(Read("a", Viewer{"me"}).commands().size(), 1u);
  Stop("a", "me");
  std::ifstream log(rig_.path() + "/state/recordings/a/events.ndjson");
  const std::string text((std::istreambuf_iterator<char>(log)), {});
  EXPECT_THAT(text, HasSubstr("exit 2"));
  EXPECT_THAT(text, testing::Not(HasSubstr("nobody")));
  EXPECT_TRUE(Read("c", Viewer{"other"}).commands().empty());
}

TEST_F(MarkerTest, ACommandNamesOnlyARecordingOfItsOwnerThatRuns) {
  Start("a");
  EXPECT_TRUE(catalogue_->CheckCommand("a", "").ok());
  const absl::Status foreign = catalogue_->CheckCommand("a", "stranger");
  EXPECT_EQ(ProblemOf(foreign).status, 404);
  EXPECT_EQ(ProblemOf(foreign).field, "recording_id");
  EXPECT_EQ(ProblemOf(catalogue_->CheckCommand("b", "")).status, 404);
  Stop("a");
  const absl::Status ended = catalogue_->CheckCommand("a", "");
  EXPECT_EQ(ProblemOf(ended).status, 409);
  EXPECT_EQ(ProblemOf(ended).field, "recording_id");
}

}  // namespace
}  // namespace kine
