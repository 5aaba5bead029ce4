#include "daemon/recorder/cursor/cursor_writer.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "daemon/recorder/cursor/cursor_files.h"

namespace kine {
namespace {

// Room for the line that says that there is no more.
constexpr uint64_t kEndBytes = 128;

std::string PictureMembers(const CursorWriter::Picture& picture) {
  return absl::StrCat(",\"width\":", picture.width,
                      ",\"height\":", picture.height, "}");
}

const char* ModeName(bool embedded) {
  return embedded ? "embedded" : "metadata";
}

// A sixteenth of a pixel of the widest picture.
std::string Fraction(double value) { return absl::StrFormat("%.6f", value); }

}  // namespace

CursorWriter::CursorWriter(Loop& loop, FileIo& file_io, int dir_fd,
                           UniqueFd file, uint64_t bytes_max,
                           FileIo::Done on_failure)
    : loop_(loop),
      file_io_(file_io),
      dir_fd_(dir_fd),
      bytes_max_(bytes_max),
      on_failure_(std::move(on_failure)),
      log_(loop, file_io, std::move(file), 0,
           [this](absl::Status status) { Fail(std::move(status)); }) {}

bool CursorWriter::Write(absl::string_view object) {
  if (full_ || !log_.status().ok()) return false;
  const uint64_t bytes = object.size() + kLogSealBytes;
  if (bytes_ + bytes + kEndBytes > bytes_max_) {
    full_ = true;
    const std::string end =
        absl::StrCat(object.substr(0, object.find(',')),
                     ",\"k\":\"end\",\"reason\":\"bytes\"}");
    if (log_.Append(end).ok()) bytes_ += end.size() + kLogSealBytes;
    return false;
  }
  if (!log_.Append(object).ok()) return false;
  bytes_ += bytes;
  return true;
}

void CursorWriter::Begin(const Picture& picture, bool asked_embedded) {
  picture_ = picture;
  counts_.mode = picture.embedded ? link::CursorFile::Mode::kEmbedded
                                  : link::CursorFile::Mode::kMetadata;
  // Nothing can be in its way but a file that failed, which was told.
  (void)!Write(absl::StrCat(
      "{\"t\":0,\"k\":\"head\",\"version\":", kCursorFileVersion,
      ",\"cursor\":\"", ModeName(picture.embedded), "\",\"asked\":\"",
      ModeName(asked_embedded), "\"", PictureMembers(picture)));
}

void CursorWriter::SetPicture(int64_t t_us, const Picture& picture) {
  if (picture == picture_) return;
  if (!Write(absl::StrCat("{\"t\":", t_us, ",\"k\":\"picture\",\"cursor\":\"",
                          ModeName(picture.embedded), "\"",
                          PictureMembers(picture))))
    return;
  picture_ = picture;
  counts_.mode = picture.embedded ? link::CursorFile::Mode::kEmbedded
                                  : link::CursorFile::Mode::kMetadata;
}

void CursorWriter::Put(int64_t t_us, const Pointer& pointer) {
  bool lost = false;
  const auto write = [&](absl::string_view object) {
    const bool written = Write(object);
    if (written) ++counts_.events;
    lost |= !written;
    return written;
  };
  if (pointer.visible) {
    if (pointer.image != nullptr && !PutShape(t_us, pointer.image)) lost = true;
    std::string x = Fraction(pointer.x);
    std::string y = Fraction(pointer.y);
    if ((x != said_.x || y != said_.y) &&
        write(absl::StrCat("{\"t\":", t_us, ",\"k\":\"move\",\"x\":", x,
                           ",\"y\":", y, ",\"s\":", said_.shape.value_or(0),
                           "}"))) {
      said_.x = std::move(x);
      said_.y = std::move(y);
    }
  }
  if (pointer.visible != said_.visible &&
      write(absl::StrCat("{\"t\":", t_us, ",\"k\":\"",
                         pointer.visible ? "show" : "hide", "\"}")))
    said_.visible = pointer.visible;
  if (lost) ++counts_.dropped;
}

bool CursorWriter::PutShape(int64_t t_us,
                            const std::shared_ptr<const CursorImage>& image) {
  const auto known = ids_.find(image->hash);
  const bool room = ids_.size() < limits::kCursorShapesMax &&
                    shapes_out_ < limits::kCursorShapesAtOnce;
  const bool is_new = known == ids_.end() && room;
  const uint32_t id = known != ids_.end() ? known->second
                      : room ? static_cast<uint32_t>(ids_.size()) + 1
                             : 0;
  if (said_.shape == id) return true;
  std::string line =
      absl::StrCat("{\"t\":", t_us, ",\"k\":\"shape\",\"id\":", id);
  if (is_new) {
    const CursorShape& shape = image->shape;
    absl::StrAppend(&line, ",\"hash\":\"", image->hash,
                    "\",\"width\":", shape.width, ",\"height\":", shape.height,
                    ",\"hotspot_x\":", shape.hotspot_x,
                    ",\"hotspot_y\":", shape.hotspot_y);
  }
  line += '}';
  if (!Write(line)) return false;
  ++counts_.events;
  said_.shape = id;
  if (is_new) {
    ids_.emplace(image->hash, id);
    ++counts_.shapes;
    KeepShape(image);
  }
  return true;
}

void CursorWriter::KeepShape(std::shared_ptr<const CursorImage> image) {
  ++shapes_out_;
  file_io_.Run([image = std::move(image),
                dir_fd = dir_fd_] { return WriteCursorShape(dir_fd, *image); },
               [this](absl::Status status) {
                 --shapes_out_;
                 if (!status.ok()) Fail(std::move(status));
                 if (changed_ && shapes_out_ == 0) CloseLog();
               });
}

void CursorWriter::Fail(absl::Status status) {
  if (on_failure_) std::exchange(on_failure_, nullptr)(std::move(status));
}

void CursorWriter::Close(absl::AnyInvocable<void()> changed) {
  changed_ = std::move(changed);
  close_timer_ = LoopHandle(
      loop_,
      loop_.PostAfter(absl::Milliseconds(limits::kCursorCloseMs), [this] {
        late_ = true;
        changed_();  // May destroy this.
      }));
  if (shapes_out_ == 0) CloseLog();
}

void CursorWriter::CloseLog() {
  log_.Close([this](absl::Status status) {
    if (!status.ok()) Fail(std::move(status));
    close_timer_.Cancel();
    closed_ = true;
    changed_();  // May destroy this.
  });
}

link::CursorFile CursorWriter::counts() const {
  link::CursorFile counts = counts_;
  counts.bytes = log_.written_bytes();
  return counts;
}

}  // namespace kine
