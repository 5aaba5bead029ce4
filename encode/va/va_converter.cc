#include "encode/va/va_converter.h"

#include <drm_fourcc.h>
#include <va/va_drmcommon.h>
#include <va/va_vpp.h>

#include <algorithm>
#include <array>
#include <optional>
#include <span>
#include <utility>

#include "daemon/base/fd.h"
#include "daemon/base/status.h"
#include "encode/va/va_status.h"

namespace kine {
namespace {

constexpr uint32_t kBlack = 0xff000000;
constexpr uint8_t kBt709 = 1;  // H.264, tables E-3 to E-5.
constexpr uint8_t kBt601 = 6;

bool Has(const VAProcColorStandardType* list, uint32_t count,
         VAProcColorStandardType standard) {
  return std::find(list, list + count, standard) != list + count;
}

VARectangle RectangleOf(const Rect& rect) {
  return {static_cast<int16_t>(rect.x), static_cast<int16_t>(rect.y),
          static_cast<uint16_t>(rect.width),
          static_cast<uint16_t>(rect.height)};
}

}  // namespace

absl::StatusOr<std::unique_ptr<VaConverter>> VaConverter::Create(
    VADisplay display, int width, int height) {
  std::unique_ptr<VaConverter> converter(new VaConverter(display));
  VAConfigAttrib format = {VAConfigAttribRTFormat, VA_RT_FORMAT_YUV420};
  KINE_ASSIGN_OR_RETURN(converter->config_,
                        VaConfig::Create(display, VAProfileNone,
                                         VAEntrypointVideoProc, {&format, 1}));
  KINE_ASSIGN_OR_RETURN(
      converter->context_,
      VaContext::Create(display, converter->config_.id(), width, height, {}));
  KINE_RETURN_IF_ERROR(converter->ChooseColors());
  return converter;
}

absl::Status VaConverter::ChooseColors() {
  VAProcPipelineCaps caps = {};
  KINE_RETURN_IF_ERROR(VaError(
      vaQueryVideoProcPipelineCaps(display_, context_.id(), nullptr, 0, &caps),
      "vaQueryVideoProcPipelineCaps"));
  explicit_colors_ =
      Has(caps.output_color_standards, caps.num_output_color_standards,
          VAProcColorStandardExplicit);
  takes_srgb_ = Has(caps.input_color_standards, caps.num_input_color_standards,
                    VAProcColorStandardSRGB);
  if (!explicit_colors_ &&
      !Has(caps.output_color_standards, caps.num_output_color_standards,
           VAProcColorStandardBT709)) {
    return absl::UnimplementedError("its VideoProc does not give BT.709");
  }
  return absl::OkStatus();
}

bool VaConverter::Fits(const Frame& frame) {
  // Both sides are 4:2:0 with NV12: then it may not begin in the middle either.
  const bool halves = frame.format.fourcc == DRM_FORMAT_NV12 &&
                      (frame.crop.x % 2 != 0 || frame.crop.y % 2 != 0);
  return frame.transform == Transform::kNormal && frame.crop.width % 2 == 0 &&
         frame.crop.height % 2 == 0 && !halves;
}

VAProcPipelineParameterBuffer VaConverter::Parameters(
    const Frame& frame, VASurfaceID source) const {
  VAProcPipelineParameterBuffer p = {};
  p.surface = source;
  p.output_background_color = kBlack;
  if (frame.format.fourcc == DRM_FORMAT_NV12) {
    const bool bt601 = frame.format.matrix == ColorMatrix::kBt601;
    const bool full = frame.format.range == ColorRange::kFull;
    p.surface_color_standard =
        bt601 ? VAProcColorStandardBT601 : VAProcColorStandardBT709;
    p.input_color_properties.color_range =
        full ? VA_SOURCE_RANGE_FULL : VA_SOURCE_RANGE_REDUCED;
    p.input_color_properties.matrix_coefficients = bt601 ? kBt601 : kBt709;
  } else {
    p.surface_color_standard =
        takes_srgb_ ? VAProcColorStandardSRGB : VAProcColorStandardNone;
    p.input_color_properties.color_range = VA_SOURCE_RANGE_FULL;
  }
  // Never left to the driver, which would choose by the size of the picture.
  p.output_color_standard =
      explicit_colors_ ? VAProcColorStandardExplicit : VAProcColorStandardBT709;
  p.output_color_properties.color_range = VA_SOURCE_RANGE_REDUCED;
  p.output_color_properties.colour_primaries = kBt709;
  p.output_color_properties.transfer_characteristics = kBt709;
  p.output_color_properties.matrix_coefficients = kBt709;
  return p;
}

absl::Status VaConverter::Convert(const Frame& frame, VASurfaceID target) {
  KINE_ASSIGN_OR_RETURN(const VASurfaceID source, imports_.SurfaceOf(frame));
  const VARectangle from = RectangleOf(frame.crop);
  const VARectangle to = RectangleOf(
      {0, 0, (frame.crop.width + 1) & ~1, (frame.crop.height + 1) & ~1});
  VAProcPipelineParameterBuffer parameters = Parameters(frame, source);
  // The driver reads the rectangles until vaEndPicture.
  parameters.surface_region = &from;
  parameters.output_region = &to;
  KINE_ASSIGN_OR_RETURN(const VaBuffer buffer,
                        VaBuffer::Create(display_, context_.id(),
                                         VAProcPipelineParameterBufferType,
                                         sizeof(parameters), &parameters));
  KINE_RETURN_IF_ERROR(VaError(vaBeginPicture(display_, context_.id(), target),
                               "vaBeginPicture (conversion)"));
  VABufferID id = buffer.id();
  const absl::Status rendered =
      VaError(vaRenderPicture(display_, context_.id(), &id, 1),
              "vaRenderPicture (conversion)");
  // What was begun is ended, whatever came in between.
  const absl::Status ended = VaError(vaEndPicture(display_, context_.id()),
                                     "vaEndPicture (conversion)");
  return rendered.ok() ? ended : rendered;
}

}  // namespace kine
