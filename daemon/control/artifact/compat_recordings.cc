#include "daemon/control/artifact/compat_recordings.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <memory>
#include <optional>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "daemon/base/limits/compat.h"
#include "daemon/base/limits/pictures.h"
#include "daemon/base/limits/views.h"
#include "daemon/base/status.h"
#include "daemon/control/commands/coder_response.h"
#include "daemon/storage/directory.h"
#include "ipc/json_in.h"

namespace kine {
namespace {

constexpr JsonLimits kLenient = {.unknown = JsonUnknown::kIgnore};
constexpr char kStartFailed[] = "Failed to start recording.";
constexpr char kStopFailed[] = "Failed to stop recording.";
constexpr char kNotFound[] = "Recording not found.";
// A label, so that a start after the end is another recording, not a repetition
// of the first.
constexpr char kStarted[] = "coder.started";

const Viewer kEverybody{"", true};

void BindId(JsonObject& o, std::string& id) {
  o.Text("recording_id", id, {.max = 256, .charset = JsonTextRule::kAny});
}

// What Go's uuid.Parse() takes, as one spelling.
std::optional<std::string> UuidOf(absl::string_view text) {
  if (text.size() == 45 && absl::StartsWithIgnoreCase(text, "urn:uuid:")) {
    text.remove_prefix(9);
  } else if (text.size() == 38 && text.front() == '{' && text.back() == '}') {
    text = text.substr(1, 36);
  }
  if (text.size() != 36 && text.size() != 32) return std::nullopt;
  std::string uuid;
  for (size_t i = 0; i < text.size(); ++i) {
    const bool dash =
        text.size() == 36 && (i == 8 || i == 13 || i == 18 || i == 23);
    if (dash && text[i] == '-') continue;
    if (dash || !absl::ascii_isxdigit(static_cast<unsigned char>(text[i])))
      return std::nullopt;
    if (uuid.size() == 8 || uuid.size() == 13 || uuid.size() == 18 ||
        uuid.size() == 23)
      uuid.push_back('-');
    uuid.push_back(absl::ascii_tolower(static_cast<unsigned char>(text[i])));
  }
  return uuid;
}

// The request's recording; nothing when `reply` was answered.
std::optional<std::string> ParseId(const Request& request, Reply& reply) {
  std::string text;
  const absl::Status bound = BindJson(
      request.body, kLenient, [&text](JsonObject& o) { BindId(o, text); });
  if (!bound.ok()) {
    RespondAsCoder(reply, 400, "Failed to decode request body.",
                   bound.message());
    return std::nullopt;
  }
  if (text.empty()) {
    RespondAsCoder(reply, 400, "Missing recording_id.");
    return std::nullopt;
  }
  std::optional<std::string> id = UuidOf(text);
  if (!id.has_value())
    RespondAsCoder(reply, 400, "Invalid recording_id format.",
                   "recording_id must be a valid UUID.");
  return id;
}

bool Sees(const Request& request, const RecordingRecord& record) {
  return request.owner.empty() || record.owner.empty() ||
         request.owner == record.owner;
}

// The multipart body: the text between the parts, and their files.
struct Multipart {
  std::string boundary;
  UniqueFd text;
  size_t before_video = 0;  // Bytes of `text`.
  size_t between = 0;       // Likewise.
  size_t text_bytes = 0;
  UniqueFd video;
  uint64_t video_bytes = 0;
  std::shared_ptr<const UniqueFd> thumbnail;  // Or nothing.
  uint64_t thumbnail_bytes = 0;
};

absl::StatusOr<uint64_t> SizeOf(const UniqueFd& file) {
  struct stat st;
  if (::fstat(file.get(), &st) != 0) return ErrnoStatus(errno, "fstat");
  return static_cast<uint64_t>(st.st_size);
}

absl::Status WriteText(Multipart& parts) {
  unsigned char random[30];
  if (::getrandom(random, sizeof random, 0) != ssize_t{sizeof random})
    return ErrnoStatus(errno, "getrandom");
  parts.boundary = absl::BytesToHexString(
      absl::string_view(reinterpret_cast<const char*>(random), sizeof random));
  std::string text =
      absl::StrCat("--", parts.boundary, "\r\nContent-Type: video/mp4\r\n\r\n");
  parts.before_video = text.size();
  if (parts.thumbnail != nullptr) {
    absl::StrAppend(&text, "\r\n--", parts.boundary,
                    "\r\nContent-Type: image/jpeg\r\n\r\n");
  }
  parts.between = text.size() - parts.before_video;
  absl::StrAppend(&text, "\r\n--", parts.boundary, "--\r\n");
  parts.text_bytes = text.size();
  parts.text = UniqueFd(::memfd_create("kine-multipart", MFD_CLOEXEC));
  if (!parts.text.valid()) return ErrnoStatus(errno, "memfd_create");
  if (::write(parts.text.get(), text.data(), text.size()) !=
      static_cast<ssize_t>(text.size()))
    return ErrnoStatus(errno, "write to memory");
  return absl::OkStatus();
}

absl::Status Open(int recordings_fd, const std::string& id, Multipart& parts) {
  KINE_ASSIGN_OR_RETURN(
      parts.video, OpenBeneath(recordings_fd, absl::StrCat(id, "/video.mp4"),
                               O_RDONLY | O_CLOEXEC));
  KINE_ASSIGN_OR_RETURN(const uint64_t size, SizeOf(parts.video));
  if (size < parts.video_bytes)
    return absl::DataLossError(absl::StrCat(
        "the file has ", size, " bytes instead of ", parts.video_bytes));
  return WriteText(parts);
}

// Nothing of it is in memory: the files are sent as they lie on the disk.
Response ToResponse(Multipart parts) {
  FileBody body;
  body.fd = std::make_shared<const UniqueFd>(std::move(parts.text));
  body.before.push_back({body.fd, 0, parts.before_video});
  body.before.push_back(
      {std::make_shared<const UniqueFd>(std::move(parts.video)), 0,
       parts.video_bytes});
  body.offset = parts.before_video + parts.between;
  body.size = parts.text_bytes - body.offset;
  if (parts.thumbnail != nullptr) {
    body.before.push_back({body.fd, parts.before_video, parts.between});
    body.before.push_back(
        {std::move(parts.thumbnail), 0, parts.thumbnail_bytes});
  }
  Response response;
  response.content_type =
      absl::StrCat("multipart/mixed; boundary=", parts.boundary);
  response.body = std::move(body);
  return response;
}

}  // namespace

CompatRecordings::CompatRecordings(const RunContext& context,
                                   Catalogue& catalogue,
                                   FrameExtractor& extractor,
                                   SourceRequest source, int recordings_max)
    : context_(context),
      catalogue_(catalogue),
      extractor_(extractor),
      source_(std::move(source)),
      recordings_max_(recordings_max) {}

void CompatRecordings::AddTo(std::vector<Route>& routes) {
  using Member = void (CompatRecordings::*)(const Request&, Reply);
  const auto add = [&](absl::string_view path, absl::string_view help,
                       Member member) -> Route& {
    Route& route = routes.emplace_back(
        RouteTo(*this, member, Method::kPost, path, help, "0.2.0"));
    route.body = Route::Body::kJson;
    route.fields = [](JsonObject& o) {
      std::string id;
      BindId(o, id);
    };
    route.example =
        R"({"recording_id":"7e9b4a0e-2f1c-4b7d-9a53-0c6f1d2e3a4b"})";
    route.problems = {404, 500};
    return route;
  };
  add("/api/v0/desktop/recording/start", "As coder's agent: start",
      &CompatRecordings::Start)
      .answers = JsonAnswers("CoderResponse", {CoderResponseJson("x")});
  Route& stop = add("/api/v0/desktop/recording/stop",
                    "As coder's agent: stop, and get video and thumbnail",
                    &CompatRecordings::Stop);
  stop.answers = {{200, "multipart/mixed"}, {206, "multipart/mixed"}};
  stop.reserved = true;
}

void CompatRecordings::Start(const Request& request, Reply reply) {
  const std::optional<std::string> id = ParseId(request, reply);
  if (!id.has_value()) return;
  const auto found = catalogue_.Find(*id, kEverybody);
  if (!found.ok()) return StartNew(*id, request.owner, std::move(reply));
  const RecordingRecord& record = **found;
  if (!Sees(request, record))
    return FailStart(reply, absl::AlreadyExistsError(
                                "recording_id is in use; choose another"));
  if (record.state != RecordingState::kFinalizing) {
    if (IsActive(record.state)) return AnswerStarted(*id, std::move(reply));
    return StartNew(*id, record.owner, std::move(reply));
  }
  // It is being ended: another one begins behind it.
  catalogue_.Wait(
      *id, kEverybody, Catalogue::WaitFor::kReady,
      absl::Milliseconds(limits::kCompatEndWaitMs),
      [this, id = *id, owner = record.owner, reply = std::move(reply)](
          absl::StatusOr<const RecordingRecord*> ended) mutable {
        if (ended.ok() && IsActive((*ended)->state))
          FailStart(reply, absl::UnavailableError(
                               "the recording before is still being ended; "
                               "try again"));
        else
          StartNew(id, owner, std::move(reply));
      });
}

// Its finished file runs fast where nothing happens, as their clients are used
// to; it is an index, made while recording, and no work after the end.
void CompatRecordings::StartNew(const std::string& id, const std::string& owner,
                                Reply reply) {
  RecordingRequest start;
  start.id = id;
  start.settings.source = source_;
  start.settings.idle.compact_after_ms = limits::kCompactAfterMinMs;
  start.settings.idle.compact_speed = limits::kCompatSpeed;
  start.on_existing = RecordingRequest::OnExisting::kRestart;
  start.labels[kStarted] =
      absl::StrCat(absl::ToUnixMicros(context_.loop.clock().Wall()));
  catalogue_.Start(
      std::move(start), owner,
      [this, id, reply = std::move(reply)](
          absl::StatusOr<const RecordingRecord*> record, bool) mutable {
        if (record.ok())
          AnswerStarted(id, std::move(reply));
        else
          FailStart(reply, record.status());
      });
}

// What fails at once is told now and not at the stop, as there.
void CompatRecordings::AnswerStarted(const std::string& id, Reply reply) {
  catalogue_.Wait(id, kEverybody, Catalogue::WaitFor::kFirstFrame,
                  absl::Milliseconds(limits::kCompatStartWaitMs),
                  [this, reply = std::move(reply)](
                      absl::StatusOr<const RecordingRecord*> record) mutable {
                    if (!record.ok()) return FailStart(reply, record.status());
                    if ((*record)->state == RecordingState::kFailed)
                      return FailStart(reply, absl::InternalError(absl::StrCat(
                                                  (*record)->reason, ": ",
                                                  (*record)->message)));
                    RespondAsCoder(reply, 200, "Recording started.");
                  });
}

void CompatRecordings::FailStart(Reply& reply,
                                 const absl::Status& error) const {
  if (absl::IsUnavailable(error) && catalogue_.shutting_down())
    return RespondAsCoder(reply, 503, "Desktop API is shutting down.");
  if (absl::IsResourceExhausted(error))
    return RespondAsCoder(reply, 500, kStartFailed,
                          absl::StrCat("too many concurrent recordings (max ",
                                       recordings_max_, ")"));
  RespondAsCoder(reply, 500, kStartFailed, error.message());
}

void CompatRecordings::Stop(const Request& request, Reply reply) {
  const std::optional<std::string> id = ParseId(request, reply);
  if (!id.has_value()) return;
  const auto found = catalogue_.Find(*id, kEverybody);
  if (!found.ok() || !Sees(request, **found))
    return RespondAsCoder(reply, 404, kNotFound);
  catalogue_.Stop(*id, kEverybody, /*wait_ready=*/true,
                  [this, reply = std::move(reply)](
                      absl::StatusOr<const RecordingRecord*> record) mutable {
                    if (!record.ok())
                      return absl::IsNotFound(record.status())
                                 ? RespondAsCoder(reply, 404, kNotFound)
                                 : RespondAsCoder(reply, 500, kStopFailed,
                                                  record.status().message());
                    const RecordingRecord& ended = **record;
                    // One that a crash interrupted plays too.
                    if (IsFinished(ended.state))
                      return SendArtifact(ended, std::move(reply));
                    RespondAsCoder(
                        reply, 500, kStopFailed,
                        absl::StrCat(ended.reason, ": ", ended.message));
                  });
}

// A picture that cannot be had leaves its part out, as there.
void CompatRecordings::SendArtifact(const RecordingRecord& record,
                                    Reply reply) {
  auto parts = std::make_shared<Multipart>();
  parts->video_bytes = record.bytes;
  extractor_.Thumbnail(
      record, [this, parts, id = record.id, reply = std::move(reply)](
                  absl::StatusOr<FrameExtractor::Picture> picture) mutable {
        if (picture.ok() && picture->bytes <= limits::kThumbnailBytesMax) {
          parts->thumbnail = picture->file;
          parts->thumbnail_bytes = picture->bytes;
        }
        context_.file_io.Run(
            [parts, id, recordings = context_.state_dir.recordings_fd()] {
              return Open(recordings, id, *parts);
            },
            [parts, reply = std::move(reply)](absl::Status status) mutable {
              if (!status.ok())
                return RespondAsCoder(reply, 500, kStopFailed,
                                      status.message());
              reply.Send(ToResponse(std::move(*parts)));
            });
      });
}

}  // namespace kine
