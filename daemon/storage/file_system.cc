// CheckLocalFileSystem of directory.h.
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>

#include <array>
#include <cerrno>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "daemon/base/log.h"
#include "daemon/base/status.h"
#include "daemon/storage/directory.h"

namespace kine {
namespace {

struct SharedKind {
  uint32_t magic;
  const char* name;
};
// From linux/magic.h and the file systems that keep theirs to themselves.
constexpr SharedKind kShared[] = {
    {0x6969, "NFS"},        {0x517b, "SMB"},        {0xff534d42, "SMB"},
    {0xfe534d42, "SMB"},    {0x5346414f, "AFS"},    {0x6b414653, "AFS"},
    {0x00c36400, "Ceph"},   {0x73757245, "Coda"},   {0x7461636f, "OCFS2"},
    {0x01161970, "GFS2"},   {0x0bd00bd0, "Lustre"}, {0x47504653, "GPFS"},
    {0x19830326, "BeeGFS"},
};
constexpr uint32_t kFuseMagic = 0x65735546;
constexpr const char* kSharedFuse[] = {
    "sshfs",         "rclone",    "s3fs",      "glusterfs",
    "gcsfuse",       "goofys",    "davfs2",    "curlftpfs",
    "juicefs",       "cephfs",    "ceph-fuse", "mount-s3",
    "mountpoint-s3", "blobfuse2", "seaweedfs", "moosefs",
};

// The type of the file system mounted with the device number of `fd`, such as
// "fuse.sshfs"; empty when unknown.
std::string MountedTypeOf(int fd) {
  struct stat info;
  if (::fstat(fd, &info) != 0) return "";
  const std::string device =
      absl::StrCat(major(info.st_dev), ":", minor(info.st_dev));
  const UniqueFd mounts(::open("/proc/self/mountinfo", O_RDONLY | O_CLOEXEC));
  if (!mounts.valid()) return "";
  std::string text;
  std::array<char, 4096> chunk;
  // A file of /proc: read() until the end; its size is not known before.
  while (text.size() < (1u << 20)) {
    const ssize_t n = ::read(mounts.get(), chunk.data(), chunk.size());
    if (n <= 0) break;
    text.append(chunk.data(), static_cast<size_t>(n));
  }
  // id parent major:minor root mount options [optional]... - type source ...
  for (absl::string_view line : absl::StrSplit(text, '\n')) {
    const std::vector<absl::string_view> fields = absl::StrSplit(line, ' ');
    if (fields.size() < 10 || fields[2] != device) continue;
    for (size_t i = 6; i + 1 < fields.size(); ++i) {
      if (fields[i] == "-") return std::string(fields[i + 1]);
    }
  }
  return "";
}

absl::Status Refusal(absl::string_view kind) {
  return absl::FailedPreconditionError(absl::StrCat(
      "lies on a network file system (", kind,
      "), where locks and syncs do not protect a recording; choose a local "
      "disk"));
}

}  // namespace

absl::Status CheckSharedFileSystem(uint32_t magic, absl::string_view type) {
  for (const SharedKind& kind : kShared) {
    if (kind.magic == magic) return Refusal(kind.name);
  }
  if (magic != kFuseMagic) return absl::OkStatus();
  for (const char* name : kSharedFuse) {
    if (type == name || type == absl::StrCat("fuse.", name))
      return Refusal(type);
  }
  return absl::OkStatus();
}

absl::Status CheckLocalFileSystem(int fd) {
  struct statfs info;
  if (::fstatfs(fd, &info) != 0) return ErrnoStatus(errno, "fstatfs");
  // f_type is signed; magics fill 32 bits.
  const uint32_t magic = static_cast<uint32_t>(info.f_type);
  return CheckSharedFileSystem(
      magic, magic == kFuseMagic ? MountedTypeOf(fd) : std::string());
}

}  // namespace kine
