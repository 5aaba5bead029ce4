// Log lines for the journal. Only daemon/control, daemon/recorder, main files
// and tools log; everything else returns a status, and no error is logged
// twice.
//
// One line, one event, key=value: `recording 'a': stopped frames=1800 lost=2`.
// Foreign strings go through Quoted(). Levels: error = something the user asked
// for did not happen; warning = survived, and the text says how ("...,
// ignoring"); info = what an operator wants to see once.
//
// Lines go to standard error with the "<n>" priority prefix of sd-daemon(3)
// when JOURNAL_STREAM is set, else with the level's name. One write() a line;
// any thread.
#pragma once

#include <string>

#include "absl/strings/string_view.h"

namespace kine {

enum class LogLevel { kError = 3, kWarning = 4, kInfo = 6 };

// Lines above `level` are dropped. kInfo from the start. Call before threads.
void SetLogLevel(LogLevel level);

void LogError(absl::string_view line);
void LogWarning(absl::string_view line);
void LogInfo(absl::string_view line);

// `text` in single quotes with control characters, quotes and bytes above 0x7e
// escaped, cut at 256 bytes: safe in a log line and in an error message.
std::string Quoted(absl::string_view text);

}  // namespace kine
