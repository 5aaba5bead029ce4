// Digests: the SHA-256 of finished artifacts. Each is computed once, when
// somebody asks, by a run of the recorder's --digest that takes only what
// nobody else needs of processor and disk, and is kept beside the video in
// digest.json.
//
// Control loop only. Destroying it kills what runs and drops the callbacks.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "daemon/control/one_shot.h"
#include "daemon/control/recording_run.h"
#include "ipc/event_ring.h"

namespace kine {

class Digests {
 public:
  // 64 hexadecimal digits, or none: it is still being computed.
  using Done = absl::AnyInvocable<void(absl::StatusOr<std::string> sha256)>;

  // Both outlive this.
  Digests(const RunContext& context, EventRing& events);
  ~Digests();
  Digests(const Digests&) = delete;
  Digests& operator=(const Digests&) = delete;

  // Of a recording that is ready or interrupted. Whoever asks while it is being
  // computed shares the answer, for at most `timeout`; one that is kept is read
  // whatever that is. RESOURCE_EXHAUSTED when too many wait;
  // NOT_FOUND when it was deleted meanwhile; DATA_LOSS when the file is shorter
  // than its manifest says; UNAVAILABLE after Stop(). Calls `done` on the loop,
  // never inside this, but for the first of these.
  void Get(const RecordingRecord& record, absl::Duration timeout, Done done);
  // The daemon ends: nobody waits any longer.
  void Stop();

 private:
  struct Waiter;
  struct Job;

  void Look(Job& job);
  void Arm(Job& job, Waiter& waiter);
  void StartNext();
  void Run(Job& job);
  void OnComputed(Job& job, absl::StatusOr<std::string> sha256);
  void Tell(const Job& job, const std::string& sha256);
  void End(Job& job, const absl::StatusOr<std::string>& sha256);

  const RunContext& context_;
  EventRing& events_;
  const std::shared_ptr<Digests*> self_;
  std::vector<std::unique_ptr<Job>> jobs_;  // In the order of asking.
  size_t waiting_ = 0;                      // Callbacks in them.
  bool stopped_ = false;
};

}  // namespace kine
