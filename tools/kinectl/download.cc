#include "tools/kinectl/download.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <span>

#include "absl/strings/str_cat.h"
#include "daemon/base/fd.h"
#include "daemon/base/log.h"
#include "daemon/base/status.h"
#include "daemon/digest/sha256.h"
#include "ipc/json_in.h"
#include "tools/kinectl/values.h"

namespace kinectl {
namespace {

// A new file beside `path` that is removed unless it is kept.
class PartFile {
 public:
  explicit PartFile(const std::string& path)
      : path_(path), part_(path + ".part-XXXXXX") {
    fd_ = kine::UniqueFd(::mkostemp(part_.data(), O_CLOEXEC));
    if (!fd_.valid()) {
      status_ = kine::ErrnoStatus(
          errno, absl::StrCat("creating ", kine::Quoted(part_)));
    }
  }
  ~PartFile() {
    if (fd_.valid()) ::unlink(part_.c_str());
  }
  PartFile(const PartFile&) = delete;
  PartFile& operator=(const PartFile&) = delete;

  const absl::Status& status() const { return status_; }
  int fd() const { return fd_.get(); }

  absl::Status Keep() {
    const mode_t mask = ::umask(0);
    ::umask(mask);
    ::fchmod(fd_.get(), 0666 & ~mask);
    if (::fsync(fd_.get()) != 0 ||
        ::rename(part_.c_str(), path_.c_str()) != 0) {
      return kine::ErrnoStatus(
          errno, absl::StrCat("putting ", kine::Quoted(path_), " in place"));
    }
    fd_.Reset();
    return absl::OkStatus();
  }

 private:
  const std::string path_;
  std::string part_;
  kine::UniqueFd fd_;
  absl::Status status_;
};

}  // namespace

absl::Status WriteAll(int fd, absl::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t wrote = ::write(fd, bytes.data(), bytes.size());
    if (wrote < 0 && errno == EINTR) continue;
    if (wrote < 0) return kine::ErrnoStatus(errno, "writing the recording");
    bytes.remove_prefix(static_cast<size_t>(wrote));
  }
  return absl::OkStatus();
}

std::optional<std::string> FetchDigest(Session& session,
                                       const std::string& id) {
  const absl::StatusOr<std::string> target = RecordingPath(id, "/digest");
  if (!target.ok()) {
    session.set_exit_code(session.Fail(target.status(), kUsage));
    return std::nullopt;
  }
  std::string sha256;
  const auto read = [&sha256](const kine::ClientReply& reply) {
    return kine::BindJson(
        reply.body, {.unknown = kine::JsonUnknown::kIgnore},
        [&sha256](kine::JsonObject& o) {
          o.Text("sha256", sha256, {0, 64, kine::JsonTextRule::kId});
        });
  };
  kine::ClientRequest request;
  request.target = *target;
  const auto reply = session.Check(session.client().Wait(
      request, absl::Hours(24), [&](const kine::ClientReply& now) {
        return !now.ok() || !read(now).ok() || !sha256.empty();
      }));
  if (!reply.has_value()) return std::nullopt;
  if (sha256.size() == kine::kSha256Digits) return sha256;
  session.set_exit_code(session.Fail(
      absl::InternalError("the daemon's answer has no SHA-256"), kFailed));
  return std::nullopt;
}

std::optional<uint64_t> Download(Session& session, const std::string& id,
                                 const std::string& path,
                                 const std::string& query, bool verify) {
  const absl::StatusOr<std::string> target = RecordingPath(id, "/artifact");
  if (!target.ok()) {
    session.set_exit_code(session.Fail(target.status(), kUsage));
    return std::nullopt;
  }
  DigestCheck check;
  if (verify)
    check = [&](const std::string& came) -> std::optional<absl::Status> {
      const std::optional<std::string> wanted = FetchDigest(session, id);
      if (!wanted.has_value()) return std::nullopt;
      if (came == *wanted) return absl::OkStatus();
      return absl::DataLossError(
          absl::StrCat("what came has the SHA-256 ", came, ", the recording ",
                       *wanted, "; it is not kept, fetch it again"));
    };
  return DownloadFrom(session, *target + query, path, check);
}

std::optional<uint64_t> DownloadFrom(Session& session,
                                     const std::string& target,
                                     const std::string& path,
                                     const DigestCheck& check) {
  std::optional<PartFile> part;
  if (path != "-") part.emplace(path);
  if (part.has_value() && !part->status().ok()) {
    session.set_exit_code(session.Fail(part->status(), kFailed));
    return std::nullopt;
  }
  const int fd = part.has_value() ? part->fd() : STDOUT_FILENO;
  uint64_t bytes = 0;
  absl::Status local;  // An error of ours, not of the connection.
  kine::ClientRequest request;
  request.target = target;
  std::optional<kine::Sha256> digest;
  if (check) digest.emplace();
  const auto sink = [&](absl::string_view piece) {
    bytes += piece.size();
    if (digest.has_value())
      digest->Add(std::as_bytes(std::span(piece.data(), piece.size())));
    session.Progress(absl::StrCat("fetching ", HumanBytes(bytes)));
    local = WriteAll(fd, piece);
    return local;
  };
  absl::StatusOr<kine::ClientReply> reply =
      session.client().Stream(request, sink);
  if (local.ok() && !session.Check(std::move(reply)).has_value())
    return std::nullopt;
  if (local.ok() && digest.has_value()) {
    const std::optional<absl::Status> verdict = check(digest->Finish());
    if (!verdict.has_value()) return std::nullopt;
    local = *verdict;
  }
  if (local.ok() && part.has_value()) local = part->Keep();
  if (!local.ok()) {
    session.set_exit_code(session.Fail(local, kFailed));
    return std::nullopt;
  }
  return bytes;
}

}  // namespace kinectl
