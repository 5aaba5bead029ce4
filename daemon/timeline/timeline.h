// Timeline: what happened in one recording and when, made of the lines of its
// log events.ndjson: markers, commands, pauses and gaps. The same whether the
// lines are being written (kinescoped) or were read back (recovery, views).
//
// A value; one thread at a time. Bounded by limits/timeline.h: what comes above
// that is left out, and the markers and pauses of the wire are refused before.
//
// Media time is microseconds from the first frame, without the pauses; elapsed
// time is with them.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "daemon/timeline/marker_request.h"

namespace kine {

inline constexpr char kEventLogName[] = "events.ndjson";

struct Marker {
  int64_t number = 0;  // From 1, in the order in which they were set.
  std::string label;
  MarkerKind kind = MarkerKind::kAction;
  int64_t media_us = 0;
  int64_t wall_us = 0;  // Of that moment, since 1970.
  std::optional<int64_t> duration_us;
  std::map<std::string, std::string> attributes;
  // The Idempotency-Key it was set with, and what was asked then.
  std::string key;
  std::string request;
};

// A command of the recording's owner, from its start to its end.
struct CommandSpan {
  std::string process;
  std::string command;  // Its text, one line, shortened.
  int64_t media_us = 0;
  std::optional<int64_t> end_media_us;  // Nothing: it went on.
  std::string outcome;                  // "exit 2", "SIGKILL", "deadline".
  std::optional<int> code;
};

struct PauseSpan {
  int64_t media_us = 0;
  std::optional<int64_t> paused_us;  // Nothing: it lasted to the end.
};

// The source was gone.
struct GapSpan {
  int64_t media_us = 0;
  std::optional<int64_t> end_media_us;
  std::string reason;
};

// What a moment that somebody names is measured against.
struct MediaClock {
  absl::Time first_frame_at;
  std::optional<int64_t> first_frame_mono_us;  // Of this instance, or nothing.
  // Now; nothing when the recording has ended.
  std::optional<int64_t> now_mono_us;
  int64_t end_us = 0;  // Media time of an ended one.
};

// A stretch of the recording with a title; `end_us` is its own end, or where
// the next one begins.
struct TimelineChapter {
  int64_t media_us = 0;
  int64_t end_us = 0;
  std::string title;
};

class Timeline {
 public:
  struct Accepted {
    Marker marker;
    bool attached = false;  // It was there before.
  };

  // A line's object, as AppendLog has it. Types of other interest, and lines
  // that are none, change nothing.
  void AddLine(absl::string_view object);

  // The marker that a request makes, not yet added: write MarkerLine() and
  // AddLine() it. The same `key` (may be empty) with the same request is the
  // marker that it made before. INVALID_ARGUMENT names the field whose moment
  // is not in the recording; RESOURCE_EXHAUSTED `markers`; 409
  // different_request.
  absl::StatusOr<Accepted> Accept(const MarkerRequest& request,
                                  const std::string& key,
                                  const MediaClock& clock) const;

  // Media time after so much elapsed time, and back (where a pause begins: its
  // begin).
  int64_t MediaAt(int64_t elapsed_us) const;
  int64_t ElapsedAt(int64_t media_us) const;

  // Markers and commands by time.
  std::vector<TimelineChapter> Chapters(int64_t end_us) const;

  const std::vector<Marker>& markers() const { return markers_; }
  const std::vector<CommandSpan>& commands() const { return commands_; }
  const std::vector<PauseSpan>& pauses() const { return pauses_; }
  const std::vector<GapSpan>& gaps() const { return gaps_; }

 private:
  void AddMarker(Marker marker);
  void AddCommand(CommandSpan command);
  void EndCommand(const CommandSpan& end);
  void AddPause(PauseSpan pause);
  void EndPause(int64_t paused_us);
  void AddGap(GapSpan gap);
  void EndGap(int64_t media_us);
  absl::StatusOr<int64_t> Place(const MarkerRequest& request,
                                const MediaClock& clock) const;

  std::vector<Marker> markers_;
  std::vector<CommandSpan> commands_;
  std::vector<PauseSpan> pauses_;
  std::vector<GapSpan> gaps_;
};

// -- Lines of the log, and their data. The types of other lines are those of
// the events that kinescoped tells ("recording.state").

inline constexpr char kMarkerType[] = "recording.marker";
inline constexpr char kCommandType[] = "recording.command";
inline constexpr char kPausedType[] = "recording.paused";
inline constexpr char kResumedType[] = "recording.resumed";
inline constexpr char kSourceLostType[] = "recording.source_lost";
inline constexpr char kSourceBackType[] = "recording.source_back";

// {"at","at_us","type","data"}: `data` is an object.
std::string LogLine(absl::Time wall, int64_t mono_us, absl::string_view type,
                    absl::string_view data);
std::string MarkerData(const Marker& marker);
std::string CommandData(const CommandSpan& command);

// What is in the log `name` of a recording's directory; empty when there is
// none. Blocks. Damage ends it early and is no error.
absl::StatusOr<Timeline> ReadTimeline(int dir_fd);

}  // namespace kine
