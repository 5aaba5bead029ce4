// Pages of a list, by the limit and the cursor of a request. A cursor is the
// sort key of the last item before it, so it survives additions and deletions.
//
// Pure; any thread.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "daemon/base/limits.h"
#include "ipc/routes.h"

namespace kine {

// What lives first, then the newest, then by id.
struct ListKey {
  int ended = -1;  // 0 or 1; -1: before every item.
  int64_t created = 0;
  std::string id;
};

// True when an item of that key stands behind `place`.
bool IsAfter(const ListKey& item, const ListKey& place);

// One page, written as its items are found:
// {"items":[...],"total":N,"next":CURSOR}.
class ListPage {
 public:
  // Of the request's `limit` (`most` when there is none) and `cursor`.
  static absl::StatusOr<ListPage> Of(const Request& request,
                                     int most = limits::kListItemsMax);
  ListPage(int limit, ListKey place)
      : limit_(limit), place_(std::move(place)) {}

  // The next item of the list, in its order. True: it is on this page, Add()
  // it.
  bool Takes(const ListKey& key);
  void Add(absl::string_view json);
  std::string Finish() const;

 private:
  int limit_;
  ListKey place_;  // Behind it the page begins.
  ListKey last_;
  std::string items_;
  std::string next_;
  int taken_ = 0;
  int64_t total_ = 0;
};

// Pages of such items: samples for the document.
std::vector<std::string> ListSamples(const std::vector<std::string>& items);

}  // namespace kine
