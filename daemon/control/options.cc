#include "daemon/control/options.h"

#include <grp.h>
#include <unistd.h>

#include <cstdint>
#include <cstdlib>

#include "absl/flags/flag.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "daemon/base/limits.h"
#include "daemon/base/limits/replay.h"
#include "daemon/base/limits/timeline.h"
#include "daemon/base/log.h"
#include "daemon/base/status.h"
#include "daemon/control/artifact/screenshot_routes.h"
#include "daemon/programs/find_program.h"
#include "daemon/storage/state_dir.h"
#include "ipc/unix_socket.h"

ABSL_FLAG(std::string, socket, "",
          "path of the API's Unix socket; default "
          "$XDG_RUNTIME_DIR/kinescope/kinescope.sock, or "
          "/run/kinescope/kinescope.sock; a socket passed by the service "
          "manager wins");
ABSL_FLAG(std::string, socket_group, "",
          "group whose members may connect too (the socket is then 0660)");
ABSL_FLAG(std::vector<std::string>, allow_uids, {},
          "user ids that may connect, beside root and the daemon's own");
ABSL_FLAG(std::string, state_dir, "",
          "where recordings are kept; default $STATE_DIRECTORY, "
          "$XDG_STATE_HOME/kinescope or ~/.local/state/kinescope");
ABSL_FLAG(std::string, recorder, "",
          "path of kinescope-recorder; default: beside this program, or in "
          "../libexec/kinescope");
ABSL_FLAG(std::string, exec, "",
          "path of kinescope-exec; default: beside this program, or in "
          "../libexec/kinescope");
ABSL_FLAG(std::string, orphans, "keep",
          "commands that an earlier daemon left running: keep (they are listed "
          "as orphans) or kill");
ABSL_FLAG(bool, owner_optional, false,
          "a request without Kinescope-Owner sees the recordings and commands "
          "of all");
ABSL_FLAG(std::string, file_io, "auto",
          "how video is written: auto, uring or thread");
ABSL_FLAG(std::string, encoder, "auto",
          "what encodes recordings that do not say: auto (hardware where it "
          "works, else software), vaapi or software");
ABSL_FLAG(std::string, render_node, "",
          "the GPU's device that encodes, such as /dev/dri/renderD129, and no "
          "other; default: KINESCOPE_RENDER_NODE, else the first that works");
ABSL_FLAG(int, recordings_max, kine::limits::kRecordingsMax,
          "recordings that may run at once");
ABSL_FLAG(std::string, desktop_source, "auto",
          "what /api/v0/desktop records: a source's name, or {\"pipewire\":"
          "{\"name\":\"...\"}} and the like");
ABSL_FLAG(int, recordings_per_owner_max, kine::limits::kRecordingsPerOwnerMax,
          "recordings of one owner that may run at once");

ABSL_FLAG(int64_t, replay_seconds, 0,
          "seconds of the desktop that are kept in memory, so that they can "
          "become a recording afterwards; 0: none");
ABSL_FLAG(std::string, replay_source, "auto",
          "what they are kept of: a source's name, or {\"pipewire\":"
          "{\"name\":\"...\"}} and the like");
ABSL_FLAG(uint64_t, replay_bytes, kine::limits::kReplayBytesDefault,
          "memory for them; when it is full fewer seconds are kept");
ABSL_FLAG(int64_t, keep_count, kine::limits::kKeepCountDefault,
          "finished recordings kept, the newest; 0: all");
ABSL_FLAG(uint64_t, keep_bytes, kine::limits::kKeepBytesDefault,
          "bytes of finished recordings kept; 0: all");
ABSL_FLAG(absl::Duration, keep_age,
          absl::Milliseconds(kine::limits::kKeepAgeDefaultMs),
          "how long finished recordings are kept; 0: for ever");

namespace kine {
namespace {

// Of a program that belongs to this one. `given`: the value of --`flag`.
absl::StatusOr<std::string> ProgramPath(const char* name, const char* flag,
                                        const std::string& given) {
  if (!given.empty()) {
    if (::access(given.c_str(), X_OK) == 0) return given;
    return ErrnoStatus(errno, absl::StrCat("--", flag, "=", Quoted(given)));
  }
  absl::StatusOr<std::string> path = FindProgram(name);
  if (path.ok()) return path;
  return absl::FailedPreconditionError(
      absl::StrCat(path.status().message(), "; give --", flag, "=PATH"));
}

absl::StatusOr<gid_t> GroupByName(const std::string& name) {
  const group* entry = ::getgrnam(name.c_str());
  if (entry == nullptr)
    return absl::InvalidArgumentError(absl::StrCat(
        "--socket_group=", Quoted(name), ": there is no such group"));
  return entry->gr_gid;
}

absl::StatusOr<RecordingSettings::Encoder> EncoderFlag(
    const std::string& name) {
  using Encoder = RecordingSettings::Encoder;
  if (name == "auto") return Encoder::kAuto;
  if (name == "vaapi") return Encoder::kVaapi;
  if (name == "software") return Encoder::kSoftware;
  return absl::InvalidArgumentError(absl::StrCat(
      "--encoder=", Quoted(name), " must be auto, vaapi or software"));
}

absl::StatusOr<int> InRange(const char* flag, int value, int max) {
  if (value >= 1 && value <= max) return value;
  return absl::InvalidArgumentError(
      absl::StrCat("--", flag, "=", value, " must be 1 to ", max));
}

absl::StatusOr<RetentionPolicy> RetentionFlags() {
  RetentionPolicy policy;
  policy.count = absl::GetFlag(FLAGS_keep_count);
  policy.bytes = absl::GetFlag(FLAGS_keep_bytes);
  policy.age = absl::GetFlag(FLAGS_keep_age);
  if (policy.count < 0)
    return absl::InvalidArgumentError(absl::StrCat(
        "--keep_count=", policy.count, " must be 0 (all) or more"));
  if (policy.age < absl::ZeroDuration())
    return absl::InvalidArgumentError(
        absl::StrCat("--keep_age=", absl::FormatDuration(policy.age),
                     " must be 0 (for ever) or more"));
  return policy;
}

absl::StatusOr<ReplayRing::Options> ReplayFlags() {
  const int64_t seconds = absl::GetFlag(FLAGS_replay_seconds);
  ReplayRing::Options options;
  options.keep_ms = seconds * 1000;
  options.bytes_max = absl::GetFlag(FLAGS_replay_bytes);
  if (seconds < 0 || seconds > limits::kReplaySecondsMax)
    return absl::InvalidArgumentError(absl::StrCat("--replay_seconds=", seconds,
                                                   " must be 0 (no replay) to ",
                                                   limits::kReplaySecondsMax));
  if (options.bytes_max < limits::kReplayBytesMin ||
      options.bytes_max > limits::kReplayBytesMax)
    return absl::InvalidArgumentError(
        absl::StrCat("--replay_bytes=", options.bytes_max, " must be ",
                     limits::kReplayBytesMin, " to ", limits::kReplayBytesMax));
  KINE_ASSIGN_OR_RETURN(
      options.source,
      ParseSourceText("--replay_source", absl::GetFlag(FLAGS_replay_source)));
  return options;
}

// An upper bound for the flags: what the daemon's threads and memory take.
constexpr int kRecordingsFlagMax = 256;

}  // namespace

absl::StatusOr<QueuePackets> QueuePacketsFromEnvironment() {
  QueuePackets packets{limits::kQueuePacketsDefault,
                       limits::kQueuePacketsDefault};
  for (const bool instant_only : {false, true}) {
    const char* name = instant_only ? "KINESCOPE_QUEUE_PACKETS_INSTANT"
                                    : "KINESCOPE_QUEUE_PACKETS";
    const char* text = std::getenv(name);
    if (text == nullptr) continue;
    int value = 0;
    if (!absl::SimpleAtoi(text, &value) || value < 1 ||
        value > limits::kQueuePacketsMax)
      return absl::InvalidArgumentError(
          absl::StrCat(name, "=", Quoted(text), " must be a number from 1 to ",
                       limits::kQueuePacketsMax));
    packets.instant = value;
    if (!instant_only) packets.other = value;
  }
  return packets;
}

absl::StatusOr<Options> ReadOptions() {
  Options options;
  options.socket_path = absl::GetFlag(FLAGS_socket);
  if (options.socket_path.empty()) options.socket_path = DefaultSocketPath();
  const std::string group_name = absl::GetFlag(FLAGS_socket_group);
  if (!group_name.empty()) {
    KINE_ASSIGN_OR_RETURN(options.socket_group, GroupByName(group_name));
    options.socket_mode = 0660;
  }
  for (const std::string& text : absl::GetFlag(FLAGS_allow_uids)) {
    uint32_t uid = 0;
    if (!absl::SimpleAtoi(text, &uid))
      return absl::InvalidArgumentError(absl::StrCat(
          "--allow_uids: ", Quoted(text), " is no number of a user"));
    options.allowed_uids.push_back(uid);
  }
  options.state_dir = absl::GetFlag(FLAGS_state_dir);
  if (options.state_dir.empty()) {
    KINE_ASSIGN_OR_RETURN(options.state_dir, DefaultStatePath());
  }
  KINE_ASSIGN_OR_RETURN(options.recorder_path,
                        ProgramPath("kinescope-recorder", "recorder",
                                    absl::GetFlag(FLAGS_recorder)));
  KINE_ASSIGN_OR_RETURN(
      options.exec_path,
      ProgramPath("kinescope-exec", "exec", absl::GetFlag(FLAGS_exec)));
  const std::string orphans = absl::GetFlag(FLAGS_orphans);
  if (orphans != "keep" && orphans != "kill")
    return absl::InvalidArgumentError(
        absl::StrCat("--orphans=", Quoted(orphans), " must be keep or kill"));
  options.kill_orphans = orphans == "kill";
  options.owner_optional = absl::GetFlag(FLAGS_owner_optional);
  KINE_ASSIGN_OR_RETURN(
      options.desktop_source,
      ParseSourceText("--desktop_source", absl::GetFlag(FLAGS_desktop_source)));
  KINE_ASSIGN_OR_RETURN(options.replay, ReplayFlags());
  absl::StatusOr<FileIoChoice> file_io =
      ParseFileIoChoice(absl::GetFlag(FLAGS_file_io));
  if (!file_io.ok()) return WithContext("--file_io", file_io.status());
  options.file_io = *file_io;
  KINE_ASSIGN_OR_RETURN(options.encoder,
                        EncoderFlag(absl::GetFlag(FLAGS_encoder)));
  options.render_node = absl::GetFlag(FLAGS_render_node);
  if (!options.render_node.empty() && options.render_node.front() != '/')
    return absl::InvalidArgumentError(
        absl::StrCat("--render_node=", Quoted(options.render_node),
                     " must be an absolute path, such as /dev/dri/renderD128"));
  KINE_ASSIGN_OR_RETURN(
      options.limits.recordings_max,
      InRange("recordings_max", absl::GetFlag(FLAGS_recordings_max),
              kRecordingsFlagMax));
  KINE_ASSIGN_OR_RETURN(options.limits.recordings_per_owner_max,
                        InRange("recordings_per_owner_max",
                                absl::GetFlag(FLAGS_recordings_per_owner_max),
                                kRecordingsFlagMax));
  KINE_ASSIGN_OR_RETURN(options.limits.retention, RetentionFlags());
  KINE_ASSIGN_OR_RETURN(options.queue_packets, QueuePacketsFromEnvironment());
  return options;
}

}  // namespace kine
