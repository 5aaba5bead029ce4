// What the state directory holds for the catalogue, read at the start.
//
// Blocking; before the loop runs.
#pragma once

#include <string>
#include <vector>

#include "daemon/control/recording_record.h"
#include "daemon/storage/state_dir.h"

namespace kine {

// File in the state directory: the portal's token, good for one start.
inline constexpr char kRestoreTokenName[] = "restore_token";

// What is in the state directory and is no recording of ours: never touched.
struct Stranger {
  std::string name;
  std::string reason;  // For people: why, and what of a video is there.
};

// Reads every manifest below `state_dir`. A directory without a readable
// manifest, or with one of a newer format, is left alone, logged and named in
// `strangers`.
std::vector<RecordingRecord> LoadRecords(StateDir& state_dir,
                                         std::vector<Stranger>& strangers);

// The portal's token, or "".
std::string LoadRestoreToken(StateDir& state_dir);

}  // namespace kine
