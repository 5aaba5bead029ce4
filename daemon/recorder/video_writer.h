// VideoWriter: packets of one recording in, video.mp4 and `alive` out. Packs
// fragments, writes and syncs them one after another, keeps to max_bytes, and
// brings the file to its end.
//
//   Add()* -> Finish() -> done      a stop, a limit, a failure: finalised
//   Add()* -> Flush()  -> done      the daemon is gone: closed and synced only
//
// Threads: control loop only. The Client may be called inside Add(); all else
// comes from the loop. `done` runs once, last, and this may be destroyed inside
// it; not before (or after the FileIo).
//
// A fragment closes limits::kFragmentMs after its first sample, when it holds
// half of the queue, and at a change of size; the next is written when it is
// durable (with sync_fragments off: written). While it is being written the
// samples that come meanwhile share the next one.
//
// Credit: a packet's memory counts from Add() until it is durable, and goes
// back by OnCredits() exactly once, also when the packet is thrown away.
//
// Failures: the first write or sync that fails is final. Nothing is written to
// the media any more, OnMustEnd() says why, later packets are thrown away, and
// Finish() makes a valid file of the fragments before it. After a failed sync
// only what was durable before it counts, for ever.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "daemon/base/loop.h"
#include "daemon/base/metrics.h"
#include "daemon/recorder/alive_file.h"
#include "daemon/recorder/finaliser.h"
#include "daemon/recorder/recording_files.h"
#include "daemon/storage/file_io.h"
#include "daemon/storage/preallocator.h"
#include "encode/encoder.h"
#include "encode/mp4/fragment_writer.h"
#include "ipc/link_messages.h"

namespace kine {

// Of the file's clock; rounded down.
constexpr int64_t TicksToMicros(uint64_t ticks) {
  return static_cast<int64_t>(ticks * 100 / 9);
}

class VideoWriter {
 public:
  class Client {
   public:
    virtual ~Client() = default;
    virtual void OnCredits(int packets, uint64_t bytes) = 0;
    // The recording has to end: kMaxBytes, kDiskFull, kDiskSlow, kDiskFailed or
    // kInternal. May come again, for another reason, until `done`.
    virtual void OnMustEnd(link::EndReason reason, absl::Status why) = 0;
    // The head is written: what lies in it stays as it is.
    virtual void OnHead(const mp4::FileHeader& header) = 0;
    // While watched: this fragment is written, behind the one told before.
    virtual void OnFragment(link::Fragment fragment) = 0;
    // The file system cannot reserve space ahead; nothing else changes.
    virtual void OnCannotReserve(absl::Status why) = 0;
    // Nothing was added for hours: the format needs a sample before too long.
    virtual void OnNeedsSample() = 0;
  };

  struct Options {
    uint64_t max_bytes = 0;
    uint64_t reserve_bytes = 0;  // From mp4::ReserveBytes().
    mp4::CompactRule compact;    // Of the finished file; off: as recorded.
    bool sync_fragments = true;
    int queue_packets = 0;
    // CheckFreeSpace(), or a fake. Runs on FileIo's worker.
    absl::Status (*check_free_space)(int fd) = nullptr;
  };

  using Done = absl::AnyInvocable<void(absl::StatusOr<FinaliseResult>)>;

  VideoWriter(Loop& loop, FileIo& file_io, RecordingFiles files,
              const Options& options, Client& client);
  ~VideoWriter();
  VideoWriter(const VideoWriter&) = delete;
  VideoWriter& operator=(const VideoWriter&) = delete;

  void Add(SharedPacket shared);

  // False: the source is gone and nobody knows what the screen shows. Closes
  // the fragment; until true (or the next packet) `alive` is not written.
  void SetPictureKnown(bool known);

  // Media time stands still from Pause() to Resume(): what was captured
  // meanwhile is shown from the pause on. Pause() closes the fragment. In
  // turns, Pause() after the first packet.
  void Pause(MonoTime when);
  void Resume(MonoTime when);
  // What is captured before `until` was caused by the agent, and is marked so.
  void SetAgentActive(MonoTime until) { agent_active_until_ = until; }
  // From the first packet to `time`, without the pauses.
  absl::Duration MediaTime(MonoTime time) const;
  // The same on the file's clock.
  uint64_t Ticks(MonoTime time) const;

  // Watched: fragments close limits::kLiveFragmentMs after their first sample
  // and before a keyframe, what shows no change at once, and each is told by
  // OnFragment(), without its id, when it is written.
  void SetWatched(bool watched) { watched_ = watched; }

  // Each at most once, and one of the two. The last sample lasts until `end`.
  // NOT_FOUND when there is no sample, or none that may be believed; other
  // errors: the file could not be finished and plays as a growing one.
  void Finish(MonoTime end, Done done);
  // The result is empty. Errors: not everything is durable.
  void Flush(Done done);

  // What the next packet may measure so that the file ends well.
  uint64_t packet_bytes_max() const;

  // Samples that the writer took; packets that came too late for the file.
  uint64_t samples() const { return samples_; }
  uint64_t dropped() const { return dropped_; }
  std::optional<MonoTime> first_time() const { return first_time_; }
  uint64_t bytes() const { return bytes_; }
  uint64_t durable_bytes() const { return durable_bytes_; }
  uint64_t durable_ticks() const { return durable_ticks_; }
  // Write + sync of a fragment; a frame's own time until it was durable.
  const Histogram& write_latency() const { return write_latency_; }
  const Histogram& total_latency() const { return total_latency_; }

 private:
  // One write of media, and what becomes true when it is durable.
  struct Piece {
    uint64_t offset = 0;
    std::vector<std::byte> data;
    bool is_fragment = false;
    bool ends_head = false;
    uint64_t until = 0;
    uint64_t number = 0;  // Of a fragment,
    uint64_t bytes = 0;   // and its length.
    int packets = 0;
    uint64_t packet_bytes = 0;
    std::vector<MonoTime> frame_times;
    std::optional<link::Fragment> watched;
  };

  bool Begin(const Packet& first);
  // Shares the packet's data.
  mp4::Sample ToSample(const SharedPacket& packet) const;
  void AddSample(const Packet& packet, mp4::Sample sample);
  void Drop(const Packet& packet);
  uint64_t NowTicks() const;

  // Closes the open fragment at `until` ticks, behind the ones that wait.
  void CloseFragment(uint64_t until);
  // Starts the next write when none is under way; else OnIdle().
  void Pump();
  void OnWritten(absl::Status status);
  void OnSynced(absl::Status status);
  void Complete(TraceKind how_far);
  void Fail(absl::Status status, bool in_sync);
  void ReturnCredits(int packets, uint64_t bytes);
  void WatchQueue();
  void CheckSpace(uint64_t end);
  void OnRefused(absl::Status status);

  void OnIdle();

  // For the trace.
  void TracePicture(MonoTime now, const Packet& packet, uint32_t more_flags);
  void TracePiece(TraceKind kind, const Piece& piece);
  void TraceNow(absl::string_view name, absl::string_view text = "");

  enum class Ending { kNo, kFinish, kFlush };
  void BeginEnding(Ending ending, Done done);
  void SyncBeforeExit();
  void Finalise();
  // Gives reserved space back, waits for what is under way, and is done.
  void Leave(absl::StatusOr<FinaliseResult> result);
  void EndIfQuiet();

  Loop& loop_;
  FileIo& file_io_;
  const RecordingFiles files_;
  const Options options_;
  Client& client_;
  Preallocator preallocator_;
  Finaliser finaliser_;
  AliveWriter alive_;

  std::unique_ptr<mp4::FragmentWriter> mp4_;  // From the first packet on.
  std::optional<MonoTime> first_time_;
  mp4::FileHeader header_;  // Likewise.
  int width_ = 0;
  int height_ = 0;
  bool samples_added_ = false;
  uint64_t last_ticks_ = 0;  // Of the newest sample.
  // From the frame's time until its packet was here, of the newest packet: what
  // is younger than that may still be on its way.
  absl::Duration delay_;
  Piece open_;  // Of the open fragment, all but offset, data and until.

  std::deque<Piece> pieces_;  // Waiting; the front one under way when busy_.
  bool busy_ = false;
  bool close_wanted_ = false;  // As soon as nothing is being written.
  bool full_ = false;          // max_bytes.
  absl::Status failed_;
  bool sync_failed_ = false;
  MonoTime piece_start_;
  uint64_t bytes_writing_ = 0;  // bytes_, once the write is complete.

  int packets_out_ = 0;
  uint64_t packet_bytes_out_ = 0;
  uint64_t fragments_ = 0;  // Closed.
  uint64_t samples_ = 0;
  uint64_t dropped_ = 0;
  uint64_t bytes_ = 0;
  uint64_t written_ticks_ = 0;
  uint64_t durable_bytes_ = 0;
  uint64_t durable_ticks_ = 0;
  uint64_t next_space_check_;
  int space_checks_ = 0;
  Histogram write_latency_;
  Histogram total_latency_;

  bool picture_known_ = true;
  bool watched_ = false;
  MonoTime agent_active_until_;

  std::optional<MonoTime> paused_since_;
  absl::Duration paused_;        // Of the pauses that are over.
  absl::Duration resumed_from_;  // Media time of the newest of them.

  Ending ending_ = Ending::kNo;
  uint64_t end_ticks_ = 0;
  // Leave() waits for these: alive, the preallocator, checks of space.
  int leaving_ = 0;
  std::optional<absl::StatusOr<FinaliseResult>> result_;
  Done done_;

  // Last, so that they are cancelled first.
  LoopHandle fragment_timer_;
  LoopHandle slow_timer_;
};

}  // namespace kine
