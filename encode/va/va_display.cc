#include "encode/va/va_display.h"

#include <fcntl.h>
#include <va/va_drm.h>
#include <xf86drm.h>

#include <cerrno>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/strip.h"
#include "daemon/base/log.h"
#include "daemon/base/status.h"
#include "encode/va/va_status.h"

namespace kine {
namespace {

void Ignore(void*, const char*) {}

std::string KernelDriverOf(int fd) {
  drmVersion* const version = drmGetVersion(fd);
  if (version == nullptr) return {};
  std::string name(version->name, static_cast<size_t>(version->name_len));
  drmFreeVersion(version);
  return name;
}

}  // namespace

std::vector<const char*> VaDriversFor(absl::string_view kernel_driver) {
  // libva's own map (va_drm_utils.c), which it does not ask when the
  // environment names a driver.
  if (kernel_driver == "i915") return {"iHD", "i965"};
  if (kernel_driver == "xe") return {"iHD"};
  if (kernel_driver == "amdgpu") return {"radeonsi"};
  if (kernel_driver == "radeon") return {"radeonsi", "r600"};
  if (kernel_driver == "virtio_gpu") return {"virtio_gpu"};
  return {};
}

absl::StatusOr<std::unique_ptr<VaDisplay>> VaDisplay::Open(
    const std::string& node) {
  UniqueFd fd(::open(node.c_str(), O_RDWR | O_CLOEXEC));
  if (!fd.valid()) {
    const int error = errno;
    absl::Status status = ErrnoStatus(error, "open");
    if (error == EACCES) {
      status = absl::PermissionDeniedError(absl::StrCat(
          status.message(),
          "; add the user to the group that owns the node (on Debian "
          "`render`), in a unit with SupplementaryGroups=render"));
    }
    return status;
  }
  const std::string kernel_driver = KernelDriverOf(fd.get());
  // A display of memory only, and one whose VA driver cannot encode and has
  // brought down processes that only asked.
  if (kernel_driver == "vgem" || kernel_driver == "nvidia-drm") {
    return absl::UnimplementedError(
        absl::StrCat("a node of ", kernel_driver, ", which cannot encode"));
  }
  std::unique_ptr<VaDisplay> display(new VaDisplay(node, std::move(fd)));
  display->kernel_driver_ = kernel_driver;
  absl::Status first = display->Initialise(nullptr);
  if (first.ok()) return display;
  for (const char* driver : VaDriversFor(kernel_driver)) {
    if (display->Initialise(driver).ok()) return display;
  }
  return first;
}

absl::Status VaDisplay::Initialise(const char* driver) {
  Terminate();
  last_error_.clear();
  display_ = vaGetDisplayDRM(fd_.get());
  if (display_ == nullptr) {
    return absl::UnimplementedError("libva takes it for no DRM device");
  }
  vaSetErrorCallback(display_, &VaDisplay::OnError, this);
  vaSetInfoCallback(display_, &Ignore, nullptr);
  if (driver != nullptr) {
    // libva writes to the name while it reads it.
    std::string name = driver;
    KINE_RETURN_IF_ERROR(
        VaError(vaSetDriverName(display_, name.data()), "vaSetDriverName"));
  }
  int major = 0;
  int minor = 0;
  const VAStatus status = vaInitialize(display_, &major, &minor);
  if (status != VA_STATUS_SUCCESS) {
    const std::string said =
        last_error_.empty() ? "" : absl::StrCat("; ", Quoted(last_error_));
    Terminate();
    const absl::Status error = VaError(status, "vaInitialize");
    return absl::UnimplementedError(absl::StrCat(error.message(), said));
  }
  // libva keeps what it had, never what it will have: newer than our headers is
  // fine, older is not.
  if (major != VA_MAJOR_VERSION || minor < VA_MINOR_VERSION) {
    Terminate();
    return absl::UnimplementedError(absl::StrFormat(
        "libva speaks VA-API %d.%d, this program was built for %d.%d", major,
        minor, VA_MAJOR_VERSION, VA_MINOR_VERSION));
  }
  const char* const vendor = vaQueryVendorString(display_);
  vendor_ = vendor == nullptr ? "unknown driver" : vendor;
  return absl::OkStatus();
}

void VaDisplay::Terminate() {
  if (display_ == nullptr) return;
  // Also the only way to free a display that was never initialised.
  vaTerminate(display_);
  display_ = nullptr;
}

VaDisplay::~VaDisplay() { Terminate(); }

void VaDisplay::OnError(void* self, const char* message) {
  // The first names the cause; what follows are its consequences.
  std::string& last = static_cast<VaDisplay*>(self)->last_error_;
  absl::string_view text = message;
  if (last.empty()) last = std::string(absl::StripSuffix(text, "\n"));
}

}  // namespace kine
