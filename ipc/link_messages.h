// The messages on a Link, as plain values, and the one place that turns them
// into JSON and back. {"type":"start", ...}; the member names are the fields'.
//
//   kinescoped                          recorder
//        | <------------------------- Hello          once, first
//        | Start + directory fd ----> |               and memory for a trace
//        | <- [NeedsConsent, RestoreToken] Accepted  file created, source asked
//        | <-------- Format, FirstFrame, Progress*   Format again on a change
//        | <-------- Head                            its start is written
//        | <-------- [Lost, Back, Fallback]*
//        | [Pause, Resume] ---------> |               after FirstFrame
//        | <------- [Paused, Resumed]                where it was not so yet
//        | [Watch, Unwatch] --------> |               after Accepted
//        | <------- Fragment*                        between the two
//        | [Activity]* -------------> |               the agent does something
//        | Stop --------------------> |
//        | <------------------------- Finished       last for its id, always
//        |                            |
//        | KeepReplay --------------> |               a ring, by an id of its
//        own | <----- [RestoreToken, ReplayKept]*         with every heartbeat
//        | SaveReplay + directory fd  |               a recording of the ring:
//        | <---- as to a Start, Accepted .. Finished  by the recording's id
//        | Stop --------------------> |               forgets it, no answer
//        | <------------------------- [ReplayEnded]   or it cannot go on
//        |                            |
//        | Shot + memfd ------------> |               by a number of its own
//        | <------------------------- ShotTaken       one, always
//
// Start answers with exactly one Accepted or one Finished{kFailed}; every id
// that was started gets exactly one Finished, also without a Stop (limits, a
// lost source). Progress is the heartbeat: every 500 ms, also with no
// recording. A Stop for an id that is finished or unknown is ignored.
//
// SaveReplay answers as a Start does and needs no Stop: it ends by itself,
// kStopped, or kNoFrame when there is no such ring or nothing in it. Rings and
// recordings share one space of ids; the ids of Shots are another.
//
// Texts that come from elsewhere (names, reasons) are cut to kLinkTextBytesMax
// when written: a long error must not break the link. Any message that does
// not parse is a protocol error: close the link.
//
// Times: `..._us` without more is media time from the first frame; `mono_us`
// is CLOCK_MONOTONIC, `wall_us` microseconds since 1970.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "ipc/recording_request.h"

namespace kine::link {

// Why a recording ended: the `reason` of the state reply, and of Stop.
enum class EndReason {
  kStopped,
  kIdle,
  kMaxBytes,
  kMaxDuration,
  kDiskFull,
  kDiskSlow,
  kSourceLost,
  kShutdown,
  kNoFrame,        // With kFailed from here on.
  kCropOutside,    // Nothing of the crop is in the picture.
  kSourceFailed,   // The source can never work, or nobody consented.
  kEncoderFailed,  // No encoder, or it gave up.
  kDiskFailed,     // An I/O error that is neither full nor slow.
  kInternal,
};
const char* EndReasonName(EndReason reason);  // "max_bytes"
// Every name; for whoever reads it back from elsewhere (a manifest).
std::optional<EndReason> EndReasonFromName(absl::string_view name);

// A recorder's exit status when a driver holds its encode thread for good.
inline constexpr int kExitEncoderHung = 3;

// -- kinescoped to recorder --------------------------------------------------

// Carries the recording's directory and, perhaps, memory for its trace
// (daemon/timeline/trace_ring.h).
struct Start {
  std::string id;
  RecordingSettings settings;
  int queue_packets = limits::kQueuePacketsDefault;
  // For the portal, when the settings name none: what its last start gave. "":
  // none.
  std::string restore_token;
};
struct Stop {
  std::string id;
  EndReason reason = EndReason::kStopped;
};
struct Pause {
  std::string id;
};
struct Resume {
  std::string id;
};
// Somebody watches: make a keyframe soon, keep the picture coming (see
// limits/live.h), and tell each Fragment. For every one who joins.
struct Watch {
  std::string id;
};
// Nobody does any more.
struct Unwatch {
  std::string id;
};
// The agent is active: the pictures of the next second are marked so.
struct Activity {
  std::string id;
};
// Keep the last encoded packets of that source, with these picture settings, in
// memory until Stop{id}: `keep_ms` of them, and `bytes_max` at most. A sink as
// a recording is, without a file, a limit or an idle stop.
struct KeepReplay {
  std::string id;
  RecordingSettings settings;
  std::string restore_token;  // As Start's.
  int64_t keep_ms = 0;
  uint64_t bytes_max = 0;
  int queue_packets = limits::kQueuePacketsDefault;  // As Start's.
};
// Make a recording of what the ring `replay` has of its last `last_ms`, from
// the keyframe at or before that moment; less, if the ring has less. Carries
// what a Start does.
struct SaveReplay {
  std::string id;
  std::string replay;
  RecordingSettings settings;
  int64_t last_ms = 0;
  int queue_packets = limits::kQueuePacketsDefault;
};
// Write a PNG of what the running capture of that source shows now into the
// memfd that it carries, scaled down to at most width by height; 0: its own.
struct Shot {
  std::string id;
  RecordingSettings settings;  // Only the source counts.
  int width = 0;
  int height = 0;
};
using ToRecorder = std::variant<Start, Stop, Pause, Resume, Watch, Unwatch,
                                Activity, KeepReplay, SaveReplay, Shot>;

// -- Recorder to kinescoped --------------------------------------------------

// A candidate that was not used, and why.
struct Refusal {
  std::string name;  // "vaapi", "pipewire", "uring"
  std::string reason;
};

struct Hello {
  int32_t pid = 0;
  std::string version;  // Must equal the daemon's: they are one package.
  std::string file_io;  // "uring" | "thread"
  std::string file_io_reason;
  std::vector<std::string> encoders;
  std::vector<Refusal> encoders_refused;
};
struct Accepted {
  std::string id;
};
struct NeedsConsent {
  std::string id;
};
struct RestoreToken {
  std::string id;
  std::string token;
};
struct Format {
  std::string id;
  struct Source {
    std::string kind;  // "pipewire", "portal", "test"
    std::string name;
    uint32_t node_id = 0;
    uint64_t serial = 0;
    std::string memory;  // "MemPtr", "MemFd", "DmaBuf", "internal"
    bool cursor_embedded = true;
    bool has_damage = false;
    bool has_times = false;
    std::vector<Refusal> refusals;
  } source;
  int width = 0;
  int height = 0;
  std::string pixels;    // The fourcc's text: "XR24".
  std::string modifier;  // "linear", or hexadecimal digits: "0x100000000000001"
  struct Encoder {
    std::string name;
    std::string version;
    std::string profile;
    std::string color;
  } encoder;
};
struct FirstFrame {
  std::string id;
  int64_t mono_us = 0;
  int64_t wall_us = 0;
  int true_width = 0;  // Of the recorded picture.
  int true_height = 0;
};
// The head of video.mp4 is written: ftyp at 0, the moov of the fragments, and
// behind that the fragments. None of these bytes changes any more.
struct Head {
  std::string id;
  uint64_t ftyp_bytes = 0;
  uint64_t moov_offset = 0;
  uint64_t moov_bytes = 0;
};
// A fragment is written. Its bytes in the file do not change any more. One that
// does not follow on the one told before it: the daemon did not read for a
// while, and some were left out.
struct Fragment {
  std::string id;
  std::string moof;  // Its bytes.
  uint64_t mdat_offset = 0;
  uint64_t mdat_bytes = 0;   // Header included.
  uint64_t first_ticks = 0;  // Decode times of its first sample
  uint64_t last_ticks = 0;   // and of its last.
  bool keyframe = false;     // Begins with one.
};
struct Lost {
  std::string id;
  std::string reason;
  int64_t media_us = 0;
};
struct Back {
  std::string id;
  int64_t gap_us = 0;
  int64_t media_us = 0;
};
// Media time stands still from then on.
struct Paused {
  std::string id;
  int64_t mono_us = 0;
  int64_t media_us = 0;
};
struct Resumed {
  std::string id;
  int64_t mono_us = 0;
  int64_t media_us = 0;
  int64_t paused_us = 0;  // How long this pause was.
};
// A second best was taken, openly.
struct Fallback {
  std::string id;  // "" = for the whole recorder.
  // "encoder", "import", "crop", "cursor" (it is not drawn), "cursor_file",
  // "file_io", "source", "preallocate"
  std::string what;
  std::string from;
  std::string to;
  std::string reason;
};

struct Quantiles {
  int64_t p50_us = 0;
  int64_t p99_us = 0;
  int64_t max_us = 0;
};
// What a recording has done so far.
struct Counters {
  uint64_t captured = 0;
  uint64_t encoded = 0;
  uint64_t skipped_undamaged = 0;
  uint64_t skipped_paused = 0;
  uint64_t repeated = 0;        // For who watches a still screen.
  uint64_t pointer = 0;         // Where it moved over the same picture.
  uint64_t lost_overload = 0;   // The encoder was busy.
  uint64_t lost_in_source = 0;  // Before they reached us.
  uint64_t lost_import = 0;     // DMA-BUFs not taken in, or never finished.
  uint64_t corrupted = 0;
  uint64_t bytes = 0;          // Written to the file.
  uint64_t durable_bytes = 0;  // Known to be on the disk.
  int64_t durable_until_us = 0;
  int64_t media_us = 0;
  Quantiles capture;  // Source's stamp to arrival; then per stage.
  Quantiles encode;
  Quantiles write;
  Quantiles total;
};
// cursor.ndjson: what a recording knows of the pointer.
struct CursorFile {
  enum class Mode {
    kNone,      // No such file (yet).
    kEmbedded,  // The source paints it; the file has its first line.
    kMetadata,
  };
  Mode mode = Mode::kNone;
  uint64_t events = 0;   // Lines that say what the pointer did.
  uint64_t shapes = 0;   // Files in cursors/.
  uint64_t bytes = 0;    // Whole lines that can be read.
  uint64_t dropped = 0;  // Moves that are in no line.
};

struct RecordingProgress {
  std::string id;
  Counters counters;
  CursorFile cursor;
  // When more than 1 % of the picture was damaged within a second, for the last
  // time; 0: never. CLOCK_MONOTONIC.
  int64_t active_mono_us = 0;
};
struct Progress {
  uint64_t seq = 0;  // From 1, without gaps.
  int64_t mono_us = 0;
  std::vector<RecordingProgress> recordings;
};

// What the ring holds, with every heartbeat.
struct ReplayKept {
  std::string id;
  int64_t media_us = 0;  // From its oldest keyframe to now.
  uint64_t bytes = 0;
  uint64_t packets = 0;
  std::string encoder;         // Its name; empty before there is one.
  bool needs_consent = false;  // The portal may be asking a person.
};
// It cannot go on: the source is lost for good, or nothing encodes it.
struct ReplayEnded {
  std::string id;
  std::string reason;  // For people.
};
struct ShotTaken {
  std::string id;
  std::string error;  // "": the picture is in the memfd; else for people.
  int width = 0;
  int height = 0;
  uint64_t bytes = 0;
};

struct Finished {
  enum class State { kReady, kFailed };
  enum class Index { kNone, kFront, kTail };

  std::string id;
  State state = State::kReady;
  EndReason reason = EndReason::kStopped;
  bool truncated = false;   // Ended otherwise than by a stop.
  std::string message;      // For people: what happened, what to do.
  uint64_t bytes = 0;       // The finished file.
  int64_t duration_us = 0;  // As it was recorded.
  int64_t compact_us = 0;   // Of a finished file that is compact; else 0.
  uint64_t frames = 0;      // Samples in the file.
  struct Finalise {
    Index index = Index::kNone;  // Where it is in the file.
    int64_t micros = 0;
    uint64_t index_bytes = 0;
    uint64_t chapters = 0;           // In the file.
    uint64_t chapters_left_out = 0;  // Only in the event log.
    // Of what was read back (--finalise): where the last whole fragment ends,
    // and whether `alive` was there and could not be read.
    int64_t durable_us = 0;
    bool alive_damaged = false;
    bool cursor_damaged = false;  // Likewise: cursor.ndjson was cut.
  } finalise;
  Counters counters;
  CursorFile cursor;
  int width = 0;  // The first coded size; the picture in it.
  int height = 0;
  int true_width = 0;
  int true_height = 0;
};

// The answer of `--view`, never on a link: what was written into the memory
// given, head first and the times (JSON) behind it, and the bytes of the file
// that follow the head.
struct ViewBuilt {
  std::string error;  // Of people; else nothing.
  uint64_t head_bytes = 0;
  uint64_t times_bytes = 0;
  uint64_t media_offset = 0;
  uint64_t media_bytes = 0;
};

using ToDaemon = std::variant<Hello, Accepted, NeedsConsent, RestoreToken,
                              Format, FirstFrame, Head, Fragment, Lost, Back,
                              Paused, Resumed, Fallback, Progress, ReplayKept,
                              ReplayEnded, ShotTaken, ViewBuilt, Finished>;

// One message as the text of a Link message; never above kLinkMessageBytesMax.
std::string ToJson(const ToRecorder& message);
std::string ToJson(const ToDaemon& message);

// INVALID_ARGUMENT that names the member.
absl::StatusOr<ToRecorder> ParseToRecorder(absl::string_view text);
absl::StatusOr<ToDaemon> ParseToDaemon(absl::string_view text);

// "start", "progress"... for log lines.
const char* TypeOf(const ToRecorder& message);
const char* TypeOf(const ToDaemon& message);

// Members of Counters, flat, for replies that show the same figures.
void WriteCounters(JsonOut& out, const Counters& counters);

}  // namespace kine::link
