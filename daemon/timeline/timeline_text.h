// A timeline as clients read it: JSON, WebVTT, ffmetadata.
//
// Pure functions; any thread.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "daemon/timeline/timeline.h"

namespace kine {

// A marker's reply.
std::string MarkerJson(const Marker& marker, bool attached);
// The same in a list.
std::string MarkerJson(const Marker& marker);
// Markers and commands as cues, and as the [CHAPTER]s that ffmpeg's -i takes.
std::string MarkersVtt(const Timeline& timeline, int64_t end_us);
std::string MarkersFfmetadata(const Timeline& timeline, int64_t end_us);

// What a timeline's reply says beside it.
struct TimelineOf {
  absl::string_view id;
  std::optional<absl::Time> first_frame_at;
  std::optional<int64_t> first_frame_mono_us;
  int64_t end_us = 0;  // Media time, so far or at the end.
};
// {"id","first_frame_at","duration_us","segments":[{"media_us","duration_us",
// "at"}],"pauses","gaps","markers","commands"}: within a segment media and wall
// time run evenly.
std::string TimelineJson(const TimelineOf& of, const Timeline& timeline);

// What these write of a recording in which everything happened, and of one in
// which nothing did: samples for the document.
std::vector<std::string> MarkerSamples();
std::vector<std::string> MarkerItemSamples();
std::vector<std::string> TimelineSamples();

}  // namespace kine
