#include "tools/kinectl/recording_state.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "daemon/base/log.h"
#include "ipc/json_in.h"
#include "tools/kinectl/values.h"

namespace kinectl {
namespace {

using kine::JsonObject;

constexpr kine::JsonTextRule kText = {.max = 16'384,
                                      .charset = kine::JsonTextRule::kAny};

void BindFrames(JsonObject& o, RecordingState& state) {
  uint64_t overload = 0;
  uint64_t in_source = 0;
  o.Object("frames", [&](JsonObject& f) {
    f.Int("captured", state.captured);
    f.Int("encoded", state.encoded);
    f.Int("lost_overload", overload);
    f.Int("lost_in_source", in_source);
  });
  state.lost = overload + in_source;
}

void BindSource(JsonObject& o, RecordingState& state) {
  o.Object("source", [&](JsonObject& s) {
    std::string kind;
    std::string name;
    int width = 0;
    int height = 0;
    s.Text("kind", kind, kText);
    s.Text("name", name, kText);
    s.Int("width", width);
    s.Int("height", height);
    state.source =
        absl::StrCat(kind, " ", name.empty() ? "" : kine::Quoted(name) + " ",
                     width, "x", height);
  });
  o.Object("encoder", [&](JsonObject& e) {
    std::string name;
    std::string version;
    e.Text("name", name, kText);
    e.Text("version", version, kText);
    state.encoder = absl::StrCat(name, version.empty() ? "" : " ", version);
  });
}

}  // namespace

bool RecordingState::ended() const {
  return has_file() || state == "failed" || state == "deleted";
}

RecordingState BindState(JsonObject& o) {
  RecordingState state;
  o.Text("id", state.id, kText);
  o.Text("state", state.state, kText);
  o.Text("reason", state.reason, kText);
  o.Text("message", state.message, kText);
  o.Bool("attached", state.attached);
  o.Bool("needs_consent", state.needs_consent);
  o.Bool("truncated", state.truncated);
  o.Int("bytes", state.bytes);
  o.Int("media_us", state.media_us);
  BindFrames(o, state);
  BindSource(o, state);
  o.Object("latency", [&](JsonObject& l) {
    l.Object("total",
             [&](JsonObject& t) { t.Int("p99_us", state.latency_p99_us); });
  });
  return state;
}

absl::StatusOr<RecordingState> ParseState(absl::string_view json) {
  RecordingState state;
  const absl::Status bound =
      kine::BindJson(json, {.unknown = kine::JsonUnknown::kIgnore},
                     [&state](JsonObject& o) { state = BindState(o); });
  if (!bound.ok()) return bound;
  return state;
}

std::string StateLine(const RecordingState& state) {
  return absl::StrCat(state.needs_consent ? "waiting for consent" : state.state,
                      " ", HumanDuration(state.media_us), "  ", state.captured,
                      " frames, ", state.lost, " lost, ",
                      HumanBytes(state.bytes));
}

std::string StateText(const RecordingState& state) {
  std::string text = absl::StrCat(state.id, ": ", StateLine(state));
  if (!state.reason.empty())
    absl::StrAppend(&text, "\n  reason: ", state.reason,
                    state.truncated ? " (truncated)" : "");
  if (!state.message.empty()) absl::StrAppend(&text, "\n  ", state.message);
  if (!state.source.empty())
    absl::StrAppend(&text, "\n  source: ", state.source);
  if (!state.encoder.empty())
    absl::StrAppend(&text, "\n  encoder: ", state.encoder);
  if (state.latency_p99_us > 0)
    absl::StrAppend(
        &text,
        absl::StrFormat("\n  latency p99: %.1f ms",
                        static_cast<double>(state.latency_p99_us) / 1000));
  return text;
}

}  // namespace kinectl
