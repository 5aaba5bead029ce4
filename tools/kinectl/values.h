// Command-line values into what the API takes, and figures into what people
// read. Pure; any thread.
#pragma once

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "ipc/recording_request.h"
#include "tools/kinectl/args.h"

namespace kinectl {

// "500ms", "5s", "1m30s", "2h"; a plain number is seconds. Positive.
absl::StatusOr<absl::Duration> ParseDuration(absl::string_view text);

// "100000000", "64K", "100M", "2G": powers of 1024.
absl::StatusOr<uint64_t> ParseBytes(absl::string_view text);

// "1280x720"
struct Size {
  int width = 0;
  int height = 0;
};
absl::StatusOr<Size> ParseSize(absl::string_view text);

// The request that the flags of `record` and `start` describe, checked as the
// daemon will check it. INVALID_ARGUMENT names the flag or the member.
absl::StatusOr<kine::RecordingRequest> RequestOf(const Args& args);

std::string HumanBytes(uint64_t bytes);     // "1.4 MiB"
std::string HumanDuration(int64_t micros);  // "1:02:03.4"

// A name of its own, "rec-20260131-120000-4711", so that a start whose reply
// was lost can be repeated.
std::string FreshId(absl::string_view kind);

// A percent-encoded query value: everything but the unreserved.
std::string Encoded(absl::string_view text);

}  // namespace kinectl
