// Replies about commands, and samples of them for the document.
//
// Pure functions; any thread.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "daemon/output/input_pipe.h"
#include "daemon/output/output_reply.h"
#include "daemon/output/output_text.h"
#include "daemon/process/process_output.h"
#include "daemon/process/process_record.h"

namespace kine {

// Its state; `output` is that of a command that has some.
std::string ProcessReply(const ProcessRecord& record,
                         std::optional<bool> attached,
                         const std::optional<ProcessOutput::Totals>& output);
// Of an id never seen.
std::string FencedReply(absl::string_view id);
std::string InputReply(const InputPipe::State& state);

// How a command has come to its end, or that it runs: members of a reply, each
// with a comma in front.
std::string EndingMembers(const ProcessRecord& record);

// A piece of output that begins at `begin`, the first byte from `from` on that
// there still is.
struct OutputPiece {
  absl::string_view id;
  absl::string_view stream;
  uint64_t from = 0;
  uint64_t begin = 0;
  absl::string_view bytes;
  OutputEncoding encoding = OutputEncoding::kUtf8;
  uint64_t total = 0;
  bool eof = false;
};
std::string OutputReply(const OutputPiece& piece, const std::string& ending);
std::string AgentViewReply(absl::string_view id, absl::string_view stream,
                           const AgentView& view, bool eof,
                           const std::string& ending);

// Between them with every member that there is.
std::vector<ProcessRecord> ProcessRecordSamples();
std::vector<std::string> ProcessSamples();
std::vector<std::string> OutputSamples();

}  // namespace kine
