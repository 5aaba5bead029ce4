// kinectl replay: the last seconds as a recording.
#include <optional>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "ipc/json_out.h"
#include "tools/kinectl/download.h"
#include "tools/kinectl/recording_state.h"
#include "tools/kinectl/values.h"
#include "tools/kinectl/verbs.h"

namespace kinectl {

int RunReplay(Session& session, const Args& args) {
  const auto length = ParseDuration(args.operands()[0]);
  if (!length.ok()) return session.Fail(length.status(), kUsage);
  const std::string id = args.Has("id") ? args.Get("id") : FreshId("replay");
  kine::ClientRequest call;
  call.method = "POST";
  call.target = "/v1/replays";
  kine::JsonOut out(call.body);
  out.BeginObject();
  out.Field("id", id);
  out.Field("seconds",
            absl::ToInt64Seconds(absl::Ceil(*length, absl::Seconds(1))));
  out.End();
  const auto reply = session.Call(call);
  if (!reply.has_value()) return session.exit_code();
  const absl::StatusOr<RecordingState> state = ParseState(reply->body);
  if (!state.ok()) return session.Fail(state.status(), kFailed);
  std::string json = reply->body;
  std::string text = StateText(*state);
  const std::string output = args.Get("output");
  if (!output.empty() && state->has_file()) {
    const std::optional<uint64_t> bytes = Download(session, id, output);
    if (!bytes.has_value()) return session.exit_code();
    if (output == "-") return kDone;
    json = WithOutput(std::move(json), output);
    absl::StrAppend(&text, "\n", output, ": ", HumanBytes(*bytes));
  }
  session.Print(json, text);
  return state->has_file() ? kDone : kRecordingFailed;
}

}  // namespace kinectl
