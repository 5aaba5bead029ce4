#include "capture/portal/session_bus.h"

#include <sys/epoll.h>

#include <algorithm>
#include <cstdlib>
#include <utility>

#include "absl/strings/str_cat.h"
#include "daemon/base/check.h"
#include "daemon/base/status.h"

namespace kine {
namespace {

// A flood of messages must not starve the loop's other tasks.
constexpr int kMessagesPerTask = 64;

}  // namespace

absl::Status SessionBusError(int error) {
  const char* address = std::getenv("DBUS_SESSION_BUS_ADDRESS");
  const std::string where =
      address != nullptr
          ? absl::StrCat("DBUS_SESSION_BUS_ADDRESS='", address, "'")
          : "DBUS_SESSION_BUS_ADDRESS is not set, and $XDG_RUNTIME_DIR/bus";
  return absl::UnavailableError(
      absl::StrCat("no session bus (", where,
                   "): ", ErrnoStatus(error, "connect").message()));
}

absl::StatusOr<std::unique_ptr<SessionBus>> SessionBus::Open(Loop& loop,
                                                             Closed on_closed) {
  KINE_CHECK(loop.IsCurrent());
  sd_bus* bus = nullptr;
  const int result = sd_bus_open_user(&bus);
  if (result < 0) return SessionBusError(-result);
  return std::unique_ptr<SessionBus>(
      new SessionBus(bus, loop, std::move(on_closed)));
}

SessionBus::SessionBus(sd_bus* bus, Loop& loop, Closed on_closed)
    : bus_(bus), loop_(loop), on_closed_(std::move(on_closed)) {
  Arm();
}

std::string SessionBus::PathName() const {
  const char* name = nullptr;
  // Waits for the hello when that is still under way, so only ask in or after
  // a reply.
  if (sd_bus_get_unique_name(bus_.get(), &name) < 0 || name[0] != ':')
    return "";
  std::string path = name + 1;
  std::replace(path.begin(), path.end(), '.', '_');
  return path;
}

SdBusSlot SessionBus::Call(sd_bus_message* message, absl::Duration timeout,
                           sd_bus_message_handler_t callback, void* userdata) {
  sd_bus_slot* slot = nullptr;
  const int result = sd_bus_call_async(
      bus_.get(), &slot, message, callback, userdata,
      static_cast<uint64_t>(absl::ToInt64Microseconds(timeout)));
  Arm();
  return SdBusSlot(result < 0 ? nullptr : slot);
}

void SessionBus::Send(sd_bus_message* message) {
  (void)sd_bus_message_set_expect_reply(message, 0);
  (void)sd_bus_send(bus_.get(), message, nullptr);  // A lost bus says so later.
  Arm();
}

SdBusSlot SessionBus::Match(const char* rule, sd_bus_message_handler_t callback,
                            void* userdata) {
  sd_bus_slot* slot = nullptr;
  const int result = sd_bus_add_match_async(bus_.get(), &slot, rule, callback,
                                            nullptr, userdata);
  Arm();
  return SdBusSlot(result < 0 ? nullptr : slot);
}

void SessionBus::Process() {
  processing_ = true;
  int result = 1;
  for (int i = 0; i < kMessagesPerTask && result > 0; ++i)
    result = sd_bus_process(bus_.get(), nullptr);
  processing_ = false;
  if (result < 0) return Break(-result);
  Arm();
}

void SessionBus::Arm() {
  // Process() arms when it is done; a broken one waits for nothing.
  if (processing_ || broken_) return;
  const int fd = sd_bus_get_fd(bus_.get());
  const int events = sd_bus_get_events(bus_.get());
  uint64_t due_us = 0;
  const int timeout = sd_bus_get_timeout(bus_.get(), &due_us);
  if (fd < 0 || events < 0 || timeout < 0)
    return Break(-std::min({fd, events, timeout}));

  // POLL* and EPOLL* have the same values.
  const uint32_t wanted = static_cast<uint32_t>(events);
  if (fd != watched_fd_ || wanted != watched_events_) {
    watch_.Cancel();
    watch_ = LoopHandle(
        loop_, loop_.Watch(fd, wanted, [this](uint32_t) { Process(); }));
    watched_fd_ = fd;
    watched_events_ = wanted;
  }
  timer_.Cancel();
  if (timeout == 0 || due_us == UINT64_MAX) return;
  // CLOCK_MONOTONIC; 0 = there is something to process at once.
  const absl::Duration delay = absl::Microseconds(due_us) -
                               absl::Microseconds(loop_.clock().Now().micros());
  timer_ = LoopHandle(loop_, loop_.PostAfter(delay, [this] { Process(); }));
}

void SessionBus::Break(int error) {
  if (std::exchange(broken_, true)) return;
  watch_.Cancel();
  timer_ =
      LoopHandle(loop_, loop_.PostAfter(absl::ZeroDuration(), [this, error] {
        // Moved out: it may destroy this, and with it itself.
        Closed on_closed = std::move(on_closed_);
        on_closed(absl::UnavailableError(
            absl::StrCat("the session bus is gone: ",
                         ErrnoStatus(error, "connection").message())));
      }));
}

}  // namespace kine
