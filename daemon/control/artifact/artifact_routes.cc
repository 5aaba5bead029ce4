#include "daemon/control/artifact/artifact_routes.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <cerrno>
#include <memory>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "daemon/base/status.h"
#include "daemon/storage/directory.h"
#include "ipc/json_in.h"

namespace kine {
namespace {

constexpr char kVideoName[] = "video.mp4";

struct Wanted {
  bool partial = false;
  std::optional<bool> compact;  // None: the file's own.
};

absl::StatusOr<Wanted> ParseWanted(const Request& request) {
  Wanted wanted;
  KINE_ASSIGN_OR_RETURN(wanted.compact, ParseView(request));
  if (const auto partial = request.Query("partial")) {
    if (*partial != "1" && *partial != "0")
      return FieldError("partial", "must be 0 or 1");
    wanted.partial = *partial == "1";
  }
  return wanted;
}

absl::Status NotFinished(const RecordingRecord& record) {
  return absl::FailedPreconditionError(
      IsActive(record.state)
          ? absl::StrCat("the recording is ", RecordingStateName(record.state),
                         "; stop it and wait for `ready`, or ask for what "
                         "there is with ?partial=1")
          : absl::StrCat("the recording failed (", record.reason,
                         "): there is no artifact"));
}

// How the compact view runs is asked for at the start: part of the generation.
// `late`: with the chapters that were set after the file was finished.
std::string ViewTag(const RecordingRecord& record, bool compact, bool late) {
  const std::string view = compact ? "compact" : "realtime";
  return EntityTag(record,
                   late ? absl::StrCat(view, "-", record.late_markers) : view);
}

}  // namespace

ArtifactRoutes::ArtifactRoutes(const RunContext& context, Catalogue& catalogue,
                               ViewerOf viewer_of)
    : context_(context),
      catalogue_(catalogue),
      viewer_of_(std::move(viewer_of)),
      views_(context) {}

void ArtifactRoutes::AddTo(std::vector<Route>& routes) {
  Route artifact = RouteTo(*this, &ArtifactRoutes::GetArtifact, Method::kGet,
                           "/v1/recordings/{id}/artifact",
                           "The finished MP4; Range, If-Range, ETag", "0.1.0");
  artifact.query = {
      ViewParameter(),
      {"partial", "1: what is durable, of one that still grows", {"0", "1"}}};
  artifact.answers = {{200, "video/mp4"}, {206, "video/mp4"}, {304, ""}};
  artifact.problems = {409, 416};
  routes.push_back(std::move(artifact));

  Route times = RouteTo(*this, &ArtifactRoutes::GetTimes, Method::kGet,
                        "/v1/recordings/{id}/times",
                        "The recorded time of every moment of a view", "0.1.0");
  times.query = {ViewParameter()};
  // As the recorder's --view writes them.
  times.answers = JsonAnswers(
      "Times", {R"({"view":"compact","time_scale":90000,"points":[[0,0]]})"});
  times.answers.push_back({206, "application/json"});
  times.answers.push_back({304, ""});
  times.problems = {409, 416};
  routes.push_back(std::move(times));
}

void ArtifactRoutes::GetArtifact(const Request& request, Reply reply) {
  const absl::StatusOr<const RecordingRecord*> found =
      catalogue_.Find(request.Param("id"), viewer_of_(request));
  if (!found.ok()) return reply.Fail(found.status());
  const RecordingRecord& record = **found;
  const absl::StatusOr<Wanted> wanted = ParseWanted(request);
  if (!wanted.ok()) return reply.Fail(wanted.status());
  if (!IsFinished(record.state)) {
    if (!wanted->partial || !IsActive(record.state))
      return reply.Fail(NotFinished(record));
    if (wanted->compact == true)
      return reply.Fail(
          FieldError("view", "is realtime as long as the recording goes on"));
    return SendPartial(record, std::move(reply));
  }
  const bool compact = wanted->compact.value_or(record.compact());
  // Asked for by name a view has every chapter; else it is the file as it is.
  const bool late = wanted->compact.has_value() && record.late_markers > 0;
  FileBody body;
  body.etag = ViewTag(record, compact, late);
  if (compact == record.compact() && !late) {
    body.size = record.bytes;
    return SendVideo(record, std::move(body), record.bytes, std::move(reply));
  }
  views_.Get(record, compact,
             [this, id = record.id, generation = record.generation(),
              viewer = viewer_of_(request), body = std::move(body),
              reply = std::move(reply)](absl::StatusOr<ViewHead> head) mutable {
               if (!head.ok())
                 return reply.Fail(
                     WithContext("cannot make this view", head.status()));
               // It may have been deleted meanwhile.
               const auto again = catalogue_.Find(id, viewer);
               if (!again.ok()) return reply.Fail(again.status());
               if ((*again)->generation() != generation)
                 return reply.Fail(absl::NotFoundError(
                     absl::StrCat("recording ", id, " was deleted")));
               body.before.push_back({head->memory, 0, head->head_bytes});
               body.offset = head->media_offset;
               body.size = head->media_bytes;
               SendVideo(**again, std::move(body),
                         head->media_offset + head->media_bytes,
                         std::move(reply));
             });
}

void ArtifactRoutes::GetTimes(const Request& request, Reply reply) {
  const absl::StatusOr<const RecordingRecord*> found =
      catalogue_.Find(request.Param("id"), viewer_of_(request));
  if (!found.ok()) return reply.Fail(found.status());
  const RecordingRecord& record = **found;
  const absl::StatusOr<std::optional<bool>> view = ParseView(request);
  if (!view.ok()) return reply.Fail(view.status());
  if (!IsFinished(record.state)) return reply.Fail(NotFinished(record));
  const bool compact = view->value_or(record.compact());
  views_.Get(
      record, compact,
      [tag = EntityTag(record, compact ? "compact-times" : "realtime-times"),
       reply = std::move(reply)](absl::StatusOr<ViewHead> head) mutable {
        if (!head.ok())
          return reply.Fail(WithContext("cannot map the times", head.status()));
        FileBody body;
        body.fd = head->memory;
        body.offset = head->head_bytes;
        body.size = head->times_bytes;
        body.etag = std::move(tag);
        Response response;
        response.content_type = "application/json";
        response.body = std::move(body);
        reply.Send(std::move(response));
      });
}

void ArtifactRoutes::SendPartial(const RecordingRecord& record, Reply reply) {
  const link::Head& head = record.head;
  const uint64_t begin = head.moov_offset + head.moov_bytes;
  const uint64_t end = record.counters.durable_bytes;
  if (head.moov_bytes == 0 || end <= begin)
    return reply.Fail(absl::FailedPreconditionError(
        "nothing of the recording is durable yet; try again when the state's "
        "durable_bytes is above 0"));
  // The fragments without the room for the index between them and the ftyp:
  // not one byte of these is written again, also not by the end.
  FileBody body;
  body.before.push_back({nullptr, 0, head.ftyp_bytes});
  body.before.push_back({nullptr, head.moov_offset, head.moov_bytes});
  body.offset = begin;
  body.size = end - begin;
  body.etag = EntityTag(record, absl::StrCat("partial-", end));
  SendVideo(record, std::move(body), end, std::move(reply));
}

void ArtifactRoutes::SendVideo(const RecordingRecord& record, FileBody body,
                               uint64_t size_min, Reply reply) {
  Response response;
  response.content_type = "video/mp4";
  response.fields.emplace_back(
      "Content-Disposition",
      absl::StrCat("attachment; filename=\"", record.id, ".mp4\""));
  // Opening reads the disk: not on this loop.
  auto file =
      std::make_shared<absl::StatusOr<UniqueFd>>(absl::InternalError("unset"));
  context_.file_io.Run(
      [file, id = record.id, size_min,
       recordings = context_.state_dir.recordings_fd()]() -> absl::Status {
        *file = OpenBeneath(recordings, absl::StrCat(id, "/", kVideoName),
                            O_RDONLY | O_CLOEXEC);
        if (!file->ok()) return file->status();
        struct stat st;
        if (::fstat((*file)->get(), &st) != 0)
          return ErrnoStatus(errno, "fstat");
        if (static_cast<uint64_t>(st.st_size) < size_min)
          return absl::DataLossError(absl::StrCat(
              "the file has ", st.st_size, " bytes instead of ", size_min));
        return absl::OkStatus();
      },
      [file, body = std::move(body), response = std::move(response),
       reply = std::move(reply)](absl::Status status) mutable {
        if (!status.ok())
          return reply.Fail(WithContext("cannot read the artifact", status));
        body.fd = std::make_shared<const UniqueFd>(*std::move(*file));
        for (FileRange& range : body.before)
          if (range.fd == nullptr) range.fd = body.fd;
        response.body = std::move(body);
        reply.Send(std::move(response));
      });
}

}  // namespace kine
