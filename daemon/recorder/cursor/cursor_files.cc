#include "daemon/recorder/cursor/cursor_files.h"

#include <fcntl.h>

#include <cstddef>
#include <limits>
#include <span>
#include <string>

#include "absl/strings/str_cat.h"
#include "daemon/base/status.h"
#include "daemon/recorder/png_rows.h"
#include "daemon/storage/append_log.h"
#include "daemon/storage/atomic_file.h"
#include "daemon/storage/blocking_io.h"
#include "daemon/storage/directory.h"
#include "ipc/json_in.h"

namespace kine {
namespace {

using Kind = CursorLine::Kind;

constexpr JsonName<Kind> kKinds[] = {
    {"head", Kind::kHead}, {"picture", Kind::kPicture}, {"shape", Kind::kShape},
    {"move", Kind::kMove}, {"button", Kind::kButton},   {"show", Kind::kShow},
    {"hide", Kind::kHide}, {"end", Kind::kEnd}};
constexpr JsonName<bool> kModes[] = {{"embedded", true}, {"metadata", false}};

// Far outside of any picture.
constexpr double kFractionMax = 1e6;

void RowOf(const CursorShape& shape, int y, uint8_t* rgba) {
  const std::byte* bgra = shape.bgra.data() + ptrdiff_t{y} * shape.width * 4;
  for (int x = 0; x < shape.width; ++x, bgra += 4, rgba += 4) {
    rgba[0] = static_cast<uint8_t>(bgra[2]);
    rgba[1] = static_cast<uint8_t>(bgra[1]);
    rgba[2] = static_cast<uint8_t>(bgra[0]);
    rgba[3] = static_cast<uint8_t>(bgra[3]);
  }
}

void Count(const CursorLine& line, link::CursorFile& counts) {
  using Mode = link::CursorFile::Mode;
  switch (line.kind) {
    case Kind::kHead:
    case Kind::kPicture:
      counts.mode = line.embedded ? Mode::kEmbedded : Mode::kMetadata;
      return;
    case Kind::kEnd:
      return;
    case Kind::kShape:
      if (line.new_shape) ++counts.shapes;
      break;
    default:
      break;
  }
  ++counts.events;
}

}  // namespace

absl::StatusOr<UniqueFd> CreateCursorFile(int dir_fd) {
  return OpenBeneath(dir_fd, kCursorFileName, O_WRONLY | O_CREAT | O_EXCL);
}

absl::Status WriteCursorShape(int dir_fd, const CursorImage& image) {
  const CursorShape& shape = image.shape;
  KINE_ASSIGN_OR_RETURN(
      const std::string png,
      PngOf(
          shape.width, shape.height,
          [&shape](int y, uint8_t* rgba) { RowOf(shape, y, rgba); },
          PngPixels::kRgba));
  KINE_ASSIGN_OR_RETURN(const UniqueFd shapes,
                        MakeDirectory(dir_fd, kCursorShapesName));
  return WriteFileAtomically(shapes.get(), absl::StrCat(image.hash, ".png"),
                             std::as_bytes(std::span(png)), IfExists::kReplace);
}

std::optional<CursorLine> ParseCursorLine(absl::string_view object) {
  CursorLine line;
  const absl::Status bound = BindJson(
      object, {.unknown = JsonUnknown::kIgnore}, [&line](JsonObject& o) {
        constexpr JsonNeed kMust = JsonNeed::kRequired;
        o.Int("t", line.t_us, 0, std::numeric_limits<int64_t>::max(), kMust);
        o.Enum("k", line.kind, kKinds, kMust);
        o.Enum("cursor", line.embedded, kModes);
        o.Int("id", line.shape);
        o.Int("s", line.shape);
        line.new_shape = o.Has("hash");
        o.Number("x", line.x, -kFractionMax, kFractionMax);
        o.Number("y", line.y, -kFractionMax, kFractionMax);
        o.Int("button", line.button);
        o.Bool("down", line.down);
      });
  if (!bound.ok()) return std::nullopt;
  return line;
}

absl::StatusOr<RecoveredCursorFile> RecoverCursorFile(int dir_fd) {
  RecoveredCursorFile out;
  absl::StatusOr<UniqueFd> file = OpenBeneath(dir_fd, kCursorFileName, O_RDWR);
  if (absl::IsNotFound(file.status())) return out;
  KINE_RETURN_IF_ERROR(file.status());
  KINE_ASSIGN_OR_RETURN(
      const LogSummary read,
      ReadAppendLog(file->get(), [&out](absl::string_view object) {
        if (const auto line = ParseCursorLine(object)) Count(*line, out.counts);
      }));
  out.counts.bytes = read.good_bytes;
  out.damaged = read.damaged;
  if (read.damaged) {
    KINE_RETURN_IF_ERROR(Truncate(file->get(), read.good_bytes));
    KINE_RETURN_IF_ERROR(SyncData(file->get()));
  }
  return out;
}

}  // namespace kine
