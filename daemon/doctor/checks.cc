#include "daemon/doctor/checks.h"

#include <cerrno>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "daemon/base/limits.h"
#include "daemon/doctor/doctor_limits.h"

namespace kine {
namespace {

using Level = DoctorCheck::Level;

constexpr char kReinstall[] = "install all programs from one build";

DoctorCheck Daemon(const DoctorFacts& facts) {
  const DoctorFacts::Daemon& daemon = facts.daemon;
  if (absl::IsNotFound(daemon.reached) || absl::IsUnavailable(daemon.reached))
    return {"daemon", Level::kWarn,
            absl::StrCat("does not run: ", daemon.reached.message()),
            "start kinescoped in the session that it is to record"};
  if (absl::IsPermissionDenied(daemon.reached))
    return {"daemon", Level::kFail, std::string(daemon.reached.message()),
            "kinescoped --socket_group=GROUP or --allow_uids=UID, or the "
            "account that it runs as"};
  if (!daemon.reached.ok())
    return {"daemon", Level::kFail,
            absl::StrCat("does not answer as it should: ",
                         daemon.reached.message()),
            "look into its log; restart it"};
  if (daemon.version != facts.version)
    return {"daemon", Level::kFail,
            absl::StrCat("is version ", daemon.version, ", kinectl is ",
                         facts.version),
            absl::StrCat(kReinstall, " and restart kinescoped")};
  return {"daemon", Level::kOk,
          absl::StrCat(daemon.version, ", runs since ", daemon.started_at)};
}

DoctorCheck Programs(const DoctorFacts& facts) {
  if (!facts.daemon.recorder_error.empty())
    return {
        "programs", Level::kFail,
        absl::StrCat("the daemon's recorder: ", facts.daemon.recorder_error),
        kReinstall};
  if (!facts.recorder_error.empty())
    return {"programs", Level::kFail, facts.recorder_error,
            "make install, or run kinectl from where the others are"};
  if (!facts.decoder_error.empty())
    return {"programs", Level::kWarn,
            absl::StrCat("no decoder: ", facts.decoder_error),
            "build where libavcodec, libpng and libseccomp are; recordings do "
            "without"};
  return {"programs", Level::kOk, facts.recorder};
}

std::vector<std::string> Reasons(const DoctorFacts::Daemon& daemon) {
  std::vector<std::string> reasons;
  for (const auto& [name, reason] : daemon.refused)
    reasons.push_back(absl::StrCat(name, ": ", reason));
  return reasons;
}

DoctorCheck Encoders(const DoctorFacts::Daemon& daemon) {
  const std::string reasons = absl::StrJoin(Reasons(daemon), "; ");
  if (daemon.encoders.empty() && daemon.refused.empty())
    return {"encoders", Level::kWarn, "the daemon does not know them yet",
            "run this again in a few seconds"};
  if (daemon.encoders.empty())
    return {"encoders", Level::kFail, absl::StrCat("none: ", reasons),
            "a build with x264, or a GPU that encodes"};
  const std::string available = absl::StrJoin(daemon.encoders, ", ");
  if (daemon.refused.empty()) return {"encoders", Level::kOk, available};
  return {"encoders", Level::kWarn, absl::StrCat(available, "; not ", reasons),
          daemon.render_node.empty()
              ? "`auto` uses what there is; see the render nodes below"
              : absl::StrCat(
                    "kinescoped runs with --render_node=", daemon.render_node,
                    ": another, or without the flag")};
}

DoctorCheck OneNode(const DoctorFacts::Node& node) {
  const std::string what = absl::StrCat(
      node.path, node.kernel_driver.empty() ? "" : ", ", node.kernel_driver);
  if (node.error == 0) return {"render node", Level::kOk, what};
  DoctorCheck check{
      "render node", Level::kWarn,
      absl::StrFormat("%s cannot be opened: %s (group %s, mode "
                      "%04o)",
                      what, std::strerror(node.error), node.group, node.mode)};
  if (node.error != EACCES && node.error != EPERM) return check;
  check.remedy =
      (node.mode & 060) == 060
          ? absl::StrFormat(
                "usermod -aG '%s' USER and log in anew; in a unit "
                "SupplementaryGroups=%s; in a container --group-add",
                node.group, node.group)
          : "its mode gives the group nothing: a udev rule, or the container's "
            "device rules";
  return check;
}

void Nodes(const DoctorFacts& facts, std::vector<DoctorCheck>& checks) {
  for (const DoctorFacts::Node& node : facts.nodes)
    checks.push_back(OneNode(node));
  if (facts.nodes.empty())
    checks.push_back(
        {"render node", Level::kWarn,
         "there is none in /dev/dri: encoding is in software",
         "none is needed; in a container, pass /dev/dri on to use a GPU"});
}

DoctorCheck RuntimeDir(const DoctorFacts& facts) {
  if (facts.runtime_dir.empty())
    return {"runtime dir", Level::kWarn, "XDG_RUNTIME_DIR is not set",
            "log in through PAM, or set it to the session's /run/user/UID"};
  if (facts.runtime_dir_error != 0)
    return {"runtime dir", Level::kFail,
            absl::StrCat(facts.runtime_dir, ": ",
                         std::strerror(facts.runtime_dir_error)),
            "set XDG_RUNTIME_DIR to a directory of this user's"};
  return {"runtime dir", Level::kOk, facts.runtime_dir};
}

DoctorCheck PipeWire(const DoctorFacts& facts) {
  if (facts.pipewire_error.empty())
    return {"pipewire", Level::kOk, facts.pipewire_socket};
  return {"pipewire", Level::kWarn,
          absl::StrCat("not reachable: ", facts.pipewire_error),
          "start PipeWire, or run this in the session that has one; without "
          "it only the source `test` can be recorded"};
}

DoctorCheck FileIo(const DoctorFacts& facts) {
  const bool asked = facts.daemon.reached.ok();
  const std::string& chosen = asked ? facts.daemon.file_io : facts.file_io;
  const std::string& reason =
      asked ? facts.daemon.file_io_reason : facts.file_io_reason;
  if (chosen.empty())
    return {"file io", Level::kWarn, "not known without a recorder", ""};
  // The thread's results are the same.
  return {"file io", Level::kOk, absl::StrCat(chosen, ": ", reason)};
}

DoctorCheck CommandGroups(const DoctorFacts::Daemon& daemon) {
  constexpr char kDelegate[] =
      "Delegate=yes in kinescoped's unit, or start it with systemd-run --user "
      "--scope -p Delegate=yes";
  if (!daemon.cgroups_usable)
    return {"cgroups", Level::kWarn,
            absl::StrCat("none for commands: ", daemon.cgroups_reason),
            absl::StrCat(kDelegate,
                         "; without, a command's tree is found by /proc, and "
                         "its `limits` are refused")};
  const std::string summary =
      absl::StrCat(daemon.cgroups_reason, ", limits of: ",
                   daemon.cgroup_controllers.empty()
                       ? "nothing"
                       : absl::StrJoin(daemon.cgroup_controllers, ", "));
  if (daemon.cgroup_start == "moved")
    return {"cgroups", Level::kWarn,
            absl::StrCat(summary,
                         "; commands are moved there, which takes "
                         "some 20 ms a start"),
            "Linux 5.7 on x86-64, and a seccomp filter that lets clone3 pass"};
  if (daemon.cgroup_controllers_reason.empty())
    return {"cgroups", Level::kOk, summary};
  return {"cgroups", Level::kWarn,
          absl::StrCat(summary, "; not ", daemon.cgroup_controllers_reason),
          "the service manager, or the container's host, has to pass the "
          "controllers on"};
}

std::string Mebibytes(uint64_t bytes) {
  return absl::StrFormat("%d MiB", bytes >> 20);
}

DoctorCheck StateDir(const DoctorFacts& facts) {
  if (!facts.state_free_bytes.has_value())
    return {"state dir", Level::kWarn,
            absl::StrCat("cannot be looked at: ", facts.state_dir_error),
            "run this as the user that kinescoped runs as"};
  const uint64_t free = *facts.state_free_bytes;
  const std::string summary =
      absl::StrCat(facts.state_dir, ", ", Mebibytes(free), " free");
  if (free < limits::kFreeSpaceFloorBytes)
    return {"state dir", Level::kFail, summary,
            absl::StrCat("no recording starts below ",
                         Mebibytes(limits::kFreeSpaceFloorBytes),
                         ": delete recordings, or --state_dir elsewhere")};
  if (free < limits::kFreeSpaceWarnBytes)
    return {"state dir", Level::kWarn, summary,
            "delete recordings (kinectl list, kinectl rm)"};
  return {"state dir", Level::kOk, summary};
}

DoctorCheck Strangers(
    const std::vector<std::pair<std::string, std::string>>& strangers) {
  return {"strangers", Level::kWarn,
          absl::StrCat(strangers.size(),
                       " in the state directory are no "
                       "recordings: ",
                       absl::StrJoin(strangers, ", ",
                                     [](std::string* out, const auto& one) {
                                       absl::StrAppend(out, one.first, " (",
                                                       one.second, ")");
                                     })),
          "move them away; kinescoped never touches them"};
}

}  // namespace

const char* NameOf(Level level) {
  switch (level) {
    case Level::kOk:
      return "ok";
    case Level::kWarn:
      return "warn";
    case Level::kFail:
      break;
  }
  return "fail";
}

std::vector<DoctorCheck> CheckFacts(const DoctorFacts& facts) {
  std::vector<DoctorCheck> checks = {Daemon(facts), Programs(facts)};
  const bool has_daemon = facts.daemon.reached.ok();
  if (has_daemon && facts.daemon.recorder_error.empty())
    checks.push_back(Encoders(facts.daemon));
  Nodes(facts, checks);
  checks.push_back(RuntimeDir(facts));
  checks.push_back(PipeWire(facts));
  checks.push_back(FileIo(facts));
  checks.push_back(StateDir(facts));
  // They are the daemon's own: another process is told nothing by its place.
  if (has_daemon) checks.push_back(CommandGroups(facts.daemon));
  if (!facts.daemon.strangers.empty())
    checks.push_back(Strangers(facts.daemon.strangers));
  return checks;
}

}  // namespace kine
