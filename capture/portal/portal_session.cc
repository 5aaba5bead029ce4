#include "capture/portal/portal_session.h"

#include <fcntl.h>

#include <cerrno>
#include <utility>

#include "absl/strings/str_cat.h"
#include "daemon/base/check.h"
#include "daemon/base/limits.h"
#include "daemon/base/status.h"

namespace kine {
namespace {

constexpr char kService[] = "org.freedesktop.portal.Desktop";
constexpr char kObject[] = "/org/freedesktop/portal/desktop";
constexpr char kScreenCast[] = "org.freedesktop.portal.ScreenCast";
constexpr char kSessionInterface[] = "org.freedesktop.portal.Session";
// Signals of the portal to us alone; the paths are compared by hand, because
// portals before 0.9 make up their own.
constexpr char kResponseRule[] =
    "type='signal',sender='org.freedesktop.portal.Desktop',"
    "interface='org.freedesktop.portal.Request',member='Response'";
constexpr char kClosedRule[] =
    "type='signal',sender='org.freedesktop.portal.Desktop',"
    "interface='org.freedesktop.portal.Session',member='Closed'";

// The first version that knows restore tokens.
constexpr uint32_t kPersistVersion = 4;
constexpr uint32_t kPersistUntilRevoked = 2;

// Answers of a Request.
constexpr uint32_t kResponseSuccess = 0;
constexpr uint32_t kResponseDeclined = 1;

const char* SourceTypeNames(uint32_t types) {
  switch (types & 3) {
    case 1:
      return "monitor";
    case 2:
      return "window";
    default:
      return "monitor or window";
  }
}

}  // namespace

template <int (PortalSession::*kHandler)(sd_bus_message*)>
int PortalSession::Handle(sd_bus_message* message, void* self, sd_bus_error*) {
  auto* const session = static_cast<PortalSession*>(self);
  if (session->step_ == Step::kClosed) return 0;
  if (sd_bus_message_is_method_error(message, nullptr) > 0) {
    session->Close(PortalError(*sd_bus_message_get_error(message)));
    return 0;
  }
  const int result = (session->*kHandler)(message);
  if (result < 0) {
    session->Close(WithContext(
        "portal", absl::UnavailableError(
                      ErrnoStatus(-result, "unexpected message").message())));
  }
  return 0;
}

PortalSession::PortalSession(Request request, SessionBus& bus, Loop& loop,
                             Client& client)
    : request_(std::move(request)), bus_(bus), loop_(loop), client_(client) {
  KINE_CHECK(loop_.IsCurrent());
  response_match_ =
      bus_.Match(kResponseRule, Handle<&PortalSession::OnResponse>, this);
  closed_match_ =
      bus_.Match(kClosedRule, Handle<&PortalSession::OnSessionClosed>, this);
  GetProperties();
}

PortalSession::~PortalSession() { EndAtPortal(); }

void PortalSession::EndAtPortal() {
  const auto close = [this](const std::string& path, const char* interface) {
    sd_bus_message* message = nullptr;
    if (path.empty() ||
        sd_bus_message_new_method_call(bus_.get(), &message, kService,
                                       path.c_str(), interface, "Close") < 0)
      return;
    const SdBusMessage owned(message);
    bus_.Send(message);
  };
  close(std::exchange(request_path_, ""), "org.freedesktop.portal.Request");
  close(std::exchange(session_handle_, ""), kSessionInterface);
}

void PortalSession::GetProperties() {
  sd_bus_message* message = nullptr;
  int result = sd_bus_message_new_method_call(
      bus_.get(), &message, kService, kObject,
      "org.freedesktop.DBus.Properties", "GetAll");
  const SdBusMessage owned(message);
  if (result >= 0) result = sd_bus_message_append(message, "s", kScreenCast);
  if (result >= 0) {
    call_ = bus_.Call(message, absl::Milliseconds(limits::kPortalCallMs),
                      Handle<&PortalSession::OnProperties>, this);
  }
  if (call_ == nullptr)
    Close(absl::UnavailableError("portal: the session bus takes no calls"));
}

int PortalSession::OnProperties(sd_bus_message* message) {
  const int result = ReadProperties(message);
  if (result < 0) return result;
  if ((types_ & request_.types) == 0) {
    Close(absl::UnimplementedError(absl::StrCat(
        "the desktop portal cannot cast a ", SourceTypeNames(request_.types))));
    return 0;
  }
  return NextStep();
}

int PortalSession::NextStep() {
  switch (step_) {
    case Step::kProperties:
      step_ = Step::kCreateSession;
      return CreateSession();
    case Step::kCreateSession:
      step_ = Step::kSelectSources;
      return SelectSources();
    case Step::kSelectSources:
      step_ = Step::kStart;
      return Start();
    case Step::kStart:
      step_ = Step::kOpenRemote;
      return OpenRemote();
    case Step::kOpenRemote:
    case Step::kGranted:
    case Step::kClosed:
      break;
  }
  return -EPROTO;
}

int PortalSession::NewRequest(const char* method, SdBusMessage& message) {
  const std::string token =
      absl::StrCat("kinescope_", ++tokens_, "_", loop_.clock().Now().nanos());
  request_path_ =
      absl::StrCat(kObject, "/request/", bus_.PathName(), "/", token);
  returned_path_.clear();
  sd_bus_message* raw = nullptr;
  int result = sd_bus_message_new_method_call(bus_.get(), &raw, kService,
                                              kObject, kScreenCast, method);
  message.reset(raw);
  if (result < 0) return result;
  if (!session_handle_.empty()) {
    result = sd_bus_message_append(raw, "o", session_handle_.c_str());
    if (result < 0) return result;
  }
  if (step_ == Step::kStart) {
    result = sd_bus_message_append(raw, "s", "");  // No parent window.
    if (result < 0) return result;
  }
  result = sd_bus_message_open_container(raw, 'a', "{sv}");
  if (result < 0) return result;
  return sd_bus_message_append(raw, "{sv}", "handle_token", "s", token.c_str());
}

int PortalSession::SendRequest(SdBusMessage message) {
  const int result = sd_bus_message_close_container(message.get());
  if (result < 0) return result;
  const absl::Duration timeout = absl::Milliseconds(
      step_ == Step::kStart ? limits::kConsentMs : limits::kPortalCallMs);
  // The Response may come before the call returns: whichever way, one deadline.
  deadline_.Cancel();
  deadline_ = LoopHandle(loop_, loop_.PostAfter(timeout, [this] { Expire(); }));
  call_ = bus_.Call(message.get(), timeout + absl::Seconds(1),
                    Handle<&PortalSession::OnCalled>, this);
  return call_ == nullptr ? -ENOTCONN : 0;
}

int PortalSession::CreateSession() {
  SdBusMessage message;
  int result = NewRequest("CreateSession", message);
  if (result < 0) return result;
  const std::string token =
      absl::StrCat("kinescope_", loop_.clock().Now().nanos());
  result = sd_bus_message_append(message.get(), "{sv}", "session_handle_token",
                                 "s", token.c_str());
  if (result < 0) return result;
  return SendRequest(std::move(message));
}

int PortalSession::SelectSources() {
  SdBusMessage message;
  int result = NewRequest("SelectSources", message);
  if (result < 0) return result;
  result = sd_bus_message_append(message.get(), "{sv}{sv}", "types", "u",
                                 types_ & request_.types, "multiple", "b", 0);
  if (result < 0) return result;
  // A mode that is not offered is an error, and without the option a portal
  // hides the cursor. Either way of having the pointer is better than none.
  for (const auto mode : {request_.cursor_mode, PortalCursorMode::kEmbedded,
                          PortalCursorMode::kMetadata}) {
    const auto bit = static_cast<uint32_t>(mode);
    if ((cursor_modes_ & bit) == 0) continue;
    result =
        sd_bus_message_append(message.get(), "{sv}", "cursor_mode", "u", bit);
    if (result < 0) return result;
    grant_.cursor_mode = mode;
    break;
  }
  if (request_.persist && version_ >= kPersistVersion) {
    result = sd_bus_message_append(message.get(), "{sv}", "persist_mode", "u",
                                   kPersistUntilRevoked);
    if (result >= 0 && !request_.restore_token.empty()) {
      result = sd_bus_message_append(message.get(), "{sv}", "restore_token",
                                     "s", request_.restore_token.c_str());
    }
    if (result < 0) return result;
    token_sent_ = true;
  }
  return SendRequest(std::move(message));
}

int PortalSession::Start() {
  SdBusMessage message;
  const int result = NewRequest("Start", message);
  if (result < 0) return result;
  quiet_ = LoopHandle(
      loop_, loop_.PostAfter(absl::Milliseconds(limits::kPortalQuietMs),
                             [this] { client_.OnNeedsConsent(); }));
  return SendRequest(std::move(message));
}

int PortalSession::OnCalled(sd_bus_message* message) {
  const char* path = nullptr;
  const int result = sd_bus_message_read(message, "o", &path);
  if (result < 0) return result;
  returned_path_ = path;
  return 0;
}

int PortalSession::OnResponse(sd_bus_message* message) {
  const char* path = sd_bus_message_get_path(message);
  if (path == nullptr || (path != request_path_ && path != returned_path_))
    return 0;  // Of another request of this connection.
  uint32_t code = 0;
  int result = sd_bus_message_read(message, "u", &code);
  if (result < 0) return result;
  deadline_.Cancel();
  quiet_.Cancel();
  call_.reset();
  request_path_.clear();
  returned_path_.clear();
  if (code == kResponseDeclined) {
    Close(absl::PermissionDeniedError("the screen cast was declined"));
    return 0;
  }
  if (code != kResponseSuccess) {
    Close(absl::UnavailableError(absl::StrCat(
        "the desktop portal ended the request (response ", code, ")")));
    return 0;
  }
  result = ReadResults(message);
  return result < 0 ? result : NextStep();
}

int PortalSession::OpenRemote() {
  sd_bus_message* message = nullptr;
  int result =
      sd_bus_message_new_method_call(bus_.get(), &message, kService, kObject,
                                     kScreenCast, "OpenPipeWireRemote");
  const SdBusMessage owned(message);
  if (result < 0) return result;
  result = sd_bus_message_append(message, "oa{sv}", session_handle_.c_str(), 0);
  if (result < 0) return result;
  call_ = bus_.Call(message, absl::Milliseconds(limits::kPortalCallMs),
                    Handle<&PortalSession::OnRemote>, this);
  return call_ == nullptr ? -ENOTCONN : 0;
}

int PortalSession::OnRemote(sd_bus_message* message) {
  int fd = -1;
  const int result = sd_bus_message_read(message, "h", &fd);
  if (result < 0) return result;
  // The message owns its descriptor.
  grant_.remote = UniqueFd(::fcntl(fd, F_DUPFD_CLOEXEC, 3));
  if (!grant_.remote.valid()) return -errno;
  step_ = Step::kGranted;
  report_ = LoopHandle(loop_, loop_.PostAfter(absl::ZeroDuration(), [this] {
    client_.OnGranted(std::move(grant_));
  }));
  return 0;
}

int PortalSession::OnSessionClosed(sd_bus_message* message) {
  const char* path = sd_bus_message_get_path(message);
  if (path == nullptr || session_handle_.empty() || path != session_handle_)
    return 0;
  session_handle_.clear();
  Close(absl::UnavailableError("the desktop portal closed the session"));
  return 0;
}

void PortalSession::Expire() {
  if (step_ == Step::kStart) {
    return Close(absl::DeadlineExceededError(
        absl::StrCat("nobody answered the portal's dialog within ",
                     limits::kConsentMs / 1000, " s")));
  }
  Close(absl::UnavailableError(
      absl::StrCat("the desktop portal did not answer within ",
                   limits::kPortalCallMs, " ms")));
}

void PortalSession::Close(absl::Status reason) {
  if (step_ == Step::kClosed) return;
  step_ = Step::kClosed;
  EndAtPortal();
  // Not the slots: this may run within one of their callbacks.
  deadline_.Cancel();
  quiet_.Cancel();
  report_ = LoopHandle(
      loop_,
      loop_.PostAfter(absl::ZeroDuration(), [this, reason = std::move(reason)] {
        client_.OnClosed(reason);
      }));
}

}  // namespace kine
