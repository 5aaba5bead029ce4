#include "encode/va/va_upload.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "daemon/base/status.h"
#include "encode/va/va_status.h"

namespace kine {
namespace {

constexpr int kSide = MacroblockMap::kSide;

struct Rows {
  int first = 0;
  int last = 0;  // Exclusive.
};

Rows RowsOf(const MacroblockMap& map) {
  Rows rows = {map.rows(), 0};
  for (int row = 0; row < map.rows(); ++row) {
    const uint8_t* const bits = map.data() + row * map.columns();
    if (std::find(bits, bits + map.columns(), 1) == bits + map.columns()) {
      continue;
    }
    rows.first = std::min(rows.first, row);
    rows.last = row + 1;
  }
  return rows;
}

void CopyLines(const uint8_t* from, int from_stride, uint8_t* to,
               uint32_t to_stride, int bytes, int lines) {
  for (int i = 0; i < lines; ++i, from += from_stride, to += to_stride) {
    std::memcpy(to, from, static_cast<size_t>(bytes));
  }
}

}  // namespace

VaUpload::VaUpload(VADisplay display, std::vector<VASurfaceID> surfaces,
                   const Picture& picture, bool writes_in_parts)
    : display_(display),
      writes_in_parts_(writes_in_parts),
      everything_(picture.true_width(), picture.true_height()) {
  everything_.SetAll();
  slots_.resize(surfaces.size());
  for (size_t i = 0; i < surfaces.size(); ++i) {
    slots_[i].surface = surfaces[i];
    slots_[i].lacks = everything_;
  }
}

void VaUpload::Changed(const MacroblockMap& changed) {
  for (Slot& slot : slots_) slot.lacks.SetAllOf(changed);
}

absl::Status VaUpload::Write(size_t index, const Picture& picture) {
  Slot& slot = slots_[index];
  if (!slot.lacks.any()) return absl::OkStatus();
  if (derives_) {
    absl::Status written = WriteDerived(slot, picture);
    if (written.ok()) {
      slot.lacks.ClearAll();
      return written;
    }
    // Tiled or compressed memory, which many drivers only copy into.
    derives_ = false;
  }
  KINE_RETURN_IF_ERROR(WriteBeside(slot, picture));
  slot.lacks.ClearAll();
  return absl::OkStatus();
}

absl::Status VaUpload::WriteDerived(Slot& slot, const Picture& picture) {
  KINE_ASSIGN_OR_RETURN(const VaImageHandle derived,
                        VaImageHandle::DeriveNv12(display_, slot.surface));
  return CopyInto(derived.image(), writes_in_parts_ ? slot.lacks : everything_,
                  picture);
}

absl::Status VaUpload::WriteBeside(Slot& slot, const Picture& picture) {
  const int width = everything_.columns() * kSide;
  const int height = everything_.rows() * kSide;
  if (!slot.image.valid()) {
    KINE_ASSIGN_OR_RETURN(slot.image,
                          VaImageHandle::CreateNv12(display_, width, height));
    slot.lacks.SetAll();
  }
  KINE_RETURN_IF_ERROR(CopyInto(slot.image.image(), slot.lacks, picture));
  // The image is the whole picture: a driver that copies more than these lines
  // does no harm.
  const Rows rows = RowsOf(slot.lacks);
  const int y = rows.first * kSide;
  const auto lines = static_cast<unsigned>((rows.last - rows.first) * kSide);
  const auto columns = static_cast<unsigned>(width);
  return VaError(vaPutImage(display_, slot.surface, slot.image.id(), 0, y,
                            columns, lines, 0, y, columns, lines),
                 "vaPutImage");
}

absl::Status VaUpload::CopyInto(const VAImage& image,
                                const MacroblockMap& blocks,
                                const Picture& picture) {
  if (image.width < picture.stride() ||
      image.height < everything_.rows() * kSide) {
    return absl::UnimplementedError("the driver's image is too small");
  }
  KINE_ASSIGN_OR_RETURN(const VaMapping mapping,
                        VaMapping::Create(display_, image.buf));
  auto* const base = static_cast<uint8_t*>(mapping.data());
  for (int row = 0; row < blocks.rows(); ++row) {
    for (int column = 0; column < blocks.columns(); ++column) {
      if (!blocks.at(column, row)) continue;
      const int first = column;
      while (column < blocks.columns() && blocks.at(column, row)) ++column;
      const ptrdiff_t x = first * kSide;
      const int bytes = (column - first) * kSide;
      const ptrdiff_t y = row * kSide;
      CopyLines(picture.luma() + y * picture.stride() + x, picture.stride(),
                base + image.offsets[0] + y * image.pitches[0] + x,
                image.pitches[0], bytes, kSide);
      CopyLines(picture.chroma() + y / 2 * picture.stride() + x,
                picture.stride(),
                base + image.offsets[1] + y / 2 * image.pitches[1] + x,
                image.pitches[1], bytes, kSide / 2);
    }
  }
  return absl::OkStatus();
}

}  // namespace kine
