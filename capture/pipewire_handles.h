// What the PipeWire code owns of PipeWire: objects that free themselves, one
// connection to a server, and a watch for a server to appear.
//
// Thread: all of it belongs to the loop's thread.
#pragma once

#include <pipewire/pipewire.h>

#include <cstdint>
#include <memory>
#include <string>

#include "absl/functional/any_invocable.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "daemon/base/fd.h"
#include "daemon/base/loop.h"

namespace kine {

struct PipeWireDeleter {
  void operator()(pw_loop* p) const { pw_loop_destroy(p); }
  void operator()(pw_context* p) const { pw_context_destroy(p); }
  void operator()(pw_core* p) const { pw_core_disconnect(p); }
  void operator()(pw_stream* p) const { pw_stream_destroy(p); }
  void operator()(pw_proxy* p) const { pw_proxy_destroy(p); }
};
// pw_registry and pw_link are held as the pw_proxy that they are.
template <typename T>
using PipeWirePtr = std::unique_ptr<T, PipeWireDeleter>;

// A listener's place in an object's list. Declare it behind the object that it
// listens to: it must leave the list while that still exists.
class PipeWireHook {
 public:
  PipeWireHook() = default;
  ~PipeWireHook() { Remove(); }
  PipeWireHook(const PipeWireHook&) = delete;
  PipeWireHook& operator=(const PipeWireHook&) = delete;

  spa_hook* get() { return &hook_; }
  void Remove() {
    spa_hook_remove(&hook_);
    hook_ = spa_hook{};
  }

 private:
  spa_hook hook_{};
};

// One connection: a pw_loop that is a watch of ours, a context without any
// configuration file (it costs 1 ms, the usual one 8, and asks no D-Bus service
// for real-time rights) and the core.
class PipeWireConnection {
 public:
  class Owner {
   public:
    virtual ~Owner() = default;
    // The server went away, or hung up on us. Called from inside PipeWire: do
    // not destroy anything of it here, post that. Comes once.
    virtual void OnConnectionLost(absl::Status reason) = 0;
    // Everything that the server did before Sync() has been told.
    virtual void OnSynced() {}
  };

  // `remote` is a socket's name or path, "" the default one. UNAVAILABLE when
  // nothing answers there.
  static absl::StatusOr<std::unique_ptr<PipeWireConnection>> Open(
      const std::string& remote, Owner& owner, Loop& loop);
  // Over a socket that is already connected.
  static absl::StatusOr<std::unique_ptr<PipeWireConnection>> Adopt(
      UniqueFd socket, Owner& owner, Loop& loop);

  ~PipeWireConnection();

  pw_core* core() { return core_.get(); }
  void Sync();

 private:
  PipeWireConnection(Owner& owner, Loop& loop) : owner_(owner), loop_(loop) {}
  absl::Status MakeContext();
  void Listen(PipeWirePtr<pw_core> core);
  static void OnDone(void* self, uint32_t id, int seq);
  static void OnError(void* self, uint32_t id, int seq, int result,
                      const char* message);

  Owner& owner_;
  Loop& loop_;
  bool lost_ = false;
  int sync_seq_ = 0;
  PipeWirePtr<pw_loop> pw_loop_;
  PipeWirePtr<pw_context> context_;
  PipeWirePtr<pw_core> core_;
  PipeWireHook hook_;
  LoopHandle watch_;
};

// Where libpipewire looks for the socket `remote` ("" = $PIPEWIRE_REMOTE or
// pipewire-0): a path is itself, a name is in $PIPEWIRE_RUNTIME_DIR, else
// $XDG_RUNTIME_DIR, else /run/pipewire.
std::string PipeWireSocketPath(absl::string_view remote);

// Tells when something appears at a path, by inotify. While its directory is
// missing, the nearest one above that exists is watched.
class SocketWatch {
 public:
  // `appeared` may come for what turns out not to answer (yet): a server binds
  // its socket before it listens. It must not destroy the watch.
  static absl::StatusOr<std::unique_ptr<SocketWatch>> Create(
      std::string path, Loop& loop, absl::AnyInvocable<void()> appeared);

 private:
  SocketWatch(std::string path, UniqueFd inotify,
              absl::AnyInvocable<void()> appeared)
      : path_(std::move(path)),
        inotify_(std::move(inotify)),
        appeared_(std::move(appeared)) {}
  absl::Status Arm();
  void OnReadable();

  const std::string path_;
  const UniqueFd inotify_;
  absl::AnyInvocable<void()> appeared_;
  int watch_id_ = -1;
  bool in_place_ = false;  // The watched directory is the socket's own.
  std::string awaited_;  // The next part of the path, in the watched directory.
  LoopHandle watch_;
};

}  // namespace kine
