#include "daemon/control/recovery/event_log_file.h"

#include <fcntl.h>

#include <algorithm>
#include <string>

#include "absl/strings/str_cat.h"
#include "daemon/base/limits.h"
#include "daemon/base/status.h"
#include "daemon/storage/append_log.h"
#include "daemon/storage/directory.h"
#include "daemon/timeline/timeline.h"
#include "ipc/json_in.h"

namespace kine {
namespace {

absl::Time TimeOf(absl::string_view line) {
  std::string at;
  const JsonLimits limits{limits::kLogLineBytesMax, JsonUnknown::kIgnore};
  const absl::Status bound = BindJson(line, limits, [&at](JsonObject& o) {
    o.Text("at", at, {0, 64, JsonTextRule::kPrintable});
  });
  absl::Time time = absl::InfinitePast();
  std::string error;
  if (!bound.ok() || !absl::ParseTime(absl::RFC3339_full, at, &time, &error))
    return absl::InfinitePast();
  return time;
}

}  // namespace

absl::StatusOr<EventLogFile> OpenEventLogFile(
    int dir_fd, std::optional<absl::Time> first_frame_at) {
  EventLogFile file;
  KINE_ASSIGN_OR_RETURN(
      file.fd,
      OpenBeneath(dir_fd, kEventLogName, O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  Timeline timeline;
  std::string last;
  KINE_ASSIGN_OR_RETURN(
      const LogSummary summary,
      ReadAppendLog(file.fd.get(), [&](absl::string_view line) {
        timeline.AddLine(line);
        last.assign(line.data(), line.size());
      }));
  file.end = summary.good_bytes;
  if (summary.damaged) {
    KINE_RETURN_IF_ERROR(RecoverAppendLog(file.fd.get()).status());
    file.damage = SideFileDamage{
        kEventLogName, absl::StrCat("what came behind its line ", summary.lines,
                                    " is unreadable and was cut off")};
  }
  if (first_frame_at.has_value() && summary.lines > 0) {
    const absl::Duration elapsed = TimeOf(last) - *first_frame_at;
    file.last_us = timeline.MediaAt(
        std::max<int64_t>(0, absl::ToInt64Microseconds(elapsed)));
  }
  return file;
}

}  // namespace kine
