#include "daemon/control/replay/replay_ring.h"

#include <algorithm>
#include <utility>
#include <variant>

#include "absl/strings/str_cat.h"
#include "daemon/base/limits/replay.h"
#include "daemon/base/log.h"
#include "daemon/base/record_text.h"
#include "ipc/json_out.h"
#include "ipc/problem.h"

namespace kine {
namespace {

constexpr absl::Duration kRetry = absl::Milliseconds(limits::kReplayRetryMs);
constexpr absl::Duration kRetryMax =
    absl::Milliseconds(limits::kReplayRetryMaxMs);

absl::Status Off(absl::Status error) {
  return WithProblem(std::move(error), 409, "replay_off");
}

}  // namespace

ReplayRing::ReplayRing(const RunContext& context, Catalogue& catalogue,
                       EventRing& events, Options options)
    : context_(context),
      catalogue_(catalogue),
      events_(events),
      options_(std::move(options)) {}

ReplayRing::~ReplayRing() = default;

void ReplayRing::Start() {
  if (options_.keep_ms > 0) Try();
}

void ReplayRing::Stop() {
  stopped_ = true;
  retry_timer_.Cancel();
  recorder_.reset();
  kept_ = {};
}

void ReplayRing::Try() {
  retry_timer_.Cancel();
  const RunAdvice advice = catalogue_.Advice();
  settings_ = {};
  settings_.source = options_.source;
  settings_ = ForRecorder(context_, std::move(settings_), advice);
  if (absl::Status room = context_.recorders.CheckEncoders(settings_);
      !room.ok())
    return OnEnded(room.message());
  id_ = MakeUuid();
  RecorderPool::User& user = *this;  // A private base.
  recorder_ = context_.recorders.Join(user, id_, settings_);
  recorder_->Send(link::ToRecorder(
      link::KeepReplay{id_, settings_, advice.restore_token, options_.keep_ms,
                       options_.bytes_max, context_.queue_packets.instant}));
}

void ReplayRing::OnRecorderMessage(link::ToDaemon message) {
  if (auto* kept = std::get_if<link::ReplayKept>(&message))
    OnKept(std::move(*kept));
  else if (auto* token = std::get_if<link::RestoreToken>(&message))
    catalogue_.KeepRestoreToken(std::move(token->token));
  else if (const auto* ended = std::get_if<link::ReplayEnded>(&message))
    OnEnded(ended->reason);
}

void ReplayRing::OnRecorderGone(absl::Status reason) {
  OnEnded(reason.message());
}

void ReplayRing::OnKept(link::ReplayKept kept) {
  const bool begins = kept_.packets == 0 && kept.packets > 0;
  const bool asks = !kept_.needs_consent && kept.needs_consent;
  kept_ = std::move(kept);
  if (asks) {
    LogWarning("replay: its source is the portal's, which asks a person");
    events_.Publish("replay.needs_consent", EventData());
  }
  if (!begins) return;
  reason_.clear();
  retry_ = absl::ZeroDuration();
  events_.Publish("replay.started", EventData());
}

std::string ReplayRing::EventData() const {
  std::string data;
  JsonOut out(data);
  out.BeginObject();
  out.Field("source", SourceKind(options_.source));
  out.Field("seconds", options_.keep_ms / 1000);
  out.End();
  return data;
}

std::string ReplayRing::WhyEmpty() const {
  if (kept_.needs_consent)
    return "its source is the portal's, where a person must agree first";
  return reason_.empty() ? "its source has shown no picture" : reason_;
}

void ReplayRing::OnEnded(absl::string_view reason) {
  recorder_.reset();
  retry_ = std::clamp(2 * retry_, kRetry, kRetryMax);
  // A source that is away for hours is told once.
  if (kept_.packets > 0 || reason != reason_) {
    LogWarning(absl::StrCat("replay: ", reason, "; tried again"));
    std::string data;
    JsonOut out(data);
    out.BeginObject();
    out.Field("source", SourceKind(options_.source));
    out.Field("reason", reason);
    out.Field("retry_ms", absl::ToInt64Milliseconds(retry_));
    out.End();
    events_.Publish("replay.ended", data);
  }
  kept_ = {};
  reason_ = std::string(reason);
  if (stopped_) return;
  retry_timer_ = LoopHandle(context_.loop,
                            context_.loop.PostAfter(retry_, [this] { Try(); }));
}

absl::StatusOr<ReplayStart> ReplayRing::Find(
    const ReplayRequest& request) const {
  if (options_.keep_ms == 0)
    return Off(absl::FailedPreconditionError(
        "no replay is kept: start kinescoped with --replay_seconds=N"));
  if (request.source && *request.source != options_.source)
    return Off(FieldError(
        "source",
        absl::StrCat("has no replay: kinescoped keeps one of another source (",
                     SourceKind(options_.source),
                     "), which is taken without `source`; see "
                     "--replay_source")));
  if (request.seconds * int64_t{1000} > options_.keep_ms)
    return FieldError("seconds",
                      absl::StrCat("must be at most ", options_.keep_ms / 1000,
                                   ", which --replay_seconds keeps"));
  if (recorder_ == nullptr || kept_.packets == 0)
    return WithProblem(
        absl::FailedPreconditionError(absl::StrCat(
            "the replay holds nothing yet: ", WhyEmpty(), "; try again")),
        409, "replay_empty");
  return ReplayStart{recorder_.get(), id_, settings_, options_.bytes_max};
}

const char* ReplayRing::StateName() const {
  if (options_.keep_ms == 0 || stopped_) return "off";
  return kept_.packets > 0 ? "keeping" : "waiting";
}

ReplayRing::Info ReplayRing::info() const {
  Info info{StateName(), options_, kept_, reason_, std::nullopt};
  if (retry_timer_.active()) info.retry_ms = absl::ToInt64Milliseconds(retry_);
  return info;
}

void WriteReplay(JsonOut& out, const char* name, const ReplayRing::Info& info) {
  out.BeginObject(name);
  out.Field("state", info.state);
  if (info.options.keep_ms > 0) {
    out.Field("seconds", info.options.keep_ms / 1000);
    out.Field("bytes_max", info.options.bytes_max);
    WriteSourceRequest(out, info.options.source);
    out.FieldIfAny("reason", info.reason);
    out.Field("retry_ms", info.retry_ms);
    out.FieldIfAny("encoder", info.kept.encoder);
    out.Field("needs_consent", info.kept.needs_consent);
    out.Field("media_us", info.kept.media_us);
    out.Field("bytes", info.kept.bytes);
    out.Field("packets", info.kept.packets);
  }
  out.End();
}

}  // namespace kine
