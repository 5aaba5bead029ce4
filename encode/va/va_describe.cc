#include <va/va.h>

#include "daemon/base/status.h"
#include "encode/va/va_caps.h"
#include "encode/va/va_display.h"
#include "encode/va/va_encoder.h"

namespace kine {
namespace {

struct BitName {
  uint32_t bit;
  const char* name;
};

constexpr BitName kRateControls[] = {
    {VA_RC_CQP, "CQP"},   {VA_RC_CBR, "CBR"},    {VA_RC_VBR, "VBR"},
    {VA_RC_VCM, "VCM"},   {VA_RC_ICQ, "ICQ"},    {VA_RC_QVBR, "QVBR"},
    {VA_RC_AVBR, "AVBR"}, {VA_RC_TCBRC, "TCBRC"}};
constexpr BitName kPackedHeaders[] = {
    {VA_ENC_PACKED_HEADER_SEQUENCE, "sequence"},
    {VA_ENC_PACKED_HEADER_PICTURE, "picture"},
    {VA_ENC_PACKED_HEADER_SLICE, "slice"},
    {VA_ENC_PACKED_HEADER_MISC, "misc"},
    {VA_ENC_PACKED_HEADER_RAW_DATA, "raw data"}};

template <size_t N>
std::vector<std::string> NamesOf(uint32_t bits, const BitName (&names)[N]) {
  std::vector<std::string> found;
  for (const auto& [bit, name] : names)
    if ((bits & bit) != 0) found.emplace_back(name);
  return found;
}

}  // namespace

absl::Status DescribeVaNode(const std::string& node,
                            VaNodeDescription& description) {
  KINE_ASSIGN_OR_RETURN(const auto display, VaDisplay::Open(node));
  description.kernel_driver = display->kernel_driver();
  description.driver = display->vendor();
  KINE_ASSIGN_OR_RETURN(const VaCaps caps, QueryVaCaps(display->get()));
  description.converts = caps.converts;
  for (const VaCodec& codec : caps.codecs) {
    VaNodeDescription::Offer& offer = description.offers.emplace_back();
    offer.profile = ProfileName(codec);
    offer.entry_point = EntrypointName(codec);
    offer.rate_controls = NamesOf(codec.rate_modes, kRateControls);
    offer.packed_headers = NamesOf(codec.packed_offered, kPackedHeaders);
    offer.quality_levels = codec.quality_range;
    offer.max_width = codec.max_width;
    offer.max_height = codec.max_height;
  }
  return absl::OkStatus();
}

}  // namespace kine
