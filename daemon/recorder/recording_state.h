// The life of one recording. Only these steps exist:
//
//   kWaitingForFirstFrame --first packet--> kRecording
//            |                                  |
//            +------------- end ----------------+
//                            v
//                        kDraining --drained--> kFinalising --finished--> kDone
//
// "End" is whatever ends it: a stop, a limit, a failure, the link. A second
// one while it ends already changes nothing, and neither does a first packet
// that was under way when the end came.
//
// kDone says that the outcome is known. It does not say that nothing can call
// back any more: that is Recording::Client::OnRetired.
#pragma once

#include <optional>

namespace kine {

enum class RecordingState {
  kWaitingForFirstFrame,
  kRecording,
  kDraining,    // The source and the encoder are asked for their last packets.
  kFinalising,  // Every packet is here; the file is being brought to its end.
  kDone,
};

enum class RecordingEvent {
  kFirstPacket,
  kEnd,
  kDrained,
  kFinished,
};

// The state after `event`, or nothing where the step does not exist. Pure.
std::optional<RecordingState> Next(RecordingState state, RecordingEvent event);

const char* Name(RecordingState state);
const char* Name(RecordingEvent event);

}  // namespace kine
