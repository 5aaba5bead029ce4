// Copies a command's output to ours.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "tools/kinectl/process_state.h"
#include "tools/kinectl/session.h"

namespace kinectl {

// Follows from where it is until the end: its place survives lost connections
// and signals. Output goes to standard output and error as it is; with --json
// the daemon's lines go to standard output.
class OutputCopy {
 public:
  OutputCopy(Session& session, std::string id)
      : session_(session), id_(std::move(id)) {}

  // OK with the end in state(); CANCELLED: a signal came, call it again or not.
  // Bytes that are gone are told on standard error.
  absl::Status Follow();
  // What there is now, without waiting for more.
  absl::Status CopyAll();
  const ProcessState& state() const { return state_; }

 private:
  absl::Status OnLine(absl::string_view line);
  absl::Status Write(bool err, absl::string_view bytes);
  // One piece of `stream` ("" is the first); the next offset.
  absl::StatusOr<bool> CopyPiece(const char* stream);
  absl::Status FindOutStreams();

  Session& session_;
  const std::string id_;
  std::string stream_;  // "merged" or "both"; "" before it is known.
  uint64_t next_ = 0;
  uint64_t next_err_ = 0;
  bool ended_ = false;
  ProcessState state_;
};

}  // namespace kinectl
