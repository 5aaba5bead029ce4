#include "daemon/recorder/recording_state.h"

namespace kine {

std::optional<RecordingState> Next(RecordingState state, RecordingEvent event) {
  using S = RecordingState;
  using E = RecordingEvent;
  switch (state) {
    case S::kWaitingForFirstFrame:
      if (event == E::kFirstPacket) return S::kRecording;
      if (event == E::kEnd) return S::kDraining;
      break;
    case S::kRecording:
      if (event == E::kEnd) return S::kDraining;
      break;
    case S::kDraining:
      if (event == E::kFirstPacket || event == E::kEnd) return S::kDraining;
      if (event == E::kDrained) return S::kFinalising;
      break;
    case S::kFinalising:
      if (event == E::kEnd) return S::kFinalising;
      if (event == E::kFinished) return S::kDone;
      break;
    case S::kDone:
      if (event == E::kEnd) return S::kDone;
      break;
  }
  return std::nullopt;
}

const char* Name(RecordingState state) {
  switch (state) {
    case RecordingState::kWaitingForFirstFrame:
      return "waiting_for_first_frame";
    case RecordingState::kRecording:
      return "recording";
    case RecordingState::kDraining:
      return "draining";
    case RecordingState::kFinalising:
      return "finalising";
    case RecordingState::kDone:
      return "done";
  }
  return "?";
}

const char* Name(RecordingEvent event) {
  switch (event) {
    case RecordingEvent::kFirstPacket:
      return "first packet";
    case RecordingEvent::kEnd:
      return "end";
    case RecordingEvent::kDrained:
      return "drained";
    case RecordingEvent::kFinished:
      return "finished";
  }
  return "?";
}

}  // namespace kine
