#include "daemon/timeline/timeline_text.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "daemon/base/record_text.h"
#include "ipc/json_out.h"

namespace kine {
namespace {

void WriteMarker(JsonOut& out, const Marker& marker) {
  out.Field("number", marker.number);
  out.Field("label", marker.label);
  out.Field("kind", MarkerKindName(marker.kind));
  out.Field("media_us", marker.media_us);
  out.Field("at", TimeText(absl::FromUnixMicros(marker.wall_us)));
  out.Field("duration_us", marker.duration_us);
  out.Field("attrs", marker.attributes);
}

void WriteMarkers(JsonOut& out, absl::string_view key,
                  const Timeline& timeline) {
  out.BeginList(key);
  for (const Marker& marker : timeline.markers()) {
    out.BeginObject();
    WriteMarker(out, marker);
    out.End();
  }
  out.End();
}

void WriteCommands(JsonOut& out, const Timeline& timeline) {
  out.BeginList("commands");
  for (const CommandSpan& command : timeline.commands()) {
    out.BeginObject();
    out.Field("process", command.process);
    out.Field("command", command.command);
    out.Field("media_us", command.media_us);
    out.Field("end_media_us", command.end_media_us);
    out.FieldIfAny("outcome", command.outcome);
    out.Field("code", command.code);
    out.End();
  }
  out.End();
}

void WriteSegments(JsonOut& out, const TimelineOf& of,
                   const Timeline& timeline) {
  out.BeginList("segments");
  int64_t begin = 0;
  int64_t elapsed = 0;
  const auto put = [&](int64_t end) {
    if (!of.first_frame_at || end <= begin) return;
    out.BeginObject();
    out.Field("media_us", begin);
    out.Field("duration_us", end - begin);
    out.Field("at", TimeText(*of.first_frame_at + absl::Microseconds(elapsed)));
    out.End();
  };
  for (const PauseSpan& pause : timeline.pauses()) {
    const int64_t at = std::min(pause.media_us, of.end_us);
    put(at);
    elapsed += at - begin + pause.paused_us.value_or(0);
    begin = at;
  }
  put(of.end_us);
  out.End();
}

void WritePauses(JsonOut& out, const Timeline& timeline) {
  out.BeginList("pauses");
  for (const PauseSpan& pause : timeline.pauses()) {
    out.BeginObject();
    out.Field("media_us", pause.media_us);
    out.Field("paused_us", pause.paused_us);
    out.End();
  }
  out.End();
  out.BeginList("gaps");
  for (const GapSpan& gap : timeline.gaps()) {
    out.BeginObject();
    out.Field("media_us", gap.media_us);
    out.Field("end_media_us", gap.end_media_us);
    out.FieldIfAny("reason", gap.reason);
    out.End();
  }
  out.End();
}

// 00:00:01.500
std::string VttTime(int64_t micros) {
  const int64_t millis = micros / 1000;
  return absl::StrFormat("%02d:%02d:%02d.%03d", millis / 3'600'000,
                         millis / 60'000 % 60, millis / 1000 % 60,
                         millis % 1000);
}

std::string Escaped(absl::string_view text, absl::string_view special,
                    absl::string_view (*escape)(char c)) {
  std::string out;
  for (const char c : text) {
    if (special.find(c) != absl::string_view::npos)
      absl::StrAppend(&out, escape(c));
    else
      out.push_back(c);
  }
  return out;
}

std::string VttText(absl::string_view text) {
  return Escaped(text, "&<>", [](char c) -> absl::string_view {
    return c == '&' ? "&amp;" : c == '<' ? "&lt;" : "&gt;";
  });
}

std::string MetadataText(absl::string_view text) {
  return Escaped(text, "=;#\\", [](char c) -> absl::string_view {
    return c == '=' ? "\\=" : c == ';' ? "\\;" : c == '#' ? "\\#" : "\\\\";
  });
}

}  // namespace

std::string MarkerJson(const Marker& marker, bool attached) {
  std::string text;
  JsonOut out(text);
  out.BeginObject();
  WriteMarker(out, marker);
  out.Field("attached", attached);
  out.End();
  return text;
}

std::string MarkerJson(const Marker& marker) {
  std::string text;
  JsonOut out(text);
  out.BeginObject();
  WriteMarker(out, marker);
  out.End();
  return text;
}

std::string MarkersVtt(const Timeline& timeline, int64_t end_us) {
  std::string text = "WEBVTT\n";
  for (const TimelineChapter& chapter : timeline.Chapters(end_us)) {
    // A cue has to end after it begins.
    absl::StrAppend(&text, "\n", VttTime(chapter.media_us), " --> ",
                    VttTime(std::max(chapter.end_us, chapter.media_us + 1000)),
                    "\n", VttText(chapter.title), "\n");
  }
  return text;
}

std::string MarkersFfmetadata(const Timeline& timeline, int64_t end_us) {
  std::string text = ";FFMETADATA1\n";
  for (const TimelineChapter& chapter : timeline.Chapters(end_us)) {
    absl::StrAppend(&text,
                    "[CHAPTER]\nTIMEBASE=1/1000000\nSTART=", chapter.media_us,
                    "\nEND=", chapter.end_us,
                    "\ntitle=", MetadataText(chapter.title), "\n");
  }
  return text;
}

std::string TimelineJson(const TimelineOf& of, const Timeline& timeline) {
  std::string text;
  JsonOut out(text);
  out.BeginObject();
  out.Field("id", of.id);
  if (of.first_frame_at)
    out.Field("first_frame_at", TimeText(*of.first_frame_at));
  out.Field("first_frame_us", of.first_frame_mono_us);
  out.Field("duration_us", of.end_us);
  WriteSegments(out, of, timeline);
  WritePauses(out, timeline);
  WriteMarkers(out, "markers", timeline);
  WriteCommands(out, timeline);
  out.End();
  return text;
}

// -- Samples -----------------------------------------------------------------

namespace {

Marker FullMarker() {
  Marker marker;
  marker.label = "clicked Save";
  marker.duration_us = 1'000;
  marker.attributes = {{"<name>", "value"}};
  return marker;
}

// One of everything with all that can be said of it, and one with nothing.
Timeline FullTimeline() {
  CommandSpan command;
  command.end_media_us = 1'000;
  command.outcome = "exit 0";
  command.code = 0;
  Timeline timeline;
  const auto add = [&](absl::string_view type, absl::string_view data) {
    timeline.AddLine(LogLine(absl::UnixEpoch(), 0, type, data));
  };
  add(kMarkerType, MarkerData(FullMarker()));
  add(kMarkerType, MarkerData(Marker()));
  add(kCommandType, CommandData(CommandSpan()));
  add(kCommandType, CommandData(command));  // Its end.
  add(kCommandType, CommandData(CommandSpan()));
  add(kPausedType, R"({"media_us":1000})");
  add(kResumedType, R"({"media_us":1000,"paused_us":1000})");
  add(kPausedType, R"({"media_us":2000})");
  add(kSourceLostType, R"({"media_us":1000,"reason":"gone"})");
  add(kSourceBackType, R"({"media_us":2000})");
  add(kSourceLostType, R"({"media_us":2000})");
  return timeline;
}

}  // namespace

std::vector<std::string> MarkerSamples() {
  return {MarkerJson(FullMarker(), true), MarkerJson(Marker(), false)};
}

std::vector<std::string> MarkerItemSamples() {
  return {MarkerJson(FullMarker()), MarkerJson(Marker())};
}

std::vector<std::string> TimelineSamples() {
  return {TimelineJson({"demo", absl::UnixEpoch(), 0, 3'000}, FullTimeline()),
          TimelineJson({"demo", {}, {}, 0}, Timeline())};
}

}  // namespace kine
