// Which encoder a choice gives, over candidates that are fakes.
#include "encode/create_encoder.h"

#include <gtest/gtest.h>

#include "daemon/base/limits.h"
#include "encode/encoder_ladder.h"
#include "tests/fakes/fake_encoder.h"

namespace kine {
namespace {

FakeEncoderLog log;

using Created = absl::StatusOr<std::unique_ptr<Encoder>>;

Created Works(const EncoderConfig&) {
  return std::make_unique<FakeEncoder>(log);
}
Created NoDevice(const EncoderConfig&) {
  return absl::UnavailableError("no render node");
}
Created Missing(const EncoderConfig&) {
  return absl::UnimplementedError("not compiled in");
}
Created BadConfig(const EncoderConfig&) {
  return absl::InvalidArgumentError("quality 101 of 100");
}

TEST(CreateFirstTest, AutoTakesHardwareWhereItWorks) {
  const EncoderCandidate candidates[] = {
      {"gpu", EncoderChoice::kVaapi, &Works},
      {"cpu", EncoderChoice::kSoftware, &Works}};
  const auto created = CreateFirst(candidates, EncoderChoice::kAuto, {});
  ASSERT_TRUE(created.ok()) << created.status();
  EXPECT_EQ(created->kind, EncoderChoice::kVaapi);
  EXPECT_TRUE(created->refusals.empty());
}

TEST(CreateFirstTest, AutoTakesSoftwareAndKeepsTheReason) {
  const EncoderCandidate candidates[] = {
      {"gpu", EncoderChoice::kVaapi, &NoDevice},
      {"cpu", EncoderChoice::kSoftware, &Works}};
  const auto created = CreateFirst(candidates, EncoderChoice::kAuto, {});
  ASSERT_TRUE(created.ok()) << created.status();
  EXPECT_EQ(created->kind, EncoderChoice::kSoftware);
  ASSERT_EQ(created->refusals.size(), 1u);
  EXPECT_EQ(created->refusals[0].name, "gpu");
  EXPECT_EQ(created->refusals[0].reason, "no render node");
}

TEST(CreateFirstTest, AnExplicitChoiceIsThatOrNothing) {
  const EncoderCandidate candidates[] = {
      {"gpu", EncoderChoice::kVaapi, &NoDevice},
      {"cpu", EncoderChoice::kSoftware, &Works}};
  EXPECT_EQ(
      CreateFirst(candidates, EncoderChoice::kVaapi, {}).status().message(),
      "no encoder: gpu: no render node");
  const auto software = CreateFirst(candidates, EncoderChoice::kSoftware, {});
  ASSERT_TRUE(software.ok());
  EXPECT_TRUE(software->refusals.empty()) << "nobody asked the GPU";
}

TEST(CreateFirstTest, WithoutSoftwareHardwareIsEnough) {
  const EncoderCandidate candidates[] = {
      {"gpu", EncoderChoice::kVaapi, &Works},
      {"cpu", EncoderChoice::kSoftware, &Missing}};
  EXPECT_TRUE(CreateFirst(candidates, EncoderChoice::kAuto, {}).ok());
  const EncoderCandidate none[] = {{"gpu", EncoderChoice::kVaapi, &NoDevice},
                                   {"cpu", EncoderChoice::kSoftware, &Missing}};
  EXPECT_EQ(CreateFirst(none, EncoderChoice::kAuto, {}).status().message(),
            "no encoder: gpu: no render node; cpu: not compiled in");
}

TEST(CreateFirstTest, ABadConfigurationIsNoReasonForAnother) {
  const EncoderCandidate candidates[] = {
      {"gpu", EncoderChoice::kVaapi, &BadConfig},
      {"cpu", EncoderChoice::kSoftware, &Works}};
  EXPECT_EQ(CreateFirst(candidates, EncoderChoice::kAuto, {}).status().code(),
            absl::StatusCode::kInvalidArgument);
}

MonoTime At(int64_t ms) { return MonoTime::FromNanos(ms * 1'000'000); }
using Step = EncoderLadder::Step;

TEST(EncoderLadderTest, GoesDownStepByStep) {
  EncoderLadder ladder(EncoderChoice::kAuto);
  ladder.Made(EncoderChoice::kVaapi);
  ladder.Worked();
  EXPECT_EQ(ladder.Failed(At(1)), Step::kKeyframe);
  EXPECT_EQ(ladder.Failed(At(2)), Step::kRebuild);
  EXPECT_EQ(ladder.choice(), EncoderChoice::kAuto);
  ladder.Made(EncoderChoice::kVaapi);
  EXPECT_EQ(ladder.Failed(At(3)), Step::kSoftware);
  EXPECT_EQ(ladder.choice(), EncoderChoice::kSoftware);
  ladder.Made(EncoderChoice::kSoftware);
  EXPECT_EQ(ladder.Failed(At(4)), Step::kKeyframe);
  EXPECT_EQ(ladder.Failed(At(5)), Step::kRebuild);
  ladder.Made(EncoderChoice::kSoftware);
  EXPECT_EQ(ladder.Failed(At(6)), Step::kGiveUp);
}

TEST(EncoderLadderTest, VaapiAloneHasNoSoftwareBelowIt) {
  EncoderLadder ladder(EncoderChoice::kVaapi);
  ladder.Made(EncoderChoice::kVaapi);
  EXPECT_EQ(ladder.Failed(At(1)), Step::kKeyframe);
  EXPECT_EQ(ladder.Failed(At(2)), Step::kRebuild);
  ladder.Made(EncoderChoice::kVaapi);
  EXPECT_EQ(ladder.Failed(At(3)), Step::kGiveUp);
}

// Fails for good once every `period`, each time working after a rebuild.
Step RebuiltEvery(EncoderLadder& ladder, int64_t period, int times) {
  Step step = Step::kKeyframe;
  for (int i = 0; i < times && step != Step::kSoftware; ++i) {
    ladder.Worked();
    EXPECT_EQ(ladder.Failed(At(i * period)), Step::kKeyframe);
    step = ladder.Failed(At(i * period));
    ladder.Made(EncoderChoice::kVaapi);
  }
  return step;
}

TEST(EncoderLadderTest, TheFourthRebuildInAMinuteIsSoftwareInstead) {
  EncoderLadder ladder(EncoderChoice::kAuto);
  ladder.Made(EncoderChoice::kVaapi);
  EXPECT_EQ(RebuiltEvery(ladder, 15'000, 3), Step::kRebuild);
  ladder.Worked();
  EXPECT_EQ(ladder.Failed(At(59'000)), Step::kKeyframe);
  EXPECT_EQ(ladder.Failed(At(59'000)), Step::kSoftware);
}

TEST(EncoderLadderTest, RareRebuildsGoOnForever) {
  EncoderLadder ladder(EncoderChoice::kAuto);
  ladder.Made(EncoderChoice::kVaapi);
  EXPECT_EQ(RebuiltEvery(ladder, 20'000, 50), Step::kRebuild);
  EXPECT_EQ(ladder.choice(), EncoderChoice::kAuto);
}

TEST(EncoderLadderTest, KeyframesAreLimitedToo) {
  EncoderLadder ladder(EncoderChoice::kAuto);
  ladder.Made(EncoderChoice::kVaapi);
  for (int i = 0; i < limits::kEncoderRetriesMax; ++i) {
    ladder.Worked();
    EXPECT_EQ(ladder.Failed(At(i)), Step::kKeyframe);
  }
  ladder.Worked();
  EXPECT_EQ(ladder.Failed(At(20)), Step::kRebuild);
  ladder.Made(EncoderChoice::kVaapi);
  ladder.Worked();
  EXPECT_EQ(ladder.Failed(At(70'000)), Step::kKeyframe);
}

}  // namespace
}  // namespace kine
