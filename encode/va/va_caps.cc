#include "encode/va/va_caps.h"

#include <algorithm>
#include <array>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "daemon/base/status.h"
#include "encode/va/va_status.h"

namespace kine {
namespace {

// VA_ATTRIB_NOT_SUPPORTED is a value, not a mask: tested before any bit.
uint32_t Bits(const VAConfigAttrib& attribute) {
  return attribute.value == VA_ATTRIB_NOT_SUPPORTED ? 0 : attribute.value;
}

// A driver that offers SPS and PPS wants both; slices alone are of no use.
uint32_t PackedOf(uint32_t offered) {
  constexpr uint32_t kSets =
      VA_ENC_PACKED_HEADER_SEQUENCE | VA_ENC_PACKED_HEADER_PICTURE;
  if ((offered & kSets) != kSets) return 0;
  return kSets | (offered & VA_ENC_PACKED_HEADER_SLICE);
}

std::vector<VAEntrypoint> EntrypointsOf(VADisplay display, VAProfile profile) {
  std::vector<VAEntrypoint> entrypoints(
      static_cast<size_t>(std::max(vaMaxNumEntrypoints(display), 0)));
  int count = 0;
  if (vaQueryConfigEntrypoints(display, profile, entrypoints.data(), &count) !=
      VA_STATUS_SUCCESS) {
    return {};
  }
  entrypoints.resize(static_cast<size_t>(std::max(count, 0)));
  return entrypoints;
}

absl::StatusOr<VaCodec> QueryCodec(VADisplay display, VAProfile profile,
                                   VAEntrypoint entrypoint) {
  enum {
    kFormat,
    kRate,
    kPacked,
    kReferences,
    kQuality,
    kWidth,
    kHeight,
    kAll
  };
  std::array<VAConfigAttrib, kAll> attributes = {};
  attributes[kFormat].type = VAConfigAttribRTFormat;
  attributes[kRate].type = VAConfigAttribRateControl;
  attributes[kPacked].type = VAConfigAttribEncPackedHeaders;
  attributes[kReferences].type = VAConfigAttribEncMaxRefFrames;
  attributes[kQuality].type = VAConfigAttribEncQualityRange;
  attributes[kWidth].type = VAConfigAttribMaxPictureWidth;
  attributes[kHeight].type = VAConfigAttribMaxPictureHeight;
  KINE_RETURN_IF_ERROR(
      VaError(vaGetConfigAttributes(display, profile, entrypoint,
                                    attributes.data(), kAll),
              "vaGetConfigAttributes"));
  if (attributes[kFormat].value != VA_ATTRIB_NOT_SUPPORTED &&
      (attributes[kFormat].value & VA_RT_FORMAT_YUV420) == 0) {
    return absl::UnimplementedError("no 4:2:0 pictures");
  }
  if (attributes[kReferences].value != VA_ATTRIB_NOT_SUPPORTED &&
      (attributes[kReferences].value & 0xffff) == 0) {
    return absl::UnimplementedError("no reference pictures");
  }
  VaCodec codec;
  codec.profile = profile;
  codec.entrypoint = entrypoint;
  codec.rate_modes = Bits(attributes[kRate]);
  codec.packed_offered = Bits(attributes[kPacked]);
  codec.packed = PackedOf(codec.packed_offered);
  codec.quality_range = Bits(attributes[kQuality]);
  codec.max_width = static_cast<int>(Bits(attributes[kWidth]));
  codec.max_height = static_cast<int>(Bits(attributes[kHeight]));
  return codec;
}

bool Has(const std::vector<VAEntrypoint>& list, VAEntrypoint entrypoint) {
  return std::find(list.begin(), list.end(), entrypoint) != list.end();
}

}  // namespace

std::string ProfileName(const VaCodec& codec) {
  return codec.profile == VAProfileH264High   ? "High"
         : codec.profile == VAProfileH264Main ? "Main"
                                              : "Constrained Baseline";
}

std::string EntrypointName(const VaCodec& codec) {
  return codec.entrypoint == VAEntrypointEncSliceLP ? "EncSliceLP" : "EncSlice";
}

std::string NameOf(const VaCodec& codec) {
  return absl::StrCat(ProfileName(codec), ", ", EntrypointName(codec));
}

absl::StatusOr<VaCaps> QueryVaCaps(VADisplay display) {
  std::vector<VAProfile> profiles(
      static_cast<size_t>(std::max(vaMaxNumProfiles(display), 0)));
  int count = 0;
  KINE_RETURN_IF_ERROR(
      VaError(vaQueryConfigProfiles(display, profiles.data(), &count),
              "vaQueryConfigProfiles"));
  profiles.resize(static_cast<size_t>(std::max(count, 0)));

  VaCaps caps;
  std::string why = "its driver encodes no H.264";
  for (const VAProfile profile : {VAProfileH264High, VAProfileH264Main,
                                  VAProfileH264ConstrainedBaseline}) {
    if (std::find(profiles.begin(), profiles.end(), profile) ==
        profiles.end()) {
      continue;
    }
    const std::vector<VAEntrypoint> all = EntrypointsOf(display, profile);
    // Low power first: fixed functions, which leave the shaders to the desktop
    // that is recorded.
    for (const VAEntrypoint entrypoint :
         {VAEntrypointEncSliceLP, VAEntrypointEncSlice}) {
      if (!Has(all, entrypoint)) continue;
      auto codec = QueryCodec(display, profile, entrypoint);
      if (codec.ok()) {
        caps.codecs.push_back(*codec);
      } else {
        why = std::string(codec.status().message());
      }
    }
  }
  if (caps.codecs.empty()) return absl::UnimplementedError(why);
  caps.converts =
      Has(EntrypointsOf(display, VAProfileNone), VAEntrypointVideoProc);
  return caps;
}

absl::Status CheckVaSurfaces(VADisplay display, VAConfigID config, int width,
                             int height) {
  unsigned count = 0;
  KINE_RETURN_IF_ERROR(
      VaError(vaQuerySurfaceAttributes(display, config, nullptr, &count),
              "vaQuerySurfaceAttributes"));
  std::vector<VASurfaceAttrib> attributes(count);
  KINE_RETURN_IF_ERROR(VaError(
      vaQuerySurfaceAttributes(display, config, attributes.data(), &count),
      "vaQuerySurfaceAttributes"));
  attributes.resize(count);
  bool formats = false;
  bool nv12 = false;
  for (const VASurfaceAttrib& attribute : attributes) {
    const int value = attribute.value.value.i;
    const auto refuse = [&](const char* limit) {
      return absl::UnimplementedError(
          absl::StrFormat("the driver's %s is %d; the picture is %dx%d", limit,
                          value, width, height));
    };
    switch (attribute.type) {
      case VASurfaceAttribPixelFormat:
        formats = true;
        nv12 |= static_cast<uint32_t>(value) == VA_FOURCC_NV12;
        break;
      case VASurfaceAttribMinWidth:
        if (width < value) return refuse("smallest width");
        break;
      case VASurfaceAttribMinHeight:
        if (height < value) return refuse("smallest height");
        break;
      case VASurfaceAttribMaxWidth:
        if (value > 0 && width > value) return refuse("largest width");
        break;
      case VASurfaceAttribMaxHeight:
        if (value > 0 && height > value) return refuse("largest height");
        break;
      default:
        break;
    }
  }
  if (formats && !nv12) return absl::UnimplementedError("no NV12 surfaces");
  return absl::OkStatus();
}

}  // namespace kine
