// Sha256: the digest of bytes that come in pieces. Nothing outside of this
// file's .cc sees libgcrypt, which libsystemd brings along in any case.
//
// One thread at a time.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "absl/status/statusor.h"

namespace kine {

// Digits of a digest as text.
inline constexpr size_t kSha256Digits = 64;

class Sha256 {
 public:
  Sha256();

  void Add(std::span<const std::byte> bytes);
  // 64 lower-case hexadecimal digits. Once, last.
  std::string Finish();

 private:
  struct Parts;
  struct Deleter {
    void operator()(Parts* parts) const;
  };
  std::unique_ptr<Parts, Deleter> parts_;
};

// Of the first `bytes` bytes of a file. DATA_LOSS when it has fewer; errno's
// errors. Blocks.
absl::StatusOr<std::string> Sha256OfFile(int fd, uint64_t bytes);

}  // namespace kine
