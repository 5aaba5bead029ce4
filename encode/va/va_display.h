// VaDisplay: one opened and initialised VADisplay on one render node, with the
// driver that libva chose for it.
//
// A LIBVA_DRIVER_NAME of the environment that fits another device is survived:
// when the driver does not start, those for the node's kernel driver are tried
// by name. What libva and the driver say goes into the statuses, never to
// standard error.
//
// Must outlive every handle made on it (va_handles.h). Encode thread only.
#pragma once

#include <va/va.h>

#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "daemon/base/fd.h"

namespace kine {

// The VA drivers for a DRM driver, best first; empty for an unknown one.
std::vector<const char*> VaDriversFor(absl::string_view kernel_driver);

class VaDisplay {
 public:
  // PERMISSION_DENIED names the group that may open the node; UNIMPLEMENTED
  // when there is no driver, or none that fits our libva.
  static absl::StatusOr<std::unique_ptr<VaDisplay>> Open(
      const std::string& node);
  ~VaDisplay();
  VaDisplay(const VaDisplay&) = delete;
  VaDisplay& operator=(const VaDisplay&) = delete;

  VADisplay get() const { return display_; }
  const std::string& node() const { return node_; }
  // Of the kernel: "i915".
  const std::string& kernel_driver() const { return kernel_driver_; }
  // What the driver calls itself.
  const std::string& vendor() const { return vendor_; }

 private:
  VaDisplay(std::string node, UniqueFd fd)
      : node_(std::move(node)), fd_(std::move(fd)) {}
  // Null: the driver that libva chooses.
  absl::Status Initialise(const char* driver);
  void Terminate();
  static void OnError(void* self, const char* message);

  const std::string node_;
  UniqueFd fd_;  // Behind the display, in life and in this list.
  VADisplay display_ = nullptr;
  std::string kernel_driver_;
  std::string vendor_;
  std::string last_error_;
};

}  // namespace kine
