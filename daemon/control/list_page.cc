#include "daemon/control/list_page.h"

#include <optional>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "daemon/base/limits.h"
#include "ipc/problem.h"

namespace kine {

std::string CursorOf(const ListKey& key) {
  return absl::StrCat(key.ended, ".", key.created, ".", key.id);
}

bool IsAfter(const ListKey& item, const ListKey& place) {
  if (item.ended != place.ended) return item.ended > place.ended;
  if (item.created != place.created) return item.created < place.created;
  return item.id > place.id;
}

absl::StatusOr<ListKey> ParseCursor(const Request& request) {
  ListKey place;
  const std::optional<absl::string_view> text = request.Query("cursor");
  if (!text.has_value()) return place;
  const size_t first = text->find('.');
  const size_t second =
      first == text->npos ? text->npos : text->find('.', first + 1);
  if (second == text->npos ||
      !absl::SimpleAtoi(text->substr(0, first), &place.ended) ||
      !absl::SimpleAtoi(text->substr(first + 1, second - first - 1),
                        &place.created))
    return FieldError("cursor", "is not one that a list reply gave as `next`");
  place.id = std::string(text->substr(second + 1));
  return place;
}

absl::StatusOr<int> ParseListLimit(const Request& request) {
  const std::optional<absl::string_view> text = request.Query("limit");
  if (!text.has_value()) return limits::kListItemsMax;
  int limit = 0;
  if (!absl::SimpleAtoi(*text, &limit) || limit < 1 ||
      limit > limits::kListItemsMax)
    return FieldError("limit",
                      absl::StrCat("must be 1 to ", limits::kListItemsMax));
  return limit;
}

}  // namespace kine
