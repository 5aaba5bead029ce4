// Retention: what goes, and what never does.
#include "daemon/control/artifact/retention.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "daemon/control/catalogue.h"
#include "daemon/control/record_store.h"
#include "tests/control/control_rig.h"

namespace kine {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

const absl::Time kNow = absl::FromUnixSeconds(1'000'000);

// One that ended so many hours ago.
RecordingRecord Ended(const std::string& id, int hours, uint64_t bytes = 10) {
  RecordingRecord record;
  record.id = id;
  record.state = RecordingState::kReady;
  record.finished_at = kNow - absl::Hours(hours);
  record.bytes = bytes;
  return record;
}

std::vector<std::string> Gone(const std::vector<RecordingRecord>& records,
                              const RetentionPolicy& policy) {
  std::vector<const RecordingRecord*> all;
  for (const RecordingRecord& record : records) all.push_back(&record);
  std::vector<std::string> out;
  for (const Expired& expired : FindExpired(all, policy, kNow))
    out.push_back(expired.id + " " + RetentionRuleName(expired.why));
  return out;
}

TEST(RetentionTest, TheOldestGoUntilEveryRuleHolds) {
  const std::vector<RecordingRecord> records = {
      Ended("new", 1), Ended("old", 40), Ended("middle", 20, 100)};
  EXPECT_THAT(Gone(records, {}), IsEmpty());
  EXPECT_THAT(Gone(records, {.count = 2}), ElementsAre("old count"));
  RecordingRecord pointed = Ended("pointed", 2);
  pointed.cursor.bytes = 90;
  EXPECT_THAT(Gone({Ended("old", 40), pointed}, {.bytes = 109}),
              ElementsAre("old bytes"));
  EXPECT_THAT(Gone({Ended("old", 40), pointed}, {.bytes = 110}), IsEmpty());
  EXPECT_THAT(Gone(records, {.bytes = 109}),
              ElementsAre("old bytes", "middle bytes"));
  EXPECT_THAT(Gone(records, {.bytes = 110}), ElementsAre("old bytes"));
  EXPECT_THAT(Gone(records, {.bytes = 1}),
              ElementsAre("old bytes", "middle bytes"));
  EXPECT_THAT(Gone(records, {.age = absl::Hours(20)}), ElementsAre("old age"));
  EXPECT_THAT(Gone(records, {.count = 2, .age = absl::Hours(19)}),
              ElementsAre("old count", "middle age"));
}

TEST(RetentionTest, ActiveAndPinnedOnesNeitherGoNorCount) {
  std::vector<RecordingRecord> records = {Ended("a", 30), Ended("b", 20),
                                          Ended("c", 10)};
  records[0].pinned = true;
  records[1].state = RecordingState::kFinalizing;
  EXPECT_THAT(Gone(records, {.count = 1, .bytes = 10}), IsEmpty());
  EXPECT_THAT(Gone(records, {.age = absl::Hours(1)}), ElementsAre("c age"));
}

class RetentionOfCatalogueTest : public testing::Test {
 protected:
  RetentionOfCatalogueTest() { Reopen(); }
  ~RetentionOfCatalogueTest() override { rig_.StopFileIo(); }
  void Reopen() {
    catalogue_.reset();
    events_.emplace(rig_.loop(), "instance");
    CatalogueLimits limits{4, 4};
    limits.retention.count = 1;
    catalogue_.emplace(rig_.context(), *events_, limits, "instance");
  }
  void Record(const std::string& id) {
    RecordingRequest request;
    request.id = id;
    request.settings.source = TestRequest{};
    bool started = false;
    catalogue_->Start(request, "", [&](auto, bool) { started = true; });
    rig_.RunUntil([&] { return started; });
  }
  void Stop(const std::string& id) {
    bool stopped = false;
    catalogue_->Stop(id, {}, true, [&](auto) { stopped = true; });
    rig_.RunUntil([&] { return stopped; });
  }
  absl::StatusOr<RecordingRecord> Pin(const std::string& id, bool pinned,
                                      const Viewer& viewer = {}) {
    std::optional<absl::StatusOr<RecordingRecord>> out;
    catalogue_->SetPinned(id, viewer, pinned, [&](auto record) {
      if (record.ok())
        out.emplace(**record);
      else
        out.emplace(record.status());
    });
    rig_.RunUntil([&] { return out.has_value(); });
    return *out;
  }
  bool Known(const std::string& id) { return catalogue_->Find(id, {}).ok(); }

  ControlRig rig_;
  std::optional<EventRing> events_;
  std::optional<Catalogue> catalogue_;
};

TEST_F(RetentionOfCatalogueTest, WhatHasNoFileIsNotPinned) {
  Record("unfinalisable-a");
  std::vector<Stranger> strangers;
  Reopen();  // As a crash leaves it.
  catalogue_->Adopt(LoadRecords(rig_.state_dir(), strangers));
  rig_.RunUntil([&] { return catalogue_->active() == 0; });
  const auto manifest = [&] {
    return LoadRecords(rig_.state_dir(), strangers).at(0).state;
  };
  EXPECT_TRUE(IsActive(manifest()));

  EXPECT_TRUE(
      absl::IsFailedPrecondition(Pin("unfinalisable-a", true).status()));

  // The next start still tries again.
  EXPECT_TRUE(IsActive(manifest()));
}

TEST_F(RetentionOfCatalogueTest,
       TheEndOfOneIsTheEndOfTheOldestButOfAPinnedOne) {
  Record("pinned");
  EXPECT_TRUE(Pin("pinned", true)->pinned);
  EXPECT_TRUE(absl::IsNotFound(Pin("pinned", true, {"stranger"}).status()));
  Stop("pinned");
  Record("a");
  Stop("a");
  Record("b");
  EXPECT_TRUE(Known("a"));  // The active one does not count.
  Stop("b");
  rig_.RunUntil([&] { return !Known("a"); });
  EXPECT_TRUE(Known("pinned"));
  EXPECT_TRUE(Known("b"));
  rig_.RunUntil([&] {
    return !std::filesystem::exists(rig_.path() + "/state/recordings/a");
  });
  // Counted when it is gone.
  const auto deleted = [&] { return catalogue_->totals().retention_deleted; };
  rig_.RunUntil([&] { return deleted()[0] > 0; });
  EXPECT_THAT(deleted(), ElementsAre(1, 0, 0));

  // The pin outlives the daemon; without it what is too much goes at the start.
  rig_.RunUntil([&] { return catalogue_->active() == 0; });
  Reopen();
  std::vector<Stranger> strangers;
  catalogue_->Adopt(LoadRecords(rig_.state_dir(), strangers));
  EXPECT_TRUE(Known("pinned"));
  EXPECT_FALSE(Pin("pinned", false)->pinned);
  Reopen();
  catalogue_->Adopt(LoadRecords(rig_.state_dir(), strangers));
  rig_.RunUntil([&] { return !Known("pinned"); });
  EXPECT_TRUE(Known("b"));
}

}  // namespace
}  // namespace kine
