#include "daemon/control/live/live_routes.h"

#include <fcntl.h>

#include <memory>
#include <string>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "daemon/base/limits.h"
#include "daemon/base/limits/live.h"
#include "daemon/base/status.h"
#include "daemon/storage/directory.h"
#include "ipc/json_in.h"

namespace kine {
namespace {

absl::StatusOr<uint64_t> ParsePad(const Request& request) {
  const auto text = request.Query("pad");
  uint64_t pad = 0;
  if (!text.has_value()) return pad;
  if (!absl::SimpleAtoi(*text, &pad) || pad > limits::kLivePadBytesMax ||
      (pad > 0 && pad < 1'024))
    return FieldError("pad", absl::StrCat("must be 0, or 1024 to ",
                                          limits::kLivePadBytesMax));
  return pad;
}

}  // namespace

LiveRoutes::LiveRoutes(const RunContext& context, Catalogue& catalogue,
                       ViewerOf viewer_of)
    : context_(context),
      catalogue_(catalogue),
      viewer_of_(std::move(viewer_of)) {}

void LiveRoutes::AddTo(std::vector<Route>& routes) {
  Route live = RouteTo(
      *this, &LiveRoutes::GetLive, Method::kGet, "/v1/recordings/{id}/live",
      "Fragmented MP4 from now on, as long as the recording runs", "0.1.0");
  live.query = {{"pad",
                 "fill blocks of so many bytes (0: do not)",
                 {},
                 0,
                 static_cast<int64_t>(limits::kLivePadBytesMax)}};
  live.answers = {{200, "video/mp4"}};
  live.problems = {409, 429};
  routes.push_back(std::move(live));
}

void LiveRoutes::GetLive(const Request& request, Reply reply) {
  const std::string id(request.Param("id"));
  const Viewer viewer = viewer_of_(request);
  const absl::StatusOr<LiveFeed*> feed = catalogue_.FindLive(id, viewer);
  if (!feed.ok()) return reply.Fail(feed.status());
  const absl::StatusOr<uint64_t> pad = ParsePad(request);
  if (!pad.ok()) return reply.Fail(pad.status());
  // Before the first picture there is no file to speak of.
  catalogue_.Wait(id, viewer, Catalogue::WaitFor::kFirstFrame,
                  absl::Milliseconds(limits::kWaitMaxMs),
                  [this, id, viewer, pad = *pad, reply = std::move(reply)](
                      absl::StatusOr<const RecordingRecord*> record) mutable {
                    if (!record.ok()) return reply.Fail(record.status());
                    if ((*record)->state == RecordingState::kStarting)
                      return reply.Fail(absl::FailedPreconditionError(
                          "the recording has no picture yet; try again"));
                    OpenVideo(id, viewer, pad, std::move(reply));
                  });
}

void LiveRoutes::OpenVideo(std::string id, Viewer viewer, uint64_t pad,
                           Reply reply) {
  // Opening reads the disk: not on this loop.
  auto file =
      std::make_shared<absl::StatusOr<UniqueFd>>(absl::InternalError("unset"));
  context_.file_io.Run(
      [file, id, recordings = context_.state_dir.recordings_fd()] {
        *file = OpenBeneath(recordings, absl::StrCat(id, "/video.mp4"),
                            O_RDONLY | O_CLOEXEC);
        return file->status();
      },
      [this, file, id, viewer, pad,
       reply = std::move(reply)](absl::Status status) mutable {
        if (!status.ok())
          return reply.Fail(WithContext("cannot read the recording", status));
        // It may have come to its end meanwhile.
        const absl::StatusOr<LiveFeed*> feed = catalogue_.FindLive(id, viewer);
        if (!feed.ok()) return reply.Fail(feed.status());
        Response response;
        response.content_type = "video/mp4";
        response.fields.emplace_back("Cache-Control", "no-store");
        response.body = (*feed)->Follow(
            std::make_shared<const UniqueFd>(*std::move(*file)), pad);
        reply.Send(std::move(response));
      });
}

}  // namespace kine
