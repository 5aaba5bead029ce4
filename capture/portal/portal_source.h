// PortalSource: what the ScreenCast portal of the session bus lends us: a
// PortalSession that asks, and a PipeWireSource that shows.
//
// Thread: constructed, used and destroyed on the source loop's thread.
//
// Before the first format every refusal is final (OnFailed). After it the loss
// of the session, of its PipeWire stream or of the bus is OnLost, and then a
// new session is asked for with the restore token that the last one left:
// after a pause that doubles (limits::kPortalRetryMs), and at once when the
// portal's service appears on the bus. OnFailed when it is declined, or after
// limits::kPortalRetriesMax attempts in a row.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "capture/create_source.h"
#include "capture/frame_source.h"
#include "capture/portal/portal_session.h"
#include "capture/portal/session_bus.h"
#include "daemon/base/loop.h"

namespace kine {

class PortalSource final : public FrameSource, private PortalSession::Client {
 public:
  // Of `options` fps_max and the callbacks are used.
  PortalSource(PortalSpec spec, SourceOptions options, Loop& loop);
  ~PortalSource() override;
  PortalSource(const PortalSource&) = delete;
  PortalSource& operator=(const PortalSource&) = delete;

  void SetImports(std::vector<DmabufFormat> imports) override;
  void SetFpsMax(double fps_max) override;
  void Start(FrameSource::Client& client) override;
  void Stop() override;
  SourceStats stats() const override;

 private:
  class Stream;

  // PortalSession::Client.
  void OnGranted(PortalSession::Grant grant) override;
  void OnNeedsConsent() override;
  void OnClosed(absl::Status reason) override;

  void OpenSession();
  void EndSession();
  void WatchForPortal();
  void OnStreamFormat(const VideoFormat& format, SourceDescription description);
  // The session or its stream came to an end.
  void Lose(absl::Status reason);
  void Retry();
  void Fail(absl::Status reason);
  // Stops the stream; it is destroyed, later, when it has stopped.
  void StopStream();
  void OnStreamStopped();
  void FinishStop();
  static int OnNameOwnerChanged(sd_bus_message* message, void* self,
                                sd_bus_error*);

  const PortalSpec spec_;
  SourceOptions options_;
  Loop& loop_;
  std::vector<DmabufFormat> imports_;
  FrameSource::Client* client_ = nullptr;
  std::string restore_token_;
  PortalCursorMode cursor_mode_ = PortalCursorMode::kHidden;
  bool granted_ = false;
  bool had_format_ = false;
  bool lost_ = false;
  bool failed_ = false;
  bool stopping_ = false;
  int retries_ = 0;
  // Of the streams that are gone.
  SourceStats past_stats_;

  // In the order of their dependence.
  std::unique_ptr<SessionBus> bus_;
  SdBusSlot name_match_;
  std::unique_ptr<PortalSession> session_;
  std::unique_ptr<Stream> stream_;
  LoopHandle task_;
  LoopHandle retire_;
};

// OK when the portal of the session bus answers and can cast a screen; else
// why not. Blocks for up to `deadline`; any thread, without a loop.
absl::Status ProbePortal(absl::Duration deadline);

}  // namespace kine
