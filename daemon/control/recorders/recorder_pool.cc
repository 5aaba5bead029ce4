#include "daemon/control/recorders/recorder_pool.h"

#include <algorithm>
#include <set>
#include <tuple>
#include <utility>
#include <variant>

#include "absl/algorithm/container.h"
#include "absl/strings/str_cat.h"
#include "daemon/base/limits/pictures.h"
#include "daemon/base/limits/recorders.h"
#include "daemon/control/recorders/recorder_process.h"
#include "ipc/problem.h"

namespace kine {
namespace {

// What an encoder is made for: those that are equal share one.
auto PictureSettings(const RecordingSettings& settings) {
  return std::tuple(settings.fps_max, settings.profile, settings.quality,
                    settings.bitrate, settings.encoder, settings.crop,
                    CursorOf(settings));
}

// Whose a message is; "" for the whole recorder.
template <typename Message>
const std::string& IdOf(const Message& message) {
  static const std::string kNone;
  if constexpr (requires { message.id; })
    return message.id;
  else
    return kNone;
}

absl::Status Unavailable(const absl::Status& reason) {
  return absl::UnavailableError(
      absl::StrCat("the recorder ended: ", reason.message()));
}

bool EndsItsId(const link::ToDaemon& message) {
  return std::holds_alternative<link::Finished>(message) ||
         std::holds_alternative<link::ReplayEnded>(message);
}

constexpr absl::string_view kHardwareEncoder = "vaapi";

// The name of the encoder that the message tells of; "": of none.
absl::string_view EncoderOf(const link::ToDaemon& message) {
  if (const auto* format = std::get_if<link::Format>(&message))
    return format->encoder.name;
  if (const auto* kept = std::get_if<link::ReplayKept>(&message))
    return kept->encoder;
  return "";
}

}  // namespace

struct RecorderPool::Recorder final : RecorderProcess::Client {
  Recorder(RecorderPool& p, CaptureKey k) : pool(p), key(std::move(k)) {
    process = std::make_unique<RecorderProcess>(pool.loop_, pool.spawner_,
                                                pool.argv_, *this);
  }

  void OnRecorderMessage(link::ToDaemon message) override;
  void OnRecorderGone(absl::Status reason) override {
    pool.OnGone(*this, reason);
  }
  void OnProgress(const link::Progress& progress);
  Use* FindUse(const std::string& id) const;
  // Those who are told something all together may leave meanwhile.
  template <typename Call>
  void ForEach(Call call);
  void Leave(Use& use);

  RecorderPool& pool;
  const CaptureKey key;
  std::vector<Use*> uses;
  // Of those who have left: their Finished is still to come.
  std::set<std::string> leaving;
  bool used_hardware = false;
  bool ending = false;
  std::unique_ptr<RecorderProcess> process;
};

RecorderPool::Use* RecorderPool::Recorder::FindUse(
    const std::string& id) const {
  const auto it =
      absl::c_find_if(uses, [&](const Use* use) { return use->id_ == id; });
  return it == uses.end() ? nullptr : *it;
}

template <typename Call>
void RecorderPool::Recorder::ForEach(Call call) {
  for (Use* use : std::vector<Use*>(uses))
    if (absl::c_linear_search(uses, use)) call(*use);
}

void RecorderPool::Recorder::OnProgress(const link::Progress& progress) {
  ForEach([&](Use& use) {
    link::Progress own{progress.seq, progress.mono_us, {}};
    for (const link::RecordingProgress& one : progress.recordings)
      if (one.id == use.id_) own.recordings.push_back(one);
    use.user_.OnRecorderMessage(std::move(own));
  });
}

void RecorderPool::Recorder::OnRecorderMessage(link::ToDaemon message) {
  if (const auto* progress = std::get_if<link::Progress>(&message))
    return OnProgress(*progress);
  if (auto* taken = std::get_if<link::ShotTaken>(&message)) {
    const std::string number = taken->id;
    if (!taken->error.empty())
      return pool.AnswerShot(number, absl::UnavailableError(taken->error));
    return pool.AnswerShot(number, std::move(*taken));
  }
  const std::string id = std::visit(
      [](const auto& m) -> const std::string& { return IdOf(m); }, message);
  if (id.empty())
    return ForEach([&](Use& use) { use.user_.OnRecorderMessage(message); });
  if (EncoderOf(message) == kHardwareEncoder) used_hardware = true;
  if (EndsItsId(message)) leaving.erase(id);
  Use* use = FindUse(id);
  if (use == nullptr) return;  // It has left.
  if (EndsItsId(message)) use->open_ = Use::Open::kNothing;
  use->user_.OnRecorderMessage(std::move(message));
}

void RecorderPool::Recorder::Leave(Use& use) {
  std::erase(uses, &use);
  if (use.open_ == Use::Open::kRecording) leaving.insert(use.id_);
  if (uses.empty()) {
    ending = true;
    process->Finish();
  } else if (use.open_ != Use::Open::kNothing) {
    process->Send(link::ToRecorder(link::Stop{use.id_}));
  }
}

RecorderPool::Use::Use(Recorder& recorder, User& user, std::string id,
                       const RecordingSettings& settings)
    : recorder_(&recorder),
      user_(user),
      id_(std::move(id)),
      settings_(settings) {
  recorder.uses.push_back(this);
}

RecorderPool::Use::~Use() {
  if (recorder_ != nullptr) recorder_->Leave(*this);
}

void RecorderPool::Use::Send(const link::ToRecorder& message,
                             std::vector<UniqueFd> fds) {
  if (recorder_ == nullptr) return;
  if (std::holds_alternative<link::Start>(message) ||
      std::holds_alternative<link::SaveReplay>(message))
    open_ = Open::kRecording;
  if (std::holds_alternative<link::KeepReplay>(message)) open_ = Open::kRing;
  recorder_->process->Send(message, std::move(fds));
}

bool RecorderPool::Use::alone() const {
  return recorder_ == nullptr || recorder_->uses.size() == 1;
}

void RecorderPool::Use::Kill(absl::Status why) {
  if (recorder_ != nullptr) recorder_->process->Kill(std::move(why));
}

RecorderPool::RecorderPool(Loop& loop, Spawner& spawner,
                           std::vector<std::string> argv)
    : loop_(loop), spawner_(spawner), argv_(std::move(argv)) {}

RecorderPool::~RecorderPool() = default;

absl::Status RecorderPool::CheckEncoders(
    const RecordingSettings& settings) const {
  const CaptureKey key = CaptureKeyOf(settings);
  std::set<decltype(PictureSettings(settings))> known;
  for (const auto& recorder : recorders_) {
    if (recorder->ending || recorder->key != key) continue;
    for (const Use* use : recorder->uses)
      known.insert(PictureSettings(use->settings_));
  }
  if (known.size() < size_t{limits::kEncodersPerSourceMax} ||
      known.contains(PictureSettings(settings)))
    return absl::OkStatus();
  return WithProblem(
      absl::ResourceExhaustedError(absl::StrCat(
          "limit encoders (", limits::kEncodersPerSourceMax,
          ") of this source is reached: record with the fps_max, profile, "
          "quality, bitrate, encoder, crop and cursor of a recording that "
          "runs, or "
          "stop the recordings that have one of these settings")),
      429, "encoders");
}

RecorderPool::Recorder* RecorderPool::Find(const CaptureKey& key,
                                           const std::string& id) const {
  for (const auto& recorder : recorders_) {
    if (recorder->ending || recorder->key != key) continue;
    // Its Finished would be taken for the new one's.
    if (recorder->leaving.contains(id)) continue;
    if (recorder->uses.size() + recorder->leaving.size() <
        size_t{limits::kRecorderUsesMax})
      return recorder.get();
  }
  return nullptr;
}

std::unique_ptr<RecorderPool::Use> RecorderPool::Join(
    User& user, std::string id, const RecordingSettings& settings) {
  const CaptureKey key = CaptureKeyOf(settings);
  Recorder* recorder = Find(key, id);
  if (recorder == nullptr) {
    recorders_.push_back(std::make_unique<Recorder>(*this, key));
    recorder = recorders_.back().get();
  }
  return std::unique_ptr<Use>(
      new Use(*recorder, user, std::move(id), settings));
}

std::unique_ptr<RecorderPool::Use> RecorderPool::JoinBeside(User& user,
                                                            std::string id,
                                                            const Use& other) {
  return std::unique_ptr<Use>(
      new Use(*other.recorder_, user, std::move(id), other.settings_));
}

bool RecorderPool::Captures(const SourceRequest& source) const {
  return absl::c_any_of(recorders_, [&](const auto& recorder) {
    return !recorder->ending && recorder->key.source == source;
  });
}

void RecorderPool::TakeShot(const SourceRequest& source, int width, int height,
                            UniqueFd memory, ShotDone done) {
  const std::string number = absl::StrCat(next_shot_++);
  Shot& shot = shots_[number];
  shot.done = std::move(done);
  const auto it = absl::c_find_if(recorders_, [&](const auto& recorder) {
    return !recorder->ending && recorder->key.source == source;
  });
  const bool found = it != recorders_.end();
  shot.recorder = found ? it->get() : nullptr;
  shot.deadline = LoopHandle(
      loop_,
      loop_.PostAfter(absl::Milliseconds(found ? limits::kShotMs : 0), [=,
                                                                        this] {
        AnswerShot(
            number,
            found ? absl::DeadlineExceededError("the recorder took no picture")
                  : absl::UnavailableError("nobody captures it"));
      }));
  if (!found) return;
  link::Shot message{number, {}, width, height};
  message.settings.source = source;
  std::vector<UniqueFd> fds;
  fds.push_back(std::move(memory));
  (*it)->process->Send(link::ToRecorder(std::move(message)), std::move(fds));
}

void RecorderPool::AnswerShot(const std::string& number,
                              absl::StatusOr<link::ShotTaken> taken) {
  const auto it = shots_.find(number);
  if (it == shots_.end()) return;  // Its time is over.
  ShotDone done = std::move(it->second.done);
  shots_.erase(it);
  done(std::move(taken));
}

void RecorderPool::WhenEmpty(absl::AnyInvocable<void()> done) {
  if (recorders_.empty()) return done();
  when_empty_ = std::move(done);
}

int RecorderPool::uses() const {
  size_t sum = 0;
  for (const auto& recorder : recorders_) sum += recorder->uses.size();
  return static_cast<int>(sum);
}

void RecorderPool::OnGone(Recorder& recorder, const absl::Status& reason) {
  const auto it = absl::c_find_if(
      recorders_, [&](const auto& r) { return r.get() == &recorder; });
  // Whoever joins from here on gets another.
  const std::unique_ptr<Recorder> own = std::move(*it);
  recorders_.erase(it);
  if (!own->ending) {
    ++deaths_;
    const RecorderProcess& process = *own->process;
    if (on_hardware_death_ &&
        (process.encoder_hung() || (process.crashed() && own->used_hardware)))
      on_hardware_death_();
  }
  while (!own->uses.empty()) {
    Use& use = *own->uses.front();
    own->uses.erase(own->uses.begin());
    use.recorder_ = nullptr;
    use.user_.OnRecorderGone(reason);
  }
  std::vector<std::string> lost;
  for (const auto& [number, shot] : shots_)
    if (shot.recorder == own.get()) lost.push_back(number);
  for (const std::string& number : lost)
    AnswerShot(number, Unavailable(reason));
  if (recorders_.empty() && when_empty_) std::exchange(when_empty_, nullptr)();
}

}  // namespace kine
