// What captures feed, and what they are told: the values that the files of this
// folder share.
//
// One Capture is one source; each set of picture settings has an Encoding on
// it (a pump and an encoder); a sink joins one of them by a CaptureTap.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "capture/create_source.h"
#include "capture/frame_source.h"
#include "daemon/base/limits.h"
#include "daemon/base/loop.h"
#include "daemon/recorder/cursor/cursor_state.h"
#include "encode/create_encoder.h"
#include "encode/encode_pump.h"
#include "encode/encoder.h"
#include "ipc/recording_request.h"

namespace kine {

// All outlive every capture.
struct CaptureLoops {
  Loop& control;
  Loop& source;
  Loop& encode;
};

// CreateSource() and CreateEncoder(), or fakes. Each is called on its thread.
struct CaptureFactories {
  absl::AnyInvocable<absl::StatusOr<std::unique_ptr<FrameSource>>(
      SourceOptions options, Loop& loop)>
      source;
  absl::AnyInvocable<absl::StatusOr<CreatedEncoder>(
      EncoderChoice choice, const EncoderConfig& config)>
      encoder;
};

// Everything that steers a pump and its encoder: sinks with equal ones share.
struct EncodingSettings {
  EncoderConfig config;
  EncoderChoice choice = EncoderChoice::kAuto;
  int queue_packets = limits::kQueuePacketsDefault;
  std::optional<Rect> crop;  // As EncodePumpOptions have these.
  bool draws_pointer = false;

  friend bool operator==(const EncodingSettings&,
                         const EncodingSettings&) = default;
};

// What a sink wants to see, and how. Equal keys share a capture, whatever the
// restore token: the portal gives another one at each start.
struct CaptureRequest {
  CaptureKey key;
  std::string
      restore_token;  // Of the last start, for a source without its own.
  EncodingSettings encoding;
};

// Gets the newest frame of a source, or null when there is none to be had.
using FrameTaker = absl::AnyInvocable<void(std::shared_ptr<const Frame> frame)>;

// Of one sink, since it joined.
struct CaptureCounts {
  uint64_t captured = 0;
  uint64_t encoded = 0;
  uint64_t skipped_undamaged = 0;
  // Not for this sink, since it was paused; the others may have got them.
  uint64_t skipped_paused = 0;
  uint64_t repeated = 0;
  uint64_t pointer = 0;
  uint64_t lost_overload = 0;
  uint64_t lost_in_source = 0;
  uint64_t lost_import = 0;
  uint64_t corrupted = 0;
};

// One who takes packets. Called on the control loop, never inside a call of its
// own to its tap.
//
//   -> [OnEncoder, OnFormat] -> OnPacket* -> OnLost/OnFormat... ->
//   CaptureTap::Stop() -> OnPacket* -> OnDrained -> OnRetired
//
// One who joins what runs already is told first what is known: the encoder,
// what it still falls back to, the format, and the loss when the source is
// lost. Its first packet is a keyframe, and so is the first after packets that
// it did not get (a pause).
//
// A replay (replay/replay_feed.h) feeds a sink likewise: nothing is lost, and
// OnEnded comes behind its last packet.
//
// Two ends. OnDrained: the encoder gave the last packet that is this sink's;
// its outcome does not depend on the source any more, however long that takes
// to let go. OnRetired: nothing can call back. Only then may sink and tap be
// destroyed (inside OnRetired is fine).
class CaptureSink {
 public:
  virtual ~CaptureSink() = default;
  // The source is there: at first, after OnLost, and with a new size.
  virtual void OnFormat(const VideoFormat& format,
                        const SourceDescription& description) = 0;
  virtual void OnEncoder(const EncoderDescription& description,
                         const std::vector<EncoderRefusal>& refusals) = 0;
  virtual void OnFallback(EncodeFallback fallback) = 0;
  // An encoder could not take in what it said it could (in words); the source
  // was told, and offers `next` first now.
  virtual void OnImportRefused(std::string layout, std::string next) = 0;
  // The producer never finishes its DMA-BUFs; the source was told and offers
  // memory only.
  virtual void OnNeverFinished(std::string layout) = 0;
  virtual void OnPacket(SharedPacket packet) = 0;
  // What the pointer did, where the source tells it; one who joins is told
  // first where it is. Comes when it comes: its times say when it was.
  virtual void OnCursor(const CursorBatch& batch) = 0;
  // The source is gone (since `when`, of which a sink sees what comes after it
  // joined) and waits for its input to come back.
  virtual void OnLost(absl::Status reason, MonoTime when) = 0;
  // Final; Stop() is still due.
  virtual void OnSourceFailed(absl::Status reason) = 0;
  // Likewise, as EncodePump::Client::OnFailed() has it.
  virtual void OnEncoderFailed(absl::Status reason) = 0;
  // A replay was handed out whole; its last picture was shown until `end`.
  // Stop() is still due.
  virtual void OnEnded(MonoTime end) = 0;
  virtual void OnNeedsConsent() = 0;
  virtual void OnRestoreToken(std::string token) = 0;
  virtual void OnDrained() = 0;
  virtual void OnRetired() = 0;
};

}  // namespace kine
