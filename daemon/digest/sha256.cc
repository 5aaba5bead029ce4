#include "daemon/digest/sha256.h"

#include <fcntl.h>
#include <gcrypt.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "daemon/base/check.h"
#include "daemon/base/status.h"

namespace kine {
namespace {

constexpr size_t kDigestBytes = kSha256Digits / 2;
constexpr size_t kReadBytes = 1u << 20;

}  // namespace

struct Sha256::Parts {
  gcry_md_hd_t handle = nullptr;
};

void Sha256::Deleter::operator()(Parts* parts) const {
  gcry_md_close(parts->handle);
  delete parts;
}

Sha256::Sha256() : parts_(new Parts) {
  // The library asks for this before anything else. It has no secrets here.
  if (gcry_control(GCRYCTL_INITIALIZATION_FINISHED_P) == 0) {
    gcry_check_version(nullptr);
    gcry_control(GCRYCTL_DISABLE_SECMEM, 0);
    gcry_control(GCRYCTL_INITIALIZATION_FINISHED, 0);
  }
  KINE_CHECK(gcry_md_open(&parts_->handle, GCRY_MD_SHA256, 0) == 0);
}

void Sha256::Add(std::span<const std::byte> bytes) {
  gcry_md_write(parts_->handle, bytes.data(), bytes.size());
}

std::string Sha256::Finish() {
  constexpr char kDigits[] = "0123456789abcdef";
  const unsigned char* const digest = gcry_md_read(parts_->handle, 0);
  std::string text;
  for (size_t i = 0; i < kDigestBytes; ++i) {
    text.push_back(kDigits[digest[i] >> 4]);
    text.push_back(kDigits[digest[i] & 15]);
  }
  return text;
}

absl::StatusOr<std::string> Sha256OfFile(int fd, uint64_t bytes) {
  ::posix_fadvise(fd, 0, 0, POSIX_FADV_SEQUENTIAL);
  Sha256 digest;
  std::vector<std::byte> buffer(kReadBytes);
  for (uint64_t at = 0; at < bytes;) {
    const auto wanted =
        static_cast<size_t>(std::min<uint64_t>(buffer.size(), bytes - at));
    const ssize_t got =
        ::pread(fd, buffer.data(), wanted, static_cast<off_t>(at));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return ErrnoStatus(errno, "read");
    if (got == 0)
      return absl::DataLossError(
          absl::StrCat("the file has ", at, " bytes instead of ", bytes));
    digest.Add(std::span(buffer).first(static_cast<size_t>(got)));
    at += static_cast<uint64_t>(got);
  }
  return digest.Finish();
}

}  // namespace kine
