// SourceSpec -> FrameSource: the only switch over the capture back ends.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/statusor.h"
#include "capture/frame_source.h"
#include "daemon/base/loop.h"

namespace kine {

// The in-process test pattern: a page that moves, with a frame number that
// programs read back (tests, `kinectl doctor`).
struct TestPatternSpec {
  enum class Pattern { kScroll, kTyping, kVideo, kStill };
  int width = 1280;
  int height = 720;
  double fps = 30;
  Pattern pattern = Pattern::kScroll;
};

// A PipeWire node of the default (or `remote`) server; exactly one of name, id
// and serial is set, or none for "the only video source there is".
struct PipeWireSpec {
  std::string node_name;
  std::optional<uint32_t> node_id;
  std::optional<uint64_t> serial;
  std::string remote;  // Socket name or path; "" = the default.
};

// The ScreenCast portal of the session bus.
struct PortalSpec {
  uint32_t types =
      1;  // org.freedesktop.portal.ScreenCast: 1 monitor, 2 window.
  std::string restore_token;
  bool persist = true;
  // The pointer as data instead of in the picture, where the portal can.
  bool cursor_as_data = false;
};

// The first that works: the portal, then the only PipeWire node.
// What it says is for the portal, if it comes to that.
struct AutoSpec {
  std::string restore_token;
  bool cursor_as_data = false;
};

using SourceSpec =
    std::variant<AutoSpec, TestPatternSpec, PipeWireSpec, PortalSpec>;

struct SourceOptions {
  SourceSpec spec;
  // Asked of the source where it can be asked; 0 = whatever it has.
  double fps_max = 30;
  // Called (source thread) when the portal gave a new restore token, which is
  // good for one use: keep it before the next start.
  absl::AnyInvocable<void(std::string token)> on_restore_token;
  // Called (source thread) when the portal may be waiting for a person.
  absl::AnyInvocable<void()> on_needs_consent;
};

// Why a candidate of AutoSpec was not used.
struct SourceRefusal {
  std::string kind;
  std::string reason;
};

// Source thread only; `loop` must outlive the source. AutoSpec resolves while
// the source starts: refusals are then in the OnFailed text and in the
// description of the one that worked.
absl::StatusOr<std::unique_ptr<FrameSource>> CreateSource(SourceOptions options,
                                                          Loop& loop);

// What could be captured on this machine, and why not, for GET /v1/sources.
// Blocks for up to `deadline`; for the one-shot mode of the recorder.
struct SourceListing {
  std::string kind;  // "pipewire", "portal", "test"
  bool available = false;
  std::string reason;  // Why not.
  std::string name;
  uint32_t node_id = 0;
  uint64_t serial = 0;
  std::string description;
  std::string media_class;
};
std::vector<SourceListing> ListSources(absl::Duration deadline);

}  // namespace kine
