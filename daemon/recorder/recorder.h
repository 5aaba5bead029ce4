// Recorder: the process behind a link. Turns the daemon's messages into
// recordings, which share captures (capture/), and what they tell into
// messages; a heartbeat every limits::kHeartbeatMs says that the control thread
// runs.
//
// Control loop only. When the link ends, for whatever reason, or on Quit(),
// every recording closes its fragment and syncs; `on_exit` runs when all of
// them are gone, and the owner then destroys this.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "daemon/base/fd.h"
#include "daemon/base/loop.h"
#include "daemon/recorder/capture/captures.h"
#include "daemon/recorder/recording.h"
#include "daemon/recorder/replay/replay_feed.h"
#include "daemon/recorder/replay/replay_ring.h"
#include "daemon/recorder/shots.h"
#include "daemon/recorder/thread_watch.h"
#include "ipc/link.h"
#include "ipc/link_messages.h"

namespace kine {

class Recorder final : private Link::Client,
                       private Recording::Client,
                       private ReplayRing::Client {
 public:
  // What the process gives it; outlives it.
  struct Environment {
    CaptureLoops loops;
    Loop& pictures;  // Where pictures are made, on request.
    FileIo& file_io;
    // CheckFreeSpace(), or a fake.
    absl::Status (*check_free_space)(int fd) = nullptr;
  };

  // Says Hello at once.
  Recorder(const Environment& environment, UniqueFd link,
           const link::Hello& hello, CaptureFactories factories,
           absl::AnyInvocable<void(absl::Status why)> on_exit);
  ~Recorder() override;
  Recorder(const Recorder&) = delete;
  Recorder& operator=(const Recorder&) = delete;

  // Called when the end begins, to arm whatever ends it by force.
  void set_on_ending(void (*on_ending)()) { on_ending_ = on_ending; }

  // Called when the encode thread has been silent for limits::kEncodeSilentMs:
  // a driver holds it, and nothing but the end of the process frees it.
  void set_on_hung(void (*on_hung)()) { on_hung_ = on_hung; }

  // As if the link had ended (SIGTERM).
  void Quit();

 private:
  // A Start whose files are being made on FileIo's worker.
  struct Opening;

  // Link::Client:
  void OnMessage(absl::string_view text, std::vector<UniqueFd> fds) override;
  void OnClosed(absl::Status reason) override;

  // Recording::Client, ReplayRing::Client:
  void Tell(link::ToDaemon message) override;
  void OnRetired(Recording& recording) override;
  void OnRetired(ReplayRing& ring) override;

  void On(link::Start start, std::vector<UniqueFd> fds);
  void On(const link::Stop& stop);
  void On(const link::KeepReplay& keep);
  void On(const link::SaveReplay& save, std::vector<UniqueFd> fds);
  // A recording: of `replay`, or of what is captured from now on.
  void Open(link::Start start, std::vector<UniqueFd> fds,
            std::optional<Replay> replay);
  std::unique_ptr<PacketFeed> FeedFor(Opening& opening, CaptureSink& sink,
                                      uint64_t packet_bytes_max);
  void OnFilesMade(Opening& opening, const absl::Status& status);
  void BeginTrace(Opening& opening);
  void Refuse(const std::string& id, link::EndReason reason,
              absl::string_view message);
  void Heartbeat();
  void End(absl::Status why);
  void ExitIfDone();

  const Environment environment_;
  Loop& loop_;
  Captures captures_;
  Shots shots_;
  absl::AnyInvocable<void(absl::Status why)> on_exit_;
  void (*on_ending_)() = nullptr;
  void (*on_hung_)() = nullptr;
  ThreadWatch encode_watch_;
  std::unique_ptr<Link> link_;
  std::vector<std::unique_ptr<Opening>> openings_;
  std::vector<std::unique_ptr<Recording>> recordings_;
  std::vector<std::unique_ptr<ReplayRing>> rings_;
  uint64_t heartbeats_ = 0;
  bool ending_ = false;
  absl::Status why_;

  // Last, so that they are cancelled first.
  LoopHandle heartbeat_;
  LoopHandle exit_;
};

}  // namespace kine
