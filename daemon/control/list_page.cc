#include "daemon/control/list_page.h"

#include <optional>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "daemon/base/status.h"
#include "ipc/json_out.h"
#include "ipc/problem.h"

namespace kine {
namespace {

std::string CursorOf(const ListKey& key) {
  return absl::StrCat(key.ended, ".", key.created, ".", key.id);
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

absl::StatusOr<int> ParseListLimit(const Request& request, int most) {
  const std::optional<absl::string_view> text = request.Query("limit");
  if (!text.has_value()) return most;
  int limit = 0;
  if (!absl::SimpleAtoi(*text, &limit) || limit < 1 || limit > most)
    return FieldError("limit", absl::StrCat("must be 1 to ", most));
  return limit;
}

}  // namespace

bool IsAfter(const ListKey& item, const ListKey& place) {
  if (item.ended != place.ended) return item.ended > place.ended;
  if (item.created != place.created) return item.created < place.created;
  return item.id > place.id;
}

absl::StatusOr<ListPage> ListPage::Of(const Request& request, int most) {
  KINE_ASSIGN_OR_RETURN(const int limit, ParseListLimit(request, most));
  KINE_ASSIGN_OR_RETURN(ListKey place, ParseCursor(request));
  return ListPage(limit, std::move(place));
}

bool ListPage::Takes(const ListKey& key) {
  ++total_;
  if (!IsAfter(key, place_)) return false;
  if (taken_ == limit_) {
    if (next_.empty()) next_ = CursorOf(last_);
    return false;
  }
  last_ = key;
  ++taken_;
  return true;
}

void ListPage::Add(absl::string_view json) {
  absl::StrAppend(&items_, items_.empty() ? "" : ",", json);
}

std::string ListPage::Finish() const {
  std::string text;
  JsonOut out(text);
  out.BeginObject();
  out.FieldRaw("items", absl::StrCat("[", items_, "]"));
  out.Field("total", total_);
  out.FieldIfAny("next", next_);
  out.End();
  return text;
}

std::vector<std::string> ListSamples(const std::vector<std::string>& items) {
  ListPage whole(static_cast<int>(items.size()), ListKey());
  ListPage first(1, ListKey());
  for (size_t i = 0; i < items.size(); ++i) {
    const ListKey key{1, -static_cast<int64_t>(i), "a"};
    if (whole.Takes(key)) whole.Add(items[i]);
    if (first.Takes(key)) first.Add(items[i]);
  }
  return {whole.Finish(), first.Finish()};
}

}  // namespace kine
