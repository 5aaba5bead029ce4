// RecordingSim: one whole recording in one thread under a seed. The real
// Recording, Capture, EncodePump, mailbox, VideoWriter, Finaliser and MP4
// code, with a fake source, encoder and disk. The seed decides what the screen
// does, what goes wrong, when it stops, and how the threads interleave.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "daemon/recorder/capture/captures.h"
#include "daemon/recorder/recording.h"
#include "daemon/timeline/trace_ring.h"
#include "ipc/link_messages.h"
#include "tests/fakes/fake_file_io.h"
#include "tests/fakes/fake_loop.h"
#include "tests/fakes/fake_source.h"
#include "tests/recorder/sim_encoder.h"

namespace kine {

// What the dice decided.
struct SimPlan {
  // Nothing happens and nothing goes wrong, for 100 s.
  SimPlan();
  explicit SimPlan(uint64_t seed);

  std::vector<FakeSourceEvent> script;
  // DMA-BUF layouts that the source has; the encoder says it takes all, and
  // refuses those of the second when they come.
  std::vector<uint64_t> modifiers;
  std::set<uint64_t> refused_modifiers;
  absl::Duration stop_takes;
  link::Start start;
  absl::Duration stop_at = absl::Seconds(100);
  std::optional<absl::Duration> abandon_at;
  // Each resumes after `length`, if it is not over before.
  struct Pause {
    absl::Duration at;
    absl::Duration length;
  };
  std::vector<Pause> pauses;
  bool slow_source = false;
  bool slow_encode = false;
  bool slow_control = false;
  size_t packet_bytes_max = 400;
  // Faults.
  std::optional<size_t> disk_fault;  // The n-th operation.
  int disk_errno = 0;
  uint64_t disk_kept = 0;
  bool disk_full_at_check = false;
  bool cannot_reserve = false;
  std::optional<absl::Duration> stall_at;  // The disk stops working
  absl::Duration stall_for;                // for so long.
  std::vector<size_t> encoder_faults;
  bool encoder_never = false;
  bool hardware = false;  // Faults are those of an encoder that is hardware.
  // Steps after which a crash is looked at.
  int crash_after = 0;

  bool source_fails() const;
  bool source_may_be_lost() const;
  // Nothing stands in the way of a perfect recording.
  bool clean() const;
};

// What a file on the disk holds.
struct SimFile {
  bool finished = false;
  uint64_t samples = 0;
  uint64_t bytes = 0;
  uint64_t media_end = 0;  // Behind the last sample's last byte.
  uint64_t duration_ticks = 0;
};

class RecordingSim final : private Recording::Client {
 public:
  explicit RecordingSim(uint64_t seed) : RecordingSim(SimPlan(seed), seed) {}
  RecordingSim(SimPlan plan, uint64_t seed);
  ~RecordingSim() override;

  // Up to the moment at which the plan looks at what a crash would leave.
  void RunUntilCrash();
  // False when it did not come to rest.
  bool RunToTheEnd();

  // Recovers what a crash at this moment leaves (a killed process; a power
  // loss), by the same code as `--finalise`, and reads the result; NOT_FOUND
  // when there is nothing to play.
  absl::StatusOr<SimFile> RecoverAfterKill();
  absl::StatusOr<SimFile> RecoverAfterPowerLoss(uint64_t seed);
  // Reads the finished video itself.
  absl::StatusOr<SimFile> ReadVideo();

  // What its pipeline did.
  absl::StatusOr<Trace> ReadItsTrace() const { return ReadTrace(trace_.get()); }

  const SimPlan& plan() const { return plan_; }
  const std::vector<link::ToDaemon>& told() const { return told_; }
  std::optional<link::Finished> finished() const;
  template <typename T>
  int CountTold() const {
    int count = 0;
    for (const link::ToDaemon& message : told_)
      count += std::holds_alternative<T>(message) ? 1 : 0;
    return count;
  }
  int retired() const { return retired_; }
  const FakeSourceLog& source() const { return source_; }
  const SimEncoderLog& encoder() const { return encoder_; }
  // As of now, or of the end.
  const link::Counters& counters();
  size_t timers() const;
  // Operations that could still have called back into the retired recording.
  size_t pending_at_retirement() const { return pending_at_retirement_; }
  FakeWorld& world() { return world_; }

 private:
  class GatedDisk;

  void Tell(link::ToDaemon message) override;
  void OnRetired(Recording& recording) override;
  absl::StatusOr<SimFile> Recover(const FakeFileIo::Bytes& video,
                                  const FakeFileIo::Bytes& alive);

  const SimPlan plan_;
  FakeWorld world_;
  FakeLoop& control_;
  FakeLoop& source_loop_;
  FakeLoop& encode_loop_;
  FakeFileIo disk_;
  std::unique_ptr<GatedDisk> gate_;
  FakeSourceLog source_;
  SimEncoderLog encoder_;
  UniqueFd video_;
  UniqueFd alive_;
  UniqueFd trace_;
  // What the recording, and so the disk, knows them by.
  int disk_video_ = -1;
  int disk_alive_ = -1;
  std::vector<link::ToDaemon> told_;
  int retired_ = 0;
  size_t pending_at_retirement_ = 0;
  LoopHandle stop_;
  LoopHandle abandon_;
  std::vector<LoopHandle> pauses_;
  link::Counters counters_;
  std::unique_ptr<Captures> captures_;
  std::unique_ptr<Recording> recording_;
};

}  // namespace kine
