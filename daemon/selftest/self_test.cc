#include "daemon/selftest/self_test.h"

#include <cstdio>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "daemon/doctor/doctor_limits.h"
#include "daemon/selftest/device_test.h"
#include "encode/va/va_encoder.h"

namespace kine {
namespace {

using State = SelfTestDevice::State;

// The last whole line of what it printed: how far it came.
SelfTestDevice LastLine(const std::string& device, absl::string_view output) {
  SelfTestDevice last;
  last.device = device;
  const std::vector<absl::string_view> lines = absl::StrSplit(output, '\n');
  // Behind the last newline there is at most a part of one.
  for (size_t i = 0; i + 1 < lines.size(); ++i) {
    auto parsed = ParseSelfTestDevice(lines[i]);
    if (parsed.ok()) last = *std::move(parsed);
  }
  return last;
}

std::string While(const SelfTestDevice& device) {
  return device.stage.empty() ? "" : absl::StrCat(" while ", device.stage);
}

SelfTestDevice Failed(SelfTestDevice device, const char* reason,
                      std::string message) {
  device.state = State::kFailed;
  device.reason = reason;
  device.message = std::move(message);
  return device;
}

}  // namespace

int SelfTestDeviceMain(const std::string& device) {
  DeviceTestSteps steps = StepsFor(device);
  const auto print = [](const SelfTestDevice& result) {
    std::printf("%s\n", ToJson(result).c_str());
    return std::fflush(stdout) == 0;
  };
  steps.on_stage = print;
  SelfTestDevice result;
  result.device = device;
  TestDevice(steps, result);
  return print(result) ? 0 : 1;
}

SelfTestDevice ResultOf(const std::string& device,
                        const absl::StatusOr<RunResult>& run,
                        absl::Duration deadline) {
  if (!run.ok())
    return Failed(LastLine(device, ""), "internal",
                  std::string(run.status().message()));
  SelfTestDevice result = LastLine(device, run->output);
  if (run->hung) {
    return Failed(result, "hung",
                  absl::StrCat("no answer within ",
                               absl::FormatDuration(deadline), While(result)));
  }
  if (run->exit.signaled || run->exit.code != 0) {
    const absl::string_view said =
        absl::StripTrailingAsciiWhitespace(run->errors);
    return Failed(result, "crashed",
                  absl::StrCat(ExitText(run->exit), While(result),
                               said.empty() ? "" : ": ", said));
  }
  if (result.stage.empty() && result.state == State::kFailed)
    return Failed(result, "internal", "the test left no result");
  return result;
}

SelfTestReport RunSelfTest(const std::string& recorder,
                           const std::string& render_node,
                           absl::Duration deadline) {
  SelfTestReport report;
  report.width = limits::kSelfTestWidth;
  report.height = limits::kSelfTestHeight;
  report.frames = limits::kSelfTestFrames;
  report.luma_psnr_needed = limits::kSelfTestLumaPsnr;
  report.chroma_psnr_needed = limits::kSelfTestChromaPsnr;
  RenderNodes nodes = FindRenderNodes(render_node);
  if (nodes.paths.size() > limits::kSelfTestNodesMax)
    nodes.paths.resize(limits::kSelfTestNodesMax);
  std::vector<std::string> devices = nodes.paths;
  devices.emplace_back(kSoftwareDevice);
  for (const std::string& device : devices) {
    ProgramCommand command;
    command.path = recorder;
    command.argv = {recorder, absl::StrCat("--self_test_device=", device)};
    SelfTestDevice result = ResultOf(
        device,
        RunToEnd(
            std::move(command),
            {.deadline = deadline, .output_bytes = limits::kSelfTestBytesMax}),
        deadline);
    // It was asked for, and there is no other.
    if (nodes.named && device != kSoftwareDevice &&
        result.state == State::kUnusable)
      result.state = State::kFailed;
    report.devices.push_back(std::move(result));
  }
  return report;
}

}  // namespace kine
