#include "daemon/control/commands/process_replies.h"

#include "absl/strings/str_cat.h"
#include "ipc/json_out.h"

namespace kine {
namespace {

// An open object with the members of `ending` at its end.
std::string With(std::string text, const std::string& ending) {
  text.pop_back();
  return absl::StrCat(text, ending, "}");
}

}  // namespace

std::string ProcessReply(const ProcessRecord& record,
                         std::optional<bool> attached,
                         const std::optional<ProcessOutput::Totals>& output) {
  std::string text;
  JsonOut out(text);
  out.BeginObject();
  WriteProcess(out, record);
  out.Field("attached", attached);
  if (output.has_value()) {
    out.BeginObject("output");
    out.Field("bytes", output->bytes);
    out.Field("dropped", output->dropped);
    out.Field("open", output->open);
    out.End();
  }
  out.End();
  return text;
}

std::string FencedReply(absl::string_view id) {
  std::string text;
  JsonOut out(text);
  out.BeginObject();
  out.Field("id", id);
  out.Field("state", "fenced");
  out.Field("message", "never seen; a start of it that comes late is refused");
  out.End();
  return text;
}

std::string InputReply(const InputPipe::State& state) {
  std::string text;
  JsonOut out(text);
  out.BeginObject();
  out.Field("next", state.next);
  out.Field("written", state.written);
  out.Field("closed", state.closed);
  out.End();
  return text;
}

std::string EndingMembers(const ProcessRecord& record) {
  std::string text;
  JsonOut out(text);
  out.BeginObject();
  out.Field("state", ProcessStateName(record.state));
  if (record.exit.has_value()) {
    out.BeginObject("exit");
    WriteExit(out, *record.exit);
    out.End();
  }
  out.End();
  // Without the braces.
  return absl::StrCat(",", text.substr(1, text.size() - 2));
}

std::string OutputReply(const OutputPiece& piece, const std::string& ending) {
  std::string text;
  JsonOut out(text);
  out.BeginObject();
  out.Field("id", piece.id);
  out.Field("stream", piece.stream);
  out.Field("from", piece.from);
  if (piece.begin > piece.from) {
    out.BeginObject("gap");
    out.Field("from", piece.from);
    out.Field("to", piece.begin);
    out.End();
  }
  WriteData(out, piece.bytes, piece.encoding);
  out.Field("next", piece.begin + piece.bytes.size());
  out.Field("total", piece.total);
  out.Field("eof", piece.eof);
  out.End();
  return With(std::move(text), ending);
}

std::string AgentViewReply(absl::string_view id, absl::string_view stream,
                           const AgentView& view, bool eof,
                           const std::string& ending) {
  std::string text;
  JsonOut out(text);
  out.BeginObject();
  out.Field("id", id);
  out.Field("stream", stream);
  out.Field("view", "agent");
  out.Field("data", view.text);
  out.Field("original_bytes", view.original_bytes);
  out.Field("omitted_bytes", view.omitted_bytes);
  out.Field("next", view.original_bytes);
  out.Field("eof", eof);
  out.End();
  return With(std::move(text), ending);
}

// -- Samples -----------------------------------------------------------------

std::vector<ProcessRecord> ProcessRecordSamples() {
  ProcessRecord running;
  running.id = "demo";
  running.request.command = "true";
  ProcessRecord ended = running;
  ended.owner = "x";
  ended.request.argv = {"true"};
  ended.request.cwd = "/";
  ended.request.ready.port = 1;
  ended.request.labels = {{"<name>", "value"}};
  ended.state = ProcessState::kExited;
  ended.pid = 1;
  ended.adopted = true;
  ended.started_mono_us = 0;
  ended.leftovers = {1};
  ended.tree_by = "cgroup";
  ended.recordings = {"demo"};
  ended.exit.emplace();
  ProcessRecord failed = ended;
  failed.exit->code = 0;
  failed.exit->signal = 15;
  failed.exit->error = failed.exit->message = "x";
  failed.exit->usage.emplace();
  failed.exit->memory_peak_bytes = 0;
  failed.exit->mono_us = 0;
  return {running, ended, failed};
}

std::vector<std::string> ProcessSamples() {
  std::vector<std::string> samples;
  for (const ProcessRecord& record : ProcessRecordSamples()) {
    samples.push_back(ProcessReply(record, std::nullopt, std::nullopt));
    samples.push_back(ProcessReply(record, true, ProcessOutput::Totals()));
  }
  return samples;
}

std::vector<std::string> OutputSamples() {
  std::vector<std::string> samples;
  OutputPiece piece;
  for (const ProcessRecord& record : ProcessRecordSamples()) {
    const std::string ending = EndingMembers(record);
    samples.push_back(OutputReply(piece, ending));
    samples.push_back(AgentViewReply("", "", AgentView(), true, ending));
    piece.begin = 1;  // The next has a gap.
    piece.encoding = OutputEncoding::kBase64;
  }
  return samples;
}

}  // namespace kine
