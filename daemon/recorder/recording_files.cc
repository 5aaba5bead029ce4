#include "daemon/recorder/recording_files.h"

#include <fcntl.h>

#include <algorithm>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "daemon/base/limits.h"
#include "daemon/base/log.h"
#include "daemon/base/status.h"
#include "daemon/recorder/alive_file.h"
#include "daemon/storage/blocking_io.h"
#include "daemon/storage/directory.h"
#include "daemon/storage/file_lock.h"
#include "daemon/storage/free_space.h"
#include "daemon/timeline/timeline.h"

namespace kine {
namespace {

uint64_t MicrosToTicks(int64_t micros) {
  return static_cast<uint64_t>(std::max<int64_t>(0, micros)) * 9 / 100;
}

absl::Status WriteZeros(int fd, uint64_t length) {
  const std::vector<std::byte> zeros(1u << 20);
  for (uint64_t at = 0; at < length;) {
    const auto part =
        static_cast<size_t>(std::min<uint64_t>(zeros.size(), length - at));
    KINE_RETURN_IF_ERROR(WriteFully(fd, at, std::span(zeros).first(part)));
    at += part;
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<RecordingFiles> CreateRecordingFiles(int dir_fd,
                                                    uint64_t head_bytes) {
  KINE_RETURN_IF_ERROR(CheckFreeSpace(dir_fd));
  RecordingFiles files;
  KINE_ASSIGN_OR_RETURN(files.video, OpenBeneath(dir_fd, kVideoFileName,
                                                 O_RDWR | O_CREAT | O_EXCL));
  KINE_RETURN_IF_ERROR(TryLockFile(files.video.get()));
  absl::Status reserved = ReserveSpace(files.video.get(), 0, head_bytes);
  files.reserved = reserved.ok();
  if (absl::IsUnimplemented(reserved))
    reserved = WriteZeros(files.video.get(), head_bytes);
  KINE_RETURN_IF_ERROR(WithContext("cannot allocate the index", reserved));
  KINE_ASSIGN_OR_RETURN(files.alive, OpenBeneath(dir_fd, kAliveFileName,
                                                 O_RDWR | O_CREAT | O_TRUNC));
  KINE_RETURN_IF_ERROR(SyncDirectory(dir_fd));
  return files;
}

absl::StatusOr<UniqueFd> OpenVideoForRecovery(int dir_fd) {
  KINE_ASSIGN_OR_RETURN(UniqueFd video,
                        OpenBeneath(dir_fd, kVideoFileName, O_RDWR));
  KINE_RETURN_IF_ERROR(LockFileOrKillHolder(
      video.get(), absl::Milliseconds(limits::kLockWaitMs)));
  return video;
}

std::vector<mp4::Chapter> ReadChapters(int dir_fd) {
  if (dir_fd < 0) return {};
  const absl::StatusOr<Timeline> timeline = ReadTimeline(dir_fd);
  if (!timeline.ok()) {
    // A damaged side file never fails the video.
    LogWarning(
        absl::StrCat("no chapters, ignoring: ", timeline.status().message()));
    return {};
  }
  std::vector<mp4::Chapter> chapters;
  for (TimelineChapter& chapter : timeline->Chapters(0))
    chapters.push_back(
        {MicrosToTicks(chapter.media_us), std::move(chapter.title)});
  return chapters;
}

AliveNote ReadAliveNote(int dir_fd) {
  const absl::StatusOr<std::string> text =
      ReadSmallFile(dir_fd, kAliveFileName, kAliveFileBytes);
  // A damaged side file never fails the video.
  if (absl::IsNotFound(text.status())) return {};
  if (!text.ok()) return {0, true};
  const auto ticks = DecodeAlive(std::as_bytes(std::span(*text)));
  return {ticks.value_or(0), !text->empty() && !ticks.has_value()};
}

}  // namespace kine
