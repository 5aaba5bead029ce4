// VaDevice: a display that was found to encode, and how: which codec, which way
// to steer the size, what it imports.
//
// Encode thread only.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "encode/encoder.h"
#include "encode/va/va_caps.h"
#include "encode/va/va_display.h"
#include "encode/va/va_encoder.h"
#include "encode/va/va_parameters.h"
#include "encode/va/va_session.h"

namespace kine {

struct VaDevice {
  std::unique_ptr<VaDisplay> display;
  VaCodec codec;
  VaRate rate;
  int depth = 1;
  absl::Duration limit;
  uint32_t quality_level = 0;
  bool qp_in_pic_init_qp = false;
  // What is not written into derived images keeps its value.
  bool writes_in_parts = false;
  bool converts = false;
  std::vector<DmabufFormat> imports;

  // For pictures of this size, even.
  VaSession::Settings SettingsFor(int width, int height) const;
};

// The first of the nodes that encodes; else why not, node by node.
absl::StatusOr<VaDevice> OpenVaDevice(const EncoderConfig& config,
                                      const VaOptions& options);

}  // namespace kine
