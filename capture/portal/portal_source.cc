#include "capture/portal/portal_source.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "capture/pipewire_source.h"
#include "daemon/base/check.h"
#include "daemon/base/limits.h"
#include "daemon/base/status.h"

namespace kine {
namespace {

constexpr char kNameRule[] =
    "type='signal',sender='org.freedesktop.DBus',"
    "interface='org.freedesktop.DBus',member='NameOwnerChanged',"
    "arg0='org.freedesktop.portal.Desktop'";

void Add(SourceStats& sum, const SourceStats& stats) {
  sum.received += stats.received;
  sum.lost_in_drain += stats.lost_in_drain;
  sum.lost_in_source += stats.lost_in_source;
  sum.corrupted += stats.corrupted;
  sum.cursor_only += stats.cursor_only;
  sum.fence_timeouts += stats.fence_timeouts;
}

}  // namespace

// One stream of the session, and its events.
class PortalSource::Stream final : public FrameSource::Client {
 public:
  Stream(PortalSource& owner, std::unique_ptr<FrameSource> source)
      : owner_(owner), source_(std::move(source)) {
    source_->SetImports(owner.imports_);
    source_->Start(*this);
  }

  void SetImports(std::vector<DmabufFormat> imports) {
    source_->SetImports(std::move(imports));
  }

  void SetFpsMax(double fps_max) { source_->SetFpsMax(fps_max); }

  // Nothing but OnStreamStopped from now on.
  void Stop() {
    if (!std::exchange(stopping_, true)) source_->Stop();
  }
  SourceStats stats() const { return source_->stats(); }

 private:
  void OnFormat(const VideoFormat& format,
                const SourceDescription& description) override {
    if (!stopping_) owner_.OnStreamFormat(format, description);
  }
  void OnFrame(Frame frame) override {
    if (!stopping_) owner_.client_->OnFrame(std::move(frame));
  }
  void OnNeverFinished(const VideoFormat& format) override {
    if (!stopping_) owner_.client_->OnNeverFinished(format);
  }
  void OnCursor(const CursorUpdate& update) override {
    if (!stopping_) owner_.client_->OnCursor(update);
  }
  void OnLost(absl::Status reason) override {
    if (!stopping_) owner_.Lose(std::move(reason));
  }
  void OnFailed(absl::Status reason) override {
    if (!stopping_) owner_.Fail(std::move(reason));
  }
  void OnStopped() override { owner_.OnStreamStopped(); }

  PortalSource& owner_;
  const std::unique_ptr<FrameSource> source_;
  bool stopping_ = false;
};

PortalSource::PortalSource(PortalSpec spec, SourceOptions options, Loop& loop)
    : spec_(std::move(spec)),
      options_(std::move(options)),
      loop_(loop),
      restore_token_(spec_.restore_token) {}

PortalSource::~PortalSource() = default;

void PortalSource::SetImports(std::vector<DmabufFormat> imports) {
  imports_ = imports;
  if (stream_ != nullptr) stream_->SetImports(std::move(imports));
}

void PortalSource::SetFpsMax(double fps_max) {
  options_.fps_max = fps_max;
  if (stream_ != nullptr) stream_->SetFpsMax(fps_max);
}

void PortalSource::Start(FrameSource::Client& client) {
  KINE_CHECK(loop_.IsCurrent() && client_ == nullptr);
  client_ = &client;
  task_ = LoopHandle(
      loop_, loop_.PostAfter(absl::ZeroDuration(), [this] { OpenSession(); }));
}

void PortalSource::Stop() {
  KINE_CHECK(loop_.IsCurrent() && client_ != nullptr);
  if (std::exchange(stopping_, true)) return;
  task_.Cancel();
  session_.reset();
  if (stream_ != nullptr) return StopStream();
  FinishStop();
}

void PortalSource::FinishStop() {
  task_ = LoopHandle(loop_, loop_.PostAfter(absl::ZeroDuration(), [this] {
    client_->OnStopped();  // May destroy this.
  }));
}

SourceStats PortalSource::stats() const {
  SourceStats sum = past_stats_;
  if (stream_ != nullptr) Add(sum, stream_->stats());
  return sum;
}

void PortalSource::OpenSession() {
  EndSession();
  if (bus_ == nullptr) {
    auto bus = SessionBus::Open(loop_, [this](absl::Status reason) {
      EndSession();
      name_match_.reset();
      bus_.reset();
      if (!stopping_ && !failed_) Lose(std::move(reason));
    });
    if (!bus.ok()) return Lose(bus.status());
    bus_ = *std::move(bus);
    WatchForPortal();
  }
  granted_ = false;
  PortalSession::Client& client = *this;
  session_ = std::make_unique<PortalSession>(
      PortalSession::Request{spec_.types, restore_token_, spec_.persist,
                             spec_.cursor_as_data
                                 ? PortalCursorMode::kMetadata
                                 : PortalCursorMode::kEmbedded},
      *bus_, loop_, client);
}

void PortalSource::EndSession() {
  // A token is good for one session, whatever came of that.
  if (session_ != nullptr && !granted_ && session_->token_sent())
    restore_token_.clear();
  session_.reset();
}

void PortalSource::WatchForPortal() {
  name_match_ = bus_->Match(kNameRule, &PortalSource::OnNameOwnerChanged, this);
}

int PortalSource::OnNameOwnerChanged(sd_bus_message* message, void* self,
                                     sd_bus_error*) {
  auto* const source = static_cast<PortalSource*>(self);
  const char* name = nullptr;
  const char* old_owner = nullptr;
  const char* new_owner = nullptr;
  if (sd_bus_message_read(message, "sss", &name, &old_owner, &new_owner) < 0 ||
      new_owner[0] == '\0')
    return 0;
  // Only what waits for its next attempt; a running one goes its way.
  if (source->lost_ && source->session_ == nullptr &&
      source->stream_ == nullptr) {
    source->retries_ = 0;
    source->Retry();
  }
  return 0;
}

void PortalSource::OnGranted(PortalSession::Grant grant) {
  granted_ = true;
  restore_token_ = grant.restore_token;
  if (!restore_token_.empty() && options_.on_restore_token)
    options_.on_restore_token(restore_token_);
  cursor_mode_ = grant.cursor_mode;
  PipeWirePortalStream stream;
  stream.remote = std::move(grant.remote);
  stream.node_id = grant.node_id;
  stream.serial = grant.serial;
  stream_ = std::make_unique<Stream>(
      *this, PipeWireSource::ForPortalStream(std::move(stream),
                                             options_.fps_max, loop_));
}

void PortalSource::OnNeedsConsent() {
  if (options_.on_needs_consent) options_.on_needs_consent();
}

void PortalSource::OnClosed(absl::Status reason) { Lose(std::move(reason)); }

void PortalSource::OnStreamFormat(const VideoFormat& format,
                                  SourceDescription description) {
  had_format_ = true;
  lost_ = false;
  retries_ = 0;
  if (cursor_mode_ == PortalCursorMode::kEmbedded)
    description.cursor_embedded = true;
  if (cursor_mode_ == PortalCursorMode::kHidden)
    description.cursor_embedded = false;
  client_->OnFormat(format, description);
}

void PortalSource::Lose(absl::Status reason) {
  EndSession();
  const bool final = absl::IsPermissionDenied(reason) ||
                     absl::IsUnimplemented(reason) ||
                     absl::IsDeadlineExceeded(reason);
  if (!had_format_ || final || retries_ >= limits::kPortalRetriesMax)
    return Fail(std::move(reason));
  if (stream_ != nullptr) {
    StopStream();  // The next attempt begins when it has stopped.
  } else {
    Retry();
  }
  if (!std::exchange(lost_, true)) client_->OnLost(std::move(reason));
}

void PortalSource::Retry() {
  const absl::Duration pause =
      retries_ == 0 ? absl::ZeroDuration()
                    : absl::Milliseconds(
                          std::min(limits::kPortalRetryMs << (retries_ - 1),
                                   limits::kPortalRetryMaxMs));
  ++retries_;
  task_ = LoopHandle(loop_, loop_.PostAfter(pause, [this] { OpenSession(); }));
}

void PortalSource::Fail(absl::Status reason) {
  if (std::exchange(failed_, true)) return;
  task_.Cancel();
  session_.reset();
  if (stream_ != nullptr) StopStream();
  client_->OnFailed(std::move(reason));
}

void PortalSource::StopStream() { stream_->Stop(); }

void PortalSource::OnStreamStopped() {
  // Not here: this is a call of the stream.
  retire_ = LoopHandle(loop_, loop_.PostAfter(absl::ZeroDuration(), [this] {
    Add(past_stats_, stream_->stats());
    stream_.reset();
    if (stopping_) {
      FinishStop();
    } else if (!failed_) {
      Retry();
    }
  }));
}

absl::Status ProbePortal(absl::Duration deadline) {
  sd_bus* raw = nullptr;
  const int opened = sd_bus_open_user(&raw);
  if (opened < 0) return SessionBusError(-opened);
  const std::unique_ptr<sd_bus, SdBusDeleter> bus(raw);
  sd_bus_message* call = nullptr;
  int result = sd_bus_message_new_method_call(
      raw, &call, "org.freedesktop.portal.Desktop",
      "/org/freedesktop/portal/desktop", "org.freedesktop.DBus.Properties",
      "Get");
  const SdBusMessage owned_call(call);
  if (result >= 0) {
    result =
        sd_bus_message_append(call, "ss", "org.freedesktop.portal.ScreenCast",
                              "AvailableSourceTypes");
  }
  if (result < 0) return ErrnoStatus(-result, "portal: build a call");
  sd_bus_error error{};
  sd_bus_message* reply = nullptr;
  result = sd_bus_call(
      raw, call, static_cast<uint64_t>(absl::ToInt64Microseconds(deadline)),
      &error, &reply);
  const SdBusMessage owned_reply(reply);
  absl::Status status;
  uint32_t types = 0;
  if (result < 0) {
    status = PortalError(error);
  } else if (sd_bus_message_read(reply, "v", "u", &types) < 0 || types == 0) {
    status = absl::UnimplementedError("the desktop portal casts no screens");
  }
  sd_bus_error_free(&error);
  return status;
}

}  // namespace kine
