// PortalSession: one session of org.freedesktop.portal.ScreenCast, from
// CreateSession to the PipeWire socket and until it is closed.
//
//   properties -> CreateSession -> SelectSources -> Start -> OpenPipeWireRemote
//       |              |                |             |            |
//       +--------------+----- OnClosed -+-------------+     OnGranted, and
//                                                           OnClosed when the
//                                                           portal ends it
//
// Thread: the bus's loop. The client is called in tasks of their own, never
// inside another call; it may destroy the session then. Destroying it closes
// the session at the portal, with any dialog.
//
// OnClosed says: PERMISSION_DENIED the person (or the portal's policy)
// declined; UNIMPLEMENTED the portal cannot cast what was asked;
// DEADLINE_EXCEEDED nobody answered the dialog; UNAVAILABLE everything that may
// be different next time.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "capture/portal/session_bus.h"
#include "daemon/base/fd.h"
#include "daemon/base/loop.h"

namespace kine {

// org.freedesktop.portal.ScreenCast.AvailableCursorModes.
enum class PortalCursorMode : uint32_t {
  kHidden = 1,
  kEmbedded = 2,
  kMetadata = 4
};

// Why a D-Bus error means that a portal does not work; for people.
absl::Status PortalError(const sd_bus_error& error);

class PortalSession {
 public:
  struct Request {
    uint32_t types = 1;  // 1 monitor, 2 window.
    std::string restore_token;
    bool persist = true;
    // Of kEmbedded and kMetadata the one that is asked first; a portal that
    // lacks both hides the pointer.
    PortalCursorMode cursor_mode = PortalCursorMode::kEmbedded;
  };
  struct Grant {
    UniqueFd remote;
    uint32_t node_id = 0;
    std::optional<uint64_t> serial;
    // For the next session; empty where the portal keeps none.
    std::string restore_token;
    PortalCursorMode cursor_mode = PortalCursorMode::kHidden;
  };
  class Client {
   public:
    virtual ~Client() = default;
    virtual void OnGranted(Grant grant) = 0;
    // Start has not answered for limits::kPortalQuietMs: there may be a dialog.
    virtual void OnNeedsConsent() = 0;
    // Once, and the last call.
    virtual void OnClosed(absl::Status reason) = 0;
  };

  // Starts at once. All must outlive this.
  PortalSession(Request request, SessionBus& bus, Loop& loop, Client& client);
  ~PortalSession();
  PortalSession(const PortalSession&) = delete;
  PortalSession& operator=(const PortalSession&) = delete;

  // The portal has seen the restore token, which makes it worthless.
  bool token_sent() const { return token_sent_; }

 private:
  enum class Step {
    kProperties,
    kCreateSession,
    kSelectSources,
    kStart,
    kOpenRemote,
    kGranted,
    kClosed
  };
  template <int (PortalSession::*kHandler)(sd_bus_message*)>
  static int Handle(sd_bus_message* message, void* self, sd_bus_error*);

  // Each returns a negative errno when the message is not as it must be.
  int OnProperties(sd_bus_message* message);
  int OnCalled(sd_bus_message* message);
  int OnResponse(sd_bus_message* message);
  int OnRemote(sd_bus_message* message);
  int OnSessionClosed(sd_bus_message* message);
  int ReadProperties(sd_bus_message* message);
  int ReadResults(sd_bus_message* message);
  int ReadStreams(sd_bus_message* message);

  void GetProperties();
  int CreateSession();
  int SelectSources();
  int Start();
  int OpenRemote();
  // Opens a call whose answer is a Response: begins the options with the
  // handle_token.
  int NewRequest(const char* method, SdBusMessage& message);
  // Closes the options and sends it.
  int SendRequest(SdBusMessage message);
  int NextStep();
  void Granted();
  void Expire();
  void Close(absl::Status reason);
  // Closes what is open over there.
  void EndAtPortal();

  const Request request_;
  SessionBus& bus_;
  Loop& loop_;
  Client& client_;
  Step step_ = Step::kProperties;
  // Of the portal.
  uint32_t version_ = 1;
  uint32_t types_ = 0;
  uint32_t cursor_modes_ = 0;

  std::string session_handle_;
  // The Request object that the running step waits for: its path as we asked
  // for it, and as the portal named it.
  std::string request_path_;
  std::string returned_path_;
  int tokens_ = 0;
  bool token_sent_ = false;
  bool has_stream_ = false;
  Grant grant_;

  SdBusSlot response_match_;
  SdBusSlot closed_match_;
  SdBusSlot call_;
  LoopHandle deadline_;
  LoopHandle quiet_;
  LoopHandle report_;
};

}  // namespace kine
