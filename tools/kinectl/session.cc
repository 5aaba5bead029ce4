#include "tools/kinectl/session.h"

#include <sys/signalfd.h>
#include <unistd.h>

#include <cstdio>

#include "absl/strings/str_cat.h"
#include "daemon/base/log.h"
#include "ipc/json_out.h"
#include "ipc/recording_request.h"

namespace kinectl {
namespace {

std::string ErrorJson(const absl::Status& error, int code) {
  std::string text;
  kine::JsonOut out(text);
  out.BeginObject();
  out.BeginObject("error");
  out.Field("exit_code", code);
  out.Field("message", absl::string_view(error.message()));
  out.End();
  out.End();
  return text;
}

int CodeOfHttp(int status) {
  return status == 404 || status == 410 ? kNotFound : kFailed;
}

}  // namespace

Session::Session(kine::Client::Options options, int signals, const Args& args)
    : client_(std::move(options)),
      signals_(signals),
      json_(args.Has("json")),
      shows_progress_(!json_ && ::isatty(STDERR_FILENO) == 1) {}

int Session::CodeOf(const absl::Status& transport_error) {
  switch (transport_error.code()) {
    case absl::StatusCode::kCancelled:
      return kCancelled;
    case absl::StatusCode::kNotFound:
    case absl::StatusCode::kUnavailable:
    case absl::StatusCode::kPermissionDenied:
    case absl::StatusCode::kDeadlineExceeded:
      return kUnreachable;
    default:
      return kFailed;
  }
}

std::optional<kine::ClientReply> Session::Check(
    absl::StatusOr<kine::ClientReply> reply) {
  if (!reply.ok()) {
    exit_code_ = Fail(reply.status(), CodeOf(reply.status()));
    return std::nullopt;
  }
  if (!reply->ok()) {
    exit_code_ =
        Fail(kine::ProblemOfReply(*reply), CodeOfHttp(reply->status()));
    return std::nullopt;
  }
  return *std::move(reply);
}

std::optional<kine::ClientReply> Session::Call(
    const kine::ClientRequest& request) {
  return Check(client_.Call(request));
}

int Session::Fail(const absl::Status& error, int code) {
  EndProgress();
  std::fprintf(stderr, "kinectl: %s\n", std::string(error.message()).c_str());
  if (json_) std::printf("%s\n", ErrorJson(error, code).c_str());
  return code;
}

void Session::Print(const std::string& json, const std::string& text) {
  EndProgress();
  const std::string& out = json_ ? json : text;
  std::fwrite(out.data(), 1, out.size(), stdout);
  if (out.empty() || out.back() != '\n') std::fputc('\n', stdout);
  std::fflush(stdout);
}

void Session::Progress(const std::string& line) {
  if (!shows_progress_) return;
  std::fprintf(stderr, "\r\033[K%s", line.c_str());
  std::fflush(stderr);
  progress_open_ = true;
}

void Session::EndProgress() {
  if (progress_open_) std::fputs("\n", stderr);
  progress_open_ = false;
}

int Session::TakeSignal() {
  signalfd_siginfo info;
  int last = 0;
  while (::read(signals_, &info, sizeof info) == ssize_t{sizeof info})
    last = static_cast<int>(info.ssi_signo);
  return last;
}

absl::StatusOr<std::string> RecordingPath(const std::string& id,
                                          const char* tail) {
  if (!kine::IsRecordingId(id)) {
    return absl::InvalidArgumentError(absl::StrCat(
        kine::Quoted(id), " is no recording's id; `kinectl list` shows them"));
  }
  return absl::StrCat("/v1/recordings/", id, tail);
}

}  // namespace kinectl
