// The recorder's one-shot modes, as kinescoped runs them: the answer is one
// JSON text on standard output, and the exit code is 0 whenever there is one.
//
//   --finalise --id=ID [--each_synced] [--max_bytes=N]
//              [--compact_after_ms=N --compact_speed=N]
//     Descriptor 3 is the recording's directory. Brings its video.mp4 to its
//     end, whatever state a crash left it in, and answers a Finished message.
//     State kFailed with reason kNoFrame: there is nothing to play. `reason` of
//     a ready one says nothing: the caller knows why it was interrupted.
//   --view=realtime|compact --compact_after_ms=N --compact_speed=N
//     [--recorded_us=N]
//     Descriptor 3 is the directory of a finished recording, descriptor 4
//     memory to write to. Answers a ViewBuilt message. recorded_us: the file's
//     own times are compact, and it was recorded for so long; the recorded
//     times are read back from its fragments.
//   --cursor=ndjson|cap [--view=compact, and what goes with it]
//     Descriptor 3 is the directory, descriptor 4 a file to write to: the good
//     lines of cursor.ndjson in that form, at the times of the compact view
//     where that is given. {"bytes"} or {"error"}.
//   --screenshot=REQUEST [--width=N] [--height=N]
//     Descriptor 3 is memory to write a PNG to: the first picture of the source
//     in REQUEST, which is the JSON of a recording's. One side alone keeps the
//     shape. {"bytes"} or {"error", "unsupported"}: no picture of that source
//     can be made here.
//   --digest --bytes=N
//     Descriptor 3 is a file: the SHA-256 of its first N bytes, {"sha256"} or
//     {"error"}, at idle priority of processor and disk.
//   --list_sources
//     {"items": [{kind, available, reason, name, ...}], "total"}: what could be
//     captured and why not.
//   --describe
//     A Hello message.
//
// Each blocks until it is done; the main thread.
#pragma once

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "daemon/base/fd.h"
#include "daemon/recorder/fd_byte_source.h"
#include "daemon/recorder/finaliser.h"
#include "encode/mp4/movie_reader.h"
#include "encode/mp4/view.h"
#include "ipc/link_messages.h"

namespace kine {

inline constexpr int kLinkDescriptor = 3;
inline constexpr int kDirectoryDescriptor = 3;
inline constexpr int kViewDescriptor = 4;

// Never fails: what went wrong is in the message.
link::Finished FinaliseDirectory(int dir_fd, const std::string& id,
                                 FinaliseTrust trust, uint64_t bytes_max,
                                 mp4::CompactRule rule);

// `recorded_us` 0: the file's own times are those recorded. Never fails.
link::ViewBuilt BuildView(int dir_fd, int out_fd, mp4::CompactRule rule,
                          int64_t recorded_us);

// Of the two modes around this.
struct FinishedMovie {
  UniqueFd video;
  FdByteSource source;
  mp4::Movie movie;            // Its index is in `recorded`, or is compact.
  mp4::TimedSamples recorded;  // As they were recorded.
};
absl::StatusOr<FinishedMovie> ReadFinishedMovie(int dir_fd,
                                                int64_t recorded_us);

// `rule` off: at the times that were recorded.
std::string CursorFormJson(int dir_fd, int out_fd, const std::string& form,
                           mp4::CompactRule rule, int64_t recorded_us);

std::string ScreenshotJson(int out_fd, const std::string& request, int width,
                           int height);

std::string DigestJson(int fd, uint64_t bytes);

std::string ListSourcesJson();

// `file_io` and `file_io_reason` are what was chosen.
link::Hello DescribeRecorder(std::string file_io, std::string file_io_reason);
// What can encode here, with --render_node: opens each encoder once.
void AddEncoders(const std::string& render_node, link::Hello& hello);

}  // namespace kine
