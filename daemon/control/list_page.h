// Pages of a list: the limit and the cursor of a request. A cursor is the sort
// key of the last item before it, so it survives additions and deletions.
//
// Pure; any thread.
#pragma once

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "ipc/routes.h"

namespace kine {

// What lives first, then the newest, then by id.
struct ListKey {
  int ended = -1;  // 0 or 1; -1: before every item.
  int64_t created = 0;
  std::string id;
};

std::string CursorOf(const ListKey& key);
// True when an item of that key stands behind `place`.
bool IsAfter(const ListKey& item, const ListKey& place);
// Of the request's `cursor`; the start when there is none.
absl::StatusOr<ListKey> ParseCursor(const Request& request);
// Of its `limit`; limits::kListItemsMax when there is none.
absl::StatusOr<int> ParseListLimit(const Request& request);

}  // namespace kine
