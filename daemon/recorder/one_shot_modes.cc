#include "daemon/recorder/one_shot_modes.h"

#include <unistd.h>

#include <memory>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "capture/create_source.h"
#include "daemon/base/clock.h"
#include "daemon/base/epoll_loop.h"
#include "daemon/base/limits.h"
#include "daemon/base/log.h"
#include "daemon/base/status.h"
#include "daemon/recorder/cursor/cursor_files.h"
#include "daemon/recorder/finaliser.h"
#include "daemon/recorder/recording.h"
#include "daemon/recorder/recording_files.h"
#include "daemon/storage/blocking_io.h"
#include "daemon/storage/thread_file_io.h"
#include "encode/create_encoder.h"
#include "ipc/json_out.h"

namespace kine {
namespace {

absl::StatusOr<FinaliseResult> Finalise(int dir_fd, FinaliseTrust trust,
                                        FinaliseOptions options,
                                        bool& alive_damaged) {
  KINE_ASSIGN_OR_RETURN(const UniqueFd video, OpenVideoForRecovery(dir_fd));
  const AliveNote alive = ReadAliveNote(dir_fd);
  alive_damaged = alive.damaged;
  KINE_ASSIGN_OR_RETURN(const std::unique_ptr<EpollLoop> loop,
                        EpollLoop::Create());
  KINE_ASSIGN_OR_RETURN(const std::unique_ptr<ThreadFileIo> file_io,
                        ThreadFileIo::Create(*loop));
  options.chapters = [dir_fd] { return ReadChapters(dir_fd); };
  Finaliser finaliser(*file_io, loop->clock(), video.get(), std::move(options));
  absl::StatusOr<FinaliseResult> result = absl::UnknownError("not run");
  finaliser.FinishFromFile(trust, alive.ticks,
                           [&](absl::StatusOr<FinaliseResult> r) {
                             result = std::move(r);
                             loop->Quit();
                           });
  loop->Run();
  // Also gives back what was reserved ahead.
  if (result.ok()) {
    KINE_RETURN_IF_ERROR(Truncate(video.get(), result->bytes));
    if (result->was_finished) KINE_RETURN_IF_ERROR(SyncData(video.get()));
  }
  return result;
}

// A side file: whatever it is like, the video is as good.
void AddCursorFile(int dir_fd, link::Finished& out) {
  const absl::StatusOr<RecoveredCursorFile> cursor = RecoverCursorFile(dir_fd);
  if (!cursor.ok()) {
    LogWarning(
        absl::StrCat("no cursor file, ignoring: ", cursor.status().message()));
    return;
  }
  out.cursor = cursor->counts;
  out.finalise.cursor_damaged = cursor->damaged;
}

}  // namespace

link::Finished FinaliseDirectory(int dir_fd, const std::string& id,
                                 FinaliseTrust trust, uint64_t bytes_max,
                                 mp4::CompactRule rule) {
  link::Finished out;
  const absl::StatusOr<FinaliseResult> result =
      Finalise(dir_fd, trust, {rule, bytes_max}, out.finalise.alive_damaged);
  out.id = id;
  out.truncated = true;
  if (!result.ok()) {
    out.state = link::Finished::State::kFailed;
    out.message = std::string(result.status().message());
    out.reason = link::EndReason::kDiskFailed;
    if (absl::IsNotFound(result.status()))
      out.reason = link::EndReason::kNoFrame;
    if (absl::IsResourceExhausted(result.status()))
      out.reason = link::EndReason::kDiskFull;
    return out;
  }
  ReportFile(*result, out);
  out.finalise.durable_us = TicksToMicros(result->fragments_ticks);
  AddCursorFile(dir_fd, out);
  out.counters.bytes = result->bytes;
  out.counters.durable_bytes = result->bytes;
  out.counters.durable_until_us = out.duration_us;
  out.counters.media_us = out.duration_us;
  out.width = result->width;
  out.height = result->height;
  out.true_width = result->width;
  out.true_height = result->height;
  return out;
}

std::string ListSourcesJson() {
  const std::vector<SourceListing> listings =
      ListSources(absl::Milliseconds(limits::kPortalQuietMs));
  std::string text;
  JsonOut out(text);
  out.BeginObject();
  out.BeginList("items");
  for (const SourceListing& listing : listings) {
    out.BeginObject();
    out.Field("kind", listing.kind);
    out.Field("available", listing.available);
    out.FieldIfAny("reason", listing.reason);
    out.FieldIfAny("name", listing.name);
    if (listing.node_id != 0) out.Field("node", listing.node_id);
    if (listing.serial != 0) out.Field("serial", listing.serial);
    out.FieldIfAny("description", listing.description);
    out.FieldIfAny("media_class", listing.media_class);
    out.End();
  }
  out.End();
  out.Field("total", listings.size());
  out.End();
  return text;
}

link::Hello DescribeRecorder(std::string file_io, std::string file_io_reason) {
  link::Hello hello;
  hello.pid = ::getpid();
  hello.version = KINESCOPE_VERSION;
  hello.file_io = std::move(file_io);
  hello.file_io_reason = std::move(file_io_reason);
  return hello;
}

void AddEncoders(const std::string& render_node, link::Hello& hello) {
  EncoderSurvey survey = SurveyEncoders(render_node);
  hello.encoders = std::move(survey.available);
  for (EncoderRefusal& refusal : survey.refused)
    hello.encoders_refused.push_back(
        {std::move(refusal.name), std::move(refusal.reason)});
}

}  // namespace kine
