// Recording: owns one recording's parts and moves it through its states
// (recording_state.h): what feeds it in front, the file behind.
//
//   [Format, FirstFrame, Lost, Back, ...] -> Stop() -> Finished -> OnRetired
//
// Runs from its making on. Ends by Stop(), a limit, a lost source, a failure or
// the end of a replay, all in the same way: the feed gives its last packets,
// the writer finalises, Finished is told exactly once. Abandon() instead is for
// a daemon that is gone: the fragment is closed and synced, nothing is
// finalised and nobody is told.
//
// Threads: control loop only. Everything told is told from the loop, never
// inside a call. Destroy in OnRetired (or when all loops are dead).
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "daemon/base/loop.h"
#include "daemon/base/metrics.h"
#include "daemon/recorder/capture/capture_sink.h"
#include "daemon/recorder/capture/packet_feed.h"
#include "daemon/recorder/cursor/cursor_track.h"
#include "daemon/recorder/recording_files.h"
#include "daemon/recorder/recording_state.h"
#include "daemon/recorder/video_writer.h"
#include "daemon/storage/file_io.h"
#include "encode/mp4/view.h"
#include "ipc/link_messages.h"

namespace kine {

class Recording final : private CaptureSink, private VideoWriter::Client {
 public:
  class Client {
   public:
    virtual ~Client() = default;
    virtual void Tell(link::ToDaemon message) = 0;
    // Nothing can call back any more; destroy it here.
    virtual void OnRetired(Recording& recording) = 0;
  };

  // What the process gives every recording; outlives them.
  struct Environment {
    Loop& loop;
    FileIo& file_io;
    // CheckFreeSpace(), or a fake.
    absl::Status (*check_free_space)(int fd) = nullptr;
  };

  // Makes what feeds `sink`: a capture's tap, or a replay. `packet_bytes_max`:
  // what a packet may measure.
  using Feed = absl::FunctionRef<std::unique_ptr<PacketFeed>(
      CaptureSink& sink, uint64_t packet_bytes_max)>;

  Recording(const Environment& environment, Client& client, link::Start start,
            RecordingFiles files, Feed feed);
  ~Recording() override;
  Recording(const Recording&) = delete;
  Recording& operator=(const Recording&) = delete;

  // Of the file's head, for CreateRecordingFiles().
  static uint64_t ReserveBytes(const RecordingSettings& settings);

  // Ignored when it ends already.
  void Stop(link::EndReason reason);
  // One file, whose time does not go on meanwhile. Ignored before the first
  // frame, when it ends, when it is so already, and of a replay.
  void Pause();
  void Resume();
  // Somebody joins those who watch; nobody watches any more. Ignored when it
  // ends.
  void Watch();
  void Unwatch();
  // The agent does something: the pictures of the next second say so.
  void NoteAgent();
  void Abandon();
  // Whether the encode thread does: while it does not, the last picture is not
  // taken for what the screen shows.
  void SetEncoderAnswers(bool answers);

  const std::string& id() const { return start_.id; }
  RecordingState state() const { return state_; }
  link::Counters counters() const;
  link::CursorFile cursor() const;
  // When more than 1 % of the picture was damaged within a second, for the last
  // time; 0: never.
  int64_t active_mono_us() const { return active_mono_us_; }

 private:
  // CaptureSink:
  void OnFormat(const VideoFormat& format,
                const SourceDescription& description) override;
  void OnEncoder(const EncoderDescription& description,
                 const std::vector<EncoderRefusal>& refusals) override;
  void OnFallback(EncodeFallback fallback) override;
  void OnImportRefused(std::string layout, std::string next) override;
  void OnNeverFinished(std::string layout) override;
  void OnPacket(SharedPacket shared) override;
  void OnCursor(const CursorBatch& batch) override;
  void OnLost(absl::Status reason, MonoTime when) override;
  void OnSourceFailed(absl::Status reason) override;
  void OnEncoderFailed(absl::Status reason) override;
  void OnEnded(MonoTime end) override;
  void OnNeedsConsent() override;
  void OnRestoreToken(std::string token) override;
  void OnDrained() override;
  void OnRetired() override;

  // VideoWriter::Client:
  void OnCredits(int packets, uint64_t bytes) override;
  void OnMustEnd(link::EndReason reason, absl::Status why) override;
  void OnHead(const mp4::FileHeader& header) override;
  void OnFragment(link::Fragment fragment) override;
  void OnCannotReserve(absl::Status why) override;
  void OnNeedsSample() override;

  void Advance(RecordingEvent event);
  // The still picture is repeated while somebody watches or the agent acts.
  void UpdateRepeats();
  bool ending() const { return state_ > RecordingState::kRecording; }
  void End(link::EndReason reason, absl::Status why, MonoTime end);
  void OnFirstPacket(const Packet& packet);
  void WatchActivity(const Packet& packet);
  void ArmDurationTimer();
  void TellFormat();
  void TellFallback(std::string what, std::string from, std::string to,
                    absl::string_view reason);
  void Note(absl::string_view name, absl::string_view text = "");
  std::unique_ptr<CursorTrack> MakeCursorTrack(const Environment& environment,
                                               RecordingFiles& files);
  void OnWritten(absl::StatusOr<FinaliseResult> result);
  // When the video is, and the pointer's file, or it takes too long.
  void FinishIfWritten();
  // The file is cut because of it, whatever else was going on.
  static bool CutsTheFile(link::EndReason reason);
  link::Finished Outcome(const absl::StatusOr<FinaliseResult>& result) const;
  void RetireIfDone();
  int64_t MediaMicros() const;

  Loop& loop_;
  Recording::Client& client_;
  const link::Start start_;
  RecordingState state_ = RecordingState::kWaitingForFirstFrame;

  std::optional<EncoderDescription> encoder_;
  std::optional<std::pair<VideoFormat, SourceDescription>> format_;
  std::optional<MonoTime> lost_since_;
  bool encoder_answers_ = true;
  absl::Status lost_reason_;

  std::optional<Packet> first_;  // Without its data.
  std::optional<MonoTime> paused_since_;
  std::optional<mp4::ActivityWindow> activity_;  // Of pictures of this size:
  int activity_width_ = 0;
  int activity_height_ = 0;
  int64_t active_mono_us_ = 0;
  bool watched_ = false;
  bool agent_acts_ = false;
  Histogram capture_latency_;
  Histogram encode_latency_;

  link::EndReason reason_ = link::EndReason::kStopped;
  absl::Status why_;
  MonoTime end_;
  bool abandoned_ = false;
  bool feed_retired_ = false;

  const std::shared_ptr<TraceRing> trace_;                // May be none.
  std::optional<absl::StatusOr<FinaliseResult>> result_;  // Of the video.

  absl::Status no_cursor_;               // Why there is none, if there should.
  std::unique_ptr<CursorTrack> cursor_;  // Null: there is no file of it.
  VideoWriter writer_;
  std::unique_ptr<PacketFeed> feed_;

  // Last, so that they are cancelled first.
  LoopHandle duration_timer_;
  LoopHandle grace_timer_;
  LoopHandle agent_timer_;
};

// What is told of a finished file, whoever finished it: it is ready.
void ReportFile(const FinaliseResult& file, link::Finished& out);

}  // namespace kine
