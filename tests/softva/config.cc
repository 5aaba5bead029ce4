#include <va/va_drmcommon.h>

#include <algorithm>
#include <vector>

#include "tests/softva/driver.h"
#include "tests/softva/entries.h"

namespace kine::softva {
namespace {

std::vector<VAEntrypoint> EncodeEntrypoints(const Settings& settings) {
  std::vector<VAEntrypoint> all;
  if (settings.slice) all.push_back(VAEntrypointEncSlice);
  if (settings.low_power) all.push_back(VAEntrypointEncSliceLP);
  return all;
}

bool IsH264(VAProfile profile) {
  return profile == VAProfileH264ConstrainedBaseline ||
         profile == VAProfileH264Main || profile == VAProfileH264High;
}

VAStatus CheckSupported(const Settings& settings, VAProfile profile,
                        VAEntrypoint entrypoint) {
  if (profile == VAProfileNone) {
    return settings.video_processing && entrypoint == VAEntrypointVideoProc
               ? VA_STATUS_SUCCESS
               : VA_STATUS_ERROR_UNSUPPORTED_ENTRYPOINT;
  }
  if (!IsH264(profile) || !settings.encode)
    return VA_STATUS_ERROR_UNSUPPORTED_PROFILE;
  const auto all = EncodeEntrypoints(settings);
  return std::count(all.begin(), all.end(), entrypoint) > 0
             ? VA_STATUS_SUCCESS
             : VA_STATUS_ERROR_UNSUPPORTED_ENTRYPOINT;
}

uint32_t RoiValue(uint32_t regions) {
  VAConfigAttribValEncROI value{};
  value.bits.num_roi_regions = regions & 0xff;
  value.bits.roi_rc_qp_delta_support = 1;
  return value.value;
}

uint32_t ProcessingAttribute(const Settings& settings,
                             VAConfigAttribType type) {
  switch (type) {
    case VAConfigAttribRTFormat:
      return VA_RT_FORMAT_YUV420 | VA_RT_FORMAT_RGB32;
    case VAConfigAttribMaxPictureWidth:
    case VAConfigAttribMaxPictureHeight:
      return settings.max_size;
    default:
      return VA_ATTRIB_NOT_SUPPORTED;
  }
}

uint32_t EncodeAttribute(const Settings& settings, VAConfigAttribType type) {
  const auto unless_zero = [](uint32_t support, uint32_t value) {
    return support > 0 ? value : VA_ATTRIB_NOT_SUPPORTED;
  };
  switch (type) {
    case VAConfigAttribRTFormat:
      return VA_RT_FORMAT_YUV420;
    case VAConfigAttribRateControl:
      return unless_zero(settings.rate_control, settings.rate_control);
    case VAConfigAttribEncPackedHeaders:
      return settings.packed_headers;
    case VAConfigAttribEncMaxRefFrames:
      return 4;  // None in list 1: no B frames.
    case VAConfigAttribEncMaxSlices:
      return 64;
    case VAConfigAttribEncSliceStructure:
      return VA_ENC_SLICE_STRUCTURE_ARBITRARY_MACROBLOCKS |
             VA_ENC_SLICE_STRUCTURE_ARBITRARY_ROWS;
    case VAConfigAttribEncQualityRange:
      return unless_zero(settings.quality_range, settings.quality_range);
    case VAConfigAttribEncDirtyRect:
      return unless_zero(settings.dirty_rects, settings.dirty_rects);
    case VAConfigAttribEncROI:
      return unless_zero(settings.roi_regions, RoiValue(settings.roi_regions));
    case VAConfigAttribMaxPictureWidth:
    case VAConfigAttribMaxPictureHeight:
      return settings.max_size;
    case VAConfigAttribEncInterlaced:
      return VA_ENC_INTERLACED_NONE;
    default:
      return VA_ATTRIB_NOT_SUPPORTED;
  }
}

uint32_t Attribute(const Settings& settings, VAProfile profile,
                   VAConfigAttribType type) {
  return profile == VAProfileNone ? ProcessingAttribute(settings, type)
                                  : EncodeAttribute(settings, type);
}

VAStatus ApplyAttribute(Driver& driver, const VAConfigAttrib& attribute,
                        Config& config) {
  const uint32_t offered =
      Attribute(driver.settings, config.profile, attribute.type);
  const bool known = offered != VA_ATTRIB_NOT_SUPPORTED;
  const bool within = known && (attribute.value & ~offered) == 0;
  switch (attribute.type) {
    case VAConfigAttribRTFormat:
      if ((attribute.value & offered) == 0)
        return VA_STATUS_ERROR_UNSUPPORTED_RT_FORMAT;
      config.rt_format = attribute.value;
      return VA_STATUS_SUCCESS;
    case VAConfigAttribRateControl:
      if (!within) return VA_STATUS_ERROR_INVALID_VALUE;
      if ((attribute.value & (attribute.value - 1)) != 0)
        driver.Complain("vaCreateConfig with several rate controls: 0x%x",
                        attribute.value);
      config.rate_control = attribute.value;
      return VA_STATUS_SUCCESS;
    case VAConfigAttribEncPackedHeaders:
      if (attribute.value != 0 && !within) return VA_STATUS_ERROR_INVALID_VALUE;
      config.packed_headers = attribute.value;
      return VA_STATUS_SUCCESS;
    default:
      return known ? VA_STATUS_SUCCESS : VA_STATUS_ERROR_ATTR_NOT_SUPPORTED;
  }
}

}  // namespace

VAStatus QueryConfigProfiles(VADriverContextP context, VAProfile* list,
                             int* count) {
  const Entry entry(context, "QueryConfigProfiles");
  if (entry.failed()) return entry.status;
  *count = 0;
  if (entry.driver.settings.video_processing) list[(*count)++] = VAProfileNone;
  if (entry.driver.settings.encode) {
    list[(*count)++] = VAProfileH264ConstrainedBaseline;
    list[(*count)++] = VAProfileH264Main;
    list[(*count)++] = VAProfileH264High;
  }
  return VA_STATUS_SUCCESS;
}

VAStatus QueryConfigEntrypoints(VADriverContextP context, VAProfile profile,
                                VAEntrypoint* list, int* count) {
  const Entry entry(context, "QueryConfigEntrypoints");
  if (entry.failed()) return entry.status;
  const Settings& settings = entry.driver.settings;
  *count = 0;
  if (profile == VAProfileNone && settings.video_processing) {
    list[(*count)++] = VAEntrypointVideoProc;
    return VA_STATUS_SUCCESS;
  }
  if (!IsH264(profile) || !settings.encode)
    return VA_STATUS_ERROR_UNSUPPORTED_PROFILE;
  for (const VAEntrypoint one : EncodeEntrypoints(settings))
    list[(*count)++] = one;
  return VA_STATUS_SUCCESS;
}

VAStatus GetConfigAttributes(VADriverContextP context, VAProfile profile,
                             VAEntrypoint entrypoint, VAConfigAttrib* list,
                             int count) {
  const Entry entry(context, "GetConfigAttributes");
  if (entry.failed()) return entry.status;
  const Settings& settings = entry.driver.settings;
  const VAStatus status = CheckSupported(settings, profile, entrypoint);
  if (status != VA_STATUS_SUCCESS) return status;
  for (int i = 0; i < count; ++i)
    list[i].value = Attribute(settings, profile, list[i].type);
  return VA_STATUS_SUCCESS;
}

VAStatus CreateConfig(VADriverContextP context, VAProfile profile,
                      VAEntrypoint entrypoint, VAConfigAttrib* list, int count,
                      VAConfigID* id) {
  const Entry entry(context, "CreateConfig");
  if (entry.failed()) return entry.status;
  Driver& driver = entry.driver;
  VAStatus status = CheckSupported(driver.settings, profile, entrypoint);
  Config config{profile, entrypoint};
  if (profile == VAProfileNone) config.rt_format |= VA_RT_FORMAT_RGB32;
  for (int i = 0; i < count && status == VA_STATUS_SUCCESS; ++i)
    status = ApplyAttribute(driver, list[i], config);
  driver.Log(
      "CreateConfig profile=%d entrypoint=%d rc=0x%x packed=0x%x -> 0x%x",
      profile, entrypoint, config.rate_control, config.packed_headers,
      static_cast<unsigned>(status));
  if (status != VA_STATUS_SUCCESS) return status;
  *id = driver.NewId(kConfigId);
  driver.configs[*id] = config;
  return VA_STATUS_SUCCESS;
}

VAStatus DestroyConfig(VADriverContextP context, VAConfigID id) {
  const Entry entry(context, "DestroyConfig");
  if (entry.driver.configs.erase(id) == 0)
    return VA_STATUS_ERROR_INVALID_CONFIG;
  return entry.status;
}

VAStatus QueryConfigAttributes(VADriverContextP context, VAConfigID id,
                               VAProfile* profile, VAEntrypoint* entrypoint,
                               VAConfigAttrib* list, int* count) {
  const Entry entry(context, "QueryConfigAttributes");
  if (entry.failed()) return entry.status;
  const Config* const config = Find(entry.driver.configs, id);
  if (config == nullptr) return VA_STATUS_ERROR_INVALID_CONFIG;
  *profile = config->profile;
  *entrypoint = config->entrypoint;
  list[0] = {VAConfigAttribRTFormat, config->rt_format};
  list[1] = {VAConfigAttribRateControl, config->rate_control};
  *count = 2;
  return VA_STATUS_SUCCESS;
}

VAStatus QuerySurfaceAttributes(VADriverContextP context, VAConfigID id,
                                VASurfaceAttrib* list, unsigned* count) {
  const Entry entry(context, "QuerySurfaceAttributes");
  if (entry.failed()) return entry.status;
  const Config* const config = Find(entry.driver.configs, id);
  if (config == nullptr) return VA_STATUS_ERROR_INVALID_CONFIG;
  std::vector<VASurfaceAttrib> all;
  constexpr uint32_t kGet = VA_SURFACE_ATTRIB_GETTABLE;
  constexpr uint32_t kSet = VA_SURFACE_ATTRIB_SETTABLE;
  const auto add = [&all](VASurfaceAttribType type, uint32_t flags,
                          uint32_t value) {
    VASurfaceAttrib attribute{};
    attribute.type = type;
    attribute.flags = flags;
    attribute.value.type = VAGenericValueTypeInteger;
    attribute.value.value.i = static_cast<int>(value);
    all.push_back(attribute);
  };
  for (const Format& format : Formats()) {
    if ((config->rt_format & format.rt_format) != 0)
      add(VASurfaceAttribPixelFormat, kGet | kSet, format.fourcc);
  }
  const uint32_t max_size = entry.driver.settings.max_size;
  add(VASurfaceAttribMinWidth, kGet, 16);
  add(VASurfaceAttribMinHeight, kGet, 16);
  add(VASurfaceAttribMaxWidth, kGet, max_size);
  add(VASurfaceAttribMaxHeight, kGet, max_size);
  add(VASurfaceAttribMemoryType, kGet | kSet,
      VA_SURFACE_ATTRIB_MEM_TYPE_VA | VA_SURFACE_ATTRIB_MEM_TYPE_DRM_PRIME |
          VA_SURFACE_ATTRIB_MEM_TYPE_DRM_PRIME_2);
  for (const VASurfaceAttribType type :
       {VASurfaceAttribExternalBufferDescriptor,
        VASurfaceAttribDRMFormatModifiers}) {
    add(type, kSet, 0);
    all.back().value.type = VAGenericValueTypePointer;
    all.back().value.value.p = nullptr;
  }
  const unsigned room = *count;
  *count = static_cast<unsigned>(all.size());
  if (list == nullptr) return VA_STATUS_SUCCESS;
  if (room < all.size()) return VA_STATUS_ERROR_MAX_NUM_EXCEEDED;
  std::copy(all.begin(), all.end(), list);
  return VA_STATUS_SUCCESS;
}

}  // namespace kine::softva
