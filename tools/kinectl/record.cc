#include <optional>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "daemon/base/limits.h"
#include "ipc/json_out.h"
#include "tools/kinectl/download.h"
#include "tools/kinectl/recording_state.h"
#include "tools/kinectl/values.h"
#include "tools/kinectl/verbs.h"

namespace kinectl {
namespace {

constexpr absl::Duration kProgressEvery = absl::Milliseconds(500);

// One recording from start to its end.
class Recorder {
 public:
  Recorder(Session& session, absl::string_view id)
      : session_(session), path_(absl::StrCat("/v1/recordings/", id)) {}

  // False: the error is printed.
  bool Start(const kine::RecordingRequest& request) {
    kine::ClientRequest call;
    call.method = "POST";
    call.target = "/v1/recordings";
    call.body = ToJson(request);
    // Cancelled on the way, it may have started all the same.
    return Take(session_.client().Call(call)) || Stop();
  }

  // Waits for the end; the first signal stops the recording, the second one
  // gives up.
  bool WaitForEnd() {
    while (!state_.ended()) {
      session_.Progress(StateLine(state_));
      kine::ClientRequest wait;
      wait.target = path_ + "?wait=ready";
      const absl::Duration limit =
          session_.shows_progress()
              ? kProgressEvery
              : absl::Milliseconds(kine::limits::kClientWaitMs);
      if (!Take(session_.client().Wait(wait, limit, Ended)) && !Stop())
        return false;
    }
    return true;
  }

  const RecordingState& state() const { return state_; }
  const std::string& json() const { return json_; }

 private:
  static bool Ended(const kine::ClientReply& reply) {
    const auto state = ParseState(reply.body);
    return !state.ok() || state->ended();
  }

  // After a failed Take(): a first signal becomes a stop.
  bool Stop() {
    if (!cancelled_ || stopping_) return false;
    session_.TakeSignal();
    stopping_ = true;
    kine::ClientRequest stop;
    stop.method = "POST";
    stop.target = path_ + "/stop";
    stop.body = R"({"wait_ready":true})";
    return Take(session_.client().Call(stop));
  }

  bool Take(absl::StatusOr<kine::ClientReply> reply) {
    cancelled_ = absl::IsCancelled(reply.status());
    if (cancelled_ && !stopping_) return false;  // Stop() follows.
    const auto checked = session_.Check(std::move(reply));
    if (!checked.has_value()) return false;
    absl::StatusOr<RecordingState> state = ParseState(checked->body);
    if (!state.ok()) {
      session_.set_exit_code(session_.Fail(state.status(), kFailed));
      return false;
    }
    state_ = *std::move(state);
    json_ = checked->body;
    return true;
  }

  Session& session_;
  const std::string path_;
  RecordingState state_;
  std::string json_;
  bool cancelled_ = false;
  bool stopping_ = false;
};

// The end that was asked for, or an end that merely happened.
bool EndedAsAsked(const RecordingState& state, const Args& args) {
  if (state.state != "ready") return false;
  return state.reason == "stopped" || state.reason == "idle" ||
         (state.reason == "max_duration" && args.Has("duration")) ||
         (state.reason == "max_bytes" && args.Has("max_bytes"));
}

}  // namespace

int RunRecord(Session& session, const Args& args) {
  absl::StatusOr<kine::RecordingRequest> request = RequestOf(args);
  if (!request.ok()) return session.Fail(request.status(), kUsage);
  if (request->id.empty()) request->id = FreshId("rec");
  // Somebody sits in front of it.
  if (!args.Has("idle_stop")) request->settings.idle.stop_after_ms = 0;
  Recorder recorder(session, request->id);
  if (!recorder.Start(*request) || !recorder.WaitForEnd())
    return session.exit_code();
  const RecordingState& state = recorder.state();
  std::string json = recorder.json();
  std::string text = StateText(state);
  if (args.Has("output") && state.has_file()) {
    const std::string output = args.Get("output");
    const auto bytes = Download(session, state.id, output);
    if (!bytes.has_value()) return session.exit_code();
    if (output == "-")
      return EndedAsAsked(state, args) ? kDone : kRecordingFailed;
    json = WithOutput(json, output);
    absl::StrAppend(&text, "\n  file: ", output);
  }
  session.Print(json, text);
  return EndedAsAsked(state, args) ? kDone : kRecordingFailed;
}

}  // namespace kinectl
