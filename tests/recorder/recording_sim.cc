#include "tests/recorder/recording_sim.h"

#include <drm_fourcc.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <random>
#include <utility>

#include "daemon/base/check.h"
#include "daemon/base/limits.h"
#include "daemon/recorder/alive_file.h"
#include "daemon/recorder/fd_byte_source.h"
#include "daemon/recorder/source_spec.h"
#include "encode/mp4/movie_reader.h"

namespace kine {
namespace {

constexpr int kStepsMax = 400'000;

class Dice {
 public:
  explicit Dice(uint64_t seed) : random_(seed * 0x9e3779b97f4a7c15u + 1) {}
  uint64_t Below(uint64_t bound) { return random_() % bound; }
  bool OneIn(uint64_t n) { return Below(n) == 0; }

 private:
  std::mt19937_64 random_;
};

std::vector<FakeSourceEvent> MakeScript(Dice& dice) {
  using E = FakeSourceEvent;
  std::vector<E> script;
  const uint64_t frames = dice.OneIn(20) ? 0 : 1 + dice.Below(60);
  const bool mishaps = dice.OneIn(3);
  if (dice.OneIn(40)) {
    script.push_back({absl::ZeroDuration(), E::kLost});
    script.push_back({absl::Milliseconds(dice.Below(12'000)), E::kBack});
  }
  for (uint64_t i = 0; i < frames; ++i) {
    const uint64_t pace = dice.OneIn(8) ? 2'000 : 40;
    const absl::Duration after = absl::Milliseconds(dice.Below(pace));
    script.push_back({after, E::kFrame});
    if (dice.OneIn(10)) script.push_back({after, E::kStillFrame});
    if (!mishaps || !dice.OneIn(8)) continue;
    switch (dice.Below(6)) {
      case 0:
        script.push_back({after, E::kOldFrame});
        break;
      case 1:
        script.push_back({after, E::kDrainedTwo});
        break;
      case 2:
        script.push_back({after, E::kCorrupted});
        break;
      case 3:
        script.push_back({after, E::kGap});
        break;
      case 4:
        script.push_back({after, E::kNewSize});
        break;
      case 5:
        script.push_back({after, E::kLost});
        if (!dice.OneIn(3))
          script.push_back({absl::Milliseconds(dice.Below(12'000)), E::kBack});
        else
          return script;
        break;
    }
  }
  if (dice.OneIn(30)) script.push_back({absl::Milliseconds(50), E::kFailed});
  return script;
}

UniqueFd MemoryFile(const char* name) {
  UniqueFd fd(::memfd_create(name, MFD_CLOEXEC));
  KINE_CHECK(fd.valid());
  return fd;
}

UniqueFd Duplicate(const UniqueFd& fd) {
  return UniqueFd(::fcntl(fd.get(), F_DUPFD_CLOEXEC, 0));
}

absl::StatusOr<SimFile> ReadFinished(int fd) {
  absl::StatusOr<FdByteSource> source = FdByteSource::Open(fd);
  if (!source.ok()) return source.status();
  const absl::StatusOr<mp4::Movie> movie = mp4::ReadMovie(*source, 64u << 20);
  if (!movie.ok()) return movie.status();
  SimFile file;
  file.finished = true;
  file.bytes = source->size();
  file.duration_ticks = movie->duration_ticks;
  mp4::SampleIndex::Reader reader(movie->index);
  std::optional<uint64_t> last_time;
  while (const auto sample = reader.Next()) {
    std::vector<std::byte> data(sample->size);
    const auto got = source->ReadAt(sample->offset, data);
    if (!got.ok() || *got != data.size())
      return absl::DataLossError("a sample lies outside of the file");
    if (SerialOf(data) != file.samples)
      return absl::DataLossError("a sample is not the packet it should be");
    if (last_time.has_value() && sample->time <= *last_time)
      return absl::DataLossError("times do not increase");
    last_time = sample->time;
    ++file.samples;
    file.media_end = sample->offset + sample->size;
  }
  return file;
}

bool g_disk_full_at_check = false;

absl::Status CheckFakeSpace(int) {
  return g_disk_full_at_check
             ? absl::ResourceExhaustedError("the fake disk is nearly full")
             : absl::OkStatus();
}

}  // namespace

SimPlan::SimPlan() {
  start.id = "sim";
  start.settings.max_bytes = limits::kMaxBytesMin;
}

SimPlan::SimPlan(uint64_t seed) : SimPlan() {
  Dice dice(seed);
  script = MakeScript(dice);
  stop_takes = dice.OneIn(4) ? absl::Milliseconds(dice.Below(3'000))
                             : absl::ZeroDuration();
  RecordingSettings& settings = start.settings;
  start.queue_packets =
      dice.OneIn(3) ? 1 + static_cast<int>(dice.Below(8)) : 96;
  settings.max_bytes = limits::kMaxBytesMin;
  settings.source_grace_ms = static_cast<int64_t>(dice.Below(8'000));
  if (dice.OneIn(4))
    settings.durability = RecordingSettings::Durability::kFinish;
  if (dice.OneIn(6)) {
    settings.max_duration_ms = 100 + static_cast<int64_t>(dice.Below(5'000));
  } else {
    settings.max_duration_ms = 60'000;
  }
  // A recording whose source never shows a picture waits for its stop.
  stop_at = absl::Seconds(100);
  if (!dice.OneIn(10))
    stop_at = absl::Milliseconds(dice.Below(dice.OneIn(5) ? 100 : 15'000));
  if (dice.OneIn(20)) abandon_at = absl::Milliseconds(dice.Below(8'000));
  slow_source = dice.OneIn(6);
  slow_encode = dice.OneIn(6);
  slow_control = dice.OneIn(6);
  if (dice.OneIn(12)) packet_bytes_max = 400'000;
  if (dice.OneIn(4)) {
    disk_fault = dice.Below(dice.OneIn(2) ? 12 : 60);
    disk_errno = dice.OneIn(2) ? EIO : ENOSPC;
    disk_kept = dice.Below(4'000);
  }
  disk_full_at_check = dice.OneIn(10);
  cannot_reserve = dice.OneIn(10);
  if (dice.OneIn(10)) {
    stall_at = absl::Milliseconds(dice.Below(4'000));
    stall_for = absl::Milliseconds(dice.Below(9'000));
  }
  if (dice.OneIn(10)) {
    const uint64_t first = dice.Below(30);
    const uint64_t count = 1 + dice.Below(5);
    for (uint64_t i = 0; i < count; ++i) encoder_faults.push_back(first + i);
  }
  encoder_never = dice.OneIn(60);
  if (dice.OneIn(4)) {
    absl::Duration at;
    for (uint64_t i = 0; i <= dice.Below(3); ++i) {
      at += absl::Milliseconds(dice.Below(3'000));
      const absl::Duration length = absl::Milliseconds(dice.Below(4'000));
      pauses.push_back({at, length});
      at += length;
    }
  }
  crash_after = static_cast<int>(dice.Below(dice.OneIn(3) ? 100 : 1'500));
  hardware = dice.OneIn(2);
  if (dice.OneIn(4)) {
    for (uint64_t modifier = dice.Below(4); modifier > 0; --modifier) {
      modifiers.push_back(modifier);
      if (dice.OneIn(2)) refused_modifiers.insert(modifier);
    }
    modifiers.push_back(0);  // LINEAR.
    if (dice.OneIn(4)) refused_modifiers.insert(0);
  }
}

bool SimPlan::source_fails() const {
  return std::ranges::any_of(script, [](const FakeSourceEvent& event) {
    return event.kind == FakeSourceEvent::kFailed;
  });
}

bool SimPlan::source_may_be_lost() const {
  return std::ranges::any_of(script, [](const FakeSourceEvent& event) {
    return event.kind == FakeSourceEvent::kLost;
  });
}

bool SimPlan::clean() const {
  return !disk_fault.has_value() && !stall_at.has_value() &&
         !abandon_at.has_value() && !source_fails() && !source_may_be_lost() &&
         encoder_faults.empty() && !encoder_never && packet_bytes_max == 400;
}

// The disk, with hours in which it does nothing.
class RecordingSim::GatedDisk final : public FakeActor {
 public:
  GatedDisk(FakeWorld& world, FakeLoop& loop, FakeFileIo& disk)
      : world_(world), loop_(loop), disk_(disk) {}
  void StallAt(absl::Duration at, absl::Duration length) {
    from_ = world_.Now() + at;
    until_ = *from_ + length;
    // Time must be able to pass while the disk stands still.
    wake_ = LoopHandle(loop_, loop_.PostAfter(at + length, [] {}));
  }
  bool HasWork() const override {
    const bool stalled =
        from_.has_value() && world_.Now() >= *from_ && world_.Now() < until_;
    return !stalled && disk_.HasWork();
  }
  void StepOne(uint64_t random) override { disk_.StepOne(random); }
  void Forget() { wake_.Cancel(); }

 private:
  FakeWorld& world_;
  FakeLoop& loop_;
  FakeFileIo& disk_;
  std::optional<MonoTime> from_;
  MonoTime until_;
  LoopHandle wake_;
};

RecordingSim::RecordingSim(SimPlan plan, uint64_t seed)
    : plan_(std::move(plan)),
      world_(seed),
      control_(world_.AddLoop("control")),
      source_loop_(world_.AddLoop("source")),
      encode_loop_(world_.AddLoop("encode")),
      disk_(&control_),
      video_(MemoryFile("video")),
      alive_(MemoryFile("alive")),
      trace_(*MakeTraceMemory()) {
  gate_ = std::make_unique<GatedDisk>(world_, control_, disk_);
  world_.AddActor(*gate_);
  source_loop_.set_slow(plan_.slow_source);
  encode_loop_.set_slow(plan_.slow_encode);
  control_.set_slow(plan_.slow_control);
  disk_.set_write_through(true);
  disk_.set_can_reserve(!plan_.cannot_reserve);
  if (plan_.disk_fault.has_value())
    disk_.FailNext(*plan_.disk_fault, plan_.disk_errno, plan_.disk_kept);
  if (plan_.stall_at.has_value())
    gate_->StallAt(*plan_.stall_at, plan_.stall_for);
  g_disk_full_at_check = plan_.disk_full_at_check;
  source_.script = plan_.script;
  source_.modifiers = plan_.modifiers;
  if (!plan_.modifiers.empty())
    encoder_.fake.imports = {{DRM_FORMAT_XRGB8888, plan_.modifiers}};
  encoder_.fake.refused_modifiers = plan_.refused_modifiers;
  source_.stop_takes = plan_.stop_takes;
  encoder_.random.seed(seed);
  encoder_.packet_bytes_max = plan_.packet_bytes_max;
  encoder_.fake.has_hardware = plan_.hardware;
  for (const size_t call : plan_.encoder_faults) {
    (plan_.hardware ? encoder_.fake.fail_hardware_calls
                    : encoder_.fake.fail_calls)
        .insert(call);
  }
  if (plan_.encoder_never)
    for (int i = 0; i < 10; ++i) encoder_.fake.fail_encoders.insert(i);

  captures_ = std::make_unique<Captures>(
      CaptureLoops{control_, source_loop_, encode_loop_},
      CaptureFactories{[this](SourceOptions, Loop& loop)
                           -> absl::StatusOr<std::unique_ptr<FrameSource>> {
                         return std::make_unique<FakeSource>(loop, source_);
                       },
                       [this](EncoderChoice choice, const EncoderConfig&) {
                         return SimEncoder::Make(encoder_, choice);
                       }});
  const Recording::Environment environment{control_, disk_, &CheckFakeSpace};
  RecordingFiles files;
  files.video = Duplicate(video_);
  files.alive = Duplicate(alive_);
  files.trace = *TraceRing::Map(trace_);
  disk_video_ = files.video.get();
  disk_alive_ = files.alive.get();
  files.reserved = true;
  Recording::Client& client = *this;
  recording_ = std::make_unique<Recording>(
      environment, client, plan_.start, std::move(files),
      [this](CaptureSink& sink, uint64_t packet_bytes_max) {
        return captures_->Join(
            ToCaptureRequest(plan_.start.settings, plan_.start.restore_token,
                             plan_.start.queue_packets),
            sink, packet_bytes_max);
      });
}

RecordingSim::~RecordingSim() { world_.RemoveActor(*gate_); }

void RecordingSim::Tell(link::ToDaemon message) {
  told_.push_back(std::move(message));
}

void RecordingSim::OnRetired(Recording& recording) {
  KINE_CHECK(&recording == recording_.get());
  ++retired_;
  pending_at_retirement_ = disk_.pending();
  counters_ = recording.counters();
  recording_.reset();
}

void RecordingSim::RunUntilCrash() {
  stop_ = LoopHandle(control_, control_.PostAfter(plan_.stop_at, [this] {
    if (recording_ != nullptr) recording_->Stop(link::EndReason::kStopped);
  }));
  if (plan_.abandon_at.has_value()) {
    abandon_ =
        LoopHandle(control_, control_.PostAfter(*plan_.abandon_at, [this] {
          if (recording_ != nullptr) recording_->Abandon();
        }));
  }
  for (const SimPlan::Pause& pause : plan_.pauses) {
    pauses_.emplace_back(control_, control_.PostAfter(pause.at, [this] {
      if (recording_ != nullptr) recording_->Pause();
    }));
    pauses_.emplace_back(control_,
                         control_.PostAfter(pause.at + pause.length, [this] {
                           if (recording_ != nullptr) recording_->Resume();
                         }));
  }
  for (int step = 0; step < plan_.crash_after; ++step)
    if (retired_ > 0 || !world_.Step()) return;
}

bool RecordingSim::RunToTheEnd() {
  if (!world_.RunUntil([this] { return retired_ > 0; }, kStepsMax))
    return false;
  stop_.Cancel();
  abandon_.Cancel();
  pauses_.clear();
  gate_->Forget();
  return world_.RunUntilIdle(kStepsMax);
}

std::optional<link::Finished> RecordingSim::finished() const {
  for (const link::ToDaemon& message : told_)
    if (const auto* m = std::get_if<link::Finished>(&message)) return *m;
  return std::nullopt;
}

const link::Counters& RecordingSim::counters() {
  if (recording_ != nullptr) counters_ = recording_->counters();
  return counters_;
}

size_t RecordingSim::timers() const {
  return control_.timer_count() + source_loop_.timer_count() +
         encode_loop_.timer_count();
}

absl::StatusOr<SimFile> RecordingSim::ReadVideo() {
  return ReadFinished(video_.get());
}

absl::StatusOr<SimFile> RecordingSim::RecoverAfterKill() {
  // The duplicates' numbers are what the disk knows.
  return Recover(disk_.Contents(disk_video_), disk_.Contents(disk_alive_));
}

absl::StatusOr<SimFile> RecordingSim::RecoverAfterPowerLoss(uint64_t seed) {
  return Recover(disk_.AfterPowerLoss(disk_video_, seed),
                 disk_.AfterPowerLoss(disk_alive_, seed));
}

absl::StatusOr<SimFile> RecordingSim::Recover(const FakeFileIo::Bytes& video,
                                              const FakeFileIo::Bytes& alive) {
  const UniqueFd file = MemoryFile("recovered");
  KINE_CHECK(::write(file.get(), video.data(), video.size()) ==
             static_cast<ssize_t>(video.size()));
  FakeFileIo disk;
  disk.set_write_through(true);
  Finaliser finaliser(disk, world_, file.get(), {});
  absl::StatusOr<FinaliseResult> result = absl::UnknownError("never done");
  finaliser.FinishFromFile(
      {}, DecodeAlive(alive).value_or(0),
      [&](absl::StatusOr<FinaliseResult> r) { result = std::move(r); });
  disk.RunAll();
  if (!result.ok()) return result.status();
  return ReadFinished(file.get());
}

}  // namespace kine
