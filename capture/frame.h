// The value types that travel from a source to an encoder: where a picture is,
// what it looks like, when it was shown, what of it changed.
//
// encode/ may include this header, capture/pixel_format.h and capture/cursor.h
// and nothing else of capture/.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "daemon/base/clock.h"

namespace kine {

// Pixels; half open: [x, x + width) x [y, y + height).
struct Rect {
  int x = 0;
  int y = 0;
  int width = 0;
  int height = 0;

  bool empty() const { return width <= 0 || height <= 0; }
  int64_t area() const {
    return empty() ? 0 : static_cast<int64_t>(width) * height;
  }
  friend bool operator==(const Rect&, const Rect&) = default;
};

// Intersection; empty (all zero) when there is none.
Rect Intersect(const Rect& a, const Rect& b);
// The smallest rectangle around both; an empty one adds nothing.
Rect Union(const Rect& a, const Rect& b);

// What changed since the frame before, in the coordinates of the frame's crop.
// Holds at most kRectsMax rectangles: adding one more joins the two whose union
// wastes least, so a region may grow but never lose a changed pixel.
class Damage {
 public:
  static constexpr int kRectsMax = 32;

  // Nothing changed.
  Damage() = default;
  // Everything changed, whatever the size of the picture.
  static Damage Full() {
    Damage d;
    d.full_ = true;
    return d;
  }

  bool full() const { return full_; }
  bool empty() const { return !full_ && count_ == 0; }
  void Add(const Rect& rect);
  void Merge(const Damage& other);
  // Cuts all rectangles to `bounds` and drops the empty ones. Full stays full.
  void Clip(const Rect& bounds);

  const Rect* begin() const { return rects_.data(); }
  const Rect* end() const { return rects_.data() + count_; }

 private:
  bool full_ = false;
  int count_ = 0;
  std::array<Rect, kRectsMax> rects_;
};

// The colour coding of YUV formats. RGB formats are full-range sRGB.
enum class ColorMatrix { kBt601, kBt709 };
enum class ColorRange { kLimited, kFull };

// SPA_META_VideoTransform / wl_output.transform: how the buffer must be turned
// (counter-clockwise, flipped first) to be seen upright.
enum class Transform {
  kNormal,
  k90,
  k180,
  k270,
  kFlipped,
  kFlipped90,
  kFlipped180,
  kFlipped270
};

// What the pictures of a stream have in common. A new VideoFormat is a normal
// event: sources announce it before the first frame that has it.
struct VideoFormat {
  uint32_t fourcc = 0;    // DRM_FORMAT_*; see pixel_format.h.
  uint64_t modifier = 0;  // DRM_FORMAT_MOD_*; LINEAR for memory.
  int width = 0;          // Of the buffer, before crop and transform.
  int height = 0;
  ColorMatrix matrix = ColorMatrix::kBt709;  // YUV only.
  ColorRange range = ColorRange::kLimited;   // YUV only.
  // Frames a second that the source promises; 0 = on damage only.
  double max_fps = 0;

  friend bool operator==(const VideoFormat&, const VideoFormat&) = default;
};

// A dmabuf layout that a reader of frames can import: the modifiers of one
// fourcc, best first, LINEAR last.
struct DmabufFormat {
  uint32_t fourcc = 0;  // DRM_FORMAT_*
  std::vector<uint64_t> modifiers;

  friend bool operator==(const DmabufFormat&, const DmabufFormat&) = default;
};

// One plane. Mapped memory has `data`; a dmabuf has `fd` (borrowed from the
// source's buffer, valid while the Frame lives) and no `data`.
struct Plane {
  const std::byte* data = nullptr;
  size_t size = 0;  // Bytes from `data` that may be read.
  int fd = -1;
  uint32_t offset = 0;  // dmabuf only.
  uint32_t stride = 0;  // Bytes from one row to the next, at least a row.
};

// A loan of one picture. Move-only: whoever destroys it gives the buffer back
// (the release closure posts to the source's loop, so any thread may). The
// pixels may be read until then and never written.
class Frame {
 public:
  static constexpr int kPlanesMax = 4;
  using Release = absl::AnyInvocable<void()>;

  Frame() = default;
  explicit Frame(Release release) : release_(std::move(release)) {}
  ~Frame() { GiveBack(); }
  Frame(Frame&& other) noexcept { *this = std::move(other); }
  Frame& operator=(Frame&& other) noexcept;

  // Gives the buffer back now; the planes must not be read afterwards. The
  // other fields stay.
  void GiveBack();

  VideoFormat format;
  // What of the buffer is shown (SPA_META_VideoCrop); the picture to record,
  // before `transform`. Never empty, always inside the buffer.
  Rect crop;
  Transform transform = Transform::kNormal;
  std::array<Plane, kPlanesMax> planes;
  int plane_count = 0;

  // When the picture was shown: the source's own stamp (CLOCK_MONOTONIC) where
  // it gives one, else when it arrived here.
  MonoTime time;
  // When this process got it.
  MonoTime arrival;
  bool time_is_source = false;

  Damage damage = Damage::Full();
  // True when the source measured `damage`; false when it only said "a new
  // picture" and the region is assumed to be everything.
  bool damage_is_source = false;

  // Which buffer of the source this is: the same as long as the source has the
  // buffer, and never again in this process for another. The key of import
  // caches.
  uint64_t buffer_id = 0;

  // The source can do without the buffer until its next picture comes, however
  // long that takes.
  bool may_be_kept = false;

  // Frames that were given up for this one, unread (InheritDamage).
  uint32_t replaced = 0;

 private:
  friend Frame ShareFrame(std::shared_ptr<const Frame> whole);

  void CopyPicture(const Frame& other);  // All but the release.

  Release release_;
};

// The same picture for one more reader, a loan of its own. The buffer goes back
// when the last of them and `whole` are given back.
Frame ShareFrame(std::shared_ptr<const Frame> whole);

// `older` is given up for `newer`, which from now on also says what changed
// between the two.
void InheritDamage(const Frame& older, Frame& newer);

}  // namespace kine
