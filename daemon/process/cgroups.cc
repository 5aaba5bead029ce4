#include "daemon/process/cgroups.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "daemon/base/status.h"

namespace kine {
namespace {

constexpr uint32_t kCgroup2Magic = 0x63677270;
constexpr int kDirectoryFlags = O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW;

absl::StatusOr<std::string> ReadAt(int dir_fd, const char* name) {
  const UniqueFd fd(::openat(dir_fd, name, O_RDONLY | O_CLOEXEC));
  if (!fd.valid()) return ErrnoStatus(errno, name);
  std::string text;
  char buffer[4'096];
  ssize_t count;
  while ((count = ::read(fd.get(), buffer, sizeof buffer)) > 0)
    text.append(buffer, static_cast<size_t>(count));
  if (count < 0) return ErrnoStatus(errno, name);
  return text;
}

absl::Status WriteAt(int dir_fd, const char* name, const std::string& text) {
  const UniqueFd fd(::openat(dir_fd, name, O_WRONLY | O_CLOEXEC));
  if (!fd.valid() || ::write(fd.get(), text.data(), text.size()) < 0)
    return ErrnoStatus(errno, absl::StrCat(name, " = ", text));
  return absl::OkStatus();
}

// The number behind `key` in a flat-keyed file, or of a file with one number.
std::optional<uint64_t> NumberAt(int dir_fd, const char* name,
                                 absl::string_view key) {
  const absl::StatusOr<std::string> text = ReadAt(dir_fd, name);
  if (!text.ok()) return std::nullopt;
  for (absl::string_view line : absl::StrSplit(*text, '\n')) {
    uint64_t value = 0;
    if (!key.empty() && !absl::ConsumePrefix(&line, absl::StrCat(key, " ")))
      continue;
    if (absl::SimpleAtoi(line, &value)) return value;
  }
  return std::nullopt;
}

// Where version 2 is mounted, in hybrid and plain layouts; the whole hierarchy
// or, in a container, a part: `root` is what the mount shows of it.
struct Mount {
  std::string root;
  std::string where;
};
std::optional<Mount> FindMount(absl::string_view mountinfo) {
  for (const absl::string_view line : absl::StrSplit(mountinfo, '\n')) {
    const std::vector<absl::string_view> fields = absl::StrSplit(line, ' ');
    const auto dash = std::find(fields.begin(), fields.end(), "-");
    if (fields.size() < 7 || fields.end() - dash < 2 ||
        *(dash + 1) != "cgroup2")
      continue;
    return Mount{std::string(fields[3]), std::string(fields[4])};
  }
  return std::nullopt;
}

// "" when there is no version 2 in it.
std::string OwnPath(absl::string_view self) {
  for (absl::string_view line : absl::StrSplit(self, '\n'))
    if (absl::ConsumePrefix(&line, "0::")) return std::string(line);
  return "";
}

// Making cgroups where the service manager did not delegate is a quarrel with
// it that it wins.
bool Delegated(int fd) {
  char value[8];
  for (const char* name : {"trusted.delegate", "user.delegate"})
    if (::fgetxattr(fd, name, value, sizeof value) >= 1 && value[0] == '1')
      return true;
  return ::access("/run/systemd/system", F_OK) != 0;
}

std::string ReadFile(const char* path) {
  const absl::StatusOr<std::string> text = ReadAt(AT_FDCWD, path);
  return text.ok() ? *text : "";
}

}  // namespace

absl::StatusOr<UniqueFd> CgroupLeaf::OpenDirectory() const {
  UniqueFd fd(::fcntl(directory_.get(), F_DUPFD_CLOEXEC, 0));
  if (!fd.valid()) return ErrnoStatus(errno, "dup");
  return fd;
}

absl::StatusOr<UniqueFd> CgroupLeaf::OpenProcs() const {
  UniqueFd fd(::openat(directory_.get(), "cgroup.procs", O_WRONLY | O_CLOEXEC));
  if (!fd.valid()) return ErrnoStatus(errno, "cgroup.procs");
  return fd;
}

absl::Status CgroupLeaf::Kill() const {
  absl::Status status = WriteAt(directory_.get(), "cgroup.kill", "1");
  if (ErrnoOf(status) == ENOENT)
    return absl::UnimplementedError("cgroup.kill needs Linux 5.14");
  return status;
}

std::vector<pid_t> CgroupLeaf::Pids() const {
  std::vector<pid_t> pids;
  const absl::StatusOr<std::string> text =
      ReadAt(directory_.get(), "cgroup.procs");
  if (!text.ok()) return pids;
  for (const absl::string_view line : absl::StrSplit(*text, '\n')) {
    pid_t pid = 0;
    if (absl::SimpleAtoi(line, &pid)) pids.push_back(pid);
  }
  return pids;
}

std::optional<bool> CgroupLeaf::Populated() const {
  const auto value = NumberAt(directory_.get(), "cgroup.events", "populated");
  if (!value.has_value()) return std::nullopt;
  return *value != 0;
}

UniqueFd CgroupLeaf::OpenEvents() const {
  return UniqueFd(
      ::openat(directory_.get(), "cgroup.events", O_RDONLY | O_CLOEXEC));
}

std::optional<uint64_t> CgroupLeaf::OomKills() const {
  return NumberAt(directory_.get(), "memory.events", "oom_kill");
}

std::optional<uint64_t> CgroupLeaf::MemoryPeak() const {
  return NumberAt(directory_.get(), "memory.peak", "");
}

Cgroups::~Cgroups() {
  if (root_.valid())
    (void)::unlinkat(parent_.get(), name_.c_str(), AT_REMOVEDIR);
}

Cgroups Cgroups::Find(int state_fd) {
  struct stat status {};
  // Fails for no open directory; then the name is only not its own.
  (void)::fstat(state_fd, &status);
  return FindIn(ReadFile("/proc/self/mountinfo"), ReadFile("/proc/self/cgroup"),
                absl::StrCat("kinescope-commands-", absl::Hex(status.st_dev),
                             "-", status.st_ino));
}

Cgroups Cgroups::FindIn(absl::string_view mountinfo, absl::string_view self,
                        std::string name) {
  Cgroups out;
  out.name_ = std::move(name);
  const std::optional<Mount> mount = FindMount(mountinfo);
  std::string own = OwnPath(self);
  if (!mount.has_value() || own.empty()) {
    out.reason_ = "cgroup version 2 is not mounted";
    return out;
  }
  // In /proc the path is seen from the hierarchy's root, at the mount from the
  // mount's.
  absl::string_view below = own;
  if (mount->root != "/") (void)absl::ConsumePrefix(&below, mount->root);
  const std::string path = absl::StrCat(mount->where, below);
  UniqueFd directory(::open(path.c_str(), kDirectoryFlags));
  struct statfs status {};
  if (!directory.valid() || ::fstatfs(directory.get(), &status) != 0 ||
      static_cast<uint32_t>(status.f_type) != kCgroup2Magic) {
    out.reason_ = absl::StrCat(path, " is not reachable");
    return out;
  }
  if (!Delegated(directory.get())) {
    out.reason_ = absl::StrCat(own, " is not delegated to this service; say ",
                               "Delegate=yes in its unit");
    return out;
  }
  // Processes may live in leaves only: this daemon steps into one of its own.
  const bool is_root = own == "/";
  if (own != "/") (void)absl::ConsumeSuffix(&below, "/");
  if (!is_root) {
    ::mkdirat(directory.get(), "kinescoped", 0755);
    const UniqueFd leaf(
        ::openat(directory.get(), "kinescoped", kDirectoryFlags));
    const absl::Status moved = leaf.valid()
                                   ? WriteAt(leaf.get(), "cgroup.procs", "0")
                                   : ErrnoStatus(errno, "mkdir");
    if (!moved.ok()) {
      out.reason_ = absl::StrCat(own, ": ", moved.message());
      return out;
    }
  }
  if (::mkdirat(directory.get(), out.name_.c_str(), 0755) != 0 &&
      errno != EEXIST) {
    out.reason_ = absl::StrCat(
        own, ": ",
        ErrnoStatus(errno, absl::StrCat("mkdir ", out.name_)).message());
    return out;
  }
  out.root_ =
      UniqueFd(::openat(directory.get(), out.name_.c_str(), kDirectoryFlags));
  if (!out.root_.valid()) {
    out.reason_ = std::string(ErrnoStatus(errno, own).message());
    return out;
  }
  out.path_ = absl::StrCat(is_root ? "" : own, "/", out.name_);
  out.reason_ = out.path_;
  std::vector<std::string> refused;
  for (const char* controller : {"memory", "pids", "cpu"}) {
    absl::Status status_of = WriteAt(directory.get(), "cgroup.subtree_control",
                                     absl::StrCat("+", controller));
    status_of.Update(WriteAt(out.root_.get(), "cgroup.subtree_control",
                             absl::StrCat("+", controller)));
    if (status_of.ok())
      out.controllers_.push_back(controller);
    else
      refused.push_back(
          ErrnoOf(status_of) == EINVAL || ErrnoOf(status_of) == ENOENT
              ? absl::StrCat(controller, ": not a controller here")
              : absl::StrCat(controller, ": ", status_of.message()));
  }
  out.controllers_reason_ = absl::StrJoin(refused, "; ");
  out.parent_ = std::move(directory);
  return out;
}

absl::Status Cgroups::Check(const ProcessRequest::Limits& limits) const {
  const auto need = [this](bool wanted, const char* field,
                           const char* controller) {
    if (!wanted || std::find(controllers_.begin(), controllers_.end(),
                             controller) != controllers_.end())
      return absl::OkStatus();
    return absl::UnimplementedError(
        absl::StrCat("limits.", field, " needs the cgroup controller ",
                     controller, ", which this daemon does not have: ",
                     usable() ? controllers_reason_ : reason_,
                     ". Leave the limit out, or use rlimits"));
  };
  KINE_RETURN_IF_ERROR(
      need(limits.memory_bytes.has_value(), "memory_bytes", "memory"));
  KINE_RETURN_IF_ERROR(need(limits.pids.has_value(), "pids", "pids"));
  return need(limits.cpu_percent.has_value(), "cpu_percent", "cpu");
}

absl::StatusOr<std::unique_ptr<CgroupLeaf>> Cgroups::Make(
    const std::string& name, const ProcessRequest::Limits& limits) {
  KINE_RETURN_IF_ERROR(Check(limits));
  if (::mkdirat(root_.get(), name.c_str(), 0755) != 0 && errno != EEXIST)
    return ErrnoStatus(errno, absl::StrCat("mkdir ", path_, "/", name));
  std::unique_ptr<CgroupLeaf> leaf = OpenLeaf(name, ++made_);
  if (leaf == nullptr)
    return ErrnoStatus(errno, absl::StrCat(path_, "/", name));
  newest_[name] = made_;
  const absl::Status limited = Limit(name, limits);
  if (!limited.ok()) {
    (void)Remove(*leaf);
    return limited;
  }
  return leaf;
}

absl::Status Cgroups::Limit(const std::string& name,
                            const ProcessRequest::Limits& limits) const {
  if (!limits.any()) return absl::OkStatus();
  const UniqueFd fd(::openat(root_.get(), name.c_str(), kDirectoryFlags));
  if (limits.memory_bytes) {
    KINE_RETURN_IF_ERROR(
        WriteAt(fd.get(), "memory.max", absl::StrCat(*limits.memory_bytes)));
    // Else it only swaps. Not on every kernel.
    (void)WriteAt(fd.get(), "memory.swap.max", "0");
  }
  if (limits.pids)
    KINE_RETURN_IF_ERROR(
        WriteAt(fd.get(), "pids.max", absl::StrCat(*limits.pids)));
  if (limits.cpu_percent)
    KINE_RETURN_IF_ERROR(
        WriteAt(fd.get(), "cpu.max",
                absl::StrCat(*limits.cpu_percent * 1'000, " 100000")));
  return absl::OkStatus();
}

std::unique_ptr<CgroupLeaf> Cgroups::Open(const std::string& name) const {
  return usable() ? OpenLeaf(name, 0) : nullptr;
}

std::unique_ptr<CgroupLeaf> Cgroups::OpenLeaf(const std::string& name,
                                              uint64_t made) const {
  UniqueFd fd(::openat(root_.get(), name.c_str(), kDirectoryFlags));
  if (!fd.valid()) return nullptr;
  return std::make_unique<CgroupLeaf>(absl::StrCat(path_, "/", name),
                                      std::move(fd), name, made);
}

absl::Status Cgroups::Remove(const CgroupLeaf& leaf) {
  const auto newest = newest_.find(leaf.name());
  if (newest != newest_.end() && newest->second != leaf.made())
    return absl::OkStatus();
  if (::unlinkat(root_.get(), leaf.name().c_str(), AT_REMOVEDIR) != 0 &&
      errno != ENOENT)
    return ErrnoStatus(errno, absl::StrCat("rmdir ", leaf.path()));
  if (newest != newest_.end()) newest_.erase(newest);
  return absl::OkStatus();
}

}  // namespace kine
