#include "daemon/control/artifact/trace_routes.h"

#include <fcntl.h>
#include <sys/mman.h>

#include <cerrno>
#include <span>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "daemon/base/limits/trace.h"
#include "daemon/base/status.h"
#include "daemon/storage/blocking_io.h"
#include "daemon/storage/directory.h"
#include "daemon/timeline/trace_ring.h"
#include "ipc/problem.h"

namespace kine {
namespace {

struct Made {
  UniqueFd file;
  uint64_t bytes = 0;
};

// Blocks. `memory`: of one that runs, else null.
absl::Status MakeTrace(const UniqueFd* memory, int recordings_fd,
                       const std::string& id, Made& made) {
  UniqueFd kept;
  if (memory == nullptr) {
    auto opened = OpenBeneath(recordings_fd,
                              absl::StrCat(id, "/", kTraceFileName), O_RDONLY);
    if (absl::IsNotFound(opened.status()))
      return WithProblem(
          absl::NotFoundError(
              "this recording has no trace: the daemon ended before it did, or "
              "it was made by a version that kept none"),
          404, "no_trace");
    KINE_RETURN_IF_ERROR(opened.status());
    kept = *std::move(opened);
    memory = &kept;
  }
  const absl::StatusOr<Trace> trace = ReadTrace(memory->get());
  if (absl::IsDataLoss(trace.status()))
    return WithProblem(trace.status(), 404, "no_trace");
  KINE_RETURN_IF_ERROR(trace.status());
  const std::string json = TraceJson(*trace, id);
  made.file = UniqueFd(::memfd_create("kine-trace-json", MFD_CLOEXEC));
  if (!made.file.valid()) return ErrnoStatus(errno, "memfd_create");
  made.bytes = json.size();
  return WriteFully(made.file.get(), 0, std::as_bytes(std::span(json)));
}

// Every kind of event, and one of everything that can be said of it.
std::vector<std::string> TraceSamples() {
  Trace trace;
  const auto add = [&](TraceKind kind) -> TraceRecord& {
    TraceRecord& record = trace.records.emplace_back();
    record.number = trace.records.size();
    record.at = 1'500;
    record.kind = kind;
    return record;
  };
  TracePacket packet;
  packet.stalled = packet.replaced = packet.unchanged = 1;
  packet.convert_ns = 1;
  packet.flags = TracePacket::kKeyframe;
  add(TraceKind::kPacket).packet = packet;
  for (const TraceKind kind : {TraceKind::kFragment, TraceKind::kWrite,
                               TraceKind::kWritten, TraceKind::kDurable})
    add(kind).fragment = TraceFragment();
  TraceNote note;
  note.text[0] = 'a';
  add(TraceKind::kNote).note = note;
  return {TraceJson(trace, "demo")};
}

}  // namespace

TraceRoutes::TraceRoutes(const RunContext& context, Catalogue& catalogue,
                         ViewerOf viewer_of)
    : context_(context),
      catalogue_(catalogue),
      viewer_of_(std::move(viewer_of)),
      self_(std::make_shared<TraceRoutes*>(this)) {}

TraceRoutes::~TraceRoutes() { *self_ = nullptr; }

void TraceRoutes::AddTo(std::vector<Route>& routes) {
  Route route = RouteTo(
      *this, &TraceRoutes::Get, Method::kGet, "/v1/recordings/{id}/trace",
      "What the pipeline did last, for ui.perfetto.dev and chrome://tracing",
      "0.2.0");
  route.answers = JsonAnswers("Trace", TraceSamples());
  route.answers.push_back({206, "application/json"});
  route.answers.push_back({304, ""});
  route.problems = {416, 429};
  routes.push_back(std::move(route));
}

void TraceRoutes::Get(const Request& request, Reply reply) {
  const Viewer viewer = viewer_of_(request);
  const absl::StatusOr<const RecordingRecord*> found =
      catalogue_.Find(request.Param("id"), viewer);
  if (!found.ok()) return reply.Fail(found.status());
  if (making_ >= limits::kTracesAtOnce)
    return reply.Fail(absl::ResourceExhaustedError(
        absl::StrCat("limit traces (", limits::kTracesAtOnce,
                     " at once) is reached; try again")));
  const RecordingRecord& record = **found;
  const std::shared_ptr<const UniqueFd> memory =
      catalogue_.FindTrace(record.id, viewer);
  const std::string etag =
      IsActive(record.state) ? "" : EntityTag(record, "trace");
  auto made = std::make_shared<Made>();
  ++making_;
  context_.file_io.Run(
      [made, memory, id = record.id,
       recordings = context_.state_dir.recordings_fd()] {
        return MakeTrace(memory.get(), recordings, id, *made);
      },
      [this, self = self_, made, etag,
       reply = std::move(reply)](absl::Status status) mutable {
        if (*self != nullptr) --making_;
        if (!status.ok())
          return reply.Fail(WithContext("cannot read the trace", status));
        FileBody body;
        body.fd = std::make_shared<const UniqueFd>(std::move(made->file));
        body.size = made->bytes;
        Response response;
        response.content_type = "application/json";
        if (etag.empty())
          response.fields.emplace_back("Cache-Control", "no-store");
        body.etag = etag;
        response.body = std::move(body);
        reply.Send(std::move(response));
      });
}

}  // namespace kine
