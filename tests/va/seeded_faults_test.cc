// Our client with one thing wrong: the driver complains or refuses, or the
// decoded pictures differ. What nobody notices here, nobody would notice in the
// client.
#include <gtest/gtest.h>
#include <va/va.h>
#include <va/va_drmcommon.h>
#include <va/va_vpp.h>

#include <algorithm>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "tests/va/va_interposer.h"
#include "tests/va/va_rig.h"

namespace kine {
namespace {

using Way = VaRig::Way;
using Sequence = VAEncSequenceParameterBufferH264;
using PictureBuffer = VAEncPictureParameterBufferH264;
using SliceBuffer = VAEncSliceParameterBufferH264;
using PackedHead = VAEncPackedHeaderParameterBuffer;
using Pipeline = VAProcPipelineParameterBuffer;

// Changes every buffer of a type.
template <typename Struct>
VaMutation Change(VABufferType type, void (*change)(Struct&)) {
  VaMutation mutation;
  mutation.buffer = [type, change](VABufferType made,
                                   std::vector<uint8_t>& data) {
    if (made == type) change(*reinterpret_cast<Struct*>(data.data()));
  };
  return mutation;
}
VaMutation InSequence(void (*change)(Sequence&)) {
  return Change(VAEncSequenceParameterBufferType, change);
}
VaMutation InPicture(void (*change)(PictureBuffer&)) {
  return Change(VAEncPictureParameterBufferType, change);
}
VaMutation InSlice(void (*change)(SliceBuffer&)) {
  return Change(VAEncSliceParameterBufferType, change);
}
VaMutation InPipeline(void (*change)(Pipeline&)) {
  return Change(VAProcPipelineParameterBufferType, change);
}
VaMutation InPackedHead(void (*change)(PackedHead&)) {
  return Change(VAEncPackedHeaderParameterBufferType, change);
}

// Changes the bytes of packed NAL units of a type.
VaMutation InNal(int nal_type, void (*change)(std::vector<uint8_t>&)) {
  VaMutation mutation;
  mutation.buffer = [nal_type, change](VABufferType made,
                                       std::vector<uint8_t>& data) {
    if (made != VAEncPackedHeaderDataBufferType) return;
    const size_t start = data[2] == 1 ? 3 : 4;
    if ((data[start] & 31) == nal_type) change(data);
  };
  return mutation;
}

VaMutation InDescriptor(void (*change)(VADRMPRIMESurfaceDescriptor&)) {
  VaMutation mutation;
  mutation.attributes = [change](VASurfaceAttrib* attributes, unsigned count) {
    for (unsigned i = 0; i < count; ++i) {
      if (attributes[i].type == VASurfaceAttribExternalBufferDescriptor)
        change(*static_cast<VADRMPRIMESurfaceDescriptor*>(
            attributes[i].value.value.p));
    }
  };
  return mutation;
}

VaMutation WithAttributes(void (*change)(VASurfaceAttrib*, unsigned)) {
  VaMutation mutation;
  mutation.attributes = change;
  return mutation;
}

VaMutation WithRender(void (*change)(std::vector<VaMutation::Rendered>&)) {
  VaMutation mutation;
  mutation.render = change;
  return mutation;
}

VaMutation Without(const char* function) {
  VaMutation mutation;
  mutation.swallowed = function;
  return mutation;
}

void Drop(std::vector<VaMutation::Rendered>& buffers, VABufferType type) {
  std::erase_if(buffers, [type](const auto& one) { return one.type == type; });
}

bool IsIdr(const PictureBuffer& p) {
  return p.pic_fields.bits.idr_pic_flag != 0;
}

struct SeededFault {
  const char* name;
  VaMutation mutation;
  Way way = Way::kUpload;
  SoftVaEnv::Settings settings = {};
};

std::string NameOf(const testing::TestParamInfo<SeededFault>& info) {
  return info.param.name;
}
void PrintTo(const SeededFault& fault, std::ostream* os) { *os << fault.name; }

std::vector<SeededFault> SequenceFaults() {
  return {
      {"WidthOfTheSequence",
       InSequence([](Sequence& s) { ++s.picture_width_in_mbs; })},
      {"HeightOfTheSequence",
       InSequence([](Sequence& s) { --s.picture_height_in_mbs; })},
      {"LevelTooLow", InSequence([](Sequence& s) { s.level_idc = 10; })},
      {"NoIdrPeriod", InSequence([](Sequence& s) { s.intra_idr_period = 0; })},
      {"BFrames", InSequence([](Sequence& s) { s.ip_period = 2; })},
      {"ReferencesOfTheSequence",
       InSequence([](Sequence& s) { ++s.max_num_ref_frames; })},
      {"FrameNumBits", InSequence([](Sequence& s) {
         ++s.seq_fields.bits.log2_max_frame_num_minus4;
       })},
      {"OrderCountType", InSequence([](Sequence& s) {
         s.seq_fields.bits.pic_order_cnt_type = 0;
       })},
      {"Cropping",
       InSequence([](Sequence& s) { ++s.frame_crop_right_offset; })},
      {"Fields", InSequence([](Sequence& s) {
         s.seq_fields.bits.frame_mbs_only_flag = 0;
       })},
      {"GarbageInReservedWords",
       InSequence([](Sequence& s) { s.va_reserved[1] = 7; })},
  };
}

std::vector<SeededFault> PictureFaults() {
  return {
      {"FrameNumJumps", InPicture([](PictureBuffer& p) {
         if (!IsIdr(p)) ++p.frame_num;
       })},
      {"FrameNumOfAKeyframe", InPicture([](PictureBuffer& p) {
         if (IsIdr(p)) p.CurrPic.frame_idx = p.frame_num = 1;
       })},
      {"NoIdrFlag",
       InPicture([](PictureBuffer& p) { p.pic_fields.bits.idr_pic_flag = 0; })},
      {"RefersToItself", InPicture([](PictureBuffer& p) {
         if (!IsIdr(p)) p.CurrPic.picture_id = p.ReferenceFrames[0].picture_id;
       })},
      {"UnmarkedReferences", InPicture([](PictureBuffer& p) {
         for (VAPictureH264& one : p.ReferenceFrames)
           if (one.picture_id == VA_INVALID_SURFACE) one.flags = 0;
       })},
      {"NoReferenceFrames", InPicture([](PictureBuffer& p) {
         p.ReferenceFrames[0] = p.ReferenceFrames[1];
       })},
      {"KeyframeWithReferences", InPicture([](PictureBuffer& p) {
         if (IsIdr(p)) p.ReferenceFrames[0] = p.CurrPic;
       })},
      {"CodedBufferIsNone",
       InPicture([](PictureBuffer& p) { p.coded_buf = p.CurrPic.picture_id; })},
      {"QpOfThePicture", InPicture([](PictureBuffer& p) { ++p.pic_init_qp; })},
      {"EntropyCoding", InPicture([](PictureBuffer& p) {
         p.pic_fields.bits.entropy_coding_mode_flag ^= 1;
       })},
      {"Transform8x8", InPicture([](PictureBuffer& p) {
         p.pic_fields.bits.transform_8x8_mode_flag ^= 1;
       })},
      {"NotReferenced", InPicture([](PictureBuffer& p) {
         p.pic_fields.bits.reference_pic_flag = 0;
       })},
      {"DeblockingControl", InPicture([](PictureBuffer& p) {
         p.pic_fields.bits.deblocking_filter_control_present_flag ^= 1;
       })},
      {"ChromaQp",
       InPicture([](PictureBuffer& p) { p.chroma_qp_index_offset = 3; })},
      {"OrderCountOfThePicture",
       InPicture([](PictureBuffer& p) { p.CurrPic.TopFieldOrderCnt += 2; })},
  };
}

std::vector<SeededFault> SliceFaults() {
  return {
      {"OneMacroblockLess",
       InSlice([](SliceBuffer& s) { --s.num_macroblocks; })},
      {"FirstMacroblock",
       InSlice([](SliceBuffer& s) { s.macroblock_address = 1; })},
      {"BSlice", InSlice([](SliceBuffer& s) { s.slice_type = 1; })},
      {"AllSlicesI", InSlice([](SliceBuffer& s) { s.slice_type = 2; })},
      {"NoReference",
       InSlice([](SliceBuffer& s) { s.RefPicList0[0] = s.RefPicList0[1]; })},
      {"FrameOfTheReference", InSlice([](SliceBuffer& s) {
         if (s.slice_type % 5 == 0) ++s.RefPicList0[0].frame_idx;
       })},
      {"OrderCountOfTheReference", InSlice([](SliceBuffer& s) {
         if (s.slice_type % 5 == 0) s.RefPicList0[0].TopFieldOrderCnt += 2;
       })},
      {"QpOfTheSlice", InSlice([](SliceBuffer& s) { s.slice_qp_delta += 1; })},
      {"IdrPicIdNeverChanges",
       InSlice([](SliceBuffer& s) { s.idr_pic_id = 0; })},
      {"Deblocking",
       InSlice([](SliceBuffer& s) { s.disable_deblocking_filter_idc ^= 1; })},
      {"MacroblockInfo",
       InSlice([](SliceBuffer& s) { s.macroblock_info = 0; })},
      {"UnmarkedReferenceList",
       InSlice([](SliceBuffer& s) { s.RefPicList0[5] = VAPictureH264(); })},
      {"CabacTable", InSlice([](SliceBuffer& s) { s.cabac_init_idc = 2; })},
  };
}

std::vector<SeededFault> PackedFaults() {
  constexpr int kSlice = 1, kIdr = 5, kSps = 7, kPps = 8;
  return {
      {"OneBitLess", InPackedHead([](PackedHead& h) { --h.bit_length; })},
      {"OneByteMore", InPackedHead([](PackedHead& h) { h.bit_length += 8; })},
      {"SliceHeaderAsPps", InPackedHead([](PackedHead& h) {
         if (h.type == VAEncPackedHeaderSlice)
           h.type = VAEncPackedHeaderPicture;
       })},
      {"NoStartCode", InNal(kIdr, [](std::vector<uint8_t>& d) { d[2] = 9; })},
      {"LevelOfTheSps",
       InNal(kSps, [](std::vector<uint8_t>& d) { ++d[d[2] == 1 ? 6 : 7]; })},
      {"PpsIsCut", InNal(kPps, [](std::vector<uint8_t>& d) { d.back() = 0; })},
      {"FrameNumOfTheSliceHeader",
       InNal(kSlice,
             [](std::vector<uint8_t>& d) { d[d[2] == 1 ? 4 : 5] ^= 4; })},
      {"NoSps", WithRender([](std::vector<VaMutation::Rendered>& b) {
         Drop(b, VAEncPackedHeaderParameterBufferType);
         Drop(b, VAEncPackedHeaderDataBufferType);
       })},
      {"HeadWithoutData", WithRender([](std::vector<VaMutation::Rendered>& b) {
         Drop(b, VAEncPackedHeaderDataBufferType);
       })},
      {"NoSlice", WithRender([](std::vector<VaMutation::Rendered>& b) {
         Drop(b, VAEncSliceParameterBufferType);
       })},
      {"NoPictureParameters",
       WithRender([](std::vector<VaMutation::Rendered>& b) {
         Drop(b, VAEncPictureParameterBufferType);
       })},
      {"NoSequence", WithRender([](std::vector<VaMutation::Rendered>& b) {
         Drop(b, VAEncSequenceParameterBufferType);
       })},
  };
}

std::vector<SeededFault> CallFaults() {
  VaMutation always_the_first;
  always_the_first.target =
      [first = VASurfaceID(VA_INVALID_SURFACE)](VASurfaceID target) mutable {
        if (first == VA_INVALID_SURFACE) first = target;
        return first;
      };
  VaMutation first_segment_only;
  first_segment_only.segments = [](VACodedBufferSegment* segment) {
    segment->next = nullptr;
  };
  return {
      {"EncodesTheFirstInputAgain", always_the_first},
      {"ReadsTheFirstSegmentOnly",
       first_segment_only,
       Way::kUpload,
       {{"SEGMENTS", "nal"}}},
      {"PictureNeverEnds", Without("vaEndPicture")},
      {"BuffersLeak", Without("vaDestroyBuffer")},
      {"SurfacesLeak", Without("vaDestroySurfaces")},
      {"ContextsLeak", Without("vaDestroyContext")},
      {"ConfigsLeak", Without("vaDestroyConfig")},
      {"ImagesLeak", Without("vaDestroyImage")},
      {"BuffersStayMapped", Without("vaUnmapBuffer")},
      {"NothingUploaded",
       Without("vaPutImage"),
       Way::kUpload,
       {{"NO_DERIVE", "1"}}},
  };
}

std::vector<SeededFault> ImportFaults() {
  using Descriptor = VADRMPRIMESurfaceDescriptor;
  return {
      {"PitchOfTheImport",
       InDescriptor([](Descriptor& d) { d.layers[0].pitch[0] -= 64; }),
       Way::kImport},
      {"OffsetOfTheImport",
       InDescriptor([](Descriptor& d) { d.layers[0].offset[0] -= 64; }),
       Way::kImport},
      {"SizeOfTheImport", InDescriptor([](Descriptor& d) { ++d.height; }),
       Way::kImport},
      {"FormatOfTheImport", InDescriptor([](Descriptor& d) {
         d.layers[0].drm_format = VA_FOURCC('X', 'B', '2', '4');
       }),
       Way::kImport},
      {"ModifierOfTheImport", InDescriptor([](Descriptor& d) {
         d.objects[0].drm_format_modifier = 0x100000000000001;
       }),
       Way::kImport},
      {"DescriptorBeforeMemoryType",
       WithAttributes(
           [](VASurfaceAttrib* a, unsigned n) { std::reverse(a, a + n); }),
       Way::kImport},
      {"AttributesNotSettable",
       WithAttributes([](VASurfaceAttrib* a, unsigned n) {
         for (unsigned i = 0; i < n; ++i) a[i].flags = 0;
       }),
       Way::kImport},
  };
}

std::vector<SeededFault> ConversionFaults() {
  return {
      {"ColoursLeftToTheDriver", InPipeline([](Pipeline& p) {
         p.output_color_standard = VAProcColorStandardNone;
       }),
       Way::kImport},
      {"MatrixOfBt601", InPipeline([](Pipeline& p) {
         p.output_color_standard = VAProcColorStandardBT601;
       }),
       Way::kImport},
      {"FullRange", InPipeline([](Pipeline& p) {
         p.output_color_properties.color_range = VA_SOURCE_RANGE_FULL;
       }),
       Way::kImport},
      {"RangeLeftToTheDriver", InPipeline([](Pipeline& p) {
         p.output_color_properties.color_range = VA_SOURCE_RANGE_UNKNOWN;
       }),
       Way::kImport},
      {"ConvertsNothing",
       InPipeline([](Pipeline& p) { p.surface = VA_INVALID_SURFACE; }),
       Way::kImport},
      {"NoInputRegion", InPipeline([](Pipeline& p) {
         static VARectangle shifted;
         shifted = *p.surface_region;
         shifted.x = 2;
         shifted.width = static_cast<uint16_t>(shifted.width - 2);
         p.surface_region = &shifted;
       }),
       Way::kImport},
      {"OutputOutside", InPipeline([](Pipeline& p) {
         static VARectangle shifted;
         shifted = *p.output_region;
         shifted.x = 16;
         p.output_region = &shifted;
       }),
       Way::kImport},
  };
}

std::vector<SeededFault> AllFaults() {
  std::vector<SeededFault> all;
  for (auto* const some :
       {SequenceFaults, PictureFaults, SliceFaults, PackedFaults, CallFaults,
        ImportFaults, ConversionFaults}) {
    for (SeededFault& fault : some()) all.push_back(std::move(fault));
  }
  return all;
}

class SeededFaultTest : public testing::TestWithParam<SeededFault> {
 protected:
  // What noticed the fault; "" when nobody did.
  static std::string Notices(const SeededFault& fault) {
    VaRig rig(fault.settings);
    const absl::Status made = rig.Make();
    if (!made.ok()) return absl::StrCat("Make: ", made.ToString());
    std::string noticed;
    {
      const ScopedVaMutation mutation(fault.mutation);
      TestImage image = RandomImage(48, 36, 3);
      for (int i = 0; i < 6 && noticed.empty(); ++i) {
        const auto byte = static_cast<uint8_t>(40 * i);
        image.Fill({i * 4, i * 3, 9, 7}, {byte, 200, 17});
        // Two keyframes in a row are among them.
        const auto outcome =
            rig.Encode(image, fault.way, {.keyframe = i == 2 || i == 3},
                       nullptr, /*buffer_id=*/static_cast<uint64_t>(i));
        if (!outcome.ok()) {
          noticed = outcome.status().ToString();
        } else if (*outcome == Encoder::Outcome::kCannotImport) {
          noticed = "the driver refuses the import";
        }
      }
      // The slow look at the pictures last.
      if (noticed.empty()) noticed = rig.env().Complaints();
      if (noticed.empty())
        noticed = rig.Difference(fault.way == Way::kImport ? 1 : 0);
      rig.Reset();
    }
    absl::StrAppend(&noticed, rig.env().Complaints());
    return noticed;
  }
};

TEST_P(SeededFaultTest, IsNoticed) {
  if (!HaveDecoder()) GTEST_SKIP() << "ffmpeg is not installed";
  const std::string noticed = Notices(GetParam());
  EXPECT_NE(noticed, "");
  RecordProperty("noticed", noticed);
}

INSTANTIATE_TEST_SUITE_P(All, SeededFaultTest, testing::ValuesIn(AllFaults()),
                         NameOf);

class NoSeededFaultTest : public SeededFaultTest {};

TEST_P(NoSeededFaultTest, NothingIsNoticed) {
  if (!HaveDecoder()) GTEST_SKIP() << "ffmpeg is not installed";
  EXPECT_EQ(Notices(GetParam()), "");
}

INSTANTIATE_TEST_SUITE_P(
    All, NoSeededFaultTest,
    testing::Values(SeededFault{"Upload", {}},
                    SeededFault{"Put", {}, Way::kUpload, {{"NO_DERIVE", "1"}}},
                    SeededFault{
                        "PerNal", {}, Way::kUpload, {{"SEGMENTS", "nal"}}},
                    SeededFault{"Import", {}, Way::kImport}),
    NameOf);

}  // namespace
}  // namespace kine
