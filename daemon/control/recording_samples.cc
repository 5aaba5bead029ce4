// Recordings as the document shows them.
#include <utility>

#include "daemon/control/recording_record.h"

namespace kine {
namespace {

// One of which everything is known.
RecordingRecord FullRecord() {
  RecordingRecord r;
  r.id = "demo";
  r.request.settings.fps_max = 29.97;
  r.request.settings.quality = 60;
  r.request.settings.bitrate = 1'000'000;
  r.request.settings.cursor = RecordingSettings::Cursor::kEmbedded;
  r.request.settings.crop = RecordingSettings::Crop();
  r.request.settings.idle.compact_after_ms = 1'000;
  r.request.labels = {{"<name>", "value"}};
  r.replay.emplace();
  r.state = RecordingState::kReady;
  r.reason = "stopped";
  r.message = "for people";
  r.first_frame_at = r.finished_at = absl::UnixEpoch();
  r.first_frame_mono_us = 0;
  r.lost_reason = "gone";
  link::Format& format = r.format;
  format.source.kind = "pipewire";
  format.source.name = "desk";
  format.source.node_id = 41;
  format.source.serial = 99;
  format.source.memory = "MemFd";
  format.source.refusals = {{"portal", "no session bus"}};
  format.encoder = {"x264", "164", "High", "bt709 limited"};
  r.cursor.mode = link::CursorFile::Mode::kMetadata;
  r.fallbacks = {{"", "file_io", "uring", "thread", "forbidden"}};
  r.compact_us = 1;
  r.recovery.emplace();
  r.recovery->damaged = {{"alive", "torn"}};
  return r;
}

// One of which no more is known than of every finished one.
RecordingRecord PlainRecord() {
  RecordingRecord r;
  r.id = "demo";
  r.state = RecordingState::kReady;
  r.format.source.kind = "test";
  r.format.encoder.name = "x264";
  return r;
}

}  // namespace

std::vector<SourceRequest> SourceSamples() {
  PipeWireRequest pipewire;
  pipewire.node = 41;
  pipewire.serial = 99;
  pipewire.name = "desk";
  pipewire.remote = "pipewire-0";
  PortalRequest portal;
  portal.restore_token = "x";
  TestRequest test;
  test.fps = 29.97;
  return {AutoRequest(), pipewire, PipeWireRequest(), portal, test};
}

std::vector<std::string> StateReplySamples() {
  RecordingRecord starting;
  starting.id = "demo";
  std::vector<std::string> samples = {
      StateReplyOf(starting, std::nullopt),
      StateReplyOf(PlainRecord(), std::nullopt)};
  RecordingRecord full = FullRecord();
  for (SourceRequest& source : SourceSamples()) {
    full.request.settings.source = std::move(source);
    samples.push_back(StateReplyOf(full, true));
  }
  return samples;
}

}  // namespace kine
