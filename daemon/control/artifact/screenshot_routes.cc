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

}  // namespace

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
  Route route;
  route.path = "/v1/screenshot";
  route.help = "What a source shows now, as PNG";
  route.since = "0.2.0";
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
  route.handler = [this](Request request, Reply reply) {
    Get(request, std::move(reply));
  };
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
  // Memory, no disk: quick.
  UniqueFd out(::memfd_create("kine-screenshot", MFD_CLOEXEC));
  const int copy = out.valid() ? ::fcntl(out.get(), F_DUPFD_CLOEXEC, 0) : -1;
  if (copy < 0) return reply.Fail(ErrnoStatus(errno, "memory for a picture"));
  auto result = std::make_shared<const UniqueFd>(copy);
  RecordingRequest what;
  what.settings.source = *source;
  std::vector<UniqueFd> fds;
  fds.push_back(std::move(out));
  running_.emplace_back();
  const auto place = std::prev(running_.end());
  *place = std::make_unique<OneShot>(
      context_.loop, context_.spawner,
      std::vector<std::string>{
          context_.recorder_path, absl::StrCat("--screenshot=", ToJson(what)),
          absl::StrCat("--width=", width), absl::StrCat("--height=", height)},
      std::move(fds), absl::Milliseconds(limits::kScreenshotRunMs),
      [this, place, result,
       reply = std::move(reply)](absl::StatusOr<std::string> output) mutable {
        // What calls this goes when this is over.
        const std::unique_ptr<OneShot> ended = std::move(*place);
        running_.erase(place);
        absl::StatusOr<uint64_t> bytes =
            output.ok() ? ParseAnswer(*output)
                        : absl::StatusOr<uint64_t>(output.status());
        // A source or a driver that hangs.
        if (absl::IsDeadlineExceeded(bytes.status()))
          bytes = absl::UnavailableError(
              absl::StrCat(bytes.status().message(), "; try again"));
        if (!bytes.ok())
          return reply.Fail(WithContext("no screenshot", bytes.status()));
        FileBody body;
        body.fd = result;
        body.size = *bytes;
        Response response;
        response.content_type = "image/png";
        response.fields.emplace_back("Cache-Control", "no-store");
        response.body = std::move(body);
        reply.Send(std::move(response));
      });
}

}  // namespace kine
