// What is tested for real, and decoded by kinescope-frames.
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <cerrno>
#include <span>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "daemon/base/fd.h"
#include "daemon/base/status.h"
#include "daemon/doctor/doctor_limits.h"
#include "daemon/programs/find_program.h"
#include "daemon/programs/run_to_end.h"
#include "daemon/selftest/device_test.h"
#include "daemon/selftest/self_test.h"
#include "daemon/storage/blocking_io.h"
#include "encode/create_encoder.h"
#include "encode/va/va_encoder.h"

namespace kine {
namespace {

absl::Status DescribeNode(const std::string& node, SelfTestDevice& device) {
  VaNodeDescription description;
  absl::Status status = DescribeVaNode(node, description);
  device.kernel_driver = description.kernel_driver;
  device.driver = description.driver;
  device.converts = description.converts;
  for (VaNodeDescription::Offer& offer : description.offers)
    device.offers.push_back(
        {std::move(offer.profile), std::move(offer.entry_point),
         std::move(offer.rate_controls), std::move(offer.packed_headers),
         offer.quality_levels, offer.max_width, offer.max_height});
  return status;
}

absl::StatusOr<std::unique_ptr<Encoder>> OpenSoftware(
    const EncoderConfig& config) {
  KINE_ASSIGN_OR_RETURN(CreatedEncoder created,
                        CreateEncoder(EncoderChoice::kSoftware, config, ""));
  return std::move(created.encoder);
}

absl::StatusOr<UniqueFd> Duplicate(int fd) {
  UniqueFd copy(::fcntl(fd, F_DUPFD_CLOEXEC, 3));
  if (!copy.valid()) return ErrnoStatus(errno, "fcntl(F_DUPFD)");
  return copy;
}

absl::StatusOr<std::string> ReadAll(int fd) {
  struct stat info {};
  if (::fstat(fd, &info) != 0) return ErrnoStatus(errno, "fstat");
  std::string bytes(static_cast<size_t>(info.st_size), '\0');
  KINE_ASSIGN_OR_RETURN(
      const size_t read,
      ReadFully(fd, 0, std::as_writable_bytes(std::span(bytes))));
  bytes.resize(read);
  return bytes;
}

absl::StatusOr<std::string> Decode(int movie) {
  const auto program = FindProgram("kinescope-frames");
  if (!program.ok()) return absl::NotFoundError(program.status().message());
  const UniqueFd pictures(::memfd_create("kinescope-pictures", MFD_CLOEXEC));
  if (!pictures.valid()) return ErrnoStatus(errno, "memfd_create");
  ProgramCommand command;
  command.path = *program;
  command.argv = {*program, "--all", "--format=i420"};
  for (const int fd : {movie, pictures.get()}) {
    KINE_ASSIGN_OR_RETURN(UniqueFd copy, Duplicate(fd));
    command.fds.push_back(std::move(copy));
  }
  KINE_ASSIGN_OR_RETURN(
      const RunResult run,
      RunToEnd(std::move(command),
               {.deadline = 2 * absl::Milliseconds(limits::kFramesMs)}));
  if (run.hung)
    return absl::DeadlineExceededError("kinescope-frames did not end");
  if (run.exit.signaled || run.exit.code != 0)
    return absl::DataLossError(absl::StrCat(
        absl::StripSuffix(run.errors, "\n"), run.errors.empty() ? "" : ", ",
        "kinescope-frames ended with ", ExitText(run.exit)));
  return ReadAll(pictures.get());
}

}  // namespace

DeviceTestSteps StepsFor(const std::string& device) {
  DeviceTestSteps steps;
  steps.decode = &Decode;
  if (device == kSoftwareDevice) {
    steps.open = &OpenSoftware;
    return steps;
  }
  steps.describe = [device](SelfTestDevice& result) {
    return DescribeNode(device, result);
  };
  steps.open = [device](const EncoderConfig& config) {
    return CreateVaEncoder(config, {.render_node = device});
  };
  return steps;
}

}  // namespace kine
