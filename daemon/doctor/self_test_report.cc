#include "daemon/doctor/self_test_report.h"

#include "daemon/doctor/doctor_limits.h"
#include "ipc/json_in.h"
#include "ipc/json_out.h"

namespace kine {
namespace {

using State = SelfTestDevice::State;

constexpr JsonName<State> kStates[] = {{"passed", State::kPassed},
                                       {"failed", State::kFailed},
                                       {"unchecked", State::kUnchecked},
                                       {"unusable", State::kUnusable}};
constexpr size_t kListMax = 64;
constexpr JsonTextRule kText = {.max = 16'384, .charset = JsonTextRule::kAny};
constexpr JsonLimits kReading = {.bytes_max = limits::kSelfTestBytesMax,
                                 .unknown = JsonUnknown::kIgnore};
constexpr double kLarge = 1e12;

void WriteTexts(JsonOut& out, const char* key,
                const std::vector<std::string>& texts) {
  out.BeginList(key);
  for (const std::string& text : texts) out.Value(text);
  out.End();
}

void WriteCapabilities(JsonOut& out, const SelfTestDevice& device) {
  out.FieldIfAny("kernel_driver", device.kernel_driver);
  out.FieldIfAny("driver", device.driver);
  out.FieldIfAny("encoder", device.encoder);
  out.BeginList("offers");
  for (const SelfTestDevice::Offer& offer : device.offers) {
    out.BeginObject();
    out.Field("profile", offer.profile);
    out.Field("entry_point", offer.entry_point);
    WriteTexts(out, "rate_controls", offer.rate_controls);
    WriteTexts(out, "packed_headers", offer.packed_headers);
    out.Field("quality_levels", offer.quality_levels);
    out.Field("max_width", offer.max_width);
    out.Field("max_height", offer.max_height);
    out.End();
  }
  out.End();
  out.Field("converts", device.converts);
  out.BeginList("imports");
  for (const SelfTestDevice::Import& import : device.imports) {
    out.BeginObject();
    out.Field("format", import.format);
    WriteTexts(out, "modifiers", import.modifiers);
    out.End();
  }
  out.End();
}

void WriteDevice(JsonOut& out, const SelfTestDevice& device) {
  out.BeginObject();
  out.Field("device", device.device);
  out.Field("state", NameOf(device.state));
  out.FieldIfAny("reason", device.reason);
  out.FieldIfAny("message", device.message);
  out.FieldIfAny("stage", device.stage);
  WriteCapabilities(out, device);
  out.Field("open_ms", device.open_ms);
  out.Field("frames", device.frames);
  out.Field("bytes", device.bytes);
  out.Field("frames_per_second", device.frames_per_second);
  out.Field("cpu_ms_per_frame", device.cpu_ms_per_frame);
  out.Field("luma_psnr_min", device.luma_psnr_min);
  out.Field("luma_psnr_mean", device.luma_psnr_mean);
  out.Field("chroma_psnr_min", device.chroma_psnr_min);
  out.End();
}

void BindCapabilities(JsonObject& o, SelfTestDevice& device) {
  o.Text("kernel_driver", device.kernel_driver, kText);
  o.Text("driver", device.driver, kText);
  o.Text("encoder", device.encoder, kText);
  o.List("offers", kListMax, [&](JsonObject& item) {
    SelfTestDevice::Offer& offer = device.offers.emplace_back();
    item.Text("profile", offer.profile, kText, JsonNeed::kRequired);
    item.Text("entry_point", offer.entry_point, kText, JsonNeed::kRequired);
    item.Texts("rate_controls", offer.rate_controls, kListMax, kText);
    item.Texts("packed_headers", offer.packed_headers, kListMax, kText);
    item.Int("quality_levels", offer.quality_levels);
    item.Int("max_width", offer.max_width);
    item.Int("max_height", offer.max_height);
  });
  o.Bool("converts", device.converts);
  o.List("imports", kListMax, [&](JsonObject& item) {
    SelfTestDevice::Import& import = device.imports.emplace_back();
    item.Text("format", import.format, kText, JsonNeed::kRequired);
    item.Texts("modifiers", import.modifiers, kListMax, kText);
  });
}

void BindDevice(JsonObject& o, SelfTestDevice& device) {
  o.Text("device", device.device, kText, JsonNeed::kRequired);
  o.Enum("state", device.state, kStates, JsonNeed::kRequired);
  o.Text("reason", device.reason, kText);
  o.Text("message", device.message, kText);
  o.Text("stage", device.stage, kText);
  BindCapabilities(o, device);
  o.Number("open_ms", device.open_ms, 0, kLarge);
  o.Int("frames", device.frames);
  o.Int("bytes", device.bytes);
  o.Number("frames_per_second", device.frames_per_second, 0, kLarge);
  o.Number("cpu_ms_per_frame", device.cpu_ms_per_frame, 0, kLarge);
  o.Number("luma_psnr_min", device.luma_psnr_min, 0, kPsnrSame);
  o.Number("luma_psnr_mean", device.luma_psnr_mean, 0, kPsnrSame);
  o.Number("chroma_psnr_min", device.chroma_psnr_min, 0, kPsnrSame);
}

}  // namespace

const char* NameOf(State state) {
  for (const auto& [name, value] : kStates)
    if (value == state) return name;
  return "failed";
}

std::string ToJson(const SelfTestDevice& device) {
  std::string text;
  JsonOut out(text);
  WriteDevice(out, device);
  return text;
}

std::string ToJson(const SelfTestReport& report) {
  std::string text;
  JsonOut out(text);
  out.BeginObject();
  out.Field("width", report.width);
  out.Field("height", report.height);
  out.Field("frames", report.frames);
  out.Field("luma_psnr_needed", report.luma_psnr_needed);
  out.Field("chroma_psnr_needed", report.chroma_psnr_needed);
  out.BeginList("devices");
  for (const SelfTestDevice& device : report.devices) WriteDevice(out, device);
  out.End();
  out.End();
  return text;
}

absl::StatusOr<SelfTestDevice> ParseSelfTestDevice(absl::string_view json) {
  SelfTestDevice device;
  const absl::Status bound =
      BindJson(json, kReading, [&](JsonObject& o) { BindDevice(o, device); });
  if (!bound.ok()) return bound;
  return device;
}

absl::StatusOr<SelfTestReport> ParseSelfTestReport(absl::string_view json) {
  SelfTestReport report;
  const absl::Status bound = BindJson(json, kReading, [&](JsonObject& o) {
    o.Int("width", report.width);
    o.Int("height", report.height);
    o.Int("frames", report.frames);
    o.Number("luma_psnr_needed", report.luma_psnr_needed, 0, kPsnrSame);
    o.Number("chroma_psnr_needed", report.chroma_psnr_needed, 0, kPsnrSame);
    o.List(
        "devices", limits::kSelfTestNodesMax + 1,
        [&](JsonObject& item) {
          BindDevice(item, report.devices.emplace_back());
        },
        JsonNeed::kRequired);
  });
  if (!bound.ok()) return bound;
  return report;
}

}  // namespace kine
