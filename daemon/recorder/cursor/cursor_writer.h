// CursorWriter: one recording's cursor.ndjson, and cursors/ with its shapes.
//
//   Begin() -> (Picture() | Put())* -> Close()
//
// Lines (append_log.h) say what is different from what was said before, so a
// pointer that rests writes nothing, and memory does not grow with the
// recording. One that finds no room, because the disk is slow, is lost, and the
// next says all that is different since. At `bytes_max` a last line says so.
//
//   {"t":0,"k":"head","version":1,"cursor":"metadata","asked":"embedded",
//    "width":1920,"height":1080}
//   {"t":µs,"k":"shape","id":1,"hash":"...","width":24,"height":24,
//    "hotspot_x":2,"hotspot_y":1}              from now on it looks like this;
//   {"t":µs,"k":"shape","id":1}                again
//   {"t":µs,"k":"move","x":0.5,"y":0.25,"s":1} the hotspot, of the picture
//   {"t":µs,"k":"show"} {"t":µs,"k":"hide"}    hidden until the first show
//   {"t":µs,"k":"picture","cursor":"metadata","width":1280,"height":720}
//   {"t":µs,"k":"end","reason":"bytes"}        no room for more
//
// A shape's file is made on FileIo's worker, once; its line does not wait for
// it. Id 0 is a shape that is not kept: there are limits::kCursorShapesMax
// already.
//
// A file that fails is reported once, and nothing is written any more; what was
// stays readable. Control loop only. Destroy when quiet() (or after the
// FileIo).
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>

#include "absl/functional/any_invocable.h"
#include "absl/strings/string_view.h"
#include "daemon/base/fd.h"
#include "daemon/base/limits/cursor.h"
#include "daemon/base/loop.h"
#include "daemon/recorder/cursor/cursor_state.h"
#include "daemon/storage/append_log.h"
#include "daemon/storage/file_io.h"
#include "ipc/link_messages.h"

namespace kine {

class CursorWriter {
 public:
  struct Picture {
    bool embedded = false;  // The source paints the pointer, and tells nothing.
    int width = 0;
    int height = 0;
    bool operator==(const Picture&) const = default;
  };
  // The pointer, in the picture: 0..1 where it is inside.
  struct Pointer {
    bool visible = false;
    double x = 0;
    double y = 0;
    std::shared_ptr<const CursorImage> image;
  };

  // `file` is empty; `dir_fd` is its directory and stays open. All outlive
  // this.
  CursorWriter(Loop& loop, FileIo& file_io, int dir_fd, UniqueFd file,
               uint64_t bytes_max, FileIo::Done on_failure);
  CursorWriter(const CursorWriter&) = delete;
  CursorWriter& operator=(const CursorWriter&) = delete;

  // `asked_embedded`: what the request wants (its `cursor`).
  void Begin(const Picture& picture, bool asked_embedded);
  // Another one from `t_us` on; may be the same.
  void SetPicture(int64_t t_us, const Picture& picture);
  void Put(int64_t t_us, const Pointer& pointer);
  // That is lost before it came here.
  void AddDropped(uint64_t states) { counts_.dropped += states; }

  // No call of the above may follow. `changed` is called from the loop when
  // over() becomes true and when quiet() does, and may then destroy this.
  void Close(absl::AnyInvocable<void()> changed);
  // Closed and synced, or failed, or limits::kCursorCloseMs have passed.
  bool over() const { return closed_ || late_; }
  bool quiet() const { return closed_; }

  link::CursorFile counts() const;

 private:
  // Of what the lines say so far.
  struct Said {
    bool visible = false;
    std::string x;
    std::string y;
    std::optional<uint32_t> shape;
  };

  // False: it is lost.
  bool Write(absl::string_view object);
  bool PutShape(int64_t t_us, const std::shared_ptr<const CursorImage>& image);
  void KeepShape(std::shared_ptr<const CursorImage> image);
  void CloseLog();
  void Fail(absl::Status status);

  Loop& loop_;
  FileIo& file_io_;
  const int dir_fd_;
  const uint64_t bytes_max_;
  FileIo::Done on_failure_;
  AppendLog log_;
  uint64_t bytes_ = 0;  // Of all lines, also those that are not written yet.
  bool full_ = false;
  std::optional<Picture> picture_;
  Said said_;
  std::map<std::string, uint32_t> ids_;  // By hash.
  int shapes_out_ = 0;
  link::CursorFile counts_;

  absl::AnyInvocable<void()> changed_;  // Once it is being closed.
  bool closed_ = false;
  bool late_ = false;

  // Last, so that it is cancelled first.
  LoopHandle close_timer_;
};

}  // namespace kine
