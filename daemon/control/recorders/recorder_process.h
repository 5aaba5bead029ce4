// RecorderProcess: one kinescope-recorder, from its start until it has been
// reaped, and the link to it.
//
//   construct -> OnMessage* -> OnGone          (Finish() lets it end by itself)
//
// Control loop only. The client may destroy it in OnGone and no earlier call of
// its own; destroying it earlier closes the link, which ends the recorder with
// its fragment written, or kills it a second later.
//
// A recorder that is dead is noticed at once, by its closed link or its pidfd;
// a silent one after limits::kHeartbeatsMissedMax heartbeats, not counting time
// in which this loop itself was late. A silent one is killed: a driver call
// that never returns cannot be cancelled otherwise.
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "daemon/base/fd.h"
#include "daemon/base/loop.h"
#include "daemon/process/child_process.h"
#include "ipc/link.h"
#include "ipc/link_messages.h"

namespace kine {

class RecorderProcess final : private Link::Client {
 public:
  class Client {
   public:
    virtual ~Client() = default;
    // Every message but Hello, which is checked here.
    virtual void OnRecorderMessage(link::ToDaemon message) = 0;
    // Once, last, when the process is gone and everything it had sent was
    // delivered (or it could not be started). `reason` says how it ended.
    virtual void OnRecorderGone(absl::Status reason) = 0;
  };

  // Starts `argv` (argv[0] is the program's path) with its end of the link as
  // descriptor 3.
  RecorderProcess(Loop& loop, Spawner& spawner, std::vector<std::string> argv,
                  Client& client);
  ~RecorderProcess() override;

  // Sends now, or once the recorder has said Hello.
  void Send(const link::ToRecorder& message, std::vector<UniqueFd> fds = {});
  // Closes the link: the recorder ends by itself, or is killed after
  // limits::kRecorderExitMs.
  void Finish();
  // SIGKILL. `why` becomes the reason of OnRecorderGone.
  void Kill(absl::Status why);

  // It gave up, or was ended by its own fault: after OnRecorderGone.
  bool encoder_hung() const { return encoder_hung_; }
  bool crashed() const { return crashed_; }

  pid_t pid() const { return child_ == nullptr ? -1 : child_->pid(); }

 private:
  void OnSpawned(absl::StatusOr<std::unique_ptr<ChildProcess>> child);
  void OnExit(ExitStatus exit);
  void OnMessage(absl::string_view text, std::vector<UniqueFd> fds) override;
  void OnClosed(absl::Status reason) override;
  void OnHello(const link::Hello& hello);
  void ArmSilence();
  void OnSilenceTimer();
  void MaybeGone();

  Loop& loop_;
  Client& client_;
  std::unique_ptr<Link> link_;
  std::unique_ptr<ChildProcess> child_;
  std::vector<std::pair<std::string, std::vector<UniqueFd>>> waiting_;
  // Lets a spawn that finishes after this was destroyed find nobody.
  std::shared_ptr<RecorderProcess*> self_;
  bool hello_ = false;
  bool finishing_ = false;
  bool link_closed_ = false;
  bool exited_ = false;
  bool encoder_hung_ = false;
  bool crashed_ = false;
  absl::Status reason_;
  MonoTime last_heard_;
  MonoTime silence_due_;
  LoopHandle silence_timer_;
  LoopHandle exit_timer_;
  LoopHandle gone_;
};

}  // namespace kine
