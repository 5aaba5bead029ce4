// The reading half of append_log.h.
#include <span>
#include <string>
#include <vector>

#include "absl/strings/str_format.h"
#include "daemon/base/crc32c.h"
#include "daemon/base/limits.h"
#include "daemon/base/status.h"
#include "daemon/storage/append_log.h"
#include "daemon/storage/blocking_io.h"

namespace kine {
namespace {

constexpr size_t kReadBytes = 256u << 10;
static_assert(kReadBytes > limits::kLogLineBytesMax + kLogSealBytes);

std::string SealOf(absl::string_view covered) {
  return absl::StrFormat(
      ",\"crc\":\"%08x\"}",
      Crc32c(0, std::as_bytes(std::span(covered.data(), covered.size()))));
}

// True when `line`, without its newline, has the right seal. `object` is then
// what was appended.
bool Unseal(absl::string_view line, std::string* object) {
  if (line.size() <= kLogSealBytes) return false;
  const absl::string_view covered = line.substr(0, line.size() - kLogSealBytes);
  if (line.substr(covered.size()) != SealOf(covered)) return false;
  object->assign(covered.data(), covered.size());
  object->push_back('}');
  return true;
}

}  // namespace

std::string SealLine(absl::string_view object) {
  const absl::string_view covered = object.substr(0, object.size() - 1);
  std::string line(covered.data(), covered.size());
  line += SealOf(covered);
  line += '\n';
  return line;
}

absl::StatusOr<LogSummary> ReadAppendLog(
    int fd, absl::FunctionRef<void(absl::string_view object)> line) {
  LogSummary summary;
  std::vector<char> buffer(kReadBytes);
  std::string object;
  while (true) {
    KINE_ASSIGN_OR_RETURN(const size_t n,
                          ReadFully(fd, summary.good_bytes,
                                    std::as_writable_bytes(std::span(buffer))));
    absl::string_view rest(buffer.data(), n);
    const uint64_t lines_before = summary.lines;
    while (true) {
      const size_t end = rest.find('\n');
      if (end == absl::string_view::npos) break;
      if (!Unseal(rest.substr(0, end), &object)) {
        summary.damaged = true;
        return summary;
      }
      line(object);
      ++summary.lines;
      summary.good_bytes += end + 1;
      rest.remove_prefix(end + 1);
    }
    if (n < buffer.size()) {
      summary.damaged = !rest.empty();
      return summary;
    }
    // No line is as long as the buffer.
    if (summary.lines == lines_before) {
      summary.damaged = true;
      return summary;
    }
  }
}

absl::StatusOr<LogSummary> RecoverAppendLog(int fd) {
  KINE_ASSIGN_OR_RETURN(const LogSummary summary,
                        ReadAppendLog(fd, [](absl::string_view) {}));
  // Lines left behind the cut could become readable again when the new ones
  // happen to end at their border.
  if (summary.damaged) {
    KINE_RETURN_IF_ERROR(Truncate(fd, summary.good_bytes));
    KINE_RETURN_IF_ERROR(SyncData(fd));
  }
  return summary;
}

}  // namespace kine
