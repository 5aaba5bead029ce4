#include "encode/va/va_status.h"

#include <string>

#include "absl/strings/cord.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace kine {
namespace {

constexpr absl::string_view kPayload = "kinescope/va_status";

absl::StatusCode CodeOf(VAStatus status) {
  switch (static_cast<unsigned>(status)) {
    case VA_STATUS_ERROR_TIMEDOUT:
      return absl::StatusCode::kDeadlineExceeded;
    case VA_STATUS_ERROR_ALLOCATION_FAILED:
    case VA_STATUS_ERROR_NOT_ENOUGH_BUFFER:
    case VA_STATUS_ERROR_MAX_NUM_EXCEEDED:
      return absl::StatusCode::kResourceExhausted;
    case VA_STATUS_ERROR_UNIMPLEMENTED:
    case VA_STATUS_ERROR_UNSUPPORTED_PROFILE:
    case VA_STATUS_ERROR_UNSUPPORTED_ENTRYPOINT:
    case VA_STATUS_ERROR_UNSUPPORTED_RT_FORMAT:
    case VA_STATUS_ERROR_UNSUPPORTED_BUFFERTYPE:
    case VA_STATUS_ERROR_UNSUPPORTED_MEMORY_TYPE:
    case VA_STATUS_ERROR_ATTR_NOT_SUPPORTED:
    case VA_STATUS_ERROR_RESOLUTION_NOT_SUPPORTED:
    case VA_STATUS_ERROR_INVALID_IMAGE_FORMAT:
      return absl::StatusCode::kUnimplemented;
    case VA_STATUS_ERROR_HW_BUSY:
    case VA_STATUS_ERROR_SURFACE_BUSY:
    case VA_STATUS_ERROR_OPERATION_FAILED:
    case VA_STATUS_ERROR_ENCODING_ERROR:
    case VA_STATUS_ERROR_UNKNOWN:
      return absl::StatusCode::kUnavailable;
    default:
      return absl::StatusCode::kFailedPrecondition;
  }
}

}  // namespace

absl::Status VaError(VAStatus status, absl::string_view call) {
  if (status == VA_STATUS_SUCCESS) return absl::OkStatus();
  absl::Status error(
      CodeOf(status),
      absl::StrFormat("%s: %s (0x%x)", call, vaErrorStr(status), status));
  error.SetPayload(kPayload, absl::Cord(absl::StrCat(status)));
  return error;
}

VAStatus VaStatusOf(const absl::Status& status) {
  const auto payload = status.GetPayload(kPayload);
  int value = VA_STATUS_SUCCESS;
  if (payload.has_value() && absl::SimpleAtoi(std::string(*payload), &value)) {
    return value;
  }
  return VA_STATUS_SUCCESS;
}

}  // namespace kine
