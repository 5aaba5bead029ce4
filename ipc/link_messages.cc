#include "ipc/link_messages.h"

#include <array>
#include <utility>

#include "absl/strings/str_cat.h"
#include "daemon/base/check.h"
#include "daemon/base/limits/live.h"
#include "ipc/json_in.h"
#include "ipc/json_out.h"
#include "ipc/link/message_io.h"

namespace kine::link {
namespace {

using State = Finished::State;
using Index = Finished::Index;

constexpr JsonName<EndReason> kEndReasons[] = {
    {"stopped", EndReason::kStopped},
    {"idle", EndReason::kIdle},
    {"max_bytes", EndReason::kMaxBytes},
    {"max_duration", EndReason::kMaxDuration},
    {"disk_full", EndReason::kDiskFull},
    {"disk_slow", EndReason::kDiskSlow},
    {"source_lost", EndReason::kSourceLost},
    {"shutdown", EndReason::kShutdown},
    {"no_frame", EndReason::kNoFrame},
    {"crop_outside", EndReason::kCropOutside},
    {"source_failed", EndReason::kSourceFailed},
    {"encoder_failed", EndReason::kEncoderFailed},
    {"disk_failed", EndReason::kDiskFailed},
    {"internal", EndReason::kInternal}};
constexpr JsonName<State> kStates[] = {{"ready", State::kReady},
                                       {"failed", State::kFailed}};
constexpr JsonName<Index> kIndexes[] = {
    {"none", Index::kNone}, {"front", Index::kFront}, {"tail", Index::kTail}};

constexpr JsonName<CursorFile::Mode> kCursorModes[] = {
    {"none", CursorFile::Mode::kNone},
    {"embedded", CursorFile::Mode::kEmbedded},
    {"metadata", CursorFile::Mode::kMetadata}};

// In the order of the variants.
constexpr const char* kToRecorderTypes[] = {
    "start",   "stop",     "pause",       "resume",      "watch",
    "unwatch", "activity", "keep_replay", "save_replay", "shot"};
constexpr const char* kToDaemonTypes[] = {
    "hello",      "accepted",    "needs_consent", "restore_token",
    "format",     "first_frame", "head",          "fragment",
    "lost",       "back",        "paused",        "resumed",
    "fallback",   "progress",    "replay_kept",   "replay_ended",
    "shot_taken", "view_built",  "finished"};
static_assert(std::size(kToRecorderTypes) == std::variant_size_v<ToRecorder>);
static_assert(std::size(kToDaemonTypes) == std::variant_size_v<ToDaemon>);

}  // namespace

// What says no more than whose it is.
template <typename Io, typename Message>
requires(sizeof(Message) == sizeof(std::string)) void Fields(Io& io,
                                                             Message& m) {
  io.Id("id", m.id);
}

template <typename Io>
void Fields(Io& io, In<Io, Start> m) {
  io.Id("id", m.id);
  io.Settings(m.settings);
  io.Whole("queue_packets", m.queue_packets);
  io.Token("restore_token", m.restore_token);
}

template <typename Io>
void Fields(Io& io, In<Io, Stop> m) {
  io.Id("id", m.id);
  io.Enum("reason", m.reason, kEndReasons);
}

template <typename Io>
void Fields(Io& io, In<Io, KeepReplay> m) {
  io.Id("id", m.id);
  io.Settings(m.settings);
  io.Token("restore_token", m.restore_token);
  io.Whole("keep_ms", m.keep_ms);
  io.Whole("bytes_max", m.bytes_max);
  io.Whole("queue_packets", m.queue_packets);
}

template <typename Io>
void Fields(Io& io, In<Io, SaveReplay> m) {
  io.Id("id", m.id);
  io.Id("replay", m.replay);
  io.Settings(m.settings);
  io.Whole("last_ms", m.last_ms);
  io.Whole("queue_packets", m.queue_packets);
}

template <typename Io>
void Fields(Io& io, In<Io, Shot> m) {
  io.Id("id", m.id);
  io.Settings(m.settings);
  io.Whole("width", m.width);
  io.Whole("height", m.height);
}

template <typename Io>
void Fields(Io& io, In<Io, Refusal> m) {
  io.Text("name", m.name);
  io.Text("reason", m.reason);
}

template <typename Io>
void Fields(Io& io, In<Io, Hello> m) {
  io.Whole("pid", m.pid);
  io.Text("version", m.version);
  io.Text("file_io", m.file_io);
  io.Text("file_io_reason", m.file_io_reason);
  io.Texts("encoders", m.encoders);
  io.List("encoders_refused", m.encoders_refused, limits::kLinkRefusalsMax);
}

template <typename Io>
void Fields(Io& io, In<Io, RestoreToken> m) {
  io.Id("id", m.id);
  io.Token("token", m.token);
}

template <typename Io>
void Fields(Io& io, In<Io, Format::Source> m) {
  io.Text("kind", m.kind);
  io.Text("name", m.name);
  io.Whole("node_id", m.node_id);
  io.Whole("serial", m.serial);
  io.Text("memory", m.memory);
  io.Bool("cursor_embedded", m.cursor_embedded);
  io.Bool("has_damage", m.has_damage);
  io.Bool("has_times", m.has_times);
  io.List("refusals", m.refusals, limits::kLinkRefusalsMax);
}

template <typename Io>
void Fields(Io& io, In<Io, Format::Encoder> m) {
  io.Text("name", m.name);
  io.Text("version", m.version);
  io.Text("profile", m.profile);
  io.Text("color", m.color);
}

template <typename Io>
void Fields(Io& io, In<Io, Format> m) {
  io.Id("id", m.id);
  io.Object("source", m.source);
  io.Whole("width", m.width);
  io.Whole("height", m.height);
  io.Text("pixels", m.pixels);
  io.Text("modifier", m.modifier);
  io.Object("encoder", m.encoder);
}

template <typename Io>
void Fields(Io& io, In<Io, FirstFrame> m) {
  io.Id("id", m.id);
  io.Whole("mono_us", m.mono_us);
  io.Whole("wall_us", m.wall_us);
  io.Whole("true_width", m.true_width);
  io.Whole("true_height", m.true_height);
}

template <typename Io>
void Fields(Io& io, In<Io, Head> m) {
  io.Id("id", m.id);
  io.Whole("ftyp_bytes", m.ftyp_bytes);
  io.Whole("moov_offset", m.moov_offset);
  io.Whole("moov_bytes", m.moov_bytes);
}

template <typename Io>
void Fields(Io& io, In<Io, Fragment> m) {
  io.Id("id", m.id);
  io.Base64("moof", m.moof, limits::kLiveMoofBytesMax);
  io.Whole("mdat_offset", m.mdat_offset);
  io.Whole("mdat_bytes", m.mdat_bytes);
  io.Whole("first_ticks", m.first_ticks);
  io.Whole("last_ticks", m.last_ticks);
  io.Bool("keyframe", m.keyframe);
}

template <typename Io>
void Fields(Io& io, In<Io, Lost> m) {
  io.Id("id", m.id);
  io.Text("reason", m.reason);
  io.Whole("media_us", m.media_us);
}

template <typename Io>
void Fields(Io& io, In<Io, Back> m) {
  io.Id("id", m.id);
  io.Whole("gap_us", m.gap_us);
  io.Whole("media_us", m.media_us);
}

template <typename Io>
void Fields(Io& io, In<Io, Paused> m) {
  io.Id("id", m.id);
  io.Whole("mono_us", m.mono_us);
  io.Whole("media_us", m.media_us);
}

template <typename Io>
void Fields(Io& io, In<Io, Resumed> m) {
  io.Id("id", m.id);
  io.Whole("mono_us", m.mono_us);
  io.Whole("media_us", m.media_us);
  io.Whole("paused_us", m.paused_us);
}

template <typename Io>
void Fields(Io& io, In<Io, Fallback> m) {
  io.Text("id", m.id);
  io.Text("what", m.what);
  io.Text("from", m.from);
  io.Text("to", m.to);
  io.Text("reason", m.reason);
}

template <typename Io>
void Fields(Io& io, In<Io, Quantiles> m) {
  io.Whole("p50_us", m.p50_us);
  io.Whole("p99_us", m.p99_us);
  io.Whole("max_us", m.max_us);
}

template <typename Io>
void Fields(Io& io, In<Io, Counters> m) {
  io.Whole("captured", m.captured);
  io.Whole("encoded", m.encoded);
  io.Whole("skipped_undamaged", m.skipped_undamaged);
  io.Whole("skipped_paused", m.skipped_paused);
  io.Whole("repeated", m.repeated);
  io.Whole("pointer", m.pointer);
  io.Whole("lost_overload", m.lost_overload);
  io.Whole("lost_in_source", m.lost_in_source);
  io.Whole("lost_import", m.lost_import);
  io.Whole("corrupted", m.corrupted);
  io.Whole("bytes", m.bytes);
  io.Whole("durable_bytes", m.durable_bytes);
  io.Whole("durable_until_us", m.durable_until_us);
  io.Whole("media_us", m.media_us);
  io.Object("capture", m.capture);
  io.Object("encode", m.encode);
  io.Object("write", m.write);
  io.Object("total", m.total);
}

template <typename Io>
void Fields(Io& io, In<Io, CursorFile> m) {
  io.Enum("mode", m.mode, kCursorModes);
  io.Whole("events", m.events);
  io.Whole("shapes", m.shapes);
  io.Whole("bytes", m.bytes);
  io.Whole("dropped", m.dropped);
}

template <typename Io>
void Fields(Io& io, In<Io, RecordingProgress> m) {
  io.Id("id", m.id);
  io.Object("counters", m.counters);
  io.Object("cursor", m.cursor);
  io.Whole("active_mono_us", m.active_mono_us);
}

template <typename Io>
void Fields(Io& io, In<Io, Progress> m) {
  io.Whole("seq", m.seq);
  io.Whole("mono_us", m.mono_us);
  io.List("recordings", m.recordings, limits::kRecordingsMax);
}

template <typename Io>
void Fields(Io& io, In<Io, ReplayKept> m) {
  io.Id("id", m.id);
  io.Whole("media_us", m.media_us);
  io.Whole("bytes", m.bytes);
  io.Whole("packets", m.packets);
  io.Text("encoder", m.encoder);
  io.Bool("needs_consent", m.needs_consent);
}

template <typename Io>
void Fields(Io& io, In<Io, ReplayEnded> m) {
  io.Id("id", m.id);
  io.Text("reason", m.reason);
}

template <typename Io>
void Fields(Io& io, In<Io, ShotTaken> m) {
  io.Id("id", m.id);
  io.Text("error", m.error);
  io.Whole("width", m.width);
  io.Whole("height", m.height);
  io.Whole("bytes", m.bytes);
}

template <typename Io>
void Fields(Io& io, In<Io, Finished::Finalise> m) {
  io.Enum("index", m.index, kIndexes);
  io.Whole("micros", m.micros);
  io.Whole("index_bytes", m.index_bytes);
  io.Whole("chapters", m.chapters);
  io.Whole("chapters_left_out", m.chapters_left_out);
  io.Whole("durable_us", m.durable_us);
  io.Bool("alive_damaged", m.alive_damaged);
  io.Bool("cursor_damaged", m.cursor_damaged);
}

template <typename Io>
void Fields(Io& io, In<Io, Finished> m) {
  io.Id("id", m.id);
  io.Enum("state", m.state, kStates);
  io.Enum("reason", m.reason, kEndReasons);
  io.Bool("truncated", m.truncated);
  io.Text("message", m.message);
  io.Whole("bytes", m.bytes);
  io.Whole("duration_us", m.duration_us);
  io.Whole("compact_us", m.compact_us);
  io.Whole("frames", m.frames);
  io.Object("finalise", m.finalise);
  io.Object("counters", m.counters);
  io.Object("cursor", m.cursor);
  io.Whole("width", m.width);
  io.Whole("height", m.height);
  io.Whole("true_width", m.true_width);
  io.Whole("true_height", m.true_height);
}

template <typename Io>
void Fields(Io& io, In<Io, ViewBuilt> m) {
  io.Text("error", m.error);
  io.Whole("head_bytes", m.head_bytes);
  io.Whole("times_bytes", m.times_bytes);
  io.Whole("media_offset", m.media_offset);
  io.Whole("media_bytes", m.media_bytes);
}

namespace {

template <typename Message>
std::string ToJsonAs(const Message& message) {
  std::string text;
  JsonOut out(text);
  out.BeginObject();
  out.Field("type", TypeOf(message));
  std::visit(
      [&out](const auto& m) {
        MessageWriter writer(out);
        Fields(writer, m);
      },
      message);
  out.End();
  KINE_CHECK(text.size() <= limits::kLinkMessageBytesMax);
  return text;
}

// Makes `message` the alternative number `type` and reads its fields.
template <typename Message, size_t... I>
void BindAlternative(JsonObject& object, size_t type, Message& message,
                     std::index_sequence<I...>) {
  MessageReader reader(object);
  const auto bind = [&]<size_t Is>() {
    if (Is == type) Fields(reader, message.template emplace<Is>());
  };
  (bind.template operator()<I>(), ...);
}

template <typename Message, size_t N>
absl::StatusOr<Message> ParseAs(absl::string_view text,
                                const char* const (&types)[N]) {
  JsonName<size_t> table[N];
  for (size_t i = 0; i < N; ++i) table[i] = {types[i], i};
  Message message;
  const absl::Status bound = BindJson(
      text, {.bytes_max = limits::kLinkMessageBytesMax}, [&](JsonObject& o) {
        size_t type = N;
        o.Enum("type", type, table, JsonNeed::kRequired);
        BindAlternative(o, type, message, std::make_index_sequence<N>());
      });
  if (!bound.ok()) return bound;
  return message;
}

}  // namespace

const char* EndReasonName(EndReason reason) {
  for (const auto& row : kEndReasons) {
    if (row.value == reason) return row.name;
  }
  return "internal";
}

std::optional<EndReason> EndReasonFromName(absl::string_view name) {
  for (const auto& row : kEndReasons) {
    if (name == row.name) return row.value;
  }
  return std::nullopt;
}

std::string ToJson(const ToRecorder& message) { return ToJsonAs(message); }
std::string ToJson(const ToDaemon& message) { return ToJsonAs(message); }

absl::StatusOr<ToRecorder> ParseToRecorder(absl::string_view text) {
  return ParseAs<ToRecorder>(text, kToRecorderTypes);
}
absl::StatusOr<ToDaemon> ParseToDaemon(absl::string_view text) {
  return ParseAs<ToDaemon>(text, kToDaemonTypes);
}

const char* TypeOf(const ToRecorder& message) {
  return kToRecorderTypes[message.index()];
}
const char* TypeOf(const ToDaemon& message) {
  return kToDaemonTypes[message.index()];
}

void WriteCounters(JsonOut& out, const Counters& counters) {
  MessageWriter writer(out);
  Fields(writer, counters);
}

}  // namespace kine::link
