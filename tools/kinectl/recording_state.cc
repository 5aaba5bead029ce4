#include "tools/kinectl/recording_state.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "daemon/base/log.h"
#include "ipc/json_in.h"
#include "ipc/json_out.h"
#include "tools/kinectl/values.h"

namespace kinectl {
namespace {

using kine::JsonObject;

constexpr kine::JsonTextRule kText = {.max = 16'384,
                                      .charset = kine::JsonTextRule::kAny};

constexpr size_t kDamagedMax = 64;

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

void BindLatency(JsonObject& o, RecordingState& state) {
  o.Object("latency", [&](JsonObject& l) {
    const auto stage = [&l](const char* name, RecordingState::Latency& out) {
      l.Object(name, [&out](JsonObject& q) {
        q.Int("p50_us", out.p50_us);
        q.Int("p99_us", out.p99_us);
      });
    };
    stage("capture", state.capture);
    stage("encode", state.encode);
    stage("write", state.write);
    stage("total", state.total);
  });
}

// "1.4/9.2"
std::string Millis(const RecordingState::Latency& latency) {
  return absl::StrFormat("%.1f/%.1f", static_cast<double>(latency.p50_us) / 1e3,
                         static_cast<double>(latency.p99_us) / 1e3);
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
  BindLatency(o, state);
  o.Object("artifact", [&](JsonObject& a) {
    a.Text("index", state.index, kText);
    a.Int("finalise_us", state.finalise_us);
  });
  o.Object("recovery", [&state](JsonObject& r) {
    r.Int("lost_us", state.lost_us);
    r.List("damaged", kDamagedMax, [&state](JsonObject& item) {
      item.Text("file", state.damaged.emplace_back(), kText);
    });
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

std::string WithOutput(std::string json, const std::string& output) {
  while (!json.empty() && json.back() != '}') json.pop_back();
  if (!json.empty()) json.pop_back();
  absl::StrAppend(&json, ",");
  std::string member;
  kine::JsonOut out(member);
  out.BeginObject();
  out.Field("output", output);
  out.End();
  return absl::StrCat(json, member.substr(1));
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
  if (state.total.p99_us > 0)
    absl::StrAppend(&text, "\n  latency p50/p99 ms: capture ",
                    Millis(state.capture), ", encode ", Millis(state.encode),
                    ", write ", Millis(state.write), "; on the disk after ",
                    Millis(state.total));
  if (state.has_file())
    absl::StrAppend(
        &text, "\n  finalised: index ",
        state.index == "front" ? "in front" : "at the end",
        absl::StrFormat(", in %.1f ms",
                        static_cast<double>(state.finalise_us) / 1e3));
  if (state.lost_us.has_value())
    absl::StrAppend(&text,
                    absl::StrFormat("\n  recovered: %.3f s of its end are lost",
                                    static_cast<double>(*state.lost_us) / 1e6),
                    state.damaged.empty() ? "" : "; damaged: ",
                    absl::StrJoin(state.damaged, ", "));
  return text;
}

}  // namespace kinectl
