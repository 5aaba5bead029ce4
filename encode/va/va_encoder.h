// The hardware encoder: H.264 by VA-API, on the GPU whose render node is
// chosen here.
//
// Sizes are steered by RateControl and the quantiser of each picture where the
// driver lets us (it always should); by the driver's own rate control when
// that is what a bit rate is asked of, and it has one.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "daemon/base/limits.h"
#include "encode/encoder.h"

namespace kine {

struct VaOptions {
  // The device to use, and no other; empty: KINESCOPE_RENDER_NODE of the
  // environment, else the first that encodes, the firmware's primary GPU before
  // the others (that is where a desktop is drawn).
  std::string render_node;
  // Pictures in the driver at once: 1 is the least delay; 2 overlaps converting
  // with encoding, and holds each packet back until the next picture. 0: 2 with
  // the studio profile.
  int depth = 0;
  // For the driver to encode one picture.
  absl::Duration limit = absl::Milliseconds(limits::kVaSyncMs);
};

// Opens the device and has it encode two pictures: what only claims to encode
// is found out here. The error says for every node why not it. INVALID_ARGUMENT
// when `config` makes no sense.
absl::StatusOr<std::unique_ptr<Encoder>> CreateVaEncoder(
    const EncoderConfig& config, const VaOptions& options);

// The nodes of `directory` (/dev/dri), the firmware's primary GPU first, then
// by number.
std::vector<std::string> ListRenderNodes(const std::string& directory);

// Those to try, in order: `render_node` if given, KINESCOPE_RENDER_NODE of the
// environment, or all.
struct RenderNodes {
  std::vector<std::string> paths;
  bool named = false;  // By one of the first two: this one, and no other.
};
RenderNodes FindRenderNodes(const std::string& render_node);

// What the driver of a node says of itself, for people. Nothing is tried.
struct VaNodeDescription {
  struct Offer {  // One profile at one entry point, best first.
    std::string profile;
    std::string entry_point;
    std::vector<std::string> rate_controls;
    std::vector<std::string> packed_headers;
    uint32_t quality_levels = 0;  // 0: there is no choice.
    int max_width = 0;            // 0: not known.
    int max_height = 0;
  };
  std::string kernel_driver;
  std::string driver;
  std::vector<Offer> offers;
  bool converts = false;  // There is a VideoProc entry point.
};

// The node is opened into `description` as far as it goes; the error says why
// no further: those of VaDisplay::Open, UNIMPLEMENTED when it encodes no H.264.
absl::Status DescribeVaNode(const std::string& node,
                            VaNodeDescription& description);

}  // namespace kine
