#include "daemon/control/recorders/recorder_process.h"

#include <signal.h>

#include <variant>

#include "absl/strings/str_cat.h"
#include "daemon/base/check.h"
#include "daemon/base/limits.h"
#include "daemon/base/log.h"
#include "daemon/base/status.h"

namespace kine {
namespace {

constexpr absl::Duration kSilence =
    absl::Milliseconds(limits::kHeartbeatMs * limits::kHeartbeatsMissedMax);

}  // namespace

RecorderProcess::RecorderProcess(Loop& loop, Spawner& spawner,
                                 std::vector<std::string> argv, Client& client)
    : loop_(loop),
      client_(client),
      self_(std::make_shared<RecorderProcess*>(this)) {
  absl::StatusOr<Link::Pair> pair = Link::MakePair();
  if (!pair.ok()) {
    reason_ = pair.status();
    exited_ = link_closed_ = true;
    MaybeGone();
    return;
  }
  Link::Client& link_client = *this;  // A private base: only known here.
  link_ = std::make_unique<Link>(loop_, std::move(pair->ours), link_client);
  Spawner::Command command;
  command.path = argv.at(0);
  command.argv = std::move(argv);
  command.fds.push_back(std::move(pair->theirs));
  spawner.Spawn(std::move(command), [self = self_](auto child) mutable {
    // A child whose owner has gone dies with the unique_ptr.
    if (*self != nullptr) (*self)->OnSpawned(std::move(child));
  });
  ArmSilence();
}

RecorderProcess::~RecorderProcess() { *self_ = nullptr; }

void RecorderProcess::OnSpawned(
    absl::StatusOr<std::unique_ptr<ChildProcess>> child) {
  if (!child.ok()) {
    reason_ = child.status();
    exited_ = true;
    MaybeGone();
    return;
  }
  child_ = *std::move(child);
  child_->set_on_exit([this](ExitStatus exit) { OnExit(exit); });
  // When this is destroyed early the closed link ends it, with its fragment
  // written.
  child_->set_grace(absl::Milliseconds(limits::kRecorderExitMs));
  if (!reason_.ok()) child_->Kill(SIGKILL);  // Killed before it was there.
}

void RecorderProcess::Send(const link::ToRecorder& message,
                           std::vector<UniqueFd> fds) {
  std::string text = link::ToJson(message);
  if (!hello_) {
    waiting_.emplace_back(std::move(text), std::move(fds));
    return;
  }
  if (link_ == nullptr || !link_->open()) return;  // OnRecorderGone follows.
  if (absl::Status sent = link_->Send(text, std::move(fds)); !sent.ok())
    Kill(WithContext("cannot talk to the recorder", sent));
}

void RecorderProcess::Finish() {
  finishing_ = true;
  silence_timer_.Cancel();
  if (link_ != nullptr) link_->Close();
  link_closed_ = true;
  exit_timer_ = LoopHandle(
      loop_,
      loop_.PostAfter(absl::Milliseconds(limits::kRecorderExitMs), [this] {
        Kill(absl::DeadlineExceededError("the recorder did not end in time"));
      }));
  MaybeGone();
}

void RecorderProcess::Kill(absl::Status why) {
  if (reason_.ok()) reason_ = std::move(why);
  if (child_ != nullptr) child_->Kill(SIGKILL);
}

void RecorderProcess::OnMessage(absl::string_view text,
                                std::vector<UniqueFd> fds) {
  last_heard_ = loop_.clock().Now();
  absl::StatusOr<link::ToDaemon> message = link::ParseToDaemon(text);
  if (!message.ok() || !fds.empty()) {
    Kill(absl::InternalError(absl::StrCat("the recorder broke the protocol: ",
                                          message.ok()
                                              ? "descriptors nobody asked for"
                                              : message.status().message())));
    return;
  }
  if (const auto* hello = std::get_if<link::Hello>(&*message)) {
    OnHello(*hello);
    return;
  }
  client_.OnRecorderMessage(*std::move(message));
}

void RecorderProcess::OnHello(const link::Hello& hello) {
  if (hello.version != KINESCOPE_VERSION) {
    Kill(absl::FailedPreconditionError(absl::StrCat(
        "the recorder is version ", Quoted(hello.version), ", this daemon is ",
        KINESCOPE_VERSION, ": install both from one package")));
    return;
  }
  hello_ = true;
  for (auto& [text, fds] : std::exchange(waiting_, {})) {
    if (absl::Status sent = link_->Send(text, std::move(fds)); !sent.ok()) {
      Kill(WithContext("cannot talk to the recorder", sent));
      return;
    }
  }
}

void RecorderProcess::OnClosed(absl::Status reason) {
  link_closed_ = true;
  if (!reason.ok()) Kill(WithContext("link to the recorder", reason));
  // It has let go of the link: it dies now, or is made to.
  if (!exited_)
    exit_timer_ = LoopHandle(
        loop_,
        loop_.PostAfter(absl::Milliseconds(limits::kRecorderExitMs), [this] {
          Kill(absl::UnavailableError("the recorder closed its link"));
        }));
  MaybeGone();
}

void RecorderProcess::OnExit(ExitStatus exit) {
  exited_ = true;
  exit_timer_.Cancel();
  encoder_hung_ = !exit.signaled && exit.code == link::kExitEncoderHung;
  // Unless we killed it.
  crashed_ = exit.signaled && reason_.ok();
  if (encoder_hung_) {
    reason_ = absl::UnavailableError(
        "the encoder's driver hung; the recorder gave up");
  }
  if (reason_.ok() && (!finishing_ || exit.signaled || exit.code != 0))
    reason_ = absl::UnavailableError(
        absl::StrCat("the recorder ended with ", ExitText(exit)));
  MaybeGone();
}

void RecorderProcess::ArmSilence() {
  last_heard_ = loop_.clock().Now();
  silence_due_ = last_heard_ + kSilence;
  silence_timer_ = LoopHandle(
      loop_, loop_.PostAfter(kSilence, [this] { OnSilenceTimer(); }));
}

void RecorderProcess::OnSilenceTimer() {
  const MonoTime now = loop_.clock().Now();
  // Late ourselves: what the recorder sent meanwhile may wait in the socket.
  const bool late =
      now - silence_due_ > absl::Milliseconds(limits::kHeartbeatMs);
  const MonoTime due = last_heard_ + kSilence;
  if (!late && due <= now) {
    Kill(absl::DeadlineExceededError(
        absl::StrCat("the recorder was silent for ",
                     absl::FormatDuration(now - last_heard_))));
    return;
  }
  silence_due_ = late ? now + kSilence : due;
  silence_timer_ = LoopHandle(
      loop_, loop_.PostAfter(silence_due_ - now, [this] { OnSilenceTimer(); }));
}

void RecorderProcess::MaybeGone() {
  if (!exited_ || !link_closed_) {
    // Without a process nobody else holds the other end: its EOF is on its way,
    // unless there was never a process.
    if (!(exited_ && child_ == nullptr)) return;
    if (link_ != nullptr) link_->Close();
    link_closed_ = true;
  }
  if (gone_.active()) return;
  silence_timer_.Cancel();
  gone_ = LoopHandle(loop_, loop_.PostAfter(absl::ZeroDuration(), [this] {
    client_.OnRecorderGone(reason_);
  }));
}

}  // namespace kine
