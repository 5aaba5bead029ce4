// RecordingState: the part of the daemon's state reply that kinectl acts on
// and shows.
//
// A value; any thread. Members that the daemon did not send keep their
// defaults: replies may grow and shrink within /v1.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace kine {
class JsonObject;
}

namespace kinectl {

struct RecordingState {
  std::string id;
  std::string state;
  std::string reason;
  std::string message;
  bool attached = false;
  bool needs_consent = false;
  bool truncated = false;
  uint64_t captured = 0;
  uint64_t encoded = 0;
  uint64_t lost = 0;  // For any cause.
  uint64_t bytes = 0;
  int64_t media_us = 0;
  std::string source;  // "pipewire 'name' 1280x720"
  std::string encoder;
  // What a frame waited for, and how long: its way here, the encoder, the write
  // of its fragment, all of it until it was on the disk.
  struct Latency {
    int64_t p50_us = 0;
    int64_t p99_us = 0;
  };
  Latency capture, encode, write, total;
  // How the file was finished: "front", "tail"; "" before.
  std::string index;
  int64_t finalise_us = 0;
  // Of one that a crash ended: microseconds, and side files.
  std::optional<int64_t> lost_us;
  std::vector<std::string> damaged;

  // Nothing changes any more.
  bool ended() const;
  // There is a file to fetch.
  bool has_file() const { return state == "ready" || state == "interrupted"; }
};

absl::StatusOr<RecordingState> ParseState(absl::string_view json);
// The same of an object that is being read.
RecordingState BindState(kine::JsonObject& object);

// "recording 0:05.0  150 frames, 0 lost, 1.2 MiB"
std::string StateLine(const RecordingState& state);
// The daemon's state reply with where its file went.
std::string WithOutput(std::string json, const std::string& output);
// Several lines.
std::string StateText(const RecordingState& state);

}  // namespace kinectl
