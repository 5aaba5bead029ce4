#include <algorithm>

#include "tests/softva/pictures.h"

namespace kine::softva {
namespace {

void CheckRateControl(Driver& driver, const Context& context,
                      const VAEncMiscParameterRateControl& rate) {
  driver.Log(
      "Misc RateControl bps=%u percentage=%u window=%u init_qp=%u "
      "min_qp=%u max_qp=%u icq=%u quality=%u",
      rate.bits_per_second, rate.target_percentage, rate.window_size,
      rate.initial_qp, rate.min_qp, rate.max_qp, rate.ICQ_quality_factor,
      rate.quality_factor);
  const uint32_t mode = context.config.rate_control;
  if (mode == VA_RC_ICQ &&
      (rate.ICQ_quality_factor < 1 || rate.ICQ_quality_factor > 51))
    driver.Complain("ICQ_quality_factor is %u", rate.ICQ_quality_factor);
  if (mode == VA_RC_QVBR &&
      (rate.quality_factor < 1 || rate.quality_factor > 51))
    driver.Complain("the QVBR quality_factor is %u", rate.quality_factor);
  if ((mode & (VA_RC_CBR | VA_RC_VBR | VA_RC_QVBR)) != 0 &&
      rate.bits_per_second == 0)
    driver.Complain("bits_per_second is 0");
  if (mode == VA_RC_VBR && rate.target_percentage > 100)
    driver.Complain("target_percentage is %u", rate.target_percentage);
  if (rate.max_qp != 0 && rate.min_qp > rate.max_qp)
    driver.Complain("min_qp %u is above max_qp %u", rate.min_qp, rate.max_qp);
}

// The regions that a miscellaneous parameter points to live until the picture
// ends.
void ReadDirtyRects(Driver& driver, const VAEncMiscParameterBufferDirtyRect& in,
                    PictureInput& input) {
  if (in.num_roi_rectangle > driver.settings.dirty_rects) {
    driver.Complain("%u dirty rectangles, %u are supported",
                    in.num_roi_rectangle, driver.settings.dirty_rects);
    return;
  }
  input.has_dirty_rects = true;
  input.dirty_rects.assign(in.roi_rectangle,
                           in.roi_rectangle + in.num_roi_rectangle);
}

}  // namespace

bool ReadMisc(Driver& driver, const Buffer& buffer, Context& context) {
  constexpr size_t kHead = sizeof(VAEncMiscParameterBuffer);
  VAEncMiscParameterBuffer misc{};
  if (!Read(driver, buffer, 0, misc)) return false;
  switch (misc.type) {
    case VAEncMiscParameterTypeRateControl: {
      VAEncMiscParameterRateControl rate{};
      if (!Read(driver, buffer, kHead, rate)) return false;
      context.has_rate_control = true;
      CheckRateControl(driver, context, rate);
      return true;
    }
    case VAEncMiscParameterTypeFrameRate: {
      VAEncMiscParameterFrameRate rate{};
      if (!Read(driver, buffer, kHead, rate)) return false;
      driver.Log("Misc FrameRate %u/%u", rate.framerate & 0xffff,
                 std::max(rate.framerate >> 16, 1u));
      if ((rate.framerate & 0xffff) == 0) driver.Complain("framerate is 0");
      return true;
    }
    case VAEncMiscParameterTypeHRD: {
      VAEncMiscParameterHRD hrd{};
      if (!Read(driver, buffer, kHead, hrd)) return false;
      driver.Log("Misc HRD size=%u fullness=%u", hrd.buffer_size,
                 hrd.initial_buffer_fullness);
      if (hrd.buffer_size == 0 || hrd.initial_buffer_fullness > hrd.buffer_size)
        driver.Complain("HRD buffer of %u, filled with %u", hrd.buffer_size,
                        hrd.initial_buffer_fullness);
      return true;
    }
    case VAEncMiscParameterTypeQualityLevel: {
      VAEncMiscParameterBufferQualityLevel quality{};
      if (!Read(driver, buffer, kHead, quality)) return false;
      driver.Log("Misc QualityLevel %u", quality.quality_level);
      if (quality.quality_level > driver.settings.quality_range)
        driver.Complain("quality_level %u is above the range of %u",
                        quality.quality_level, driver.settings.quality_range);
      return true;
    }
    case VAEncMiscParameterTypeDirtyRect: {
      VAEncMiscParameterBufferDirtyRect rects{};
      if (!Read(driver, buffer, kHead, rects)) return false;
      driver.Log("Misc DirtyRect %u", rects.num_roi_rectangle);
      ReadDirtyRects(driver, rects, context.input);
      return true;
    }
    case VAEncMiscParameterTypeROI: {
      VAEncMiscParameterBufferROI roi{};
      if (!Read(driver, buffer, kHead, roi)) return false;
      driver.Log("Misc ROI %u", roi.num_roi);
      if (roi.num_roi > driver.settings.roi_regions)
        driver.Complain("%u regions of interest, %u are supported", roi.num_roi,
                        driver.settings.roi_regions);
      return true;
    }
    default:
      driver.Log("Misc type=%d", misc.type);
      return true;
  }
}

}  // namespace kine::softva
