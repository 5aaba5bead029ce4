#include "daemon/recorder/recording_state.h"

#include <gtest/gtest.h>

#include <set>
#include <string>

namespace kine {
namespace {

using S = RecordingState;
using E = RecordingEvent;

constexpr S kStates[] = {S::kWaitingForFirstFrame, S::kRecording, S::kDraining,
                         S::kFinalising, S::kDone};
constexpr E kEvents[] = {E::kFirstPacket, E::kEnd, E::kDrained, E::kFinished};

TEST(RecordingStateTest, OnlyTheStepsOfTheDiagramExist) {
  for (const S state : kStates) {
    for (const E event : kEvents) {
      SCOPED_TRACE(std::string(Name(state)) + " + " + Name(event));
      std::optional<S> expected;
      if (event == E::kEnd)
        expected = state < S::kDraining ? S::kDraining : state;
      if (event == E::kFirstPacket && state == S::kWaitingForFirstFrame)
        expected = S::kRecording;
      if (event == E::kFirstPacket && state == S::kDraining)
        expected = S::kDraining;
      if (event == E::kDrained && state == S::kDraining)
        expected = S::kFinalising;
      if (event == E::kFinished && state == S::kFinalising) expected = S::kDone;

      EXPECT_EQ(Next(state, event), expected);
    }
  }
}

TEST(RecordingStateTest, NothingLeadsBack) {
  for (const S state : kStates) {
    for (const E event : kEvents) {
      EXPECT_GE(Next(state, event).value_or(state), state);
    }
  }
}

TEST(RecordingStateTest, EveryStateCanBeEndedAndReachesDone) {
  for (const S state : kStates) {
    SCOPED_TRACE(Name(state));
    std::optional<S> now = Next(state, E::kEnd);
    ASSERT_TRUE(now.has_value());
    if (*now == S::kDraining) now = Next(*now, E::kDrained);
    if (*now == S::kFinalising) now = Next(*now, E::kFinished);

    EXPECT_EQ(now, S::kDone);
  }
}

TEST(RecordingStateTest, NamesAreDistinct) {
  std::set<std::string> names;
  for (const S state : kStates) names.insert(Name(state));
  for (const E event : kEvents) names.insert(Name(event));

  EXPECT_EQ(names.size(), std::size(kStates) + std::size(kEvents));
}

}  // namespace
}  // namespace kine
