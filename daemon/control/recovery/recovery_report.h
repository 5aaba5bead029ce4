// RecoveryReport: what a crash left of one recording and what was made of it,
// kept in its manifest, told in its state and by the event recording.recovered.
//
// A value; control loop only.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "daemon/base/clock.h"
#include "ipc/json_in.h"
#include "ipc/json_out.h"

namespace kine {

// A file beside the video that was damaged: the video is as good without it.
struct SideFileDamage {
  std::string file;
  std::string what;  // For people: what is wrong, and what was done.
};

struct RecoveryReport {
  std::string found;   // The state that the crash came in.
  std::string reason;  // recorder_died, daemon_restarted.
  // What was kept.
  uint64_t frames = 0;
  uint64_t bytes = 0;
  int64_t durable_us = 0;   // The end of the last whole fragment.
  int64_t duration_us = 0;  // With the stillness that `alive` vouches for.
  // From there to the last sign of life: the recorder's death, or, where the
  // daemon died too, the last line of the event log.
  int64_t lost_us = 0;
  int64_t took_us = 0;  // From the beginning of the recovery.
  std::vector<SideFileDamage> damaged;
};

// The same while it is being made.
struct RecoveryUnderWay {
  RecoveryReport report;
  MonoTime begun;
  int64_t last_sign_us = 0;  // Of media time it is known to have lived.
  int tries = 0;
};

// As an object's member "recovery".
void WriteRecovery(JsonOut& out, const RecoveryReport& report);
// Its members, for an object that has others.
void WriteRecoveryMembers(JsonOut& out, const RecoveryReport& report);
// The members of such an object.
RecoveryReport BindRecovery(JsonObject& o);

}  // namespace kine
