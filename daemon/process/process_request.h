// ProcessRequest: what a command is asked to be, the body of
// POST /v1/processes, checked. The compatibility mount makes one by hand.
//
// Values only; any thread. Errors are those of ipc/json_in.h.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "daemon/base/limits/output.h"
#include "daemon/base/limits/process.h"

namespace kine {

class JsonObject;

struct ProcessRequest {
  enum class EnvPreset { kNone, kNonInteractive };
  enum class Stdin { kNull, kPipe };
  enum class OnExit { kKillTree, kKeep };
  enum class OnFull { kDropMiddle, kBlock, kKill };
  struct Terminal {
    int cols = 80;
    int rows = 24;
    bool operator==(const Terminal&) const = default;
  };
  struct Stop {
    int signal = 15;
    int64_t grace_ms = limits::kProcessGraceMs;
    bool operator==(const Stop&) const = default;
  };
  struct Output {
    uint64_t head_bytes = limits::kOutputHeadBytes;
    uint64_t tail_bytes = limits::kOutputTailBytes;
    uint64_t spool_bytes = limits::kOutputSpoolBytes;
    OnFull on_full = OnFull::kDropMiddle;
    bool operator==(const Output&) const = default;
  };
  // Each of them needs a delegated cgroup with its controller.
  struct Limits {
    std::optional<uint64_t> memory_bytes;
    std::optional<int> pids;
    std::optional<int> cpu_percent;  // Of one CPU: 200 is two of them.
    bool any() const { return memory_bytes || pids || cpu_percent; }
    bool operator==(const Limits&) const = default;
  };
  struct Rlimit {
    int resource = 0;  // RLIMIT_...
    // In the unit of setrlimit(2); nullopt: no limit.
    std::optional<uint64_t> value;
    bool operator==(const Rlimit&) const = default;
  };
  // At most one of the two.
  struct Ready {
    std::optional<uint16_t> port;  // Somebody listens there, on loopback.
    std::string regex;             // A line of the output matches.
    bool any() const { return port.has_value() || !regex.empty(); }
    bool operator==(const Ready&) const = default;
  };

  std::string id;  // "" = the daemon chooses.
  // Exactly one of the two. `command` is run by `shell` -c.
  std::string command;
  std::vector<std::string> argv;
  std::string shell = "/bin/sh";
  std::string cwd;  // Absolute; "" = the user's home directory.
  std::map<std::string, std::string> env;
  EnvPreset env_preset = EnvPreset::kNone;
  std::optional<Terminal> pty;
  Stdin standard_input = Stdin::kNull;
  bool merge_stderr = false;  // Always so with a pty.
  std::optional<int64_t> deadline_ms;
  Stop stop;
  OnExit on_exit = OnExit::kKillTree;
  Output output;
  Limits limits;
  std::vector<Rlimit> rlimits;  // By rising resource, each once.
  std::optional<int> nice;
  std::optional<int> umask;
  std::optional<int> oom_score_adj;
  std::string user;  // Name or number; "" = the daemon's own.
  Ready ready;
  std::map<std::string, std::string> labels;
  std::string recording_id;     // "" = those of this owner that run.
  std::string expect_instance;  // "" = any.
  bool operator==(const ProcessRequest&) const = default;

  // One stream instead of two.
  bool merged() const { return merge_stderr || pty.has_value(); }
  // What people call it: the command, or the arguments with spaces between.
  std::string CommandText() const;
};

// Reads all members into `request`.
void BindProcessRequest(JsonObject& object, ProcessRequest& request);
absl::StatusOr<ProcessRequest> ParseProcessRequest(absl::string_view text);

// Canonical: equal requests give equal texts, with the defaults written out.
// `id` and `expect_instance` are not part of what is run and stay out when
// `for_digest`.
std::string ToJson(const ProcessRequest& request, bool for_digest = false);

// 32 hexadecimal digits of the canonical text: tells whether an id comes
// again with the same request. Not for secrets.
std::string DigestOf(const ProcessRequest& request);

// The number of "TERM", "SIGTERM" or "15"; the name "SIGTERM" of a number.
std::optional<int> SignalFromName(absl::string_view name);
std::string SignalName(int signal);

}  // namespace kine
