#include "daemon/control/info.h"

#include <cstdint>

#include "absl/strings/str_cat.h"
#include "daemon/base/limits/output.h"
#include "daemon/base/limits/process.h"
#include "daemon/base/limits/recorders.h"
#include "daemon/base/limits/replay.h"
#include "daemon/base/record_text.h"
#include "ipc/json_out.h"

namespace kine {
namespace {

constexpr const char* kFeatures[] = {
    "recordings",     "artifact_range",   "events",        "sources",
    "metrics",        "processes",        "process_stdin", "process_pty",
    "process_follow", "compat_processes", "replays"};

void WriteBackends(JsonOut& out, const DaemonInfo& info,
                   const ReplayRing::Info& replay) {
  out.BeginObject("backends");
  out.BeginObject("capture");
  out.BeginList("available");
  for (const char* name : {"pipewire", "portal", "test"}) out.Value(name);
  out.End();
  out.End();
  out.BeginObject("encode");
  out.BeginList("available");
  for (const std::string& name : info.encoders) out.Value(name);
  out.End();
  out.BeginList("refused");
  for (const link::Refusal& refusal : info.encoders_refused) {
    out.BeginObject();
    out.Field("name", refusal.name);
    out.Field("reason", refusal.reason);
    out.End();
  }
  out.End();
  out.FieldIfAny("error", info.recorder_error);
  out.FieldIfAny("render_node", info.render_node);
  out.End();
  out.BeginObject("file_io");
  out.Field("chosen", info.file_io);
  out.Field("reason", info.file_io_reason);
  out.End();
  WriteReplay(out, "replay", replay);
  out.BeginObject("cgroups");
  out.Field("usable", info.cgroups_usable);
  out.Field("reason", info.cgroups_reason);
  out.FieldIfAny("start", info.cgroup_start);
  out.BeginList("controllers");
  for (const std::string& name : info.cgroup_controllers) out.Value(name);
  out.End();
  out.FieldIfAny("controllers_reason", info.cgroup_controllers_reason);
  out.End();
  out.End();
}

void WriteLimits(JsonOut& out, const DaemonInfo& info) {
  out.BeginObject("limits");
  out.Field("recordings", info.limits.recordings_max);
  out.Field("recordings_per_owner", info.limits.recordings_per_owner_max);
  const RetentionPolicy& keep = info.limits.retention;
  out.Field("keep_count", keep.count);
  out.Field("keep_bytes", keep.bytes);
  out.Field("keep_age_ms", absl::ToInt64Milliseconds(keep.age));
  out.Field("recordings_known", limits::kRecordingsKnownMax);
  out.Field("replay_seconds_max", limits::kReplaySecondsMax);
  out.Field("encoders_per_source", limits::kEncodersPerSourceMax);
  out.Field("queue_packets", info.queue_packets.other);
  out.Field("queue_packets_instant", info.queue_packets.instant);
  out.Field("max_bytes_min", limits::kMaxBytesMin);
  out.Field("max_bytes_max", limits::kMaxBytesMax);
  out.Field("max_bytes_default", limits::kMaxBytesDefault);
  out.Field("max_duration_ms_max", limits::kMaxDurationMaxMs);
  out.Field("max_duration_ms_default", limits::kMaxDurationDefaultMs);
  out.Field("fps_max", limits::kFpsMax);
  out.Field("fragment_ms", limits::kFragmentMs);
  out.Field("keyframe_ms", limits::kKeyframeMs);
  out.Field("source_grace_ms_default", limits::kSourceGraceMs);
  out.Field("free_space_floor_bytes", limits::kFreeSpaceFloorBytes);
  out.Field("body_bytes", limits::kBodyBytesMax);
  out.Field("head_bytes", limits::kHeadBytesMax);
  out.Field("connections", limits::kConnectionsMax);
  out.Field("connections_per_uid", limits::kConnectionsPerUidMax);
  out.Field("streams", limits::kStreamsMax);
  out.Field("wait_ms", limits::kWaitMaxMs);
  out.Field("event_ring", limits::kEventRing);
  out.Field("processes_running", limits::kProcessesRunningMax);
  out.Field("processes_known", limits::kProcessesKnownMax);
  out.Field("process_kept_ms", limits::kProcessKeptMs);
  out.Field("receipts", limits::kReceiptsMax);
  out.Field("receipt_kept_ms", limits::kReceiptKeptMs);
  out.Field("output_head_bytes_default", limits::kOutputHeadBytes);
  out.Field("output_tail_bytes_default", limits::kOutputTailBytes);
  out.Field("output_spool_bytes_default", limits::kOutputSpoolBytes);
  out.Field("outputs_memory_bytes", limits::kOutputsMemoryBytes);
  out.Field("outputs_spool_bytes", limits::kOutputsSpoolBytes);
  out.Field("stdin_bytes", limits::kOctetsBytesMax);
  out.End();
}

// Writes OpenMetrics families.
class Families {
 public:
  explicit Families(std::string& text) : text_(text) {}

  void Gauge(absl::string_view name, absl::string_view help, int64_t value) {
    Head(name, "gauge", help);
    absl::StrAppend(&text_, "kinescope_", name, " ", value, "\n");
  }
  void Counter(absl::string_view name, absl::string_view help, uint64_t value) {
    Head(name, "counter", help);
    absl::StrAppend(&text_, "kinescope_", name, "_total ", value, "\n");
  }
  // A counter in parts: Head once, then a Part each.
  void Parts(absl::string_view name, absl::string_view help) {
    Head(name, "counter", help);
  }
  void Part(absl::string_view name, absl::string_view label,
            absl::string_view which, uint64_t value) {
    absl::StrAppend(&text_, "kinescope_", name, "_total{", label, "=\"", which,
                    "\"} ", value, "\n");
  }
  void Summary(absl::string_view name, absl::string_view help,
               const Histogram& histogram) {
    Head(name, "summary", help);
    for (const char* q : {"0.5", "0.99", "1"})
      absl::StrAppend(&text_, "kinescope_", name, "{quantile=\"", q, "\"} ",
                      absl::ToDoubleSeconds(histogram.Quantile(
                          q[0] == '1' ? 1.0 : (q[2] == '5' ? 0.5 : 0.99))),
                      "\n");
    absl::StrAppend(&text_, "kinescope_", name, "_sum ",
                    absl::ToDoubleSeconds(histogram.sum()), "\nkinescope_",
                    name, "_count ", histogram.count(), "\n");
  }

 private:
  void Head(absl::string_view name, absl::string_view type,
            absl::string_view help) {
    absl::StrAppend(&text_, "# TYPE kinescope_", name, " ", type,
                    "\n# HELP kinescope_", name, " ", help, "\n");
  }
  std::string& text_;
};

void WriteCommands(Families& f, Commands& commands) {
  const ProcessTable& table = commands.table();
  const ProcessTable::Totals totals = table.totals();
  OutputMetrics& output = commands.output_metrics();
  f.Gauge("processes_running", "Commands that run.", table.running());
  f.Gauge("processes_known", "Commands with a record.", table.known());
  f.Counter("processes_started", "Commands started.", totals.started);
  f.Counter("processes_start_failed", "Commands that could not be started.",
            totals.start_failed);
  f.Counter("processes_ended", "Commands that have ended.", totals.ended);
  f.Counter("orphans_reaped", "Adopted processes that have ended.",
            totals.orphans_reaped);
  f.Counter("output_read_bytes", "Read from commands.",
            output.read_bytes.value());
  f.Counter("output_spooled_bytes", "Of these, written to files.",
            output.spooled_bytes.value());
  f.Counter("output_spools_refused",
            "Files of output that ended early: disk slow or full, budget.",
            output.spool_refused.value());
  f.Counter("outputs_evicted",
            "Outputs of ended commands given up for new ones.",
            output.evicted.value());
  f.Counter("input_bytes", "Bytes for standard inputs.",
            output.input_bytes.value());
  f.Gauge("output_memory_bytes", "Memory that outputs hold.",
          output.memory_bytes.value());
  f.Gauge("output_spool_bytes", "Disk that outputs hold.",
          output.spool_bytes.value());
  f.Gauge("output_followers", "Streams that follow outputs.",
          output.followers.value());
}

std::string InfoText(const DaemonInfo& info, int recorders, int uses,
                     const ReplayRing::Info& replay) {
  std::string text;
  JsonOut out(text);
  out.BeginObject();
  out.Field("name", "kinescope");
  out.Field("version", KINESCOPE_VERSION);
  out.Field("api", "v1");
  out.Field("instance_id", info.instance);
  out.Field("boot_id", info.boot_id);
  out.Field("started_at", TimeText(info.started_at));
  out.Field("state_dir", info.state_path);
  out.BeginList("features");
  for (const char* feature : kFeatures) out.Value(feature);
  out.End();
  WriteBackends(out, info, replay);
  out.BeginObject("recorders");
  out.Field("running", recorders);
  out.Field("uses", uses);
  out.End();
  WriteLimits(out, info);
  out.BeginList("strangers");
  for (const Stranger& stranger : info.strangers) {
    out.BeginObject();
    out.Field("name", stranger.name);
    out.Field("reason", stranger.reason);
    out.End();
  }
  out.End();
  out.End();
  return text;
}

}  // namespace

std::string InfoJson(const DaemonInfo& info, const RecorderPool& recorders,
                     const ReplayRing& replay) {
  return InfoText(info, recorders.running(), recorders.uses(), replay.info());
}

std::vector<std::string> InfoSamples() {
  DaemonInfo info;
  info.limits = {1, 1};
  const std::string small = InfoText(info, 0, 0, {});
  info.render_node = info.recorder_error = info.cgroup_start = "x";
  info.cgroup_controllers_reason = "x";
  info.encoders = info.cgroup_controllers = {"x"};
  info.encoders_refused = {{"vaapi", "no render node"}};
  info.strangers = {{"x", "no manifest"}};
  std::vector<std::string> samples = {small};
  ReplayRing::Info replay;
  replay.options.keep_ms = 1'000;
  for (SourceRequest& source : SourceSamples()) {
    replay.options.source = std::move(source);
    samples.push_back(InfoText(info, 0, 0, replay));
    replay.reason = replay.kept.encoder = "x";
    replay.retry_ms = 0;
  }
  return samples;
}

std::string MetricsText(const Catalogue& catalogue,
                        const RecorderPool& recorders, const ReplayRing& replay,
                        Commands& commands, const ServerMetrics& server,
                        const Histogram& loop_turns) {
  const Catalogue::Totals t = catalogue.totals();
  std::string text;
  Families f(text);
  f.Gauge("recordings_active", "Recordings that have not come to their end.",
          catalogue.active());
  f.Gauge("recordings_known", "Recordings in the catalogue.",
          catalogue.known());
  f.Counter("recordings_started", "Starts that were no attach.", t.started);
  f.Parts("recordings_ended", "Recordings by how they ended.");
  f.Part("recordings_ended", "state", "ready", t.ready);
  f.Part("recordings_ended", "state", "interrupted", t.interrupted);
  f.Part("recordings_ended", "state", "failed", t.failed);
  f.Parts("retention_deleted", "Recordings deleted by retention.");
  for (size_t i = 0; i < kRetentionRules.size(); ++i)
    f.Part("retention_deleted", "reason", kRetentionRules[i],
           t.retention_deleted[i]);
  f.Gauge("recorders", "Recorders that run.", recorders.running());
  f.Gauge("recorder_uses", "Recordings and replay rings in them.",
          recorders.uses());
  f.Gauge("replay_media_us", "How much the replay's ring holds.",
          replay.media_us());
  f.Gauge("replay_bytes", "Memory that it takes.",
          static_cast<int64_t>(replay.bytes()));
  f.Counter("recorder_deaths", "Recorders that died or had to be killed.",
            t.recorder_deaths);
  f.Counter("fallbacks", "Times that a recording took a second best.",
            t.fallbacks);
  f.Parts("frames", "Frames by what became of them.");
  f.Part("frames", "fate", "captured", t.counters.captured);
  f.Part("frames", "fate", "encoded", t.counters.encoded);
  f.Part("frames", "fate", "skipped_undamaged", t.counters.skipped_undamaged);
  f.Part("frames", "fate", "skipped_paused", t.counters.skipped_paused);
  f.Part("frames", "fate", "repeated", t.counters.repeated);
  f.Part("frames", "fate", "pointer", t.counters.pointer);
  f.Part("frames", "fate", "lost_overload", t.counters.lost_overload);
  f.Part("frames", "fate", "lost_in_source", t.counters.lost_in_source);
  f.Part("frames", "fate", "lost_import", t.counters.lost_import);
  f.Part("frames", "fate", "corrupted", t.counters.corrupted);
  f.Counter("written_bytes", "Bytes of video written.", t.counters.bytes);
  WriteCommands(f, commands);
  f.Gauge("http_connections", "Open connections.", server.connections.value());
  f.Gauge("http_streams", "Open event streams.", server.streams.value());
  f.Counter("http_accepted", "Connections accepted.", server.accepted.value());
  f.Counter("http_requests", "Requests handed to a handler.",
            server.requests.value());
  f.Parts("http_refused", "Connections and requests refused.");
  f.Part("http_refused", "what", "peer", server.refused_peers.value());
  f.Part("http_refused", "what", "connection",
         server.refused_connections.value());
  f.Part("http_refused", "what", "request", server.refused_requests.value());
  f.Counter("http_timeouts", "Connections cut for being slow or idle.",
            server.timeouts.value());
  f.Counter("http_unanswered", "Requests nobody answered: a bug.",
            server.unanswered.value());
  f.Counter("http_received_bytes", "Request bodies.", server.bytes_in.value());
  f.Counter("http_sent_bytes", "Responses.", server.bytes_out.value());
  f.Summary("http_handling_seconds",
            "From the whole request to its answer, waits included.",
            server.handling);
  f.Summary("loop_turn_seconds",
            "How long one turn of the control loop kept others waiting.",
            loop_turns);
  absl::StrAppend(&text, "# EOF\n");
  return text;
}

}  // namespace kine
