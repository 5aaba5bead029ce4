// A ScreenCast portal for tests: org.freedesktop.portal.Desktop on a session
// bus of its own, with the habits of good and bad portals.
//
// Threads: all on the loop's.
#pragma once

#include <sys/types.h>

#include <cstdio>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "capture/portal/session_bus.h"
#include "daemon/base/fd.h"
#include "daemon/base/loop.h"

namespace kine {

// A real dbus-daemon that starts no services; DBUS_SESSION_BUS_ADDRESS of this
// process while it exists. It dies with this process.
class PrivateBus {
 public:
  // Null when dbus-daemon is not installed. Answers when this returns.
  static std::unique_ptr<PrivateBus> Start();
  ~PrivateBus();

 private:
  explicit PrivateBus(std::string directory);

  const std::string directory_;
  std::FILE* output_ = nullptr;
  pid_t pid_ = -1;
  std::optional<std::string> saved_address_;
};

class FakePortal {
 public:
  struct Habits {
    uint32_t version = 4;
    uint32_t types = 3;
    // None: the property does not exist, as in version 1.
    std::optional<uint32_t> cursor_modes = 7;
    // Response code of Start; none: it never answers (a dialog).
    std::optional<uint32_t> start_response = 0;
    // The Response signal leaves before the method's return.
    bool response_first = false;
    // Makes up request paths and takes no notice of handle_token.
    bool own_paths = false;
    // CreateSession is never answered.
    bool mute = false;
    // There is a portal, but no ScreenCast.
    bool no_screen_cast = false;
    bool no_streams = false;
    uint32_t node_id = 42;
    std::optional<uint64_t> serial;
    std::string restore_token = "";
    // What OpenPipeWireRemote hands out; by default one end of a pipe.
    std::function<UniqueFd()> open_remote;
  };
  // What clients asked for.
  struct Seen {
    // Of all methods; Start is the fourth of a session.
    int calls = 0;
    int sessions = 0;
    int sessions_closed = 0;
    int requests_closed = 0;
    int remotes = 0;
    // Of the last SelectSources.
    uint32_t types = 0;
    std::optional<uint32_t> cursor_mode;
    std::optional<uint32_t> persist_mode;
    std::string restore_token;
  };

  // Takes the portal's name on the bus.
  explicit FakePortal(Loop& loop);

  Habits habits;
  Seen seen;
  // Runs after every call to the portal.
  std::function<void()> on_call;

  // The Closed signal for the session that was opened last.
  void CloseSession();
  // A Response (success) for a request that nobody made.
  void SendForeignResponse();

 private:
  static int OnMessage(sd_bus_message* message, void* self, sd_bus_error*);
  int OnCall(sd_bus_message* message);
  int ReplyProperties(sd_bus_message* message);
  int AnswerRequest(sd_bus_message* message, const std::string& member);
  int ReadOptions(sd_bus_message* message, std::string& handle_token);
  void Respond(const std::string& path, uint32_t code,
               const std::string& member);
  int AppendStreams(sd_bus_message* response);
  int ReplyRemote(sd_bus_message* message);
  void SendTo(sd_bus_message* message);

  std::unique_ptr<SessionBus> bus_;
  std::string client_;  // Unique name of the last caller.
  std::string session_;
  std::string session_token_;
  int paths_ = 0;
  SdBusSlot object_;
};

}  // namespace kine
