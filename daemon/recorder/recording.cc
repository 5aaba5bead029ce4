#include "daemon/recorder/recording.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "capture/dmabuf/fences.h"
#include "capture/pixel_format.h"
#include "daemon/base/check.h"
#include "daemon/base/limits.h"
#include "daemon/base/limits/timeline.h"
#include "daemon/recorder/cursor/cursor_files.h"
#include "daemon/recorder/source_spec.h"
#include "encode/mp4/fragment_layout.h"
#include "encode/mp4/init_segment.h"

namespace kine {
namespace {

using link::EndReason;

VideoWriter::Options WriterOptions(const link::Start& start,
                                   absl::Status (*check_free_space)(int fd)) {
  VideoWriter::Options options;
  options.max_bytes = start.settings.max_bytes;
  options.reserve_bytes = Recording::ReserveBytes(start.settings);
  options.sync_fragments =
      start.settings.durability == RecordingSettings::Durability::kFragment;
  if (const auto after = start.settings.idle.compact_after_ms)
    options.compact = ToCompactRule(*after, start.settings.idle.compact_speed);
  options.queue_packets = start.queue_packets;
  options.check_free_space = check_free_space;
  return options;
}

}  // namespace

Recording::Recording(const Environment& environment, Client& client,
                     link::Start start, RecordingFiles files, Feed feed)
    : loop_(environment.loop),
      client_(client),
      start_(std::move(start)),
      trace_(files.trace),
      cursor_(MakeCursorTrack(environment, files)),
      writer_(loop_, environment.file_io, std::move(files),
              WriterOptions(start_, environment.check_free_space), *this),
      feed_(feed(*this, writer_.packet_bytes_max())) {}

Recording::~Recording() = default;

uint64_t Recording::ReserveBytes(const RecordingSettings& settings) {
  return mp4::ReserveBytes(settings.max_duration_ms, settings.fps_max,
                           settings.max_bytes);
}

void Recording::Advance(RecordingEvent event) {
  const std::optional<RecordingState> next = Next(state_, event);
  KINE_CHECK(next.has_value());
  state_ = *next;
}

void Recording::Stop(EndReason reason) {
  End(reason, absl::OkStatus(), loop_.clock().Now());
}

void Recording::Pause() {
  if (state_ != RecordingState::kRecording || paused_since_.has_value()) return;
  if (!feed_->Pause()) return;
  paused_since_ = loop_.clock().Now();
  duration_timer_.Cancel();
  writer_.Pause(*paused_since_);
  Note("paused");
  if (cursor_ != nullptr) cursor_->Pause(*paused_since_);
  client_.Tell(link::Paused{start_.id, paused_since_->micros(), MediaMicros()});
}

void Recording::Resume() {
  if (state_ != RecordingState::kRecording || !paused_since_.has_value())
    return;
  const MonoTime now = loop_.clock().Now();
  const MonoTime since = *std::exchange(paused_since_, std::nullopt);
  const int64_t media_us = MediaMicros();  // As it was told at the pause.
  writer_.Resume(now);
  if (cursor_ != nullptr) cursor_->Resume(now);
  feed_->Resume();
  ArmDurationTimer();
  Note("resumed");
  client_.Tell(link::Resumed{start_.id, now.micros(), media_us,
                             absl::ToInt64Microseconds(now - since)});
}

void Recording::Watch() {
  if (ending()) return;
  watched_ = true;
  writer_.SetWatched(true);
  UpdateRepeats();
  feed_->RequestKeyframe();
}

void Recording::Unwatch() {
  if (ending()) return;
  watched_ = false;
  writer_.SetWatched(false);
  UpdateRepeats();
}

void Recording::NoteAgent() {
  const auto active = absl::Milliseconds(limits::kAgentActiveMs);
  writer_.SetAgentActive(loop_.clock().Now() + active);
  if (ending()) return;
  // A still screen has no picture that could say so, and the compact view would
  // run through what the agent does there.
  agent_acts_ = true;
  UpdateRepeats();
  agent_timer_ = LoopHandle(loop_, loop_.PostAfter(active, [this] {
    agent_acts_ = false;
    UpdateRepeats();
  }));
}

void Recording::UpdateRepeats() {
  if (!ending()) feed_->SetWatched(watched_ || agent_acts_);
}

void Recording::Abandon() {
  abandoned_ = true;
  End(EndReason::kShutdown, absl::OkStatus(), loop_.clock().Now());
}

void Recording::End(EndReason reason, absl::Status why, MonoTime end) {
  const bool was_ending = ending();
  Advance(RecordingEvent::kEnd);
  if (was_ending) {
    if (!CutsTheFile(reason) || CutsTheFile(reason_)) return;
    reason_ = reason;
    why_ = std::move(why);
    return;
  }
  Note("ending", link::EndReasonName(reason));
  reason_ = reason;
  why_ = std::move(why);
  end_ = end;
  duration_timer_.Cancel();
  grace_timer_.Cancel();
  if (cursor_ != nullptr) cursor_->End(end_);
  feed_->Stop();
}

// -- From the feed -----------------------------------------------------------

void Recording::OnFormat(const VideoFormat& format,
                         const SourceDescription& description) {
  format_.emplace(format, description);
  Note("format", absl::StrCat(format.width, "x", format.height, " ",
                              PixelFormatName(format.fourcc)));
  if (cursor_ != nullptr) cursor_->SetSource(description.cursor_embedded);
  TellFormat();
  if (!lost_since_.has_value()) return;
  const MonoTime since = *std::exchange(lost_since_, std::nullopt);
  grace_timer_.Cancel();
  Note("source back");
  client_.Tell(link::Back{
      start_.id,
      absl::ToInt64Microseconds(loop_.clock().Now() - since),
      MediaMicros(),
  });
}

void Recording::OnEncoder(const EncoderDescription& description,
                          const std::vector<EncoderRefusal>& refusals) {
  encoder_ = description;
  Note("encoder", description.name);
  TellFormat();
  for (const EncoderRefusal& refusal : refusals)
    TellFallback("encoder", refusal.name, description.name, refusal.reason);
}

void Recording::OnFallback(EncodeFallback fallback) {
  TellFallback(std::move(fallback.what), std::move(fallback.from),
               std::move(fallback.to), fallback.reason.message());
}

void Recording::TellFormat() {
  if (!encoder_.has_value() || !format_.has_value()) return;
  link::Format message = ToFormat(format_->first, format_->second, *encoder_);
  message.id = start_.id;
  client_.Tell(std::move(message));
}

void Recording::TellFallback(std::string what, std::string from, std::string to,
                             absl::string_view reason) {
  Note("fallback", absl::StrCat(what, ": ", from, " -> ", to));
  client_.Tell(link::Fallback{start_.id, std::move(what), std::move(from),
                              std::move(to), std::string(reason)});
}

void Recording::OnImportRefused(std::string layout, std::string next) {
  const std::string name = encoder_.has_value() ? encoder_->name : "encoder";
  TellFallback("import", std::move(layout), std::move(next),
               name + " could not take in a DMA-BUF of this layout");
}

void Recording::OnNeverFinished(std::string layout) {
  TellFallback(
      "import", std::move(layout), "shared memory",
      absl::StrCat("the source's GPU finished none of ", kFenceTimeoutsMax,
                   " pictures in a row within ", limits::kFenceMs, " ms"));
}

void Recording::SetEncoderAnswers(bool answers) {
  if (std::exchange(encoder_answers_, answers) == answers) return;
  writer_.SetPictureKnown(answers && !lost_since_.has_value());
}

void Recording::OnPacket(SharedPacket shared) {
  const Packet& packet = *shared;
  const bool is_first = !first_.has_value();
  if (is_first) OnFirstPacket(packet);
  if (cursor_ != nullptr && !is_first)
    cursor_->SetPictureSize(packet.time, packet.true_width, packet.true_height);
  if (!packet.refinement) {
    capture_latency_.Record(packet.encode_start - packet.time);
    encode_latency_.Record(packet.encode_end - packet.encode_start);
  }
  WatchActivity(packet);
  writer_.Add(shared);
  // The file's clock runs from here on.
  if (cursor_ != nullptr && is_first)
    cursor_->Begin(packet.time, packet.true_width, packet.true_height);
  if (is_first && !ending()) ArmDurationTimer();
}

void Recording::WatchActivity(const Packet& packet) {
  if (!activity_ || packet.width != activity_width_ ||
      packet.height != activity_height_) {
    activity_.emplace(packet.width, packet.height);
    activity_width_ = packet.width;
    activity_height_ = packet.height;
  }
  const int64_t since = absl::ToInt64Microseconds(packet.time - first_->time);
  if (activity_->Add(
          static_cast<uint64_t>(std::max<int64_t>(0, since)) * 9 / 100,
          mp4::Priority(packet.damaged_macroblocks, false)))
    active_mono_us_ = packet.time.micros();
}

void Recording::OnFirstPacket(const Packet& packet) {
  Advance(RecordingEvent::kFirstPacket);
  first_.emplace();
  first_->time = packet.time;
  first_->width = packet.width;
  first_->height = packet.height;
  first_->true_width = packet.true_width;
  first_->true_height = packet.true_height;
  const Clock& clock = loop_.clock();
  const absl::Duration age = clock.Now() - packet.time;
  client_.Tell(link::FirstFrame{start_.id, packet.time.micros(),
                                absl::ToUnixMicros(clock.Wall() - age),
                                packet.true_width, packet.true_height});
  if (!no_cursor_.ok())
    TellFallback("cursor_file", kCursorFileName, "none", no_cursor_.message());
}

void Recording::ArmDurationTimer() {
  const absl::Duration limit =
      absl::Milliseconds(start_.settings.max_duration_ms);
  const MonoTime now = loop_.clock().Now();
  const absl::Duration left = limit - writer_.MediaTime(now);
  duration_timer_ =
      LoopHandle(loop_, loop_.PostAfter(left, [this, end = now + left] {
        End(EndReason::kMaxDuration, absl::OkStatus(), end);
      }));
}

void Recording::OnLost(absl::Status reason, MonoTime when) {
  if (ending() || lost_since_.has_value()) return;
  lost_since_ = when;
  lost_reason_ = reason;
  Note("source lost", reason.message());
  writer_.SetPictureKnown(false);
  client_.Tell(
      link::Lost{start_.id, std::string(reason.message()), MediaMicros()});
  const MonoTime until =
      when + absl::Milliseconds(start_.settings.source_grace_ms);
  grace_timer_ =
      LoopHandle(loop_, loop_.PostAfter(until - loop_.clock().Now(), [this] {
        // Nobody knows what was on the screen since then.
        End(EndReason::kSourceLost, lost_reason_, *lost_since_);
      }));
}

void Recording::OnSourceFailed(absl::Status reason) {
  End(EndReason::kSourceFailed, std::move(reason), loop_.clock().Now());
}

void Recording::OnEncoderFailed(absl::Status reason) {
  const EndReason why = absl::IsOutOfRange(reason) ? EndReason::kCropOutside
                                                   : EndReason::kEncoderFailed;
  End(why, std::move(reason), loop_.clock().Now());
}

void Recording::OnEnded(MonoTime end) {
  End(EndReason::kStopped, absl::OkStatus(), end);
}

void Recording::OnNeedsConsent() {
  client_.Tell(link::NeedsConsent{start_.id});
}

void Recording::OnRestoreToken(std::string token) {
  client_.Tell(link::RestoreToken{start_.id, std::move(token)});
}

void Recording::OnDrained() {
  Advance(RecordingEvent::kDrained);
  if (cursor_ != nullptr) {
    cursor_->Close([this] {
      FinishIfWritten();
      RetireIfDone();
    });
  }
  auto done = [this](absl::StatusOr<FinaliseResult> result) {
    OnWritten(std::move(result));
  };
  if (abandoned_) {
    writer_.Flush(done);
  } else {
    writer_.Finish(end_, done);
  }
}

void Recording::OnRetired() {
  feed_retired_ = true;
  RetireIfDone();
}

// -- From the writer ---------------------------------------------------------

void Recording::OnCredits(int packets, uint64_t bytes) {
  feed_->ReturnCredits(packets, bytes, writer_.packet_bytes_max());
}

void Recording::OnMustEnd(EndReason reason, absl::Status why) {
  End(reason, std::move(why), loop_.clock().Now());
}

void Recording::OnCannotReserve(absl::Status why) {
  TellFallback("preallocate", "fallocate", "plain writes", why.message());
}

void Recording::OnHead(const mp4::FileHeader& header) {
  client_.Tell(link::Head{start_.id, header.reserve_offset,
                          header.moov_offset(), header.moov_bytes});
}

void Recording::OnFragment(link::Fragment fragment) {
  fragment.id = start_.id;
  client_.Tell(std::move(fragment));
}

void Recording::OnNeedsSample() { feed_->RequestKeyframe(); }

void Recording::OnWritten(absl::StatusOr<FinaliseResult> result) {
  result_ = std::move(result);
  FinishIfWritten();
  RetireIfDone();
}

void Recording::FinishIfWritten() {
  if (!result_.has_value() || state_ == RecordingState::kDone) return;
  if (cursor_ != nullptr && !cursor_->over()) return;
  Advance(RecordingEvent::kFinished);
  Note("finished");
  if (!abandoned_) client_.Tell(Outcome(*result_));
}

void Recording::RetireIfDone() {
  if (state_ != RecordingState::kDone || !feed_retired_) return;
  if (cursor_ != nullptr && !cursor_->quiet()) return;
  client_.OnRetired(*this);  // May destroy this.
}

void Recording::Note(absl::string_view name, absl::string_view text) {
  if (trace_ != nullptr) trace_->Note(loop_.clock().Now(), name, text);
}

}  // namespace kine
