#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "daemon/base/record_text.h"
#include "ipc/json_in.h"
#include "ipc/json_out.h"
#include "tools/kinectl/values.h"
#include "tools/kinectl/verbs.h"

namespace kinectl {
namespace {

// The value of a flag that is a time, in microseconds.
absl::Status TakeTime(const Args& args, const char* flag, const char* key,
                      kine::JsonOut& out) {
  if (!args.Has(flag)) return absl::OkStatus();
  const absl::StatusOr<absl::Duration> time = ParseDuration(args.Get(flag));
  if (!time.ok())
    return absl::InvalidArgumentError(
        absl::StrCat("--", flag, ": ", time.status().message()));
  out.Field(key, absl::ToInt64Microseconds(*time));
  return absl::OkStatus();
}

absl::StatusOr<std::string> MarkerBody(const Args& args) {
  std::string body;
  kine::JsonOut out(body);
  out.BeginObject();
  out.Field("label", absl::StrJoin(args.operands().begin() + 1,
                                   args.operands().end(), " "));
  if (args.Has("kind")) out.Field("kind", args.Get("kind"));
  absl::Status status = TakeTime(args, "at", "at_media_us", out);
  status.Update(TakeTime(args, "duration", "duration_us", out));
  if (!status.ok()) return status;
  out.End();
  return body;
}

}  // namespace

int RunMark(Session& session, const Args& args) {
  const auto path = RecordingPath(args.operands()[0]);
  if (!path.ok()) return session.Fail(path.status(), kUsage);
  if (args.operands().size() < 2)
    return session.Fail(absl::InvalidArgumentError(
                            "mark needs a label: kinectl mark ID LABEL..."),
                        kUsage);
  const absl::StatusOr<std::string> body = MarkerBody(args);
  if (!body.ok()) return session.Fail(body.status(), kUsage);
  kine::ClientRequest request;
  request.method = "POST";
  request.target = absl::StrCat(*path, "/markers");
  request.body = *body;
  // A reply that was lost may be asked for again.
  request.fields.emplace_back("Idempotency-Key", kine::MakeUuid());
  const auto reply = session.Call(request);
  if (!reply.has_value()) return session.exit_code();
  int64_t number = 0;
  int64_t media_us = 0;
  const absl::Status bound =
      kine::BindJson(reply->body, {.unknown = kine::JsonUnknown::kIgnore},
                     [&](kine::JsonObject& o) {
                       o.Int("number", number);
                       o.Int("media_us", media_us);
                     });
  if (!bound.ok()) return session.Fail(bound, kFailed);
  session.Print(reply->body, absl::StrCat("marker ", number, " at ",
                                          HumanDuration(media_us)));
  return kDone;
}

}  // namespace kinectl
