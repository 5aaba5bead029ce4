#include <algorithm>
#include <cmath>
#include <cstring>

#include "tests/softva/driver.h"
#include "tests/softva/entries.h"
#include "tests/softva/pictures.h"

namespace kine::softva {
namespace {

// R, G, B of 0 .. 255 to Y, Cb, Cr.
struct Matrix {
  double kr;
  double kb;
  double luma_scale;
  double luma_offset;
  double chroma_scale;

  double kg() const { return 1 - kr - kb; }
  double Luma(double r, double g, double b) const {
    return luma_offset + luma_scale * (kr * r + kg() * g + kb * b) / 255;
  }
  double Cb(double r, double g, double b) const {
    const double luma = kr * r + kg() * g + kb * b;
    return 128 + chroma_scale * (b - luma) / (2 * (1 - kb)) / 255;
  }
  double Cr(double r, double g, double b) const {
    const double luma = kr * r + kg() * g + kb * b;
    return 128 + chroma_scale * (r - luma) / (2 * (1 - kr)) / 255;
  }
};

struct Conversion {
  SurfacePtr from;
  SurfacePtr to;
  VARectangle input;
  VARectangle output;
  Matrix matrix;

  // Nearest neighbour.
  uint32_t SourceX(uint32_t x) const {
    return static_cast<uint32_t>(input.x) + x * input.width / output.width;
  }
  uint32_t SourceY(uint32_t y) const {
    return static_cast<uint32_t>(input.y) + y * input.height / output.height;
  }
};

uint8_t Rounded(double value) {
  return static_cast<uint8_t>(std::clamp(std::lround(value), 0l, 255l));
}

void ConvertLumaRow(const Conversion& c, uint32_t y) {
  const uint8_t* const row = c.from->Row(0, c.SourceY(y));
  uint8_t* const out = c.to->Row(0, static_cast<uint32_t>(c.output.y) + y) +
                       static_cast<uint32_t>(c.output.x);
  const Format& format = *c.from->format;
  for (uint32_t x = 0; x < c.output.width; ++x) {
    if (!format.rgb()) {
      out[x] = row[c.SourceX(x)];
      continue;
    }
    const uint8_t* const pixel = row + size_t{c.SourceX(x)} * 4;
    out[x] = Rounded(c.matrix.Luma(pixel[format.red_at], pixel[1],
                                   pixel[2 - format.red_at]));
  }
}

// A row of chroma from the two rows at `y`: the mean of 2x2 pixels, of fewer at
// the edges.
void ConvertChromaRow(const Conversion& c, uint32_t y) {
  uint8_t* const out =
      c.to->Row(1, (static_cast<uint32_t>(c.output.y) + y) / 2) +
      (static_cast<uint32_t>(c.output.x) & ~1u);
  const Format& format = *c.from->format;
  for (uint32_t x = 0; x < c.output.width; x += 2) {
    if (!format.rgb()) {
      std::memcpy(out + x,
                  c.from->Row(1, c.SourceY(y) / 2) + (c.SourceX(x) & ~1u), 2);
      continue;
    }
    double sum[3] = {};
    double count = 0;
    for (uint32_t j = y; j < std::min<uint32_t>(y + 2, c.output.height); ++j) {
      for (uint32_t i = x; i < std::min<uint32_t>(x + 2, c.output.width); ++i) {
        const uint8_t* const pixel =
            c.from->Row(0, c.SourceY(j)) + size_t{c.SourceX(i)} * 4;
        sum[0] += pixel[format.red_at];
        sum[1] += pixel[1];
        sum[2] += pixel[2 - format.red_at];
        ++count;
      }
    }
    for (double& one : sum) one /= count;
    out[x] = Rounded(c.matrix.Cb(sum[0], sum[1], sum[2]));
    out[x + 1] = Rounded(c.matrix.Cr(sum[0], sum[1], sum[2]));
  }
}

// The client says the colours: what is left to a driver differs between
// drivers.
bool MatrixOf(Driver& driver, const VAProcPipelineParameterBuffer& pipeline,
              Matrix& matrix) {
  int coefficients = 0;
  switch (pipeline.output_color_standard) {
    case VAProcColorStandardBT601:
      coefficients = 6;
      break;
    case VAProcColorStandardBT709:
      coefficients = 1;
      break;
    case VAProcColorStandardExplicit:
      coefficients = pipeline.output_color_properties.matrix_coefficients;
      break;
    default:
      break;
  }
  const uint8_t range = pipeline.output_color_properties.color_range;
  if (range == VA_SOURCE_RANGE_UNKNOWN)
    driver.Complain("the output's color_range is left to the driver");
  if (coefficients != 1 && coefficients != 6) {
    driver.Complain("the output's colour standard is left to the driver: %d",
                    pipeline.output_color_standard);
    return false;
  }
  const bool full = range == VA_SOURCE_RANGE_FULL;
  matrix.kr = coefficients == 1 ? 0.2126 : 0.299;
  matrix.kb = coefficients == 1 ? 0.0722 : 0.114;
  matrix.luma_scale = full ? 255 : 219;
  matrix.luma_offset = full ? 0 : 16;
  matrix.chroma_scale = full ? 255 : 224;
  return true;
}

// An empty region is all of its surface.
bool Regions(Driver& driver, const Surface& surface, VARectangle& region) {
  if (region.width == 0 || region.height == 0)
    region = {0, 0, static_cast<uint16_t>(surface.width),
              static_cast<uint16_t>(surface.height)};
  const bool inside =
      region.x >= 0 && region.y >= 0 &&
      static_cast<uint32_t>(region.x) + region.width <= surface.width &&
      static_cast<uint32_t>(region.y) + region.height <= surface.height;
  if (!inside)
    driver.Complain("region %ux%u at %d,%d is outside of its %ux%u surface",
                    region.width, region.height, region.x, region.y,
                    surface.width, surface.height);
  return inside;
}

VAStatus RefuseFilters(unsigned* count) {
  *count = 0;
  return VA_STATUS_SUCCESS;
}

}  // namespace

VAStatus PrepareProcessing(Driver& driver, Context& context,
                           Submission& submission) {
  const PictureInput& input = context.input;
  if (!input.has_pipeline) {
    driver.Complain("no pipeline parameters");
    return VA_STATUS_ERROR_INVALID_PARAMETER;
  }
  const SurfacePtr* const from = Find(driver.surfaces, input.pipeline.surface);
  if (from == nullptr) {
    driver.Complain("the pipeline's source is not a surface");
    return VA_STATUS_ERROR_INVALID_SURFACE;
  }
  Conversion conversion{*from, driver.surfaces[input.target],
                        input.input_region, input.output_region, Matrix()};
  if (!Regions(driver, *conversion.from, conversion.input) ||
      !Regions(driver, *conversion.to, conversion.output) ||
      !MatrixOf(driver, input.pipeline, conversion.matrix))
    return VA_STATUS_ERROR_INVALID_PARAMETER;
  if (conversion.to->format->fourcc != VA_FOURCC_NV12)
    return VA_STATUS_ERROR_UNIMPLEMENTED;
  const VARectangle& in = conversion.input;
  const VARectangle& out = conversion.output;
  driver.Log("Process %.4s %ux%u+%d+%d -> %ux%u+%d+%d matrix kr=%.4f offset=%g",
             reinterpret_cast<const char*>(&conversion.from->format->fourcc),
             in.width, in.height, in.x, in.y, out.width, out.height, out.x,
             out.y, conversion.matrix.kr, conversion.matrix.luma_offset);
  if (!driver.settings.scaling &&
      (in.width != out.width || in.height != out.height))
    return VA_STATUS_ERROR_UNIMPLEMENTED;
  if (driver.refuses()) return VA_STATUS_ERROR_INVALID_PARAMETER;
  submission.surfaces = {conversion.to, conversion.from};
  submission.work = [conversion] {
    for (uint32_t y = 0; y < conversion.output.height; ++y) {
      ConvertLumaRow(conversion, y);
      if (y % 2 == 0) ConvertChromaRow(conversion, y);
    }
    return VA_STATUS_SUCCESS;
  };
  return VA_STATUS_SUCCESS;
}

VAStatus QueryVideoProcFilters(VADriverContextP context, VAContextID,
                               VAProcFilterType*, unsigned* count) {
  const Entry entry(context, "QueryVideoProcFilters");
  return entry.failed() ? entry.status : RefuseFilters(count);
}

VAStatus QueryVideoProcFilterCaps(VADriverContextP context, VAContextID,
                                  VAProcFilterType, void*, unsigned* count) {
  const Entry entry(context, "QueryVideoProcFilterCaps");
  RefuseFilters(count);
  return entry.failed() ? entry.status : VA_STATUS_ERROR_UNSUPPORTED_FILTER;
}

VAStatus QueryVideoProcPipelineCaps(VADriverContextP context, VAContextID,
                                    VABufferID*, unsigned,
                                    VAProcPipelineCaps* caps) {
  const Entry entry(context, "QueryVideoProcPipelineCaps");
  if (entry.failed()) return entry.status;
  static VAProcColorStandardType inputs[] = {
      VAProcColorStandardSRGB, VAProcColorStandardBT601,
      VAProcColorStandardBT709, VAProcColorStandardExplicit};
  static VAProcColorStandardType outputs[] = {VAProcColorStandardBT601,
                                              VAProcColorStandardBT709,
                                              VAProcColorStandardExplicit};
  const uint32_t max_size = entry.driver.settings.max_size;
  *caps = {};
  caps->input_color_standards = inputs;
  caps->num_input_color_standards = 4;
  caps->output_color_standards = outputs;
  caps->num_output_color_standards = 3;
  caps->max_input_width = caps->max_input_height = max_size;
  caps->max_output_width = caps->max_output_height = max_size;
  caps->min_input_width = caps->min_input_height = 16;
  caps->min_output_width = caps->min_output_height = 16;
  return VA_STATUS_SUCCESS;
}

}  // namespace kine::softva
