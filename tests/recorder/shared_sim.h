// SharedSim: several recordings of one recorder in one thread under a seed: the
// real Captures, Recording, EncodePump and VideoWriter, with a fake source, an
// encoder for each set of picture settings and a disk for each recording.
//
// A test plays the source's script, starts and stops recordings as it likes,
// and reads from each file which packets of its encoder are in it.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "daemon/recorder/capture/captures.h"
#include "daemon/recorder/recording.h"
#include "ipc/link_messages.h"
#include "tests/fakes/fake_loop.h"
#include "tests/fakes/fake_source.h"
#include "tests/recorder/sim_encoder.h"

namespace kine {

class SharedSim final : private Recording::Client {
 public:
  // A sample of a file: which packet of its encoder's it is.
  struct Sample {
    uint32_t serial = 0;
    bool keyframe = false;
    uint64_t ticks = 0;
  };

  explicit SharedSim(uint64_t seed = 1);
  ~SharedSim() override;

  FakeWorld& world() { return world_; }
  // Before the first Start(). Each source plays it from its beginning.
  FakeSourceLog& source() { return source_; }
  // Of all encoders made for this rate, one after the other.
  SimEncoderLog& encoder(double fps_max = 30) { return encoders_[fps_max]; }
  size_t captures() const { return captures_->size(); }
  Captures& shared() { return *captures_; }
  Loop& control() { return control_; }
  // Frames so far apart.
  void AddFrames(int count, absl::Duration apart = absl::Milliseconds(40));

  struct Options {
    double fps_max = 30;
    int queue_packets = 96;
    int64_t source_grace_ms = 10'000;
    uint64_t max_bytes = limits::kMaxBytesMin;
    std::optional<RecordingSettings::Crop> crop = {};
  };
  static link::Start ToStart(const Options& options, size_t number);
  absl::Status MayStart(const Options& options) const;
  // Its number.
  size_t Start(const Options& options);
  size_t Start() { return Start(Options()); }
  // One that is fed otherwise; `start.id` is its number.
  size_t Start(const link::Start& start, Recording::Feed feed);
  size_t started() const { return runs_.size(); }
  // Null once it is retired.
  Recording* recording(size_t number);
  void Stop(size_t number);
  // A disk that does nothing until told otherwise.
  void StallDisk(size_t number, bool stalled);
  void StopAll();
  // False when something does not come to rest. Call after StopAll().
  bool RunToTheEnd();

  // What it told, and when.
  const std::vector<link::ToDaemon>& told(size_t number) const;
  template <typename T>
  std::optional<T> Find(size_t number) const {
    for (const link::ToDaemon& message : told(number))
      if (const T* found = std::get_if<T>(&message)) return *found;
    return std::nullopt;
  }
  // Of a recording that is ready, in order.
  std::vector<Sample> Samples(size_t number) const;
  // The lines of its cursor file.
  std::vector<std::string> CursorLines(size_t number) const;
  size_t timers() const;

 private:
  class Disk;
  struct Run;

  void Tell(link::ToDaemon message) override;
  void OnRetired(Recording& recording) override;

  FakeWorld world_;
  FakeLoop& control_;
  FakeLoop& source_loop_;
  FakeLoop& encode_loop_;
  FakeSourceLog source_;
  std::map<double, SimEncoderLog> encoders_;
  std::unique_ptr<Captures> captures_;
  std::vector<std::unique_ptr<Run>> runs_;
};

// Of a file: it begins with a keyframe, and no packet is missing between two
// samples but at the returned number of places, behind each of which is a
// keyframe.
int CountGaps(const std::vector<SharedSim::Sample>& samples);

// Stops all, and nothing is left.
void End(SharedSim& sim);

}  // namespace kine
