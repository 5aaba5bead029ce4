#include "daemon/doctor/facts.h"

#include <fcntl.h>
#include <glob.h>
#include <grp.h>
#include <pwd.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <fstream>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "daemon/base/fd.h"
#include "daemon/base/limits.h"
#include "daemon/base/status.h"
#include "daemon/doctor/doctor_limits.h"
#include "daemon/programs/find_program.h"
#include "daemon/storage/free_space.h"
#include "daemon/storage/state_dir.h"
#include "daemon/storage/uring_probe.h"
#include "ipc/json_in.h"
#include "ipc/unix_socket.h"

namespace kine {
namespace {

constexpr JsonTextRule kText = {.max = 16'384, .charset = JsonTextRule::kAny};
constexpr size_t kListMax = 4'096;

std::string Variable(const char* name) {
  const char* const value = std::getenv(name);
  return value == nullptr ? "" : value;
}

std::string Distribution() {
  std::ifstream file("/etc/os-release");
  for (std::string line; std::getline(file, line);) {
    absl::string_view text = line;
    if (!absl::ConsumePrefix(&text, "PRETTY_NAME=")) continue;
    absl::ConsumePrefix(&text, "\"");
    absl::ConsumeSuffix(&text, "\"");
    return std::string(text);
  }
  return "unknown distribution";
}

std::string User() {
  const passwd* const entry = ::getpwuid(::geteuid());
  return entry == nullptr ? absl::StrCat("uid ", ::geteuid())
                          : std::string(entry->pw_name);
}

std::string GroupName(gid_t gid) {
  const group* const entry = ::getgrgid(gid);
  return entry == nullptr ? absl::StrCat("gid ", gid)
                          : std::string(entry->gr_name);
}

// "i915" of /sys/class/drm/renderD128/device/driver; "" when it has none.
std::string KernelDriver(const std::string& node) {
  char target[1024];
  const std::string link = absl::StrCat(
      "/sys/class/drm/", node.substr(node.rfind('/') + 1), "/device/driver");
  const ssize_t length = ::readlink(link.c_str(), target, sizeof target);
  if (length <= 0) return "";
  const std::string path(target, static_cast<size_t>(length));
  return path.substr(path.rfind('/') + 1);
}

DoctorFacts::Node LookAtNode(const std::string& path) {
  DoctorFacts::Node node;
  node.path = path;
  struct stat info {};
  if (::stat(path.c_str(), &info) == 0) {
    node.group = GroupName(info.st_gid);
    node.mode = info.st_mode & 07777;
  }
  const UniqueFd fd(::open(path.c_str(), O_RDWR | O_CLOEXEC));
  if (!fd.valid()) node.error = errno;
  node.kernel_driver = KernelDriver(path);
  return node;
}

// All, and `named`, which may lie elsewhere.
std::vector<DoctorFacts::Node> LookAtNodes(const std::string& named) {
  std::vector<DoctorFacts::Node> nodes;
  if (!named.empty() && !absl::StartsWith(named, "/dev/dri/renderD"))
    nodes.push_back(LookAtNode(named));
  glob_t found{};
  if (::glob("/dev/dri/renderD*", 0, nullptr, &found) == 0) {
    for (size_t i = 0; i < found.gl_pathc; ++i)
      nodes.push_back(LookAtNode(found.gl_pathv[i]));
  }
  ::globfree(&found);
  return nodes;
}

void LookAtPipeWire(DoctorFacts& facts) {
  // As libpipewire finds it.
  std::string directory = Variable("PIPEWIRE_RUNTIME_DIR");
  if (directory.empty()) directory = facts.runtime_dir;
  std::string name = Variable("PIPEWIRE_REMOTE");
  if (name.empty()) name = "pipewire-0";
  if (name.front() != '/' && directory.empty()) {
    facts.pipewire_error = "XDG_RUNTIME_DIR is not set";
    return;
  }
  facts.pipewire_socket =
      name.front() == '/' ? name : absl::StrCat(directory, "/", name);
  const auto connected = ConnectUnix(
      facts.pipewire_socket, absl::Milliseconds(limits::kDoctorConnectMs));
  if (!connected.ok())
    facts.pipewire_error = std::string(connected.status().message());
}

// Of the first of `path` and what it lies in that is there.
absl::StatusOr<uint64_t> FreeBytesBelow(std::string path) {
  while (true) {
    const UniqueFd fd(::open(path.c_str(), O_PATH | O_CLOEXEC));
    if (fd.valid()) return FreeBytes(fd.get());
    const int error = errno;
    const size_t slash = path.rfind('/');
    if (error != ENOENT || slash == std::string::npos || path == "/")
      return ErrnoStatus(error, path);
    path.resize(slash == 0 ? 1 : slash);
  }
}

void LookAtStateDir(DoctorFacts& facts) {
  facts.state_dir = facts.daemon.state_dir;
  if (facts.state_dir.empty()) {
    const auto path = DefaultStatePath();
    if (!path.ok()) {
      facts.state_dir_error = std::string(path.status().message());
      return;
    }
    facts.state_dir = *path;
  }
  const auto free = FreeBytesBelow(facts.state_dir);
  if (free.ok()) {
    facts.state_free_bytes = *free;
  } else {
    facts.state_dir_error = std::string(free.status().message());
  }
}

void LookAtPrograms(DoctorFacts& facts) {
  const auto recorder = FindProgram("kinescope-recorder");
  if (recorder.ok()) {
    facts.recorder = *recorder;
  } else {
    facts.recorder_error = std::string(recorder.status().message());
  }
  const auto decoder = FindProgram("kinescope-frames");
  if (!decoder.ok())
    facts.decoder_error = std::string(decoder.status().message());
}

}  // namespace

absl::Status BindInfo(absl::string_view json, DoctorFacts::Daemon& daemon) {
  return BindJson(
      json,
      {.bytes_max = limits::kClientBodyBytesMax,
       .unknown = JsonUnknown::kIgnore},
      [&](JsonObject& o) {
        o.Text("version", daemon.version, kText, JsonNeed::kRequired);
        o.Text("started_at", daemon.started_at, kText);
        o.Text("state_dir", daemon.state_dir, kText);
        o.List("strangers", kListMax, [&](JsonObject& item) {
          auto& [name, reason] = daemon.strangers.emplace_back();
          item.Text("name", name, kText, JsonNeed::kRequired);
          item.Text("reason", reason, kText, JsonNeed::kRequired);
        });
        o.Object("backends", [&](JsonObject& backends) {
          backends.Object("encode", [&](JsonObject& encode) {
            encode.Texts("available", daemon.encoders, kListMax, kText);
            encode.List("refused", kListMax, [&](JsonObject& item) {
              auto& [name, reason] = daemon.refused.emplace_back();
              item.Text("name", name, kText, JsonNeed::kRequired);
              item.Text("reason", reason, kText, JsonNeed::kRequired);
            });
            encode.Text("error", daemon.recorder_error, kText);
            encode.Text("render_node", daemon.render_node, kText);
          });
          backends.Object("file_io", [&](JsonObject& file_io) {
            file_io.Text("chosen", daemon.file_io, kText);
            file_io.Text("reason", daemon.file_io_reason, kText);
          });
          backends.Object("cgroups", [&](JsonObject& cgroups) {
            cgroups.Bool("usable", daemon.cgroups_usable);
            cgroups.Text("reason", daemon.cgroups_reason, kText);
            cgroups.Text("start", daemon.cgroup_start, kText);
            cgroups.Texts("controllers", daemon.cgroup_controllers, kListMax,
                          kText);
            cgroups.Text("controllers_reason", daemon.cgroup_controllers_reason,
                         kText);
          });
        });
      });
}

DoctorFacts GatherFacts(DoctorFacts::Daemon daemon) {
  DoctorFacts facts;
  facts.daemon = std::move(daemon);
  facts.version = KINESCOPE_VERSION;
  utsname kernel{};
  if (::uname(&kernel) == 0) {
    facts.kernel = absl::StrCat(kernel.sysname, " ", kernel.release);
    facts.machine = kernel.machine;
  }
  facts.distribution = Distribution();
  facts.cpus = static_cast<int>(::sysconf(_SC_NPROCESSORS_ONLN));
  facts.user = User();
  for (const char* const name :
       {"LIBVA_DRIVER_NAME", "LIBVA_DRIVERS_PATH", "XDG_RUNTIME_DIR",
        "XDG_STATE_HOME", "XDG_SESSION_TYPE", "XDG_CURRENT_DESKTOP",
        "KINESCOPE_RENDER_NODE"}) {
    if (std::string value = Variable(name); !value.empty())
      facts.environment.emplace_back(name, std::move(value));
  }
  LookAtPrograms(facts);
  facts.nodes = LookAtNodes(facts.daemon.render_node.empty()
                                ? Variable("KINESCOPE_RENDER_NODE")
                                : facts.daemon.render_node);
  facts.runtime_dir = Variable("XDG_RUNTIME_DIR");
  if (!facts.runtime_dir.empty() &&
      ::access(facts.runtime_dir.c_str(), R_OK | W_OK | X_OK) != 0)
    facts.runtime_dir_error = errno;
  LookAtPipeWire(facts);
  LookAtStateDir(facts);
  if (!facts.daemon.reached.ok() && !facts.recorder.empty()) {
    const UringProbe probe = RunUringProbe(facts.recorder);
    facts.file_io = probe.usable ? "uring" : "thread";
    facts.file_io_reason = probe.reason;
  }
  return facts;
}

}  // namespace kine
