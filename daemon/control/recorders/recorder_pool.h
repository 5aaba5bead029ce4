// RecorderPool: the recorders that run, and who uses them. Users of the same
// source, as it was asked for (CaptureKey), share one process: it dies for all
// of them.
//
//   Join() -> OnRecorderMessage* -> OnRecorderGone, or the Use is destroyed
//
// The first user starts a recorder, the last that leaves lets it end; who joins
// while one ends gets another. Users are of any owner (it is the same desktop),
// and none is told what concerns another.
//
// Control loop only. The pool outlives the uses; users are called from the
// loop, never inside Join() or Send().
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "daemon/base/fd.h"
#include "daemon/base/loop.h"
#include "daemon/process/child_process.h"
#include "ipc/link_messages.h"
#include "ipc/recording_request.h"

namespace kine {

class RecorderPool {
 private:
  struct Recorder;

 public:
  class User {
   public:
    virtual ~User() = default;
    // One with its id, or with none (of the whole recorder); of Progress its
    // own part. May destroy its Use.
    virtual void OnRecorderMessage(link::ToDaemon message) = 0;
    // The recorder is gone, with everything it had sent delivered, or could not
    // be started. Once, last; every user gets the same reason. The Use does
    // nothing any more.
    virtual void OnRecorderGone(absl::Status reason) = 0;
  };

  // A user's part in a recorder. Destroying it leaves: a recording or a ring
  // whose last message has not come is stopped, and what it still says is
  // nobody's.
  class Use {
   public:
    ~Use();
    Use(const Use&) = delete;
    Use& operator=(const Use&) = delete;

    // Sends now, or once the recorder has said Hello. The message has the id
    // given to Join().
    void Send(const link::ToRecorder& message, std::vector<UniqueFd> fds = {});
    // Nobody else would miss the recorder.
    bool alone() const;
    // SIGKILL: OnRecorderGone(`why`) of every user follows.
    void Kill(absl::Status why);

   private:
    friend class RecorderPool;
    // What of its id's has begun and not ended.
    enum class Open { kNothing, kRecording, kRing };

    Use(Recorder& recorder, User& user, std::string id,
        const RecordingSettings& settings);

    Recorder* recorder_;  // Null when it is gone.
    User& user_;
    const std::string id_;
    const RecordingSettings settings_;
    Open open_ = Open::kNothing;
  };

  // A recorder is started as `argv` (argv[0] is the program's path). `loop` and
  // `spawner` outlive the pool.
  RecorderPool(Loop& loop, Spawner& spawner, std::vector<std::string> argv);
  // Ends what runs, within limits::kRecorderExitMs, without telling anybody.
  ~RecorderPool();
  RecorderPool(const RecorderPool&) = delete;
  RecorderPool& operator=(const RecorderPool&) = delete;

  // Whether one more user with these settings may join:
  // RESOURCE_EXHAUSTED with the code `encoders` when the source would need more
  // than limits::kEncodersPerSourceMax encoders.
  absl::Status CheckEncoders(const RecordingSettings& settings) const;

  // A part in the recorder of that source, under an id that is unique among
  // all users. `settings` as they are sent: its encoder is none that the daemon
  // still has to choose. Never fails; what cannot be started is told as gone.
  std::unique_ptr<Use> Join(User& user, std::string id,
                            const RecordingSettings& settings);
  // The same in the recorder of `other`, which is not gone, with its settings.
  std::unique_ptr<Use> JoinBeside(User& user, std::string id, const Use& other);

  // Whether a recorder of that source runs.
  bool Captures(const SourceRequest& source) const;
  // What that recorder's capture shows now, as a PNG into `memory`, scaled down
  // to at most width by height (0: its own). `done` is called once, never
  // inside this call: UNAVAILABLE when nothing was taken, DEADLINE_EXCEEDED
  // after limits::kShotMs.
  using ShotDone = absl::AnyInvocable<void(absl::StatusOr<link::ShotTaken>)>;
  void TakeShot(const SourceRequest& source, int width, int height,
                UniqueFd memory, ShotDone done);

  // Called before the users are told, when a recorder died of its hardware
  // encoder: hung in the driver, or crashed and had used it. Empty: nobody.
  void set_on_hardware_death(absl::AnyInvocable<void()> on_hardware_death) {
    on_hardware_death_ = std::move(on_hardware_death);
  }
  // `done` is called once no process is left; at once when there is none.
  void WhenEmpty(absl::AnyInvocable<void()> done);

  // Processes, those that are ending included.
  int running() const { return static_cast<int>(recorders_.size()); }
  // Recordings and rings in them.
  int uses() const;
  // Recorders that died, or had to be killed, while they were used.
  uint64_t deaths() const { return deaths_; }

 private:
  struct Shot {
    const Recorder* recorder;  // Null: there was none.
    ShotDone done;
    LoopHandle deadline;
  };

  // The one that may take one more user with that id, or null.
  Recorder* Find(const CaptureKey& key, const std::string& id) const;
  void OnGone(Recorder& recorder, const absl::Status& reason);
  void AnswerShot(const std::string& number,
                  absl::StatusOr<link::ShotTaken> taken);

  Loop& loop_;
  Spawner& spawner_;
  const std::vector<std::string> argv_;
  std::vector<std::unique_ptr<Recorder>> recorders_;
  std::map<std::string, Shot> shots_;  // By number, under way.
  uint64_t next_shot_ = 1;
  absl::AnyInvocable<void()> on_hardware_death_;
  absl::AnyInvocable<void()> when_empty_;
  uint64_t deaths_ = 0;
};

}  // namespace kine
