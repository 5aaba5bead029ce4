// --digest: what a finished recording's bytes add up to, while nobody else
// needs the processor or the disk.
#include <linux/ioprio.h>
#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <string>

#include "absl/strings/str_cat.h"
#include "daemon/base/log.h"
#include "daemon/base/status.h"
#include "daemon/digest/sha256.h"
#include "daemon/recorder/one_shot_modes.h"
#include "ipc/json_out.h"

namespace kine {
namespace {

// Where it is not allowed it is merely less polite.
void StandBack() {
  const sched_param none{};
  if (::sched_setscheduler(0, SCHED_IDLE, &none) != 0)
    LogWarning(absl::StrCat("digest at ordinary priority, ignoring: ",
                            ErrnoStatus(errno, "SCHED_IDLE").message()));
  if (::syscall(SYS_ioprio_set, IOPRIO_WHO_PROCESS, 0,
                IOPRIO_PRIO_VALUE(IOPRIO_CLASS_IDLE, 0)) != 0)
    LogWarning(absl::StrCat("digest at ordinary disk priority, ignoring: ",
                            ErrnoStatus(errno, "ioprio_set").message()));
}

}  // namespace

std::string DigestJson(int fd, uint64_t bytes) {
  StandBack();
  const absl::StatusOr<std::string> digest = Sha256OfFile(fd, bytes);
  std::string text;
  JsonOut out(text);
  out.BeginObject();
  if (digest.ok())
    out.Field("sha256", *digest);
  else
    out.Field("error", digest.status().message());
  out.End();
  return text;
}

}  // namespace kine
