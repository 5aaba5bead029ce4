// Conditional and range requests: RFC 9110, sections 13 and 14.
#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "ipc/http_parser.h"

namespace kine {
namespace {

constexpr uint64_t kEndless = ~uint64_t{0};

bool IsStrong(absl::string_view etag) {
  return etag.size() >= 2 && etag.front() == '"' && etag.back() == '"';
}

// If-None-Match compares weakly: W/"a" names the same bytes for our purpose.
bool NoneMatchNames(absl::string_view list, absl::string_view etag) {
  if (etag.empty()) return false;
  for (absl::string_view item : absl::StrSplit(list, ',')) {
    item = absl::StripAsciiWhitespace(item);
    if (item == "*") return true;
    absl::ConsumePrefix(&item, "W/");
    if (item == etag) return true;
  }
  return false;
}

// Digits only; more than 64 bits is beyond every file.
bool ParseOffset(absl::string_view text, uint64_t& out) {
  if (text.empty() ||
      !std::all_of(text.begin(), text.end(), absl::ascii_isdigit))
    return false;
  if (!absl::SimpleAtoi(text, &out)) out = kEndless;
  return true;
}

}  // namespace

FilePart ResolveFilePart(const Request& request, absl::string_view etag,
                         uint64_t size) {
  const FilePart whole{200, 0, size};
  if (NoneMatchNames(request.if_none_match, etag)) return FilePart{304, 0, 0};
  absl::string_view range = request.range;
  if (range.empty() || request.method != Method::kGet) return whole;
  if (!request.if_range.empty() &&
      (!IsStrong(request.if_range) || request.if_range != etag))
    return whole;
  if (!absl::StartsWithIgnoreCase(range, "bytes=")) return whole;
  range.remove_prefix(sizeof("bytes=") - 1);
  const size_t dash = range.find('-');
  // A comma is in neither half of a single range, so several get the whole.
  if (dash == absl::string_view::npos) return whole;
  uint64_t first = 0;
  uint64_t last = kEndless;
  const absl::string_view to = range.substr(dash + 1);
  if (dash == 0) {
    uint64_t suffix = 0;
    if (!ParseOffset(to, suffix)) return whole;
    if (suffix == 0 || size == 0) return FilePart{416, 0, 0};
    suffix = std::min(suffix, size);
    return FilePart{206, size - suffix, suffix};
  }
  if (!ParseOffset(range.substr(0, dash), first)) return whole;
  if (!to.empty() && (!ParseOffset(to, last) || last < first)) return whole;
  if (first >= size) return FilePart{416, 0, 0};
  return FilePart{206, first, std::min(last, size - 1) - first + 1};
}

}  // namespace kine
