// FrameSource: lends the pictures of one desktop until told to stop. A seam:
// PipeWire (by node or through the ScreenCast portal) and the test pattern
// implement it today; tests/fakes/fake_source.h for tests.
//
// Life:
//
//   Start() -> OnFormat -> OnFrame* -> ... -> Stop() -> OnStopped
//                 ^            |
//                 +- OnLost <--+   (source gone; it tries to come back)
//
// Threads: constructed, called and destroyed on the source loop's thread; the
// Client is called there too, never inside Start() or Stop().
//
// Loss: a source whose input vanishes (node removed, compositor or server
// gone) says OnLost once, gives up every buffer and waits for the input to
// come back (registry events, a watch on the server's socket; not by polling).
// When it does, OnFormat and OnFrame follow. How long that is worth waiting for
// is the client's business. OnFailed is final: the input can never work (no
// such node type, permission refused, consent denied).
//
// Still desktops send no frame at all, not even a first one: that is no error.
//
// Imports: dmabufs are lent only in layouts that the reader of the frames named
// by SetImports(); memory that can be read is always taken as well, last. A
// source without dmabufs ignores it.
#pragma once

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "capture/cursor.h"
#include "capture/frame.h"

namespace kine {

// Counters of a source, for the status reply and the metrics.
struct SourceStats {
  uint64_t received = 0;       // Buffers with a picture.
  uint64_t lost_in_drain = 0;  // Replaced by a newer one before they were used.
  uint64_t lost_in_source = 0;  // Gaps in the source's own sequence numbers.
  uint64_t corrupted = 0;       // Flagged, short or oddly strided: skipped.
  uint64_t cursor_only = 0;     // Buffers that only moved the cursor.
  uint64_t fence_timeouts = 0;  // Pictures whose producer never finished them.
};

// What was captured, for people and for the status reply.
struct SourceDescription {
  std::string kind;  // "pipewire", "portal", "test"
  std::string name;  // node.name or the like; may be empty
  uint32_t node_id = 0;
  uint64_t serial = 0;
  // Memory the frames arrive in: "MemPtr", "MemFd", "DmaBuf", "internal".
  std::string memory;
  bool cursor_embedded = true;
  bool has_damage = false;
  bool has_times = false;
  // Of AutoSpec: what was tried before, and why it was not used.
  std::string refused;
};

class FrameSource {
 public:
  class Client {
   public:
    virtual ~Client() = default;
    virtual void OnFormat(const VideoFormat& format,
                          const SourceDescription& description) = 0;
    virtual void OnFrame(Frame frame) = 0;
    // The pictures of this dmabuf layout are lost, one after another, because
    // their producer never finishes them (kFenceTimeoutsMax in a row). Memory
    // has no such thing: SetImports({}).
    virtual void OnNeverFinished(const VideoFormat& format) = 0;
    virtual void OnCursor(const CursorUpdate& update) = 0;
    // The input is gone; see above.
    virtual void OnLost(absl::Status reason) = 0;
    // Final; only OnStopped may follow.
    virtual void OnFailed(absl::Status reason) = 0;
    // After Stop(): nothing will be called any more, the source may be
    // destroyed. Frames still lent out stay readable until they are given
    // back; the source's memory outlives them.
    virtual void OnStopped() = 0;
  };

  virtual ~FrameSource() = default;
  // What the reader imports, best first; none (as before the first call):
  // memory only. Before Start() and whenever it changes: the source then
  // negotiates again and says OnFormat. Frames of the old layouts may still
  // come until then.
  virtual void SetImports(std::vector<DmabufFormat> imports) = 0;
  // So many frames a second are wanted from now on, instead of those of
  // SourceOptions. A source that cannot be asked ignores it; one that can
  // negotiates again, as after SetImports().
  virtual void SetFpsMax(double fps_max) = 0;
  // Once. `client` must live until OnStopped.
  virtual void Start(Client& client) = 0;
  virtual void Stop() = 0;
  virtual SourceStats stats() const = 0;
};

}  // namespace kine
