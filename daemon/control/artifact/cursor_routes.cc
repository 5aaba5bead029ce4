#include "daemon/control/artifact/cursor_routes.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <memory>
#include <optional>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "daemon/base/status.h"
#include "daemon/control/artifact/view_cache.h"
#include "daemon/storage/directory.h"
#include "ipc/json_in.h"
#include "ipc/problem.h"

namespace kine {
namespace {

constexpr char kLinesType[] = "application/x-ndjson";
constexpr size_t kHashDigits = 32;

// As the recorder's --cursor=cap writes it.
constexpr char kCapSample[] =
    R"({"clicks":[{"active_modifiers":[],"cursor_num":0,"cursor_id":"1",)"
    R"("time_ms":12.5,"down":true}],"moves":[{"active_modifiers":[],)"
    R"("cursor_id":"1","time_ms":12.5,"x":0.5,"y":0.5}]})";

struct Wanted {
  bool cap = false;
  std::optional<bool> compact;  // None: as the file is.
};

absl::StatusOr<Wanted> ParseWanted(const Request& request) {
  Wanted wanted;
  if (const auto format = request.Query("format")) {
    if (*format != "ndjson" && *format != "cap")
      return FieldError("format", "must be ndjson or cap");
    wanted.cap = *format == "cap";
  }
  KINE_ASSIGN_OR_RETURN(wanted.compact, ParseView(request));
  return wanted;
}

// Why there is nothing to send; OK where there is.
absl::Status CheckThereIsOne(const RecordingRecord& record) {
  if (record.cursor.mode != link::CursorFile::Mode::kNone &&
      record.cursor.bytes > 0)
    return absl::OkStatus();
  if (IsActive(record.state) && !record.replay) {
    return absl::FailedPreconditionError(
        record.first_frame_at
            ? absl::StrCat("nothing of the cursor file is written yet; try "
                           "again when the state's cursor.bytes is above 0")
            : absl::StrCat("the recording is ",
                           RecordingStateName(record.state),
                           " and has no picture yet; wait for `first_frame`"));
  }
  if (record.state == RecordingState::kFailed) {
    return absl::FailedPreconditionError(absl::StrCat(
        "the recording failed (", record.reason, "): there is no cursor file"));
  }
  return WithProblem(
      absl::NotFoundError(
          record.replay
              ? "a replay keeps no cursor file"
              : "this recording has no cursor file: it failed (see "
                "`fallbacks`), or an older version made the recording"),
      404, "no_cursor");
}

bool IsShapeHash(absl::string_view text) {
  return text.size() == kHashDigits && std::ranges::all_of(text, [](char c) {
           return absl::ascii_isdigit(static_cast<uint8_t>(c)) ||
                  (c >= 'a' && c <= 'f');
         });
}

}  // namespace

CursorRoutes::CursorRoutes(const RunContext& context, Catalogue& catalogue,
                           ViewerOf viewer_of)
    : context_(context),
      catalogue_(catalogue),
      viewer_of_(std::move(viewer_of)),
      forms_(context) {}

void CursorRoutes::AddTo(std::vector<Route>& routes) {
  Route cursor =
      RouteTo(*this, &CursorRoutes::GetCursor, Method::kGet,
              "/v1/recordings/{id}/cursor",
              "What the pointer did, finished or so far; Range, ETag", "0.2.0");
  cursor.query = {
      {"format", "ndjson (the file itself) or cap", {"ndjson", "cap"}},
      ViewParameter()};
  cursor.answers = JsonAnswers("CapCursor", {kCapSample});
  cursor.answers.push_back({200, kLinesType});
  cursor.answers.push_back({206, kLinesType});
  cursor.answers.push_back({206, "application/json"});
  cursor.answers.push_back({304, ""});
  cursor.problems = {409, 416, 429};
  routes.push_back(std::move(cursor));

  Route shape = RouteTo(*this, &CursorRoutes::GetShape, Method::kGet,
                        "/v1/recordings/{id}/cursors/{hash}",
                        "What the pointer looked like, as PNG", "0.2.0");
  shape.answers = {{200, "image/png"}, {206, "image/png"}, {304, ""}};
  shape.problems = {416};
  routes.push_back(std::move(shape));
}

void CursorRoutes::GetCursor(const Request& request, Reply reply) {
  const absl::StatusOr<const RecordingRecord*> found =
      catalogue_.Find(request.Param("id"), viewer_of_(request));
  if (!found.ok()) return reply.Fail(found.status());
  const RecordingRecord& record = **found;
  const absl::StatusOr<Wanted> wanted = ParseWanted(request);
  if (!wanted.ok()) return reply.Fail(wanted.status());
  if (const absl::Status there = CheckThereIsOne(record); !there.ok())
    return reply.Fail(there);
  const bool active = IsActive(record.state);
  if (active && wanted->compact == true)
    return reply.Fail(absl::FailedPreconditionError(
        "the compact view is of a finished recording; stop it and wait for "
        "`ready`, or ask for view=realtime"));
  const bool compact = !active && wanted->compact.value_or(record.compact());
  Response response;
  response.content_type = wanted->cap ? "application/json" : kLinesType;
  FileBody body;
  if (active)
    response.fields.emplace_back("Cache-Control", "no-store");
  else
    body.etag = EntityTag(
        record, absl::StrCat("cursor-", wanted->cap ? "cap" : "ndjson",
                             compact ? "-compact" : "-realtime"));
  if (!wanted->cap && !compact)
    return SendFile(absl::StrCat(record.id, "/cursor.ndjson"),
                    record.cursor.bytes, std::move(response), std::move(body),
                    std::move(reply));
  forms_.Get(record, wanted->cap ? "cap" : "ndjson", compact,
             [response = std::move(response), body = std::move(body),
              reply = std::move(reply)](
                 absl::StatusOr<CursorForms::File> file) mutable {
               if (!file.ok())
                 return reply.Fail(
                     WithContext("cannot make this form", file.status()));
               body.fd = std::move(file->fd);
               body.size = file->bytes;
               response.body = std::move(body);
               reply.Send(std::move(response));
             });
}

void CursorRoutes::GetShape(const Request& request, Reply reply) {
  const absl::StatusOr<const RecordingRecord*> found =
      catalogue_.Find(request.Param("id"), viewer_of_(request));
  if (!found.ok()) return reply.Fail(found.status());
  const RecordingRecord& record = **found;
  const std::string hash(request.Param("hash"));
  if (!IsShapeHash(hash))
    return reply.Fail(absl::NotFoundError(
        absl::StrCat("no such shape; a hash is ", kHashDigits,
                     " lower-case hexadecimal digits, out of a `shape` line of "
                     ".../cursor")));
  Response response;
  response.content_type = "image/png";
  FileBody body;
  body.etag = EntityTag(record, absl::StrCat("cursor-", hash));
  SendFile(absl::StrCat(record.id, "/cursors/", hash, ".png"), std::nullopt,
           std::move(response), std::move(body), std::move(reply));
}

void CursorRoutes::SendFile(const std::string& path,
                            std::optional<uint64_t> bytes, Response response,
                            FileBody body, Reply reply) {
  struct Opened {
    UniqueFd fd;
    uint64_t bytes = 0;
  };
  auto file = std::make_shared<Opened>();
  // Opening reads the disk: not on this loop.
  context_.file_io.Run(
      [file, path, bytes,
       recordings = context_.state_dir.recordings_fd()]() -> absl::Status {
        KINE_ASSIGN_OR_RETURN(
            file->fd, OpenBeneath(recordings, path, O_RDONLY | O_CLOEXEC));
        struct stat st;
        if (::fstat(file->fd.get(), &st) != 0)
          return ErrnoStatus(errno, "fstat");
        const auto size = static_cast<uint64_t>(st.st_size);
        file->bytes = bytes.value_or(size);
        if (size < file->bytes)
          return absl::DataLossError(absl::StrCat(
              "the file has ", size, " bytes instead of ", file->bytes));
        return absl::OkStatus();
      },
      [file, body = std::move(body), response = std::move(response),
       reply = std::move(reply)](absl::Status status) mutable {
        if (absl::IsNotFound(status))
          return reply.Fail(
              absl::NotFoundError("no such file in this recording (any more)"));
        if (!status.ok())
          return reply.Fail(WithContext("cannot read the file", status));
        body.fd = std::make_shared<const UniqueFd>(std::move(file->fd));
        body.size = file->bytes;
        response.body = std::move(body);
        reply.Send(std::move(response));
      });
}

}  // namespace kine
