// A kinescope-recorder without pictures, for tests of kinescoped's side: it
// speaks the link truly and misbehaves as a recording's id says:
//
//   die-*      exits right after the first frame
//   crash-*    SIGKILLs itself then
//   silent-*   stops saying anything after Accepted
//   refuse-*   the source fails
//   noack-*    never answers Start
//   garble-*   breaks the protocol
//   wait-*     has no first frame
//   hang-*     ignores Stop
//   token-*    gives a restore token: "<" + the one it got + ">"
//   deaf-*     ignores Pause
//   lost-*     loses the source and gets it back, and falls back once
//   gpu-*      encodes by "vaapi"
//   empty-*    of a replay: holds nothing
//
// A ring, whose id nobody chooses, behaves as the width of its test source says
// (kRing*); a picture is kShot, from a source of kShotless width an error.
//
// FAKE_RECORDER_VERSION replaces the version it says.
#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <map>
#include <memory>
#include <string>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "daemon/base/epoll_loop.h"
#include "ipc/link.h"
#include "ipc/link_messages.h"

namespace kine {
namespace {

constexpr char kVideo[] = "fake video";
constexpr char kShot[] = "fake picture";
constexpr int kRingEnds = 101;   // At once.
constexpr int kRingEmpty = 102;  // No picture ever comes.
constexpr int kRingAsks = 105;   // A person, who does not answer.
constexpr int kRingOfGpu = 106;
constexpr int kShotless = 103;
constexpr int kShotSilent = 104;  // Never answers.

int WidthOf(const RecordingSettings& settings) {
  const auto* test = std::get_if<TestRequest>(&settings.source);
  return test == nullptr ? 0 : test->width;
}

link::Finished FinishedOf(const std::string& id) {
  link::Finished finished;
  finished.id = id;
  finished.bytes = sizeof kVideo - 1;
  finished.duration_us = 1'500'000;
  finished.frames = 45;
  finished.counters.captured = 50;
  finished.counters.encoded = 45;
  finished.finalise.index = link::Finished::Index::kFront;
  finished.width = finished.true_width = 640;
  finished.height = finished.true_height = 480;
  return finished;
}

class FakeRecorder final : public Link::Client {
 public:
  explicit FakeRecorder(EpollLoop& loop)
      : loop_(loop), link_(loop, UniqueFd(3), *this) {
    link::Hello hello;
    hello.pid = ::getpid();
    const char* version = std::getenv("FAKE_RECORDER_VERSION");
    hello.version = version != nullptr ? version : KINESCOPE_VERSION;
    hello.file_io = "thread";
    Say(hello);
    Beat();
  }

  void OnMessage(absl::string_view text, std::vector<UniqueFd> fds) override {
    const auto message = link::ParseToRecorder(text);
    if (!message.ok()) {
      std::fprintf(stderr, "fake_recorder: %s\n",
                   std::string(message.status().message()).c_str());
      std::_Exit(9);
    }
    if (const auto* start = std::get_if<link::Start>(&*message)) {
      directories_[start->id] = std::move(fds.at(0));
      OnStart(*start);
    } else if (const auto* keep = std::get_if<link::KeepReplay>(&*message)) {
      if (WidthOf(keep->settings) == kRingEnds)
        return Say(link::ReplayEnded{keep->id, "no such desktop"});
      ring_ = keep->id;
      ring_width_ = WidthOf(keep->settings);
      SayRing();
    } else if (const auto* save = std::get_if<link::SaveReplay>(&*message)) {
      directories_[save->id] = std::move(fds.at(0));
      OnSave(*save);
    } else if (const auto* shot = std::get_if<link::Shot>(&*message)) {
      OnShot(*shot, fds.at(0));
    } else if (const auto* stop = std::get_if<link::Stop>(&*message)) {
      if (stop->id == ring_) ring_.clear();
      OnStop(*stop);
    } else if (const auto* pause = std::get_if<link::Pause>(&*message)) {
      if (!Is(pause->id, "deaf"))
        Say(link::Paused{pause->id, 2'000'000, 1'000'000});
    } else if (const auto* resume = std::get_if<link::Resume>(&*message)) {
      Say(link::Resumed{resume->id, 2'500'000, 1'000'000, 500'000});
    }
  }
  void OnClosed(absl::Status) override { loop_.Quit(); }

 private:
  static bool Is(absl::string_view id, absl::string_view kind) {
    return absl::StartsWith(id, absl::StrCat(kind, "-"));
  }
  void Say(const link::ToDaemon& message) {
    (void)link_.Send(link::ToJson(message));
  }

  void OnStart(const link::Start& start) {
    const std::string& id = start.id;
    if (Is(id, "noack")) return;
    if (Is(id, "garble")) {
      (void)link_.Send("{\"type\":\"nonsense\"}");
      return;
    }
    if (Is(id, "refuse")) {
      link::Finished finished;
      finished.id = id;
      finished.state = link::Finished::State::kFailed;
      finished.reason = link::EndReason::kSourceFailed;
      finished.message = "there is no such node";
      Say(finished);
      return;
    }
    Say(link::Accepted{id});
    if (Is(id, "token"))
      Say(link::RestoreToken{id, absl::StrCat("<", start.restore_token, ">")});
    if (Is(id, "silent")) {
      beat_.Cancel();
      return;
    }
    if (Is(id, "wait")) return;
    link::Format format;
    format.id = id;
    format.source.kind = "test";
    format.width = 640;
    format.height = 480;
    format.pixels = "XR24";
    format.encoder.name = Is(id, "gpu") ? "vaapi" : "fake";
    Say(format);
    Say(link::FirstFrame{id, 1'000'000, 1'700'000'000'000'000});
    if (Is(id, "lost")) {
      Say(link::Lost{id, "node gone", 700'000});
      Say(link::Fallback{id, "encoder", "vaapi", "x264", "no render node"});
      Say(link::Back{id, 300'000, 1'000'000});
    }
    if (Is(id, "die")) std::_Exit(7);
    if (Is(id, "crash")) ::kill(::getpid(), SIGKILL);
  }

  void OnSave(const link::SaveReplay& save) {
    link::Finished finished;
    finished.id = save.id;
    finished.state = link::Finished::State::kFailed;
    finished.reason = link::EndReason::kNoFrame;
    Say(link::Accepted{save.id});
    if (save.replay != ring_ || Is(save.id, "empty")) {
      directories_.erase(save.id);
      return Say(finished);
    }
    Say(link::FirstFrame{save.id, 1'000'000, 1'700'000'000'000'000});
    if (Is(save.id, "crash")) ::kill(::getpid(), SIGKILL);
    OnStop({save.id, link::EndReason::kStopped});
  }

  void OnShot(const link::Shot& shot, const UniqueFd& memory) {
    const int width = WidthOf(shot.settings);
    if (width == kShotSilent) return;
    if (width == kShotless)
      return Say(link::ShotTaken{shot.id, "no picture yet", 0, 0, 0});
    if (::write(memory.get(), kShot, sizeof kShot - 1) < 0) std::_Exit(8);
    Say(link::ShotTaken{shot.id, "", shot.width, shot.height,
                        sizeof kShot - 1});
  }

  void SayRing() {
    if (ring_.empty()) return;
    link::ReplayKept kept{ring_};
    kept.needs_consent = ring_width_ == kRingAsks;
    if (!kept.needs_consent && ring_width_ != kRingEmpty) {
      kept.media_us = 5'000'000;
      kept.bytes = 4'096;
      kept.packets = 150;
      kept.encoder = ring_width_ == kRingOfGpu ? "vaapi" : "fake";
    }
    Say(kept);
  }

  void OnStop(const link::Stop& stop) {
    const std::string& id = stop.id;
    const auto directory = directories_.find(id);
    if (directory == directories_.end() || Is(id, "hang")) return;
    link::Finished finished = FinishedOf(id);
    finished.reason = stop.reason;
    finished.truncated = stop.reason != link::EndReason::kStopped;
    if (Is(id, "wait")) {
      finished = {};
      finished.id = id;
      finished.state = link::Finished::State::kFailed;
      finished.reason = link::EndReason::kNoFrame;
    } else {
      UniqueFd video(::openat(directory->second.get(), "video.mp4",
                              O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
      if (::write(video.get(), kVideo, sizeof kVideo - 1) < 0) std::_Exit(8);
    }
    directories_.erase(directory);
    Say(finished);
  }

  void Beat() {
    link::Progress progress;
    progress.seq = ++beats_;
    for (const auto& [id, directory] : directories_) {
      link::RecordingProgress one;
      one.id = id;
      one.counters.captured = beats_;
      progress.recordings.push_back(one);
    }
    Say(progress);
    SayRing();
    beat_ = LoopHandle(
        loop_, loop_.PostAfter(absl::Milliseconds(500), [this] { Beat(); }));
  }

  EpollLoop& loop_;
  Link link_;
  std::map<std::string, UniqueFd> directories_;  // Of what runs.
  std::string ring_;
  int ring_width_ = 0;
  uint64_t beats_ = 0;
  LoopHandle beat_;
};

int Finalise(absl::string_view id) {
  if (absl::StartsWith(id, "slow-")) ::pause();
  link::Finished finished = FinishedOf(std::string(id));
  if (absl::StartsWith(id, "wait-") || absl::StartsWith(id, "silent-")) {
    finished.state = link::Finished::State::kFailed;
    finished.reason = link::EndReason::kNoFrame;
  } else if (absl::StartsWith(id, "unfinalisable-")) {
    return 3;
  } else {
    UniqueFd video(
        ::openat(3, "video.mp4", O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
    if (::write(video.get(), kVideo, sizeof kVideo - 1) < 0) return 8;
  }
  std::fputs(link::ToJson(link::ToDaemon(finished)).c_str(), stdout);
  return 0;
}

}  // namespace
}  // namespace kine

int main(int argc, char** argv) {
  absl::string_view mode;
  absl::string_view id;
  for (int i = 1; i < argc; ++i) {
    const absl::string_view arg = argv[i];
    if (absl::StartsWith(arg, "--id="))
      id = arg.substr(5);
    else if (!absl::StartsWith(arg, "--file_io") && mode.empty())
      mode = arg;  // The first; what follows is its own.
  }
  if (mode == "--finalise") return kine::Finalise(id);
  if (mode == "--list_sources") {
    std::puts("{\"items\":[]}");
    return 0;
  }
  if (mode == "--flood") {
    while (std::puts("0123456789012345678901234567890123456789") >= 0) {
    }
    return 0;
  }
  if (mode == "--pause") ::pause();
  if (mode == "--fail") return 5;
  std::unique_ptr<kine::EpollLoop> loop = kine::EpollLoop::Create().value();
  kine::FakeRecorder recorder(*loop);
  loop->Run();
  return 0;
}
