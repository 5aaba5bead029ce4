#include "daemon/base/log.h"

#include <unistd.h>

#include <atomic>
#include <cstdlib>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"

namespace kine {
namespace {

constexpr size_t kQuotedMax = 256;

std::atomic<int> g_level{static_cast<int>(LogLevel::kInfo)};

void Write(LogLevel level, absl::string_view name, absl::string_view line) {
  if (static_cast<int>(level) > g_level.load(std::memory_order_relaxed)) return;
  static const bool kJournal = std::getenv("JOURNAL_STREAM") != nullptr;
  const std::string text =
      kJournal ? absl::StrCat("<", static_cast<int>(level), ">", line, "\n")
               : absl::StrCat(name, ": ", line, "\n");
  // Nobody could be told that the log is gone.
  (void)!::write(STDERR_FILENO, text.data(), text.size());
}

}  // namespace

void SetLogLevel(LogLevel level) {
  g_level.store(static_cast<int>(level), std::memory_order_relaxed);
}

void LogError(absl::string_view line) {
  Write(LogLevel::kError, "error", line);
}
void LogWarning(absl::string_view line) {
  Write(LogLevel::kWarning, "warning", line);
}
void LogInfo(absl::string_view line) { Write(LogLevel::kInfo, "info", line); }

std::string Quoted(absl::string_view text) {
  const bool cut = text.size() > kQuotedMax;
  return absl::StrCat("'", absl::CHexEscape(text.substr(0, kQuotedMax)),
                      cut ? "'..." : "'");
}

}  // namespace kine
