// What we ask of a PipeWire node and what it answers, as pods. Pure: no
// connection, no thread.
#pragma once

#include <spa/pod/pod.h>

#include <cstddef>
#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "capture/frame.h"

namespace kine {

// A list of pods in memory of its own, in the shape that pw_stream_connect()
// and pw_stream_update_params() take.
class ParamList {
 public:
  // What we can take, for pw_stream_connect(): one EnumFormat without modifier
  // (memory we can read). Formats with modifiers will stand in front of it.
  // `fps_max` is a wish, 0 for none.
  static ParamList Formats(double fps_max);

  // The answer to a Format, for pw_stream_update_params(): buffers and metas.
  // Never formats: those would start the negotiation again, without end.
  static ParamList BuffersAndMetas();

  const spa_pod** data() { return pods_.data(); }
  uint32_t size() const { return static_cast<uint32_t>(pods_.size()); }

 private:
  class Builder;

  std::vector<uint64_t> memory_;  // Pods are aligned to 8 bytes.
  std::vector<const spa_pod*> pods_;
};

// The DRM fourcc of an SPA_VIDEO_FORMAT_* that we take; 0 for others.
uint32_t FourccOfSpaFormat(uint32_t spa_format);

// Reads a SPA_PARAM_Format. Any bytes may be behind `pod` as long as its own
// size field is true. UNIMPLEMENTED for what we did not offer (another media
// type or format, any modifier), INVALID_ARGUMENT for a broken one.
absl::StatusOr<VideoFormat> ParseVideoFormat(const spa_pod* pod);

}  // namespace kine
