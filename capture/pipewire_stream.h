// One pw_stream: negotiates, drains, lends. Knows nothing of nodes that come
// and go; PipeWireSource does.
//
// Thread: the loop's. Owner's methods are called from inside PipeWire: it must
// not destroy the stream there, but post that.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "capture/dmabuf/fences.h"
#include "capture/frame_source.h"
#include "capture/pipewire_buffers.h"
#include "capture/pipewire_handles.h"
#include "capture/pipewire_pool.h"
#include "daemon/base/loop.h"

namespace kine {

class PipeWireStream {
 public:
  // What the buffers of one negotiation have.
  struct Facts {
    std::string memory;  // "MemPtr", "MemFd" or "DmaBuf".
    bool has_cursor = false;
    bool has_damage = false;
    bool has_times = false;
  };

  class Owner {
   public:
    virtual ~Owner() = default;
    // The stream is node `node_id` of the server and may be linked. Once.
    virtual void OnStreamReady(uint32_t node_id) = 0;
    // Buffers of this format are there. Again for each new set of buffers.
    virtual void OnStreamFormat(const VideoFormat& format,
                                const Facts& facts) = 0;
    virtual void OnStreamFrame(Frame frame) = 0;
    // See FrameSource::Client::OnNeverFinished.
    virtual void OnStreamNeverFinished(const VideoFormat& format) = 0;
    virtual void OnStreamCursor(const CursorUpdate& update) = 0;
    // `final`: what the node sends can never be taken. May come repeatedly.
    virtual void OnStreamError(absl::Status reason, bool final) = 0;
  };

  struct Options {
    double fps_max = 0;
    std::vector<DmabufFormat> imports;
    // Set: a session manager shall link us to that node (the portal's way).
    // Unset: the owner makes the link.
    std::optional<uint32_t> auto_node_id;
    std::optional<uint64_t> auto_serial;
  };

  // `stats` is counted up and must outlive the stream, as must `loop` and
  // `connection`.
  static absl::StatusOr<std::unique_ptr<PipeWireStream>> Connect(
      PipeWireConnection& connection, const Options& options, Owner& owner,
      SourceStats& stats, Loop& loop);

  ~PipeWireStream();

  // Negotiates again, when `imports` are others; OnStreamFormat follows.
  void SetImports(std::vector<DmabufFormat> imports);
  // Likewise.
  void SetFpsMax(double fps_max);

 private:
  void Negotiate();
  struct Newest;

  PipeWireStream(Owner& owner, SourceStats& stats, Loop& loop);
  absl::Status Open(PipeWireConnection& connection, const Options& options);

  static void OnState(void* self, pw_stream_state old, pw_stream_state state,
                      const char* error);
  static void OnParam(void* self, uint32_t id, const spa_pod* param);
  static void OnAddBuffer(void* self, pw_buffer* buffer);
  static void OnRemoveBuffer(void* self, pw_buffer* buffer);
  static void OnProcess(void* self);

  // The node may be a step behind what is asked for.
  bool IsWanted(const StreamFormat& format) const;
  void Announce();
  void Take(pw_buffer* buffer, Newest& newest);
  void TakeCursor(const spa_buffer& buffer, const BufferReading& reading,
                  Newest& newest);
  void MergeDamage(const BufferReading& reading);
  void Lend(Newest& newest);
  void OnGateLost(FenceGate::Lost why);

  Owner& owner_;
  SourceStats& stats_;
  Loop& loop_;
  // Its buffers are the stream's, so it goes after that.
  std::unique_ptr<BufferPool> pool_;
  PipeWirePtr<pw_stream> stream_;
  PipeWireHook hook_;

  bool ready_ = false;
  double fps_max_ = 0;
  std::vector<DmabufFormat> imports_;
  std::optional<StreamFormat> format_;
  Facts facts_;
  bool announce_ = false;  // New buffers came, OnStreamFormat is due.

  SequenceCounter sequence_;
  FrameTimes times_;
  CursorReader cursor_;
  // What changed since the last picture that was handed on.
  Damage damage_ = Damage::Full();
  bool damage_is_source_ = false;
  Rect crop_;
  Transform transform_ = Transform::kNormal;
  FenceGate gate_;

  LoopHandle announce_timer_;
};

}  // namespace kine
