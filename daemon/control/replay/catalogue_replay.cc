// Recordings of what has been: POST /v1/replays.
#include <algorithm>
#include <utility>

#include "daemon/base/record_text.h"
#include "daemon/control/catalogue_table.h"
#include "daemon/control/replay/replay_ring.h"
#include "ipc/problem.h"

namespace kine {

void Catalogue::StartReplay(ReplayRequest request, const std::string& owner,
                            const ReplayRing& ring, StartAnswer answer) {
  if (absl::Status same = CheckInstance(request.expect_instance); !same.ok()) {
    answer(same, false);
    return;
  }
  if (request.id.empty()) request.id = MakeUuid();
  const auto it = table_->entries.find(request.id);
  if (it != table_->entries.end()) {
    // Repeated, it is answered whatever the ring holds by now.
    absl::Status own = CheckOwn(*it->second, owner);
    if (own.ok() && it->second->digest != ToJson(request))
      own = WithProblem(
          FieldError("id", "is another recording; choose another id"), 409,
          "different_request");
    if (own.ok())
      Attach(*it->second, std::move(answer));
    else
      answer(own, false);
    return;
  }
  absl::StatusOr<ReplayStart> start = ring.Find(request);
  if (!start.ok()) {
    answer(start.status(), false);
    return;
  }
  RecordingRecord record;
  record.request.id = request.id;
  record.request.labels = request.labels;
  record.request.settings = start->settings;
  // What the ring holds is recorded whole; nothing goes on that could be idle.
  record.request.settings.max_bytes =
      std::max(record.request.settings.max_bytes, 2 * start->bytes_max);
  record.replay = std::move(request);
  StartNew(std::move(record), owner, std::move(*start), std::move(answer));
}

}  // namespace kine
