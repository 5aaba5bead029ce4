#include "tests/recorder/shared_sim.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>

#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "daemon/base/check.h"
#include "daemon/recorder/fd_byte_source.h"
#include "daemon/recorder/source_spec.h"
#include "daemon/storage/append_log.h"
#include "encode/mp4/movie_reader.h"
#include "tests/fakes/fake_file_io.h"

namespace kine {
namespace {

constexpr int kStepsMax = 2'000'000;
// More than an encoder of a test makes.
constexpr uint32_t kSerialsApart = 1u << 20;

CaptureRequest RequestOf(const link::Start& start) {
  return ToCaptureRequest(start.settings, start.restore_token,
                          start.queue_packets);
}

UniqueFd Duplicate(const UniqueFd& fd) {
  return UniqueFd(::fcntl(fd.get(), F_DUPFD_CLOEXEC, 0));
}

}  // namespace

class SharedSim::Disk final : public FakeActor {
 public:
  explicit Disk(Loop& loop) : disk_(&loop) { disk_.set_write_through(true); }
  FakeFileIo& io() { return disk_; }
  void set_stalled(bool stalled) { stalled_ = stalled; }
  bool HasWork() const override { return !stalled_ && disk_.HasWork(); }
  void StepOne(uint64_t random) override { disk_.StepOne(random); }

 private:
  FakeFileIo disk_;
  bool stalled_ = false;
};

struct SharedSim::Run {
  explicit Run(Loop& loop)
      : disk(loop),
        video(::memfd_create("video", MFD_CLOEXEC)),
        alive(::memfd_create("alive", MFD_CLOEXEC)),
        cursor(::memfd_create("cursor", MFD_CLOEXEC)) {}

  Disk disk;
  UniqueFd video;
  UniqueFd alive;
  UniqueFd cursor;
  std::vector<link::ToDaemon> told;
  std::unique_ptr<Recording> recording;
};

SharedSim::SharedSim(uint64_t seed)
    : world_(seed),
      control_(world_.AddLoop("control")),
      source_loop_(world_.AddLoop("source")),
      encode_loop_(world_.AddLoop("encode")) {
  captures_ = std::make_unique<Captures>(
      CaptureLoops{control_, source_loop_, encode_loop_},
      CaptureFactories{
          [this](SourceOptions,
                 Loop& loop) -> absl::StatusOr<std::unique_ptr<FrameSource>> {
            return std::make_unique<FakeSource>(loop, source_);
          },
          [this](EncoderChoice choice, const EncoderConfig& config) {
            SimEncoderLog& log = encoders_[config.fps_max];
            log.serials_apart = kSerialsApart;
            return SimEncoder::Make(log, choice);
          }});
}

SharedSim::~SharedSim() {
  for (const auto& run : runs_) world_.RemoveActor(run->disk);
}

void SharedSim::AddFrames(int count, absl::Duration apart) {
  for (int i = 0; i < count; ++i)
    source_.script.push_back({apart, FakeSourceEvent::kFrame});
}

link::Start SharedSim::ToStart(const Options& options, size_t number) {
  link::Start start;
  start.id = absl::StrCat(number);
  start.settings.source = TestRequest();
  start.settings.fps_max = options.fps_max;
  start.settings.source_grace_ms = options.source_grace_ms;
  start.settings.max_bytes = options.max_bytes;
  start.settings.crop = options.crop;
  start.settings.max_duration_ms = 60'000;
  start.queue_packets = options.queue_packets;
  return start;
}

absl::Status SharedSim::MayStart(const Options& options) const {
  return captures_->MayJoin(RequestOf(ToStart(options, 0)));
}

size_t SharedSim::Start(const Options& options) {
  const link::Start start = ToStart(options, runs_.size());
  return Start(start, [&](CaptureSink& sink, uint64_t packet_bytes_max) {
    return captures_->Join(RequestOf(start), sink, packet_bytes_max);
  });
}

size_t SharedSim::Start(const link::Start& start, Recording::Feed feed) {
  const size_t number = runs_.size();
  runs_.push_back(std::make_unique<Run>(control_));
  Run& run = *runs_.back();
  world_.AddActor(run.disk);
  RecordingFiles files;
  files.video = Duplicate(run.video);
  files.alive = Duplicate(run.alive);
  files.cursor = Duplicate(run.cursor);
  files.reserved = true;
  Recording::Client& client = *this;
  run.recording = std::make_unique<Recording>(
      Recording::Environment{control_, run.disk.io(),
                             [](int) { return absl::OkStatus(); }},
      client, start, std::move(files), feed);
  return number;
}

Recording* SharedSim::recording(size_t number) {
  return runs_[number]->recording.get();
}

void SharedSim::Stop(size_t number) {
  if (recording(number) != nullptr)
    recording(number)->Stop(link::EndReason::kStopped);
}

void SharedSim::StallDisk(size_t number, bool stalled) {
  runs_[number]->disk.set_stalled(stalled);
}

void SharedSim::StopAll() {
  for (size_t i = 0; i < runs_.size(); ++i) {
    StallDisk(i, false);
    Stop(i);
  }
}

bool SharedSim::RunToTheEnd() {
  return world_.RunUntilIdle(kStepsMax) && captures() == 0;
}

void SharedSim::Tell(link::ToDaemon message) {
  const std::string id = std::visit(
      [](const auto& m) {
        if constexpr (requires { m.id; }) return std::string(m.id);
        return std::string();
      },
      message);
  size_t number = 0;
  KINE_CHECK(absl::SimpleAtoi(id, &number));
  runs_[number]->told.push_back(std::move(message));
}

void SharedSim::OnRetired(Recording& recording) {
  size_t number = 0;
  KINE_CHECK(absl::SimpleAtoi(recording.id(), &number));
  runs_[number]->recording.reset();
}

const std::vector<link::ToDaemon>& SharedSim::told(size_t number) const {
  return runs_[number]->told;
}

std::vector<std::string> SharedSim::CursorLines(size_t number) const {
  std::vector<std::string> lines;
  const auto read =
      ReadAppendLog(runs_[number]->cursor.get(),
                    [&](absl::string_view line) { lines.emplace_back(line); });
  KINE_CHECK(read.ok() && !read->damaged);
  return lines;
}

std::vector<SharedSim::Sample> SharedSim::Samples(size_t number) const {
  absl::StatusOr<FdByteSource> source =
      FdByteSource::Open(runs_[number]->video.get());
  KINE_CHECK(source.ok());
  const auto movie = mp4::ReadMovie(*source, 64u << 20);
  KINE_CHECK(movie.ok());
  std::vector<Sample> samples;
  mp4::SampleIndex::Reader reader(movie->index);
  while (const auto indexed = reader.Next()) {
    std::vector<std::byte> data(indexed->size);
    const auto got = source->ReadAt(indexed->offset, data);
    KINE_CHECK(got.ok() && *got == data.size());
    const auto serial = SerialOf(data);
    KINE_CHECK(serial.has_value());
    samples.push_back({*serial, indexed->keyframe, indexed->time});
  }
  return samples;
}

size_t SharedSim::timers() const {
  return control_.timer_count() + source_loop_.timer_count() +
         encode_loop_.timer_count();
}

int CountGaps(const std::vector<SharedSim::Sample>& samples) {
  EXPECT_FALSE(samples.empty());
  if (samples.empty()) return 0;
  EXPECT_TRUE(samples.front().keyframe);
  int gaps = 0;
  for (size_t i = 1; i < samples.size(); ++i) {
    EXPECT_GT(samples[i].ticks, samples[i - 1].ticks);
    if (samples[i].serial == samples[i - 1].serial + 1) continue;
    ++gaps;
    EXPECT_GT(samples[i].serial, samples[i - 1].serial);
    EXPECT_TRUE(samples[i].keyframe) << "sample " << i;
  }
  return gaps;
}

void End(SharedSim& sim) {
  sim.StopAll();
  ASSERT_TRUE(sim.RunToTheEnd());
  EXPECT_EQ(sim.timers(), 0u);
  EXPECT_EQ(sim.source().sources_alive, 0);
  EXPECT_EQ(sim.source().frames_back, sim.source().frames_lent);
}

}  // namespace kine
