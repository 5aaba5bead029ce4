#include "tests/softva/coding.h"

#include <algorithm>
#include <cstring>

namespace kine::softva {
namespace {

// The surface's pixels; its edges are repeated up to the coded size.
void LoadPlane(const Surface& surface, uint32_t plane, const Picture& picture,
               Bytes& out) {
  const uint32_t unit = plane > 0 ? 2 : 1;  // Bytes of a pixel.
  const uint32_t even =
      surface.imported ? surface.height : RoundUp(surface.height, 2);
  const uint32_t rows = plane > 0 ? (even + 1) / 2 : even;
  const size_t stride = picture.stride();
  const size_t width = std::min<size_t>(stride, RoundUp(surface.width, unit));
  for (size_t y = 0; y < out.size() / stride; ++y) {
    const uint32_t from = std::min(static_cast<uint32_t>(y), rows - 1);
    uint8_t* const row = &out[y * stride];
    std::memcpy(row, surface.Row(plane, from), width);
    for (size_t x = width; x < stride; ++x) row[x] = row[x - unit];
  }
}

// What the client calls unchanged is.
void CheckDirtyRects(const CodingJob& job, const Picture& picture,
                     const Picture& reference) {
  const uint32_t total = job.width_in_mbs * job.height_in_mbs;
  for (uint32_t mb = 0; mb < total; ++mb) {
    const auto x = static_cast<int>(mb % job.width_in_mbs * 16);
    const auto y = static_cast<int>(mb / job.width_in_mbs * 16);
    const bool dirty =
        std::any_of(job.dirty_rects.begin(), job.dirty_rects.end(),
                    [x, y](const VARectangle& rect) {
                      return rect.x < x + 16 && rect.x + rect.width > x &&
                             rect.y < y + 16 && rect.y + rect.height > y;
                    });
    if (dirty || picture.SameMacroblock(reference, mb)) continue;
    job.driver->Complain(
        "macroblock %u changed outside of the dirty rectangles", mb);
    return;
  }
}

void SetSegments(Bytes stream, bool per_nal, Buffer& coded) {
  coded.coded.clear();
  if (!per_nal) {
    coded.coded.push_back(std::move(stream));
    return;
  }
  coded.coded_status |= VA_CODED_BUF_STATUS_SINGLE_NALU;
  std::vector<size_t> cuts;
  for (const size_t code : StartCodes(stream, 0))
    cuts.push_back(code > 0 && stream[code - 1] == 0 ? code - 1 : code);
  cuts.push_back(stream.size());
  for (size_t i = 0; i + 1 < cuts.size(); ++i)
    coded.coded.emplace_back(
        stream.begin() + static_cast<ptrdiff_t>(cuts[i]),
        stream.begin() + static_cast<ptrdiff_t>(cuts[i + 1]));
}

VAStatus Finish(const CodingJob& job, Bytes stream, uint32_t skipped) {
  const Settings& settings = job.driver->settings;
  Buffer& coded = *job.coded;
  coded.coded_status = static_cast<uint32_t>(job.qp);  // As iHD and Mesa do.
  coded.map_status = VA_STATUS_SUCCESS;
  if (settings.filler_bytes > 0) {
    AddStartCode(4, stream);
    stream.push_back(12);
    stream.insert(stream.end(), settings.filler_bytes, 0xff);
    stream.push_back(0x80);
  }
  job.driver->Log("Encoded %zu bytes, %u macroblocks skipped", stream.size(),
                  skipped);
  if (stream.size() <= coded.size) {
    SetSegments(std::move(stream), settings.segment_per_nal, coded);
    return VA_STATUS_SUCCESS;
  }
  job.driver->Log("Overflow of a coded buffer of %u", coded.size);
  stream.resize(coded.size);
  SetSegments(std::move(stream), false, coded);
  coded.coded_status |= VA_CODED_BUF_STATUS_SLICE_OVERFLOW_MASK |
                        VA_CODED_BUF_STATUS_BAD_BITSTREAM;
  switch (settings.overflow) {
    case Settings::Overflow::kStatus:
      return VA_STATUS_SUCCESS;
    case Settings::Overflow::kMap:
      coded.map_status = VA_STATUS_ERROR_NOT_ENOUGH_BUFFER;
      return VA_STATUS_SUCCESS;
    case Settings::Overflow::kSync:
      break;
  }
  return VA_STATUS_ERROR_ENCODING_ERROR;
}

}  // namespace

void AddStartCode(size_t length, Bytes& stream) {
  stream.insert(stream.end(), length - 1, 0);
  stream.push_back(1);
}

void AddUnit(const NalUnit& unit, Bytes& stream) {
  AddStartCode(4, stream);
  Escape(unit.bytes, stream);
}

VAStatus Code(CodingJob& job) {
  Picture picture;
  picture.Resize(job.width_in_mbs, job.height_in_mbs);
  LoadPlane(*job.input, 0, picture, picture.luma);
  LoadPlane(*job.input, 1, picture, picture.chroma);
  Bytes stream;
  uint32_t skipped = 0;
  for (CodedPart& part : job.parts) {
    stream.insert(stream.end(), part.raw.begin(), part.raw.end());
    if (!part.slice) continue;
    const Picture* const reference =
        part.reference != nullptr ? &part.reference->reconstructed : nullptr;
    if (job.has_dirty_rects && reference != nullptr)
      CheckDirtyRects(job, picture, *reference);
    skipped += WriteSliceData(part.job, picture, reference, part.writer);
    AddStartCode(part.start_code, stream);
    Escape(part.writer.bytes(), stream);
  }
  job.reconstructed->reconstructed = std::move(picture);
  return Finish(job, std::move(stream), skipped);
}

}  // namespace kine::softva
