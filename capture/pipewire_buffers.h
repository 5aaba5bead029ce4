// Reads what a PipeWire buffer says: where its picture is, what changed, when
// it was shown, where the pointer is. Pure: works on spa_buffers from anywhere;
// no connection, no thread.
//
// Everything read is hostile until checked: the producer is another process
// and may write while we read, so each field is read once. Nothing is read
// outside a data's maxsize or a meta's size.
#pragma once

#include <spa/buffer/buffer.h>
#include <spa/buffer/meta.h>

#include <array>
#include <cstdint>
#include <optional>
#include <span>

#include "capture/cursor.h"
#include "capture/frame.h"

namespace kine {

// Where a plane is: bytes from the start of datas[data]. `size` is unknown (0)
// for tiled DMA-BUFs.
struct PlaneLayout {
  uint32_t data = 0;
  size_t offset = 0;
  size_t size = 0;
  uint32_t stride = 0;
};

struct BufferReading {
  enum class Kind {
    kPicture,
    // No picture (no bytes, or a chunk that says "corrupted") in a buffer that
    // has a place for the cursor: what a compositor sends when only that moved.
    kNoPicture,
    // The header says so, or the sizes do not fit. Nothing in it may be used.
    kCorrupted,
  };
  Kind kind = Kind::kCorrupted;
  // The rest only of a picture, except `crop`.
  Rect crop;
  Transform transform = Transform::kNormal;
  std::array<PlaneLayout, Frame::kPlanesMax> planes;
  int plane_count = 0;
  Damage damage = Damage::Full();
  bool damage_is_source = false;
  // Of any buffer with a header.
  std::optional<int64_t> pts;  // Absent when the source gave -1 or 0.
  uint64_t seq = 0;
};

BufferReading ReadBuffer(const spa_buffer& buffer, const VideoFormat& format);

// The same of a DMA-BUF. `sizes`: the true sizes of its first datas, at least
// one; what a chunk says of its size means nothing there. Where a picture in
// linear memory ends is checked; what a tiled one needs only its GPU knows.
BufferReading ReadDmabuf(const spa_buffer& buffer, const VideoFormat& format,
                         std::span<const size_t> sizes);

// Counts gaps in the sequence numbers of one stream. A source that always says
// 0 has none.
class SequenceCounter {
 public:
  // How many buffers were made and never came since the one before.
  uint64_t Next(uint64_t seq);

 private:
  uint64_t last_ = 0;
};

// Turns header stamps into frame times that never go backwards.
class FrameTimes {
 public:
  struct Stamp {
    MonoTime time;
    bool is_source = false;
  };

  explicit FrameTimes(MonoTime start) : last_(start) {}
  // A stamp more than limits::kSourceTimeSkewMs in the future, or older than
  // the frame before, is replaced by the time of arrival. The first frame may
  // be older than the stream (painted before anybody watched): it is moved to
  // the stream's start.
  Stamp Next(std::optional<int64_t> pts, MonoTime arrival);

 private:
  MonoTime last_;
  bool first_ = true;
};

// Keeps the pointer's state, because sources send its shape only once.
class CursorReader {
 public:
  // Null when the buffer has no cursor meta, or it says what was known. `shape`
  // points into this object, until the next call.
  std::optional<CursorUpdate> Read(const spa_buffer& buffer, const Rect& crop,
                                   MonoTime time);

 private:
  // True when the shape became another.
  bool ReadBitmap(const spa_meta& meta, const spa_meta_cursor& cursor);

  CursorShape shape_;
  bool shape_hidden_ = false;  // An empty bitmap came last.
  bool told_ = false;
  bool visible_ = false;
  int x_ = 0;
  int y_ = 0;
};

}  // namespace kine
