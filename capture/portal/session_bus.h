// SessionBus: a connection to the D-Bus session bus whose events are one
// descriptor and one timer of our loop (sd-bus of libsystemd; it needs no
// running systemd).
//
// Thread: constructed, used and destroyed on the loop's thread. Callbacks of
// sd-bus run there, inside of sd_bus_process(): they must not destroy this, but
// schedule it.
#pragma once

#include <systemd/sd-bus.h>

#include <cstdint>
#include <memory>
#include <string>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "daemon/base/loop.h"

namespace kine {

struct SdBusDeleter {
  void operator()(sd_bus* bus) const { sd_bus_close_unref(bus); }
  void operator()(sd_bus_message* message) const {
    sd_bus_message_unref(message);
  }
  // Also ends the call or the match: its callback never runs again.
  void operator()(sd_bus_slot* slot) const { sd_bus_slot_unref(slot); }
};
using SdBusMessage = std::unique_ptr<sd_bus_message, SdBusDeleter>;
using SdBusSlot = std::unique_ptr<sd_bus_slot, SdBusDeleter>;

// Why sd_bus_open_user() failed with `error` (an errno value): UNAVAILABLE,
// naming DBUS_SESSION_BUS_ADDRESS.
absl::Status SessionBusError(int error);

class SessionBus {
 public:
  using Closed = absl::AnyInvocable<void(absl::Status reason)>;

  // Fails with SessionBusError.
  // `on_closed` runs once, in a task of its own, when the bus goes away; it may
  // destroy this.
  static absl::StatusOr<std::unique_ptr<SessionBus>> Open(Loop& loop,
                                                          Closed on_closed);
  SessionBus(const SessionBus&) = delete;
  SessionBus& operator=(const SessionBus&) = delete;

  // For sd_bus_message_new_*; valid while this lives.
  sd_bus* get() const { return bus_.get(); }

  // ":1.42", as the portal spells it in object paths: "1_42". Empty until the
  // bus has said hello; every reply comes later than that.
  std::string PathName() const;

  // Sends `message`; `callback` gets the reply, or the error that stands for a
  // time-out or a lost connection. A slot that is null says that it was not
  // sent (no memory, or the connection is gone).
  SdBusSlot Call(sd_bus_message* message, absl::Duration timeout,
                 sd_bus_message_handler_t callback, void* userdata);
  // Nobody waits for an answer, not even for an error.
  void Send(sd_bus_message* message);
  SdBusSlot Match(const char* rule, sd_bus_message_handler_t callback,
                  void* userdata);

 private:
  SessionBus(sd_bus* bus, Loop& loop, Closed on_closed);
  void Process();
  // Brings watch and timer in line with what sd-bus waits for.
  void Arm();
  void Break(int error);

  const std::unique_ptr<sd_bus, SdBusDeleter> bus_;
  Loop& loop_;
  Closed on_closed_;
  int watched_fd_ = -1;
  uint32_t watched_events_ = 0;
  bool processing_ = false;
  bool broken_ = false;
  LoopHandle watch_;
  LoopHandle timer_;
};

}  // namespace kine
