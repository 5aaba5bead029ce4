#include "daemon/process/exec_plan.h"

#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cerrno>
#include <map>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "daemon/base/limits/process.h"
#include "daemon/base/log.h"
#include "daemon/base/status.h"
#include "daemon/exec/exec_plan.h"
#include "ipc/problem.h"

namespace kine {
namespace {

static_assert(limits::kExecPlanBytesMax == KINE_PLAN_BYTES_MAX);

constexpr char kDefaultPath[] =
    "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

// What belongs to this daemon or its service and to no command.
bool IsDaemons(absl::string_view name) {
  for (absl::string_view ours :
       {"NOTIFY_SOCKET", "LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES",
        "WATCHDOG_PID", "WATCHDOG_USEC", "INVOCATION_ID", "JOURNAL_STREAM",
        "CREDENTIALS_DIRECTORY", "STATE_DIRECTORY", "RUNTIME_DIRECTORY",
        "CONFIGURATION_DIRECTORY", "LOGS_DIRECTORY", "CACHE_DIRECTORY",
        "MAINPID", "MANAGERPID", "SYSTEMD_EXEC_PID", "MEMORY_PRESSURE_WATCH",
        "MEMORY_PRESSURE_WRITE"})
    if (name == ours) return true;
  return absl::StartsWith(name, "KINESCOPE_");
}

constexpr std::pair<const char*, const char*> kNonInteractive[] = {
    {"TERM", "dumb"},
    {"NO_COLOR", "1"},
    {"GIT_EDITOR", "true"},
    {"GIT_SEQUENCE_EDITOR", "true"},
    {"EDITOR", "true"},
    {"VISUAL", "true"},
    {"PAGER", "cat"},
    {"GIT_PAGER", "cat"},
    {"GIT_TERMINAL_PROMPT", "0"},
    {"DEBIAN_FRONTEND", "noninteractive"}};

struct User {
  std::string name = "root";
  std::string home = "/";
  std::string shell = "/bin/sh";
  uid_t uid = 0;
  gid_t gid = 0;
};

absl::StatusOr<User> FindUser(const std::string& wanted) {
  uid_t uid = ::geteuid();
  const bool by_number = wanted.empty() || absl::SimpleAtoi(wanted, &uid);
  passwd entry{};
  passwd* found = nullptr;
  std::vector<char> buffer(16'384);
  const int error =
      by_number
          ? ::getpwuid_r(uid, &entry, buffer.data(), buffer.size(), &found)
          : ::getpwnam_r(wanted.c_str(), &entry, buffer.data(), buffer.size(),
                         &found);
  if (found == nullptr) {
    // A container's user often has no entry.
    if (wanted.empty())
      return User{absl::StrCat(uid), "/", "/bin/sh", uid, ::getegid()};
    return WithProblem(
        FieldError("user", absl::StrCat("there is no user ", Quoted(wanted),
                                        error == 0 ? "" : " to be found now")),
        422, "user_not_found");
  }
  return User{entry.pw_name, entry.pw_dir, entry.pw_shell, entry.pw_uid,
              entry.pw_gid};
}

void Add(std::string& plan, char key, absl::string_view text) {
  absl::StrAppend(&plan, absl::string_view(&key, 1), text,
                  absl::string_view("\0", 1));
}

void AddUser(std::string& plan, const User& user) {
  int count = 64;
  std::vector<gid_t> groups(64);
  if (::getgrouplist(user.name.c_str(), user.gid, groups.data(), &count) < 0) {
    groups.resize(static_cast<size_t>(count));
    ::getgrouplist(user.name.c_str(), user.gid, groups.data(), &count);
  }
  groups.resize(static_cast<size_t>(count));
  std::string text = absl::StrCat(user.uid, " ", user.gid);
  for (const gid_t group : groups)
    if (group != user.gid) absl::StrAppend(&text, " ", group);
  Add(plan, KINE_PLAN_USER, text);
}

void AddRlimits(std::string& plan, const ExecPlanInput& input) {
  // The daemon raised its own; programs that loop over all descriptors, and
  // select(), want what everybody has. A request's own comes later and wins.
  Add(plan, KINE_PLAN_RLIMIT,
      absl::StrCat(RLIMIT_NOFILE, " ",
                   static_cast<int64_t>(input.original_nofile), " -2"));
  for (const ProcessRequest::Rlimit& limit : input.request.rlimits) {
    const int64_t value =
        limit.value.has_value() ? static_cast<int64_t>(*limit.value) : -1;
    Add(plan, KINE_PLAN_RLIMIT,
        absl::StrCat(limit.resource, " ", value, " ", value));
  }
}

absl::Status StartError(const char* code, absl::string_view text) {
  return WithProblem(absl::FailedPreconditionError(text), 422, code);
}

}  // namespace

std::vector<std::string> CommandEnvironment(const ExecPlanInput& input,
                                            const std::string& home,
                                            const std::string& user,
                                            const std::string& shell) {
  std::map<std::string, std::string> all{{"PATH", kDefaultPath},
                                         {"LANG", "C.UTF-8"}};
  for (char** variable = environ; *variable != nullptr; ++variable) {
    const absl::string_view text(*variable);
    const size_t equals = text.find('=');
    if (equals == 0 || equals == text.npos || IsDaemons(text.substr(0, equals)))
      continue;
    all[std::string(text.substr(0, equals))] =
        std::string(text.substr(equals + 1));
  }
  all["HOME"] = home;
  all["USER"] = user;
  all["LOGNAME"] = user;
  all["SHELL"] = shell;
  if (input.request.pty.has_value()) all["TERM"] = "xterm-256color";
  if (input.request.env_preset == ProcessRequest::EnvPreset::kNonInteractive)
    for (const auto& [name, value] : kNonInteractive) all[name] = value;
  for (const auto& [name, value] : input.request.env) all[name] = value;
  all[kProcessIdVariable] = input.id;
  all[kInstanceVariable] = input.instance;
  if (!input.owner.empty()) all["KINESCOPE_OWNER"] = input.owner;
  if (!input.socket_path.empty()) all["KINESCOPE_SOCKET"] = input.socket_path;
  std::vector<std::string> out;
  out.reserve(all.size());
  for (const auto& [name, value] : all)
    out.push_back(absl::StrCat(name, "=", value));
  return out;
}

absl::StatusOr<UniqueFd> MakeExecPlan(const ExecPlanInput& input) {
  const ProcessRequest& request = input.request;
  KINE_ASSIGN_OR_RETURN(const User user, FindUser(request.user));
  std::string plan(KINE_PLAN_MAGIC, sizeof KINE_PLAN_MAGIC);
  Add(plan, KINE_PLAN_DIRECTORY, request.cwd.empty() ? user.home : request.cwd);
  if (request.argv.empty()) {
    for (const std::string& text :
         {request.shell, std::string("-c"), request.command})
      Add(plan, KINE_PLAN_ARGUMENT, text);
  } else {
    for (const std::string& text : request.argv)
      Add(plan, KINE_PLAN_ARGUMENT, text);
  }
  for (const std::string& variable :
       CommandEnvironment(input, user.home, user.name, user.shell))
    Add(plan, KINE_PLAN_ENVIRONMENT, variable);
  if (!request.user.empty()) AddUser(plan, user);
  AddRlimits(plan, input);
  if (request.umask) Add(plan, KINE_PLAN_UMASK, absl::StrCat(*request.umask));
  if (request.nice) Add(plan, KINE_PLAN_NICE, absl::StrCat(*request.nice));
  if (request.oom_score_adj)
    Add(plan, KINE_PLAN_OOM_SCORE, absl::StrCat(*request.oom_score_adj));
  if (request.pty) Add(plan, KINE_PLAN_TERMINAL, "1");
  if (input.cgroup) Add(plan, KINE_PLAN_CGROUP, "1");
  Add(plan, KINE_PLAN_END, "");
  if (plan.size() > limits::kExecPlanBytesMax)
    return StartError(
        "arguments_too_long",
        absl::StrCat("command and environment take ", plan.size(),
                     " bytes together (at most ", limits::kExecPlanBytesMax,
                     "); the daemon's own environment counts"));
  UniqueFd fd(::memfd_create("kinescope-plan", MFD_CLOEXEC));
  if (!fd.valid()) return ErrnoStatus(errno, "memfd_create");
  if (::write(fd.get(), plan.data(), plan.size()) !=
      static_cast<ssize_t>(plan.size()))
    return ErrnoStatus(errno, "write of the plan");
  return fd;
}

absl::Status ExecError(int stage, int error, const ProcessRequest& request) {
  static constexpr const char* kStages[] = {
      "",     "plan",    "session", "terminal", "cgroup",      "oom_score_adj",
      "nice", "rlimits", "user",    "cwd",      "descriptors", "exec"};
  const std::string program =
      Quoted(request.argv.empty() ? request.shell : request.argv[0]);
  const std::string why =
      std::string(ErrnoStatus(error, "").message()).substr(2);
  const bool missing = error == ENOENT || error == ENOTDIR;
  const bool denied = error == EACCES || error == EPERM;
  if (stage == KINE_STAGE_DIRECTORY && missing)
    return StartError("workdir_not_found",
                      absl::StrCat("cwd ", Quoted(request.cwd), ": ", why,
                                   "; nothing was run"));
  if (stage == KINE_STAGE_DIRECTORY)
    return StartError(denied ? "permission_denied" : "start_failed",
                      absl::StrCat("cwd ", Quoted(request.cwd), ": ", why));
  if (stage == KINE_STAGE_EXEC) {
    if (missing)
      return StartError(
          "exec_not_found",
          absl::StrCat("there is no program ", program, " (or not the ",
                       "interpreter its first line names); nothing was run"));
    const char* code = denied             ? "permission_denied"
                       : error == ENOEXEC ? "exec_format"
                       : error == E2BIG   ? "arguments_too_long"
                                          : "start_failed";
    return StartError(code,
                      absl::StrCat("cannot execute ", program, ": ", why));
  }
  const char* name =
      stage > 0 && stage <= KINE_STAGE_EXEC ? kStages[stage] : "unknown";
  return StartError(denied ? "permission_denied" : "start_failed",
                    absl::StrCat("cannot set ", name, ": ", why));
}

}  // namespace kine
