#include <string>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "daemon/base/limits.h"
#include "daemon/base/log.h"
#include "ipc/json_in.h"
#include "tools/kinectl/verbs.h"

namespace kinectl {
namespace {

constexpr kine::JsonTextRule kText = {.max = 16'384,
                                      .charset = kine::JsonTextRule::kAny};
constexpr kine::JsonLimits kReplies = {.unknown = kine::JsonUnknown::kIgnore};

// One event for people: when, what, and the data as it came.
std::string EventText(absl::string_view json) {
  std::string at;
  std::string type;
  std::string data;
  const absl::Status bound = kine::BindJson(
      json, {.unknown = kine::JsonUnknown::kIgnore}, [&](kine::JsonObject& o) {
        o.Text("at", at, kText);
        o.Text("type", type, kText);
        o.Object("data", [&](kine::JsonObject& d) { data = d.AsText(); });
      });
  if (!bound.ok()) return std::string(json);
  return absl::StrCat(at, at.empty() ? "" : " ", type, " ", data);
}

}  // namespace

int RunInfo(Session& session, const Args&) {
  kine::ClientRequest request;
  request.target = "/v1/info";
  const auto reply = session.Call(request);
  if (!reply.has_value()) return session.exit_code();
  std::string text;
  const absl::Status bound = kine::BindJson(
      reply->body, kReplies,
      [&text](kine::JsonObject& o) { text = o.AsText(/*indented=*/true); });
  if (!bound.ok()) return session.Fail(bound, kFailed);
  session.Print(reply->body, text);
  return kDone;
}

int RunSources(Session& session, const Args&) {
  kine::ClientRequest request;
  request.target = "/v1/sources";
  const auto reply = session.Call(request);
  if (!reply.has_value()) return session.exit_code();
  std::string text =
      absl::StrFormat("%-9s %-4s %-8s %s", "KIND", "OK", "NODE", "WHAT");
  const absl::Status bound =
      kine::BindJson(reply->body, kReplies, [&text](kine::JsonObject& o) {
        o.List("items", kine::limits::kBodyBytesMax, [&](kine::JsonObject& s) {
          std::string kind;
          std::string name;
          std::string reason;
          bool available = false;
          uint32_t node = 0;
          s.Text("kind", kind, kText);
          s.Text("name", name, kText);
          s.Text("reason", reason, kText);
          s.Bool("available", available);
          s.Int("node", node);
          absl::StrAppendFormat(
              &text, "\n%-9s %-4s %-8s %s", kind, available ? "yes" : "no",
              node == 0 ? "" : absl::StrCat(node),
              available ? (name.empty() ? "" : kine::Quoted(name)) : reason);
        });
      });
  if (!bound.ok()) return session.Fail(bound, kFailed);
  session.Print(reply->body, text);
  return kDone;
}

int RunEvents(Session& session, const Args& args) {
  std::string target = "/v1/events";
  if (args.Has("since")) {
    for (const char c : args.Get("since")) {
      if (!absl::ascii_isalnum(static_cast<uint8_t>(c)) && c != '-') {
        return session.Fail(
            absl::InvalidArgumentError("--since is an event's id, such as "
                                       "INSTANCE-42"),
            kUsage);
      }
    }
    absl::StrAppend(&target, "?since=", args.Get("since"));
  }
  const absl::Status ended =
      session.client().Follow(target, [&session](absl::string_view line) {
        session.Print(std::string(line), session.json() ? "" : EventText(line));
        return true;
      });
  // Ctrl-C is how one ends this.
  if (absl::IsCancelled(ended)) return kDone;
  return session.Fail(ended, Session::CodeOf(ended));
}

}  // namespace kinectl
