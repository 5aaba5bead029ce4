// Fetches a recording's file: whole under its name, or not at all.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "tools/kinectl/session.h"

namespace kinectl {

// The error is errno's.
absl::Status WriteAll(int fd, absl::string_view bytes);

// Streams the artifact of `id` into a temporary file beside `path` and renames
// it when every byte is there and on the disk; an existing file is replaced.
// `query` ("" or "?view=compact") says which. "-" writes to standard output.
// `verify`: only if the bytes are those of FetchDigest(). The bytes written, or
// nullopt: the error is printed and session.exit_code() set.
std::optional<uint64_t> Download(Session& session, const std::string& id,
                                 const std::string& path,
                                 const std::string& query = "",
                                 bool verify = false);

// The same of what `target` answers; `check` (may be null) gets the SHA-256 of
// what came and has the last word.
using DigestCheck =
    std::function<std::optional<absl::Status>(const std::string& sha256)>;
std::optional<uint64_t> DownloadFrom(Session& session,
                                     const std::string& target,
                                     const std::string& path,
                                     const DigestCheck& check = nullptr);

// The daemon's SHA-256 of a finished recording, computed if need be. Nullopt as
// above.
std::optional<std::string> FetchDigest(Session& session, const std::string& id);

}  // namespace kinectl
