#include <algorithm>

#include "tests/softva/coding.h"
#include "tests/softva/encode_parts.h"
#include "tests/softva/pictures.h"

namespace kine::softva {
namespace {

// The objects that the parameters name.
VAStatus FindObjects(Driver& driver, const Context& context, CodingJob& job) {
  const auto& parameters = context.input.parameters;
  const BufferPtr* const coded = Find(driver.buffers, parameters.coded_buf);
  if (coded == nullptr || (*coded)->type != VAEncCodedBufferType) {
    driver.Complain("coded_buf is not a coded buffer");
    return VA_STATUS_ERROR_INVALID_BUFFER;
  }
  const SurfacePtr* const current =
      Find(driver.surfaces, parameters.CurrPic.picture_id);
  if (current == nullptr) {
    driver.Complain("CurrPic.picture_id is not a surface");
    return VA_STATUS_ERROR_INVALID_SURFACE;
  }
  job.coded = *coded;
  job.reconstructed = *current;
  job.input = driver.surfaces[context.input.target];
  if (job.coded->mapped > 0)
    driver.Complain("a coded buffer is submitted while it is mapped");
  if (job.coded->completion != nullptr && !job.coded->completion->done())
    driver.Complain("a coded buffer is submitted while it is coded to");
  if (job.reconstructed == job.input)
    driver.Complain("the reconstructed surface is the input surface");
  if (job.input->format->fourcc != VA_FOURCC_NV12 ||
      job.reconstructed->format->fourcc != VA_FOURCC_NV12) {
    driver.Complain("an input or reconstructed surface is not NV12");
    return VA_STATUS_ERROR_INVALID_SURFACE;
  }
  return VA_STATUS_SUCCESS;
}

VAStatus CheckSizes(Driver& driver, const Context& context,
                    const CodingJob& job) {
  const uint32_t width = job.width_in_mbs * 16;
  const uint32_t height = job.height_in_mbs * 16;
  const Surface& input = *job.input;
  if (input.width > width || input.height > height)
    driver.Complain("the input surface is %ux%u, the coded picture %ux%u",
                    input.width, input.height, width, height);
  const auto below = [width, height](uint32_t w, uint32_t h) {
    return w < width || h < height;
  };
  if (!driver.settings.needs_coded_size ||
      (!below(input.width, input.height) &&
       !below(job.reconstructed->width, job.reconstructed->height) &&
       !below(context.width, context.height)))
    return VA_STATUS_SUCCESS;
  driver.Log("Refused: a surface or the context is below the coded size");
  return VA_STATUS_ERROR_INVALID_PARAMETER;
}

SurfacePtr FindReference(Driver& driver, const Context& context,
                         const VAEncSliceParameterBufferH264& slice,
                         const CodingJob& job) {
  const VAPictureH264& first = slice.RefPicList0[0];
  const SurfacePtr* const found = Find(driver.surfaces, first.picture_id);
  if (found == nullptr || (first.flags & VA_PICTURE_H264_INVALID) != 0) {
    driver.Complain("RefPicList0[0] is not a surface");
    return nullptr;
  }
  const auto& frames = context.input.parameters.ReferenceFrames;
  const bool listed = std::any_of(
      std::begin(frames), std::end(frames), [&first](const VAPictureH264& one) {
        return one.picture_id == first.picture_id &&
               (one.flags & VA_PICTURE_H264_INVALID) == 0;
      });
  if (!listed) driver.Complain("RefPicList0[0] is not in ReferenceFrames");
  const Surface& reference = **found;
  if (*found == job.reconstructed)
    driver.Complain("a picture refers to itself");
  if (!reference.has_reconstructed) {
    driver.Complain("the reference 0x%x was never reconstructed",
                    first.picture_id);
  } else if ((first.flags & VA_PICTURE_H264_LONG_TERM_REFERENCE) == 0 &&
             (reference.frame_num != first.frame_idx ||
              reference.poc != first.TopFieldOrderCnt)) {
    driver.Complain(
        "RefPicList0[0] is frame %u, POC %d; that surface holds "
        "frame %u, POC %d",
        first.frame_idx, first.TopFieldOrderCnt, reference.frame_num,
        reference.poc);
  }
  return *found;
}

VAStatus AddSlice(Driver& driver, Context& context, const Slice& slice,
                  CodingJob& job) {
  const auto& in = slice.parameters;
  const auto& picture = context.input.parameters;
  CheckSlice(driver, context, slice);
  CodedPart part;
  part.slice = true;
  part.job.p = IsP(in);
  part.job.cabac = picture.pic_fields.bits.entropy_coding_mode_flag != 0;
  part.job.cabac_init_idc = std::min<uint32_t>(in.cabac_init_idc, 2);
  part.job.qp = picture.pic_init_qp + in.slice_qp_delta;
  part.job.first = in.macroblock_address;
  part.job.count = in.num_macroblocks;
  if (slice.header != nullptr) {
    SliceHeader header;
    const std::string why =
        ParseSliceHeader(slice.header->unit, context.sps, context.pps, header);
    if (!why.empty()) {
      driver.Complain("a packed slice header %s", why.c_str());
      return VA_STATUS_ERROR_INVALID_PARAMETER;
    }
    CheckSliceHeader(driver, context, slice, header);
    // The stream is what its headers say.
    part.raw = slice.header->before;
    part.start_code = slice.header->start_code;
    part.job.qp = header.qp;
    part.job.cabac = context.pps.cabac;
    part.job.cabac_init_idc = header.cabac_init_idc;
    part.job.deblocking = header.deblocking_idc != 1;
    BitReader reader(slice.header->unit.bytes.data(), slice.header->unit.bits);
    for (size_t i = 0; i < slice.header->unit.bits; ++i)
      part.writer.Bit(reader.Bit());
  } else {
    part.job.deblocking = !context.pps.deblocking_control;
    WriteSliceHeader(context, in, part.writer);
  }
  job.qp = part.job.qp;
  if (part.job.p) {
    part.reference = FindReference(driver, context, in, job);
    if (part.reference == nullptr) return VA_STATUS_ERROR_INVALID_SURFACE;
  }
  job.parts.push_back(std::move(part));
  return VA_STATUS_SUCCESS;
}

void AddPackedPart(const PackedHeader& header, CodingJob& job) {
  CodedPart part;
  if (header.has_emulation_bytes) {
    part.raw = header.data;
  } else {
    AddStartCode(header.start_code, part.raw);
    Escape(header.unit.bytes, part.raw);
  }
  job.parts.push_back(std::move(part));
}

// The packed slice header of a slice is the one of the same number: FFmpeg
// sends it before the slice's parameters, GStreamer behind them.
void PairSliceHeaders(Driver& driver, Context& context) {
  PictureInput& input = context.input;
  size_t slices = 0;
  for (const PackedHeader& header : input.packed) {
    if (header.type != VAEncPackedHeaderSlice) continue;
    if (slices < input.slices.size()) input.slices[slices].header = &header;
    ++slices;
  }
  const bool wanted =
      (context.config.packed_headers & VA_ENC_PACKED_HEADER_SLICE) != 0;
  if (slices != input.slices.size() && (slices > 0 || wanted))
    driver.Complain("%zu slices and %zu packed slice headers",
                    input.slices.size(), slices);
}

VAStatus AddParts(Driver& driver, Context& context, const PackedSets& sets,
                  CodingJob& job) {
  if (IsIdr(context)) {  // What the client did not pack.
    CodedPart own;
    if (!sets.sps) {
      const NalUnit sps = MakeSps(context);
      ParseSps(sps, context.sps);
      AddUnit(sps, own.raw);
    }
    if (!sets.pps) {
      const NalUnit pps = MakePps(context);
      ParsePps(pps, context.sps, context.pps);
      AddUnit(pps, own.raw);
    }
    job.parts.push_back(std::move(own));
  }
  const uint32_t total = job.width_in_mbs * job.height_in_mbs;
  uint32_t covered = 0;
  for (const size_t item : context.input.items) {
    if (item < PictureInput::kSliceItem) {
      AddPackedPart(context.input.packed[item], job);
      continue;
    }
    const Slice& slice = context.input.slices[item - PictureInput::kSliceItem];
    const auto& in = slice.parameters;
    if (in.macroblock_address != covered || in.num_macroblocks == 0 ||
        in.num_macroblocks > total - covered) {
      driver.Complain("a slice of macroblocks %u+%u; the next is %u of %u",
                      in.macroblock_address, in.num_macroblocks, covered,
                      total);
      return VA_STATUS_ERROR_INVALID_PARAMETER;
    }
    covered += in.num_macroblocks;
    const VAStatus status = AddSlice(driver, context, slice, job);
    if (status != VA_STATUS_SUCCESS) return status;
  }
  if (covered == total) return VA_STATUS_SUCCESS;
  driver.Complain("the slices cover %u of %u macroblocks", covered, total);
  return VA_STATUS_ERROR_INVALID_PARAMETER;
}

void Remember(const PictureInput& input, Context& context, CodingJob& job) {
  const auto& picture = input.parameters;
  Surface& current = *job.reconstructed;
  current.has_reconstructed = true;
  current.frame_num = picture.frame_num;
  current.poc = picture.CurrPic.TopFieldOrderCnt;
  context.last_was_idr = IsIdr(context);
  context.last_idr_pic_id = input.slices[0].parameters.idr_pic_id;
  context.last_frame_num = picture.frame_num;
  ++context.pictures;
}

}  // namespace

VAStatus PrepareEncode(Driver& driver, Context& context,
                       Submission& submission) {
  const PictureInput& input = context.input;
  if (!context.has_sequence || !input.has_parameters || input.slices.empty()) {
    driver.Complain(
        "a picture without sequence (%d), picture (%d) or slice "
        "(%zu) parameters",
        context.has_sequence, input.has_parameters, input.slices.size());
    return VA_STATUS_ERROR_INVALID_PARAMETER;
  }
  auto job = std::make_shared<CodingJob>();
  job->driver = &driver;
  job->width_in_mbs = context.sequence.picture_width_in_mbs;
  job->height_in_mbs = context.sequence.picture_height_in_mbs;
  job->has_dirty_rects = input.has_dirty_rects;
  job->dirty_rects = input.dirty_rects;
  PackedSets sets;
  VAStatus status = FindObjects(driver, context, *job);
  if (status == VA_STATUS_SUCCESS) status = CheckSizes(driver, context, *job);
  if (status == VA_STATUS_SUCCESS)
    status = ReadPackedHeaders(driver, context, sets);
  if (status != VA_STATUS_SUCCESS) return status;
  PairSliceHeaders(driver, context);
  CheckSequence(driver, context, sets);
  CheckPicture(driver, context, sets);
  status = AddParts(driver, context, sets, *job);
  if (status != VA_STATUS_SUCCESS) return status;
  if (driver.refuses()) return VA_STATUS_ERROR_INVALID_PARAMETER;
  driver.Log("Picture %s frame_num=%u poc=%d qp=%d slices=%zu packed=%zu",
             IsIdr(context)                    ? "IDR"
             : IsP(input.slices[0].parameters) ? "P"
                                               : "I",
             input.parameters.frame_num,
             input.parameters.CurrPic.TopFieldOrderCnt, job->qp,
             input.slices.size(), input.packed.size());
  Remember(input, context, *job);
  submission.surfaces = {job->input, job->reconstructed};
  submission.coded = job->coded;
  submission.work = [job] { return Code(*job); };
  return VA_STATUS_SUCCESS;
}

}  // namespace kine::softva
