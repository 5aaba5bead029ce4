#include "daemon/control/artifact/screenshot_routes.h"

#include <fcntl.h>
#include <sys/mman.h>

#include <cerrno>
#include <iterator>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "daemon/base/limits/pictures.h"
#include "daemon/base/log.h"
#include "daemon/base/status.h"
#include "ipc/json_in.h"
#include "ipc/json_out.h"
#include "ipc/problem.h"

namespace kine {
namespace {

absl::Status ParseSide(const Request& request, absl::string_view name,
                       int& side) {
  const auto text = request.Query(name);
  if (!text.has_value()) return absl::OkStatus();
  if (absl::SimpleAtoi(*text, &side) && side >= 1 &&
      side <= limits::kPictureSideMax)
    return absl::OkStatus();
  return FieldError(name, absl::StrCat("must be a whole number from 1 to ",
                                       limits::kPictureSideMax));
}

absl::StatusOr<uint64_t> ParseAnswer(const std::string& json) {
  uint64_t bytes = 0;
  std::string error;
  bool unsupported = false;
  KINE_RETURN_IF_ERROR(
      BindJson(json, {.unknown = JsonUnknown::kIgnore}, [&](JsonObject& o) {
        o.Int("bytes", bytes);
        o.Text("error", error, {.max = 4096, .charset = JsonTextRule::kAny});
        o.Bool("unsupported", unsupported);
      }));
  if (unsupported) return absl::UnimplementedError(error);
  if (!error.empty()) return absl::UnavailableError(error);
  return bytes;
}

// Memory for a picture: for who writes it, and `ours`. No disk: quick.
absl::StatusOr<UniqueFd> MakeMemory(std::shared_ptr<const UniqueFd>& ours) {
  UniqueFd out(::memfd_create("kine-screenshot", MFD_CLOEXEC));
  const int copy = out.valid() ? ::fcntl(out.get(), F_DUPFD_CLOEXEC, 0) : -1;
  if (copy < 0) return ErrnoStatus(errno, "memory for a picture");
  ours = std::make_shared<const UniqueFd>(copy);
  return out;
}

}  // namespace

struct ScreenshotRoutes::Shot {
  SourceRequest source;
  int width;
  int height;
  Reply reply;
  std::shared_ptr<const UniqueFd> picture;
  std::unique_ptr<OneShot> process;
};

ScreenshotRoutes::ScreenshotRoutes(const RunContext& context)
    : context_(context), self_(std::make_shared<ScreenshotRoutes*>(this)) {}

ScreenshotRoutes::~ScreenshotRoutes() { *self_ = nullptr; }

absl::StatusOr<SourceRequest> ParseSourceText(absl::string_view name,
                                              absl::string_view text) {
  std::string json(text);
  if (!absl::StartsWith(text, "{")) {
    json.clear();
    JsonOut(json).Value(text);
  }
  const absl::StatusOr<RecordingRequest> request =
      ParseRecordingRequest(absl::StrCat("{\"source\":", json, "}"));
  if (!request.ok()) return FieldError(name, request.status().message());
  return request->settings.source;
}

void ScreenshotRoutes::AddTo(std::vector<Route>& routes) {
  Route route =
      RouteTo(*this, &ScreenshotRoutes::Get, Method::kGet, "/v1/screenshot",
              "What a source shows now, as PNG", "0.2.0");
  route.query = {
      {"source", "a name, or an object as in a recording's `source` (auto)"},
      {"width",
       "scaled, never up; the height follows",
       {},
       1,
       limits::kPictureSideMax},
      {"height",
       "scaled, never up; the width follows",
       {},
       1,
       limits::kPictureSideMax}};
  route.answers = {{200, "image/png"}, {206, "image/png"}};
  route.problems = {416, 429, 501};
  routes.push_back(std::move(route));
}

void ScreenshotRoutes::Get(const Request& request, Reply reply) {
  int width = 0;
  int height = 0;
  absl::Status status = ParseSide(request, "width", width);
  status.Update(ParseSide(request, "height", height));
  const absl::StatusOr<SourceRequest> source =
      ParseSourceText("source", request.Query("source").value_or("auto"));
  status.Update(source.status());
  if (status.ok() && running_.size() >= limits::kScreenshotsAtOnce)
    status = absl::ResourceExhaustedError(
        absl::StrCat("limit screenshots (", limits::kScreenshotsAtOnce,
                     " at once) is reached; try again"));
  if (!status.ok()) return reply.Fail(status);
  running_.push_back(std::make_unique<Shot>(
      Shot{*source, width, height, std::move(reply), nullptr, nullptr}));
  const auto place = std::prev(running_.end());
  if (context_.recorders.Captures(*source))
    AskRecorder(place);
  else
    RunOneShot(place);
}

void ScreenshotRoutes::AskRecorder(Place place) {
  Shot& shot = **place;
  absl::StatusOr<UniqueFd> out = MakeMemory(shot.picture);
  if (!out.ok()) return End(place, out.status(), "");
  context_.recorders.TakeShot(
      shot.source, shot.width, shot.height, *std::move(out),
      [this, place,
       self = self_](const absl::StatusOr<link::ShotTaken>& taken) {
        if (*self == nullptr) return;
        if (taken.ok()) return End(place, taken->bytes, "recorder");
        LogInfo(absl::StrCat("screenshot: ", taken.status().message(),
                             "; taken by a process of its own"));
        RunOneShot(place);
      });
}

void ScreenshotRoutes::RunOneShot(Place place) {
  Shot& shot = **place;
  absl::StatusOr<UniqueFd> out = MakeMemory(shot.picture);
  if (!out.ok()) return End(place, out.status(), "");
  RecordingRequest what;
  what.settings.source = shot.source;
  std::vector<UniqueFd> fds;
  fds.push_back(*std::move(out));
  shot.process = std::make_unique<OneShot>(
      context_.loop, context_.spawner,
      std::vector<std::string>{context_.recorder_path,
                               absl::StrCat("--screenshot=", ToJson(what)),
                               absl::StrCat("--width=", shot.width),
                               absl::StrCat("--height=", shot.height)},
      std::move(fds), absl::Milliseconds(limits::kScreenshotRunMs),
      [this, place](const absl::StatusOr<std::string>& output) {
        absl::StatusOr<uint64_t> bytes =
            output.ok() ? ParseAnswer(*output)
                        : absl::StatusOr<uint64_t>(output.status());
        // A source or a driver that hangs.
        if (absl::IsDeadlineExceeded(bytes.status()))
          bytes = absl::UnavailableError(
              absl::StrCat(bytes.status().message(), "; try again"));
        End(place, bytes, "process");
      });
}

void ScreenshotRoutes::End(Place place, const absl::StatusOr<uint64_t>& bytes,
                           const char* way) {
  // What calls this goes when this is over.
  const std::unique_ptr<Shot> ended = std::move(*place);
  running_.erase(place);
  if (!bytes.ok())
    return ended->reply.Fail(WithContext("no screenshot", bytes.status()));
  FileBody body;
  body.fd = ended->picture;
  body.size = *bytes;
  Response response;
  response.content_type = "image/png";
  response.fields.emplace_back("Cache-Control", "no-store");
  response.fields.emplace_back("Kinescope-Taken-By", way);
  response.body = std::move(body);
  ended->reply.Send(std::move(response));
}

}  // namespace kine
