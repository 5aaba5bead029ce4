// The hardware encoder: H.264 by VA-API, on the GPU whose render node is
// chosen here.
//
// Sizes are steered by RateControl and the quantiser of each picture where the
// driver lets us (it always should); by the driver's own rate control when
// that is what a bit rate is asked of, and it has one.
#pragma once

#include <memory>
#include <string>

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

}  // namespace kine
