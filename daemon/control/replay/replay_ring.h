// ReplayRing: keeps the last seconds of one source at hand, so that they can
// become a recording afterwards: a ring of encoded packets in that source's
// recorder, which recordings of it share.
//
//   Start() -> (waiting -> keeping)* -> Stop()
//
// A ring that ends (its source is not there yet, its recorder died) is started
// again after a while, doubling: a desktop may come long after the daemon. What
// it held is lost then. Events replay.started, replay.ended, and
// replay.needs_consent when the portal asks a person.
//
// Control loop only. All references outlive this.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "daemon/base/loop.h"
#include "daemon/control/catalogue.h"
#include "daemon/control/recorders/recorder_pool.h"
#include "daemon/control/replay/replay_request.h"
#include "ipc/event_ring.h"

namespace kine {

class JsonOut;

class ReplayRing final : private RecorderPool::User {
 public:
  struct Options {
    int64_t keep_ms = 0;  // 0: nothing is kept.
    uint64_t bytes_max = 0;
    SourceRequest source;
  };

  ReplayRing(const RunContext& context, Catalogue& catalogue, EventRing& events,
             Options options);
  ~ReplayRing() override;

  // Keeps from now on. Once; nothing when nothing is to be kept.
  void Start();
  // Lets go of the recorder, for good.
  void Stop();

  // What a recording of the last seconds is made of, valid during this task.
  // 409 replay_off: nothing is kept, or not of that source. INVALID_ARGUMENT:
  // `seconds` is more than is kept. 409 replay_empty: there is no picture yet.
  absl::StatusOr<ReplayStart> Find(const ReplayRequest& request) const;

  // What /v1/info says of it.
  struct Info {
    const char* state = "off";
    Options options;
    link::ReplayKept kept;
    std::string reason;  // Why there is none.
    std::optional<int64_t> retry_ms;
  };
  Info info() const;
  // Of what it holds; 0 while there is nothing.
  int64_t media_us() const { return kept_.media_us; }
  uint64_t bytes() const { return kept_.bytes; }

 private:
  void OnRecorderMessage(link::ToDaemon message) override;
  void OnRecorderGone(absl::Status reason) override;
  void Try();
  void OnKept(link::ReplayKept kept);
  // It is no more: tell, and try again.
  void OnEnded(absl::string_view reason);
  const char* StateName() const;
  // Of replay.started and replay.needs_consent.
  std::string EventData() const;
  std::string WhyEmpty() const;

  const RunContext& context_;
  Catalogue& catalogue_;
  EventRing& events_;
  const Options options_;
  std::unique_ptr<RecorderPool::Use> recorder_;
  std::string id_;  // Of the ring that runs: a new one for each.
  RecordingSettings settings_;
  link::ReplayKept kept_;
  std::string reason_;    // Why there is none.
  absl::Duration retry_;  // The last wait; zero after a picture.
  bool stopped_ = false;
  LoopHandle retry_timer_;
};

// {"state","seconds","bytes_max","source","reason","retry_ms","encoder",
// "needs_consent","media_us","bytes","packets"}, as the object `name`.
void WriteReplay(JsonOut& out, const char* name, const ReplayRing::Info& info);

}  // namespace kine
