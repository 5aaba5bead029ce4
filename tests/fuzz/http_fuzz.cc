// The request parser with its policy: however a stream is cut into pieces of 1
// to 7 bytes, it means the same as in one piece; and what is accepted obeys
// the policy.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>

#include "absl/strings/str_cat.h"
#include "daemon/base/check.h"
#include "daemon/base/limits.h"
#include "ipc/http_parser.h"

namespace kine {
namespace {

void CheckRequest(const ParsedHead& head) {
  const Request& request = head.request;
  KINE_CHECK(request.body.size() <= limits::kBodyBytesMax);
  KINE_CHECK(!request.path.empty() && request.path[0] == '/');
  for (const char c : request.path) KINE_CHECK(c >= 0x20 && c < 0x7f);
  KINE_CHECK(absl::StrCat(request.path, "/").find("/../") == std::string::npos);
  KINE_CHECK(absl::StrCat(request.path, "/").find("/./") == std::string::npos);
  KINE_CHECK(!head.chunked || (head.http11 && head.content_length == 0));
  KINE_CHECK(head.chunked || request.body.size() == head.content_length);
  const FilePart part = ResolveFilePart(request, "\"a\"", 1'000);
  KINE_CHECK(part.offset + part.size <= 1'000);
  KINE_CHECK(part.status != 206 || part.size > 0);
}

std::string MeaningOf(absl::string_view bytes, absl::string_view cuts) {
  RequestParser parser;
  std::string text;
  size_t piece_number = 0;
  while (!bytes.empty()) {
    size_t size = bytes.size();
    if (!cuts.empty()) {
      const auto cut =
          static_cast<unsigned char>(cuts[piece_number++ % cuts.size()]);
      size = std::min<size_t>(size, 1 + cut % 7);
    }
    parser.Append(bytes.substr(0, size));
    bytes.remove_prefix(size);
    RequestParser::Verdict verdict;
    while ((verdict = parser.Next()) != RequestParser::Verdict::kMore) {
      if (verdict == RequestParser::Verdict::kRefused) {
        const Problem& problem = parser.problem();
        KINE_CHECK(problem.status >= 400 && problem.status < 600);
        KINE_CHECK(!ReasonPhrase(problem.status).empty());
        return absl::StrCat(text, "refused ", problem.status, problem.message);
      }
      if (verdict == RequestParser::Verdict::kContinue) {
        absl::StrAppend(&text, "continue\n");
        continue;
      }
      const ParsedHead head = parser.Take();
      CheckRequest(head);
      absl::StrAppend(&text, MethodName(head.request.method), " ",
                      head.request.path, " ", head.request.query.size(), " ",
                      head.request.owner, " ", head.keep_alive, " ",
                      head.request.body, "\n");
    }
  }
  return text;
}

}  // namespace
}  // namespace kine

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const absl::string_view all(reinterpret_cast<const char*>(data), size);
  // The last bytes say where to cut.
  const size_t cuts = std::min<size_t>(size, 4);
  const absl::string_view stream = all.substr(0, size - cuts);
  const std::string whole = kine::MeaningOf(stream, "");
  KINE_CHECK(whole == kine::MeaningOf(stream, all.substr(size - cuts)));
  return 0;
}
