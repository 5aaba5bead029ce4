#include "daemon/recorder/recorder.h"

#include <algorithm>
#include <utility>
#include <variant>

#include "absl/strings/str_cat.h"
#include "daemon/base/limits.h"
#include "daemon/base/log.h"
#include "daemon/base/status.h"
#include "daemon/recorder/cursor/cursor_files.h"
#include "daemon/recorder/source_spec.h"

namespace kine {
namespace {

CaptureRequest RequestOf(const link::Start& start) {
  return ToCaptureRequest(start.settings, start.restore_token,
                          start.queue_packets);
}

}  // namespace

// Belongs to FileIo's worker until its callback.
struct Recorder::Opening {
  link::Start start;
  std::optional<Replay> replay;  // Of this; else of what is captured.
  UniqueFd directory;
  UniqueFd trace;  // Its memory, if any.
  RecordingFiles files;
  bool stopped = false;
};

Recorder::Recorder(const Environment& environment, UniqueFd link,
                   const link::Hello& hello, CaptureFactories factories,
                   absl::AnyInvocable<void(absl::Status why)> on_exit)
    : environment_(environment),
      loop_(environment.loops.control),
      captures_(environment.loops, std::move(factories)),
      shots_(loop_, environment.pictures, captures_,
             [this](link::ShotTaken taken) {
               Tell(std::move(taken));
               ExitIfDone();
             }),
      on_exit_(std::move(on_exit)),
      encode_watch_(environment.loops.encode) {
  Link::Client& client = *this;  // A private base.
  link_ = std::make_unique<Link>(loop_, std::move(link), client);
  Tell(hello);
  Heartbeat();
}

Recorder::~Recorder() = default;

void Recorder::Tell(link::ToDaemon message) {
  if (ending_) return;
  // Those who watch can do without; what fills the queue ends the recording.
  if (std::holds_alternative<link::Fragment>(message) && link_->waiting() > 0)
    return;
  // An error closes the link and comes again as OnClosed().
  (void)link_->Send(link::ToJson(message));
}

void Recorder::OnMessage(absl::string_view text, std::vector<UniqueFd> fds) {
  if (ending_) return;
  absl::StatusOr<link::ToRecorder> message = link::ParseToRecorder(text);
  if (!message.ok())
    return End(WithContext("a message of the daemon's", message.status()));
  if (auto* start = std::get_if<link::Start>(&*message))
    return On(std::move(*start), std::move(fds));
  if (const auto* stop = std::get_if<link::Stop>(&*message)) return On(*stop);
  if (const auto* keep = std::get_if<link::KeepReplay>(&*message))
    return On(*keep);
  if (const auto* save = std::get_if<link::SaveReplay>(&*message))
    return On(*save, std::move(fds));
  if (const auto* shot = std::get_if<link::Shot>(&*message))
    return shots_.Take(*shot,
                       fds.size() == 1 ? std::move(fds.front()) : UniqueFd());
  const std::string& id = std::visit(
      [](const auto& m) -> const std::string& { return m.id; }, *message);
  for (const auto& recording : recordings_) {
    if (recording->id() != id) continue;
    if (std::holds_alternative<link::Pause>(*message)) recording->Pause();
    if (std::holds_alternative<link::Resume>(*message)) recording->Resume();
    if (std::holds_alternative<link::Watch>(*message)) recording->Watch();
    if (std::holds_alternative<link::Unwatch>(*message)) recording->Unwatch();
    if (std::holds_alternative<link::Activity>(*message))
      recording->NoteAgent();
  }
}

void Recorder::OnClosed(absl::Status reason) { End(std::move(reason)); }

void Recorder::Quit() { End(absl::OkStatus()); }

void Recorder::Refuse(const std::string& id, link::EndReason reason,
                      absl::string_view message) {
  link::Finished finished;
  finished.id = id;
  finished.state = link::Finished::State::kFailed;
  finished.reason = reason;
  finished.truncated = true;
  finished.message = std::string(message);
  Tell(std::move(finished));
}

void Recorder::On(link::Start start, std::vector<UniqueFd> fds) {
  Open(std::move(start), std::move(fds), std::nullopt);
}

void Recorder::On(const link::SaveReplay& save, std::vector<UniqueFd> fds) {
  const auto ring = std::ranges::find_if(rings_, [&](const auto& r) {
    return r->id() == save.replay && !r->ending();
  });
  Replay replay;
  if (ring != rings_.end())
    replay = (*ring)->Last(absl::Milliseconds(save.last_ms));
  if (replay.packets.empty()) {
    return Refuse(save.id, link::EndReason::kNoFrame,
                  ring == rings_.end()
                      ? "nothing of this source is kept"
                      : "the source has not shown a picture yet");
  }
  link::Start start;
  start.id = save.id;
  start.settings = save.settings;
  start.queue_packets = save.queue_packets;
  Open(std::move(start), std::move(fds), std::move(replay));
}

void Recorder::On(const link::KeepReplay& keep) {
  const absl::Status room = captures_.MayJoin(ReplayRing::RequestOf(keep));
  if (!room.ok())
    return Tell(link::ReplayEnded{keep.id, std::string(room.message())});
  if (rings_.size() >= limits::kRecordingsMax) {
    return Tell(link::ReplayEnded{
        keep.id, absl::StrCat("this recorder keeps ", limits::kRecordingsMax,
                              " replays already")});
  }
  ReplayRing::Client& client = *this;  // A private base.
  rings_.push_back(
      std::make_unique<ReplayRing>(loop_, captures_, client, keep));
}

void Recorder::Open(link::Start start, std::vector<UniqueFd> fds,
                    std::optional<Replay> replay) {
  if (fds.empty() || fds.size() > 2) {
    return Refuse(start.id, link::EndReason::kInternal,
                  "a start message carries the directory and, perhaps, memory "
                  "for a trace");
  }
  // For the daemon those whose outcome it knows are no more.
  const auto running = std::ranges::count_if(recordings_, [](const auto& r) {
    return r->state() != RecordingState::kDone;
  });
  if (openings_.size() + static_cast<size_t>(running) >=
      limits::kRecordingsMax) {
    return Refuse(start.id, link::EndReason::kInternal,
                  absl::StrCat("this recorder has ", limits::kRecordingsMax,
                               " recordings already"));
  }
  openings_.push_back(std::make_unique<Opening>());
  Opening& opening = *openings_.back();
  opening.start = std::move(start);
  opening.replay = std::move(replay);
  opening.directory = std::move(fds.front());
  if (fds.size() == 2) opening.trace = std::move(fds.back());
  environment_.file_io.Run(
      [&opening]() -> absl::Status {
        const int dir_fd = opening.directory.get();
        // First, since the other makes the names durable.
        absl::StatusOr<UniqueFd> cursor = absl::NotFoundError("of a replay");
        if (!opening.replay.has_value()) cursor = CreateCursorFile(dir_fd);
        KINE_ASSIGN_OR_RETURN(
            opening.files,
            CreateRecordingFiles(
                dir_fd, Recording::ReserveBytes(opening.start.settings)));
        opening.files.cursor = std::move(cursor);
        opening.files.directory = std::move(opening.directory);
        return absl::OkStatus();
      },
      [this, &opening](absl::Status status) { OnFilesMade(opening, status); });
}

void Recorder::OnFilesMade(Opening& opening, const absl::Status& status) {
  auto it = std::find_if(openings_.begin(), openings_.end(),
                         [&](const auto& o) { return o.get() == &opening; });
  const std::unique_ptr<Opening> own = std::move(*it);
  openings_.erase(it);
  if (ending_) return ExitIfDone();
  if (!status.ok()) {
    return Refuse(opening.start.id,
                  absl::IsResourceExhausted(status)
                      ? link::EndReason::kDiskFull
                      : link::EndReason::kDiskFailed,
                  status.message());
  }
  if (opening.stopped)
    return Refuse(opening.start.id, link::EndReason::kNoFrame,
                  "stopped before the recording had begun");
  const absl::Status room = opening.replay.has_value()
                                ? absl::OkStatus()
                                : captures_.MayJoin(RequestOf(opening.start));
  if (!room.ok())
    return Refuse(opening.start.id, link::EndReason::kEncoderFailed,
                  room.message());
  if (opening.trace.valid()) BeginTrace(opening);
  Recording::Client& client = *this;  // A private base.
  recordings_.push_back(std::make_unique<Recording>(
      Recording::Environment{loop_, environment_.file_io,
                             environment_.check_free_space},
      client, opening.start, std::move(opening.files),
      [&](CaptureSink& sink, uint64_t packet_bytes_max) {
        return FeedFor(opening, sink, packet_bytes_max);
      }));
  Tell(link::Accepted{opening.start.id});
}

void Recorder::BeginTrace(Opening& opening) {
  using Thread = TraceRing::Thread;
  absl::StatusOr<std::shared_ptr<TraceRing>> ring =
      TraceRing::Map(opening.trace);
  if (!ring.ok()) {
    LogWarning(absl::StrCat("no trace, ignoring: ", ring.status().message()));
    return;
  }
  opening.files.trace = *ring;
  environment_.loops.source.Post(
      [ring = *ring] { ring->NameThread(Thread::kSource); });
  environment_.loops.encode.Post(
      [ring = *ring] { ring->NameThread(Thread::kEncode); });
}

std::unique_ptr<PacketFeed> Recorder::FeedFor(Opening& opening,
                                              CaptureSink& sink,
                                              uint64_t packet_bytes_max) {
  if (!opening.replay.has_value())
    return captures_.Join(RequestOf(opening.start), sink, packet_bytes_max);
  return std::make_unique<ReplayFeed>(loop_, sink, *std::move(opening.replay),
                                      opening.start.queue_packets);
}

void Recorder::On(const link::Stop& stop) {
  for (const auto& opening : openings_)
    if (opening->start.id == stop.id) opening->stopped = true;
  for (const auto& recording : recordings_)
    if (recording->id() == stop.id) recording->Stop(stop.reason);
  for (const auto& ring : rings_)
    if (ring->id() == stop.id) ring->Stop();
}

void Recorder::OnRetired(Recording& recording) {
  std::erase_if(recordings_,
                [&](const auto& r) { return r.get() == &recording; });
  ExitIfDone();
}

void Recorder::OnRetired(ReplayRing& ring) {
  std::erase_if(rings_, [&](const auto& r) { return r.get() == &ring; });
  ExitIfDone();
}

void Recorder::Heartbeat() {
  heartbeat_ = LoopHandle(
      loop_, loop_.PostAfter(absl::Milliseconds(limits::kHeartbeatMs),
                             [this] { Heartbeat(); }));
  constexpr int64_t kBeats = limits::kEncodeSilentMs / limits::kHeartbeatMs;
  const int silent = encode_watch_.Beat();
  if (silent == kBeats && on_hung_ != nullptr) on_hung_();
  // What comes meanwhile is not encoded: the screen need not be still.
  constexpr int kBeatsKnown = 2;
  for (const auto& recording : recordings_)
    recording->SetEncoderAnswers(silent < kBeatsKnown);
  link::Progress progress;
  progress.seq = ++heartbeats_;
  progress.mono_us = loop_.clock().Now().micros();
  for (const auto& recording : recordings_) {
    if (recording->state() == RecordingState::kDone) continue;
    progress.recordings.push_back({recording->id(), recording->counters(),
                                   recording->cursor(),
                                   recording->active_mono_us()});
  }
  Tell(std::move(progress));
  for (const auto& ring : rings_)
    if (!ring->ending()) Tell(ring->kept());
}

void Recorder::End(absl::Status why) {
  if (ending_) return;
  ending_ = true;
  if (on_ending_ != nullptr) on_ending_();
  why_ = std::move(why);
  heartbeat_.Cancel();
  for (const auto& recording : recordings_) recording->Abandon();
  for (const auto& ring : rings_) ring->Stop();
  // In a task of its own: the link may be in the middle of a callback.
  exit_ = LoopHandle(loop_, loop_.PostAfter(absl::ZeroDuration(), [this] {
    link_->Close();
    ExitIfDone();
  }));
}

void Recorder::ExitIfDone() {
  if (!ending_ || link_->open() || !recordings_.empty() || !openings_.empty() ||
      !rings_.empty() || !shots_.idle())
    return;
  if (on_exit_) std::exchange(on_exit_, nullptr)(why_);
}

}  // namespace kine
