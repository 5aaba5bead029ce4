// Output for people and models: text out of bytes that were cut anywhere.
//
// Pure; any thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "absl/strings/string_view.h"
#include "daemon/output/output_store.h"

namespace kine {

// How many of `bytes` to take so that no UTF-8 character is split at the end.
// All of them when the last ones cannot become a character.
size_t WholeCharacters(absl::string_view bytes);

// Bytes at the start that only continue a character; at most 3.
size_t BrokenStart(absl::string_view bytes);

// Lines longer than `max` bytes end with " ... [truncated]" instead, `max` with
// it.
std::string CutLines(absl::string_view text, size_t max);

// The head and the tail of a stream for a model's context: what does not fit is
// replaced by "\n\n... [omitted N bytes] ...\n\n".
struct AgentView {
  std::string text;
  uint64_t original_bytes = 0;
  uint64_t omitted_bytes = 0;  // 0: everything is there, lines apart.
};
// `head` and `tail` are bytes of the stream, as far as they are in memory.
AgentView MakeAgentView(const OutputStore& store, uint64_t head, uint64_t tail,
                        size_t line_max);

}  // namespace kine
