// PipeWireSource: the pictures of one PipeWire node, lent without a copy.
//
// Thread: constructed, used and destroyed on the source loop's thread.
// PipeWire's own loop is one descriptor in ours; its data thread only moves
// buffers and runs no code of this project.
//
// Two ways in:
// - ForNode: a plain connection to the server. The node is found in the
//   registry and linked by hand, so that it works with a session manager and
//   without one, and never falls on a webcam instead.
// - ForPortalStream: a socket that the ScreenCast portal already connected, and
//   the id of the node that it lets us see.
//
// When the input is not there (yet, or any more):
// - ForNode: OnLost once (UNAVAILABLE: no server; NOT_FOUND: no such node, the
//   text lists those that exist), also when it was never there. It comes back
//   by itself: a new node with the same node.name (or, without any target, the
//   only one), or the server's socket appearing in its directory.
// - ForPortalStream: OnLost once, and nothing more ever. A portal's permission
//   dies with its stream: the owner makes a new session and a new source.
// OnFailed: the node exists and can never work (no picture node, more than one
// node where "the only one" was asked, no format or memory we can take).
//
// Memory: a lent Frame keeps its own mapping of the buffer, so that it stays
// readable when PipeWire takes the buffer away (new size, node gone, source
// destroyed). With a pool of fewer than limits::kPipeWireLendBuffersMin buffers
// the changed rows are copied out instead and the buffer goes back at once.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "capture/create_source.h"
#include "capture/frame_source.h"
#include "daemon/base/fd.h"
#include "daemon/base/loop.h"

namespace kine {

// What ScreenCast.OpenPipeWireRemote and Start gave.
struct PipeWirePortalStream {
  UniqueFd remote;
  uint32_t node_id = 0;
  // The stream property "pipewire-serial", where the portal has it.
  std::optional<uint64_t> serial;
};

class PipeWireSource final : public FrameSource {
 public:
  // INVALID_ARGUMENT when `spec` names its node in more than one way. Touches
  // nothing yet: the server need not run.
  static absl::StatusOr<std::unique_ptr<PipeWireSource>> ForNode(
      PipeWireSpec spec, double fps_max, Loop& loop);
  // The description's kind is "portal".
  static std::unique_ptr<PipeWireSource> ForPortalStream(
      PipeWirePortalStream stream, double fps_max, Loop& loop);

  ~PipeWireSource() override;
  PipeWireSource(const PipeWireSource&) = delete;
  PipeWireSource& operator=(const PipeWireSource&) = delete;

  void SetImports(std::vector<DmabufFormat> imports) override;
  void SetFpsMax(double fps_max) override;
  void Start(Client& client) override;
  void Stop() override;
  SourceStats stats() const override;

 private:
  class Impl;
  explicit PipeWireSource(std::unique_ptr<Impl> impl);

  const std::unique_ptr<Impl> impl_;
};

// The video nodes of the default server, for ListSources(). One entry with
// available = false and the reason when there is no server. Blocks for up to
// `deadline`, on a loop of its own; any thread.
std::vector<SourceListing> ListPipeWireSources(absl::Duration deadline);

}  // namespace kine
