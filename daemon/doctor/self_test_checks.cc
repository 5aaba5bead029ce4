// A self-test's results as findings.
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "daemon/doctor/checks.h"

namespace kine {
namespace {

using Level = DoctorCheck::Level;
using State = SelfTestDevice::State;

// "99.0 dB" would be taken for a measurement.
std::string Decibels(double psnr) {
  return psnr >= kPsnrSame ? "identical" : absl::StrFormat("%.1f dB", psnr);
}

std::string Figures(const SelfTestDevice& device,
                    const SelfTestReport& report) {
  return absl::StrFormat(
      "%d frames %dx%d, %.0f frames/s, %.2f ms CPU a frame, %d KiB; luma "
      "worst %s, mean %s; chroma %s",
      device.frames, report.width, report.height, device.frames_per_second,
      device.cpu_ms_per_frame, device.bytes >> 10,
      Decibels(device.luma_psnr_min), Decibels(device.luma_psnr_mean),
      Decibels(device.chroma_psnr_min));
}

std::string ListOr(const std::vector<std::string>& texts, const char* none) {
  return texts.empty() ? none : absl::StrJoin(texts, " ");
}

std::vector<std::string> Details(const SelfTestDevice& device) {
  std::vector<std::string> lines;
  if (!device.driver.empty())
    lines.push_back(absl::StrCat(
        "driver: ", device.driver,
        device.kernel_driver.empty() ? "" : "; kernel ", device.kernel_driver));
  if (!device.encoder.empty())
    lines.push_back(absl::StrFormat("encoder: %s; opened in %.0f ms",
                                    device.encoder, device.open_ms));
  for (const SelfTestDevice::Offer& offer : device.offers) {
    std::string line = absl::StrCat(
        "offers: ", offer.profile, " ", offer.entry_point, "; rate control ",
        ListOr(offer.rate_controls, "not told"), "; packed headers ",
        offer.packed_headers.empty()
            ? "none"
            : absl::StrJoin(offer.packed_headers, ", "),
        "; quality levels ", offer.quality_levels);
    if (offer.max_width != 0)
      absl::StrAppend(&line, "; up to ", offer.max_width, "x",
                      offer.max_height);
    lines.push_back(std::move(line));
  }
  if (device.offers.empty()) return lines;
  std::string imports;
  for (const SelfTestDevice::Import& import : device.imports)
    absl::StrAppend(&imports, imports.empty() ? "" : "; ", import.format, " (",
                    absl::StrJoin(import.modifiers, ", "), ")");
  lines.push_back(
      absl::StrCat("imports: ", imports.empty() ? "no DMA-BUF" : imports,
                   device.converts ? "" : "; no conversion on the GPU"));
  return lines;
}

std::string RemedyFor(const SelfTestDevice& device) {
  const bool software = device.device == "software";
  if (device.state == State::kPassed) return "";
  if (device.reason == "no_decoder")
    return "build where libavcodec, libpng and libseccomp are";
  if (device.state == State::kUnusable)
    return software ? "build with x264 (X264=1)"
                    : "recordings are encoded in software";
  if (software || device.reason == "internal")
    return "report this with the whole output";
  return "kinescoped --encoder=software until the driver is mended; report "
         "this with the whole output";
}

DoctorCheck CheckDevice(const SelfTestDevice& device,
                        const SelfTestReport& report) {
  DoctorCheck check;
  check.name = absl::StrCat("self-test ", device.device);
  check.remedy = RemedyFor(device);
  check.details = Details(device);
  switch (device.state) {
    case State::kPassed:
      check.summary = Figures(device, report);
      return check;
    case State::kUnchecked:
    case State::kUnusable:
      check.level = Level::kWarn;
      break;
    case State::kFailed:
      check.level = Level::kFail;
      break;
  }
  check.summary = absl::StrCat(device.reason, ": ", device.message);
  // What was measured before it failed.
  if (device.luma_psnr_min > 0)
    check.details.insert(check.details.begin(), Figures(device, report));
  return check;
}

}  // namespace

std::vector<DoctorCheck> CheckSelfTest(
    const absl::StatusOr<SelfTestReport>& report) {
  if (!report.ok())
    return {{"self-test",
             Level::kFail,
             std::string(report.status().message()),
             "install all programs from one build",
             {}}};
  std::vector<DoctorCheck> checks;
  for (const SelfTestDevice& device : report->devices)
    checks.push_back(CheckDevice(device, *report));
  return checks;
}

}  // namespace kine
