#include "tools/kinectl/process_output.h"

#include <unistd.h>

#include <cerrno>
#include <cstdio>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "daemon/base/limits.h"
#include "daemon/base/status.h"
#include "ipc/json_in.h"

namespace kinectl {
namespace {

constexpr kine::JsonTextRule kText = {.max = kine::limits::kClientBodyBytesMax,
                                      .charset = kine::JsonTextRule::kAny};
constexpr kine::JsonLimits kReplies = {
    .bytes_max = kine::limits::kClientBodyBytesMax,
    .unknown = kine::JsonUnknown::kIgnore};

}  // namespace

absl::Status OutputCopy::Write(bool err, absl::string_view bytes) {
  const int fd = err ? STDERR_FILENO : STDOUT_FILENO;
  while (!bytes.empty()) {
    const ssize_t count = ::write(fd, bytes.data(), bytes.size());
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return kine::ErrnoStatus(errno, "writing the output");
    bytes.remove_prefix(static_cast<size_t>(count));
  }
  return absl::OkStatus();
}

absl::Status OutputCopy::FindOutStreams() {
  if (!stream_.empty()) return absl::OkStatus();
  kine::ClientRequest request;
  request.target = absl::StrCat("/v1/processes/", id_, "/output?max=4");
  const auto reply = session_.client().Call(request);
  if (!reply.ok()) return reply.status();
  if (!reply->ok()) return kine::ProblemOfReply(*reply);
  std::string stream;
  KINE_RETURN_IF_ERROR(kine::BindJson(
      reply->body, kReplies,
      [&](kine::JsonObject& o) { o.Text("stream", stream, kText); }));
  stream_ = stream == "merged" ? "merged" : "both";
  return absl::OkStatus();
}

absl::Status OutputCopy::OnLine(absl::string_view line) {
  std::string type, stream, data;
  uint64_t from = 0;
  uint64_t to = 0;
  uint64_t next = 0;
  KINE_RETURN_IF_ERROR(kine::BindJson(line, kReplies, [&](kine::JsonObject& o) {
    o.Text("type", type, kText);
    o.Text("stream", stream, kText);
    o.Text("data", data, kText);
    o.Int("from", from);
    o.Int("to", to);
    o.Int("next", next);
  }));
  if (session_.json()) session_.Print(std::string(line), "");
  uint64_t& at = stream == "stderr" ? next_err_ : next_;
  if (type == "gap") {
    at = to;
    std::fprintf(stderr, "kinectl: %llu bytes of %s are gone\n",
                 static_cast<unsigned long long>(to - from), stream.c_str());
  } else if (type == "output") {
    at = next;
    std::string bytes;
    if (!absl::Base64Unescape(data, &bytes))
      return absl::DataLossError("the daemon sent no base64");
    if (!session_.json()) return Write(stream == "stderr", bytes);
  } else if (type == "expired") {
    return absl::NotFoundError("the output has expired");
  } else if (type == "end") {
    ended_ = true;
    KINE_ASSIGN_OR_RETURN(state_, ParseProcessState(line));
  }
  return absl::OkStatus();
}

absl::Status OutputCopy::Follow() {
  // A connection that is lost while something comes is dialled again.
  uint64_t seen = UINT64_MAX;
  while (!ended_) {
    KINE_RETURN_IF_ERROR(FindOutStreams());
    const std::string target = absl::StrCat(
        "/v1/processes/", id_, "/output?follow=1&encoding=base64",
        "&stream=", stream_, "&from=", next_, "&from_stderr=", next_err_);
    absl::Status status;
    absl::Status followed =
        session_.client().Follow(target, [&](absl::string_view line) {
          status = OnLine(line);
          return status.ok() && !ended_;
        });
    KINE_RETURN_IF_ERROR(status);
    if (followed.ok() || ended_) continue;
    const uint64_t now = next_ + next_err_;
    if (!absl::IsUnavailable(followed) || now == seen) return followed;
    seen = now;
  }
  return absl::OkStatus();
}

absl::StatusOr<bool> OutputCopy::CopyPiece(const char* stream) {
  const bool err = absl::string_view(stream) == "stderr";
  uint64_t& at = err ? next_err_ : next_;
  kine::ClientRequest request;
  request.target = absl::StrCat("/v1/processes/", id_,
                                "/output?encoding=base64&max=", 1 << 20,
                                "&stream=", stream, "&from=", at);
  const auto reply = session_.client().Call(request);
  if (!reply.ok()) return reply.status();
  if (!reply->ok()) return kine::ProblemOfReply(*reply);
  std::string data;
  uint64_t next = 0;
  uint64_t total = 0;
  uint64_t gap = at;
  KINE_RETURN_IF_ERROR(
      kine::BindJson(reply->body, kReplies, [&](kine::JsonObject& o) {
        o.Text("data", data, kText);
        o.Int("next", next);
        o.Int("total", total);
        o.Object("gap", [&](kine::JsonObject& g) { g.Int("to", gap); });
      }));
  if (gap > at)
    std::fprintf(stderr, "kinectl: %llu bytes of %s are gone\n",
                 static_cast<unsigned long long>(gap - at), stream);
  std::string bytes;
  if (!absl::Base64Unescape(data, &bytes))
    return absl::DataLossError("the daemon sent no base64");
  at = next;
  if (session_.json())
    session_.Print(reply->body, "");
  else
    KINE_RETURN_IF_ERROR(Write(err, bytes));
  return next < total && !bytes.empty();
}

absl::Status OutputCopy::CopyAll() {
  KINE_RETURN_IF_ERROR(FindOutStreams());
  const bool merged = stream_ == "merged";
  for (const char* stream : {merged ? "merged" : "stdout", "stderr"}) {
    bool more = true;
    while (more) {
      KINE_ASSIGN_OR_RETURN(more, CopyPiece(stream));
    }
    if (merged) break;
  }
  return absl::OkStatus();
}

}  // namespace kinectl
