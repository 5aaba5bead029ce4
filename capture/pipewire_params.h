// What we ask of a PipeWire node and what it answers, as pods. Pure: no
// connection, no thread.
#pragma once

#include <spa/pod/pod.h>

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "absl/status/statusor.h"
#include "capture/frame.h"

namespace kine {

// A list of pods in memory of its own, in the shape that pw_stream_connect()
// and pw_stream_update_params() take.
class ParamList {
 public:
  // What we can take, for pw_stream_connect() and to negotiate again: an
  // EnumFormat with modifiers (DMA-BUFs) for each of `imports`, then one
  // without (memory that we can read). `fps_max` is a wish, 0 for none.
  static ParamList Formats(double fps_max,
                           std::span<const DmabufFormat> imports);

  // The answer to a Format, for pw_stream_update_params(): buffers and metas.
  // Never formats: those would start the negotiation again, without end.
  static ParamList BuffersAndMetas(bool dmabuf);

  const spa_pod** data() { return pods_.data(); }
  uint32_t size() const { return static_cast<uint32_t>(pods_.size()); }

 private:
  class Builder;

  std::vector<uint64_t> memory_;  // Pods are aligned to 8 bytes.
  std::vector<const spa_pod*> pods_;
};

// The DRM fourcc of an SPA_VIDEO_FORMAT_* that we take; 0 for others.
uint32_t FourccOfSpaFormat(uint32_t spa_format);

// What a node settled on.
struct StreamFormat {
  VideoFormat video;
  // Pictures come as DMA-BUFs of that modifier; else as memory.
  bool dmabuf = false;
};

// Reads a SPA_PARAM_Format. Any bytes may be behind `pod` as long as its own
// size field is true. UNIMPLEMENTED for what we never offer (another media type
// or format), UNAVAILABLE while several modifiers are left (the node chooses
// one and says so in another Format), INVALID_ARGUMENT for a broken one.
absl::StatusOr<StreamFormat> ParseStreamFormat(const spa_pod* pod);

}  // namespace kine
