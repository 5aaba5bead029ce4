#include "daemon/output/output_text.h"

#include <algorithm>

#include "absl/strings/str_cat.h"

namespace kine {
namespace {

constexpr absl::string_view kCut = " ... [truncated]";

bool Continues(char c) { return (static_cast<uint8_t>(c) & 0xC0) == 0x80; }

// Of the character that `c` begins; 1 for what begins none.
size_t LengthOf(char c) {
  const auto byte = static_cast<uint8_t>(c);
  if (byte >= 0xC2 && byte <= 0xDF) return 2;
  if (byte >= 0xE0 && byte <= 0xEF) return 3;
  if (byte >= 0xF0 && byte <= 0xF4) return 4;
  return 1;
}

}  // namespace

size_t WholeCharacters(absl::string_view bytes) {
  const size_t size = bytes.size();
  for (size_t back = 1; back <= std::min<size_t>(3, size); ++back) {
    const char c = bytes[size - back];
    if (Continues(c)) continue;
    return LengthOf(c) > back ? size - back : size;
  }
  return size;
}

size_t BrokenStart(absl::string_view bytes) {
  size_t at = 0;
  while (at < std::min<size_t>(3, bytes.size()) && Continues(bytes[at])) ++at;
  return at;
}

std::string CutLines(absl::string_view text, size_t max) {
  std::string out;
  out.reserve(text.size());
  while (!text.empty()) {
    const size_t newline = text.find('\n');
    const absl::string_view line = text.substr(0, newline);
    if (line.size() <= max) {
      out.append(line.data(), line.size());
    } else {
      const absl::string_view kept = line.substr(0, max - kCut.size());
      out.append(kept.data(), WholeCharacters(kept));
      out.append(kCut.data(), kCut.size());
    }
    if (newline == text.npos) break;
    out += '\n';
    text.remove_prefix(newline + 1);
  }
  return out;
}

AgentView MakeAgentView(const OutputStore& store, uint64_t head, uint64_t tail,
                        size_t line_max) {
  AgentView view;
  view.original_bytes = store.total();
  const uint64_t total = store.total();
  std::string first = store.Contiguous(0, head + tail);
  if (first.size() == total) {
    view.text = CutLines(first, line_max);
    return view;
  }
  first.resize(std::min<uint64_t>(first.size(), head));
  first.resize(WholeCharacters(first));
  const uint64_t begin =
      std::max({store.tail_begin(), total - std::min(total, tail),
                uint64_t{first.size()}});
  std::string last = store.Contiguous(begin, total - begin);
  last.erase(0, BrokenStart(last));
  view.omitted_bytes = total - first.size() - last.size();
  view.text = absl::StrCat(CutLines(first, line_max), "\n\n... [omitted ",
                           view.omitted_bytes, " bytes] ...\n\n",
                           CutLines(last, line_max));
  return view;
}

}  // namespace kine
