#include "daemon/base/record_text.h"

#include <sys/random.h>

#include <cstdint>

#include "absl/strings/str_format.h"
#include "daemon/base/check.h"

namespace kine {

std::string MakeUuid() {
  uint8_t b[16];
  KINE_CHECK(::getrandom(b, sizeof b, 0) == static_cast<ssize_t>(sizeof b));
  b[6] = static_cast<uint8_t>((b[6] & 0x0f) | 0x40);
  b[8] = static_cast<uint8_t>((b[8] & 0x3f) | 0x80);
  return absl::StrFormat(
      "%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x",
      b[0], b[1], b[2], b[3], b[4], b[5], b[6], b[7], b[8], b[9], b[10], b[11],
      b[12], b[13], b[14], b[15]);
}

std::string TimeText(absl::Time time) {
  return absl::FormatTime("%Y-%m-%dT%H:%M:%E6SZ", time, absl::UTCTimeZone());
}

}  // namespace kine
