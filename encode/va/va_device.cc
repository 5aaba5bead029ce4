#include "encode/va/va_device.h"

#include <dirent.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <fstream>
#include <tuple>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/strings/strip.h"
#include "daemon/base/log.h"
#include "daemon/base/status.h"
#include "encode/rate_control.h"
#include "encode/va/va_converter.h"
#include "encode/va/va_upload.h"

namespace kine {
namespace {

constexpr char kNodeVariable[] = "KINESCOPE_RENDER_NODE";
constexpr int kTrialSide = 256;

bool IsPrimaryGpu(const std::string& node) {
  struct stat info = {};
  if (::stat(node.c_str(), &info) != 0 || !S_ISCHR(info.st_mode)) return false;
  std::ifstream file(absl::StrFormat("/sys/dev/char/%d:%d/device/boot_vga",
                                     major(info.st_rdev), minor(info.st_rdev)));
  return file.get() == '1';
}

// The ways to steer the size that fit, best first.
std::vector<uint32_t> RateModes(const VaCodec& codec,
                                const EncoderConfig& config) {
  std::vector<uint32_t> modes;
  const auto add = [&](uint32_t mode) {
    if ((codec.rate_modes & mode) != 0) modes.push_back(mode);
  };
  if (config.bitrate != 0) {
    add(VA_RC_QVBR);
    add(VA_RC_VBR);
    add(VA_RC_CBR);
  }
  // Ours also keeps to a bit rate, picture by picture. A driver that names no
  // modes has this one.
  if (codec.rate_modes == 0) modes.push_back(VA_RC_CQP);
  add(VA_RC_CQP);
  if (config.bitrate == 0) add(VA_RC_ICQ);
  return modes;
}

uint32_t QualityLevel(const VaCodec& codec, const EncoderConfig& config,
                      const std::string& vendor) {
  // Mesa reads the number as a set of bits. Without one: the driver's middle.
  if (absl::StrContains(vendor, "Mesa")) return 0;
  if (config.profile == EncoderConfig::Profile::kStudio) return 0;
  // Fast, but not the fastest, which duplicates pictures on old devices.
  return codec.quality_range > 1 ? codec.quality_range * 6 / 7 : 0;
}

// A keyframe and a picture that refers to it, as any other would be encoded.
absl::Status TrialEncode(const VaDevice& device) {
  KINE_ASSIGN_OR_RETURN(
      const auto session,
      VaSession::Open(device.display->get(),
                      device.SettingsFor(kTrialSide, kTrialSide)));
  std::vector<uint8_t> grey(size_t{kTrialSide} * kTrialSide * 4, 0x80);
  Frame frame;
  frame.format = {.fourcc = 0x34325258,
                  .width = kTrialSide,
                  .height = kTrialSide};  // DRM_FORMAT_XRGB8888
  frame.crop = {0, 0, kTrialSide, kTrialSide};
  frame.plane_count = 1;
  frame.planes[0].data = reinterpret_cast<const std::byte*>(grey.data());
  frame.planes[0].size = grey.size();
  frame.planes[0].stride = kTrialSide * 4;
  Picture picture;
  KINE_RETURN_IF_ERROR(picture.Take(frame));
  VaUpload upload(device.display->get(), session->inputs(), picture,
                  device.writes_in_parts);
  for (size_t i = 0; i < 2; ++i) {
    KINE_RETURN_IF_ERROR(upload.Write(i, picture));
    KINE_RETURN_IF_ERROR(session->Submit(
        i, i == 0, device.rate.mode == VA_RC_CQP ? device.rate.quality_qp : 0));
    KINE_ASSIGN_OR_RETURN(const VaSession::Coded coded, session->Collect());
    if (coded.overflow) {
      return absl::UnavailableError("a grey picture overflowed its buffer");
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<VaDevice> OpenNode(const std::string& node,
                                  const EncoderConfig& config,
                                  const VaOptions& options) {
  VaDevice device;
  KINE_ASSIGN_OR_RETURN(device.display, VaDisplay::Open(node));
  const std::string& vendor = device.display->vendor();
  KINE_ASSIGN_OR_RETURN(const VaCaps caps, QueryVaCaps(device.display->get()));
  device.limit = options.limit;
  device.depth = options.depth;
  if (device.depth == 0) {
    device.depth = config.profile == EncoderConfig::Profile::kStudio ? 2 : 1;
  }
  // Mesa maps derived images write-only: what is not written may be anything.
  device.writes_in_parts = !absl::StrContains(vendor, "Mesa");
  absl::Status first;
  for (const VaCodec& codec : caps.codecs) {
    device.codec = codec;
    device.quality_level = QualityLevel(codec, config, vendor);
    // Up to 23.0 Mesa writes its own headers and does not read the slice's QP.
    device.qp_in_pic_init_qp =
        codec.packed == 0 && absl::StrContains(vendor, "Mesa");
    for (const uint32_t mode : RateModes(codec, config)) {
      device.rate = {mode, config.bitrate, RateControl::BaseQp(config),
                     config.fps_max};
      const absl::Status tried = TrialEncode(device);
      if (tried.ok()) {
        if (caps.converts) {
          KINE_ASSIGN_OR_RETURN(
              device.imports, TryImports(device.display->get(), options.limit));
        }
        device.converts = !device.imports.empty();
        return device;
      }
      if (first.ok()) first = WithContext(NameOf(codec), tried);
    }
  }
  return WithContext(vendor, first);
}

}  // namespace

VaSession::Settings VaDevice::SettingsFor(int width, int height) const {
  VaSession::Settings settings;
  settings.codec = codec;
  settings.stream = StreamFor(codec, rate, width, height);
  settings.stream.quality_level = quality_level;
  settings.stream.qp_in_pic_init_qp = qp_in_pic_init_qp;
  settings.depth = depth;
  settings.limit = limit;
  return settings;
}

std::vector<std::string> ListRenderNodes(const std::string& directory) {
  std::vector<std::tuple<bool, int, std::string>> found;
  if (DIR* const dir = ::opendir(directory.c_str()); dir != nullptr) {
    while (const dirent* const entry = ::readdir(dir)) {
      absl::string_view name = entry->d_name;
      int number = 0;
      if (absl::ConsumePrefix(&name, "renderD") &&
          absl::SimpleAtoi(name, &number)) {
        const std::string path = absl::StrCat(directory, "/", entry->d_name);
        found.emplace_back(!IsPrimaryGpu(path), number, path);
      }
    }
    ::closedir(dir);
  }
  std::sort(found.begin(), found.end());
  std::vector<std::string> paths;
  paths.reserve(found.size());
  for (auto& [secondary, number, path] : found) paths.push_back(path);
  return paths;
}

RenderNodes FindRenderNodes(const std::string& render_node) {
  if (!render_node.empty()) return {{render_node}, true};
  const char* const variable = std::getenv(kNodeVariable);
  if (variable != nullptr && *variable != '\0') return {{variable}, true};
  return {ListRenderNodes("/dev/dri"), false};
}

absl::StatusOr<VaDevice> OpenVaDevice(const EncoderConfig& config,
                                      const VaOptions& options) {
  const std::vector<std::string> nodes =
      FindRenderNodes(options.render_node).paths;
  if (nodes.empty()) {
    return absl::UnimplementedError("no render node in /dev/dri");
  }
  std::vector<std::string> reasons;
  for (const std::string& node : nodes) {
    auto device = OpenNode(node, config, options);
    if (device.ok()) return device;
    if (nodes.size() == 1) return WithContext(node, device.status());
    reasons.push_back(absl::StrCat(node, ": ", device.status().message()));
  }
  return absl::UnimplementedError(absl::StrJoin(reasons, "; "));
}

}  // namespace kine
