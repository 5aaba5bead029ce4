#include <algorithm>
#include <iterator>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "daemon/base/limits.h"
#include "daemon/base/log.h"
#include "ipc/json_in.h"
#include "ipc/json_out.h"
#include "tools/kinectl/download.h"
#include "tools/kinectl/recording_state.h"
#include "tools/kinectl/values.h"
#include "tools/kinectl/verbs.h"

namespace kinectl {
namespace {

constexpr absl::Duration kReadyWait = absl::Seconds(60);

bool Ended(const kine::ClientReply& reply) {
  const auto state = ParseState(reply.body);
  return !state.ok() || state->ended();
}

// Prints the state in a reply; the exit code says how the recording fares.
int Show(Session& session, const kine::ClientReply& reply) {
  const absl::StatusOr<RecordingState> state = ParseState(reply.body);
  if (!state.ok()) return session.Fail(state.status(), kFailed);
  session.Print(reply.body, StateText(*state));
  return state->state == "failed" || state->state == "interrupted"
             ? kRecordingFailed
             : kDone;
}

struct Page {
  std::vector<std::string> items;
  std::vector<RecordingState> states;
  int64_t total = 0;
  std::string next;
};

absl::StatusOr<Page> ParsePage(const std::string& json) {
  Page page;
  const absl::Status bound =
      kine::BindJson(json,
                     {.bytes_max = kine::limits::kClientBodyBytesMax,
                      .unknown = kine::JsonUnknown::kIgnore},
                     [&page](kine::JsonObject& o) {
                       o.List("items", kine::limits::kRecordingsKnownMax,
                              [&page](kine::JsonObject& item) {
                                page.items.push_back(item.AsText());
                                page.states.push_back(BindState(item));
                              });
                       o.Int("total", page.total);
                       o.Text("next", page.next, {.max = 4096});
                     });
  if (!bound.ok()) return bound;
  return page;
}

std::string ListJson(const Page& all) {
  std::string text;
  kine::JsonOut out(text);
  out.BeginObject();
  out.BeginList("items");
  for (const std::string& item : all.items) out.Raw(item);
  out.End();
  out.Field("total", all.total);
  out.End();
  return text;
}

std::string ListText(const Page& all) {
  if (all.states.empty()) return "no recordings";
  std::string text = absl::StrFormat("%-28s %-12s %10s %11s  %s", "ID", "STATE",
                                     "DURATION", "SIZE", "REASON");
  for (const RecordingState& state : all.states) {
    absl::StrAppendFormat(&text, "\n%-28s %-12s %10s %11s  %s", state.id,
                          state.state, HumanDuration(state.media_us),
                          HumanBytes(state.bytes), state.reason);
  }
  return text;
}

// POST (or `method`) to the recording's `action`; all may be repeated.
int Ask(Session& session, const Args& args, absl::string_view action,
        const char* method = "POST") {
  const auto path = RecordingPath(args.operands()[0]);
  if (!path.ok()) return session.Fail(path.status(), kUsage);
  kine::ClientRequest request;
  request.method = method;
  request.target = absl::StrCat(*path, "/", action);
  const auto reply = session.Call(request);
  return reply.has_value() ? Show(session, *reply) : session.exit_code();
}

}  // namespace

int RunPause(Session& session, const Args& args) {
  return Ask(session, args, "pause");
}

int RunResume(Session& session, const Args& args) {
  return Ask(session, args, "resume");
}

int RunPin(Session& session, const Args& args) {
  return Ask(session, args, "pin");
}

int RunUnpin(Session& session, const Args& args) {
  return Ask(session, args, "pin", "DELETE");
}

int RunStart(Session& session, const Args& args) {
  const absl::StatusOr<kine::RecordingRequest> request = RequestOf(args);
  if (!request.ok()) return session.Fail(request.status(), kUsage);
  kine::ClientRequest call;
  call.method = "POST";
  call.target = "/v1/recordings";
  call.body = ToJson(*request);
  // Without an id a second try would be a second recording.
  call.repeatable = !request->id.empty();
  const auto reply = session.Call(call);
  return reply.has_value() ? Show(session, *reply) : session.exit_code();
}

int RunStop(Session& session, const Args& args) {
  const auto path = RecordingPath(args.operands()[0]);
  if (!path.ok()) return session.Fail(path.status(), kUsage);
  kine::ClientRequest stop;
  stop.method = "POST";
  stop.target = *path + "/stop";
  stop.body = args.Has("no_wait") ? R"({"wait_ready":false})"
                                  : R"({"wait_ready":true})";
  auto reply = session.Call(stop);
  if (!reply.has_value()) return session.exit_code();
  if (!args.Has("no_wait") && !Ended(*reply)) {
    kine::ClientRequest wait;
    wait.target = *path + "?wait=ready";
    reply = session.Check(session.client().Wait(wait, kReadyWait, Ended));
    if (!reply.has_value()) return session.exit_code();
  }
  return Show(session, *reply);
}

int RunStatus(Session& session, const Args& args) {
  const auto path = RecordingPath(args.operands()[0]);
  if (!path.ok()) return session.Fail(path.status(), kUsage);
  kine::ClientRequest request;
  request.target = *path;
  if (!args.Has("wait")) {
    const auto reply = session.Call(request);
    return reply.has_value() ? Show(session, *reply) : session.exit_code();
  }
  const std::string what = args.Get("wait");
  if (what != "first_frame" && what != "ready") {
    return session.Fail(
        absl::InvalidArgumentError(absl::StrCat("--wait=", kine::Quoted(what),
                                                ": give first_frame or ready")),
        kUsage);
  }
  absl::StatusOr<absl::Duration> limit = kReadyWait;
  if (args.Has("timeout")) limit = ParseDuration(args.Get("timeout"));
  if (!limit.ok()) return session.Fail(limit.status(), kUsage);
  absl::StrAppend(&request.target, "?wait=", what);
  const auto reply = session.Check(session.client().Wait(
      request, *limit, [&what](const kine::ClientReply& now) {
        const auto state = ParseState(now.body);
        return !state.ok() || state->ended() ||
               (what == "first_frame" && state->state != "starting");
      }));
  return reply.has_value() ? Show(session, *reply) : session.exit_code();
}

int RunList(Session& session, const Args& args) {
  Page all;
  std::string next;
  do {
    kine::ClientRequest request;
    request.target = "/v1/recordings";
    const char* mark = "?";
    if (args.Has("state")) {
      absl::StrAppend(&request.target, mark,
                      "state=", Encoded(args.Get("state")));
      mark = "&";
    }
    if (!next.empty())
      absl::StrAppend(&request.target, mark, "cursor=", Encoded(next));
    const auto reply = session.Call(request);
    if (!reply.has_value()) return session.exit_code();
    absl::StatusOr<Page> page = ParsePage(reply->body);
    if (!page.ok()) return session.Fail(page.status(), kFailed);
    if (page->items.empty()) break;
    std::move(page->items.begin(), page->items.end(),
              std::back_inserter(all.items));
    std::move(page->states.begin(), page->states.end(),
              std::back_inserter(all.states));
    all.total = page->total;
    next = page->next;
  } while (!next.empty());
  session.Print(ListJson(all), ListText(all));
  return kDone;
}

int RunGet(Session& session, const Args& args) {
  const std::string& id = args.operands()[0];
  const std::string path =
      args.Has("output") ? args.Get("output") : absl::StrCat(id, ".mp4");
  std::string query;
  if (args.Has("view"))
    absl::StrAppend(&query, "?view=", Encoded(args.Get("view")));
  if (args.Has("partial"))
    absl::StrAppend(&query, query.empty() ? "?" : "&", "partial=1");
  const bool verify = args.Has("verify");
  if (verify && !query.empty())
    return session.Fail(
        absl::InvalidArgumentError("--verify: only of the file as it is, "
                                   "without --view and --partial"),
        kUsage);
  const std::optional<uint64_t> bytes =
      Download(session, id, path, query, verify);
  if (!bytes.has_value()) return session.exit_code();
  if (path == "-") return kDone;
  std::string json;
  kine::JsonOut out(json);
  out.BeginObject();
  out.Field("id", id);
  out.Field("output", path);
  out.Field("bytes", *bytes);
  out.End();
  session.Print(json, absl::StrCat(path, ": ", HumanBytes(*bytes)));
  return kDone;
}

int RunDigest(Session& session, const Args& args) {
  const std::string& id = args.operands()[0];
  const std::optional<std::string> sha256 = FetchDigest(session, id);
  if (!sha256.has_value()) return session.exit_code();
  std::string json;
  kine::JsonOut out(json);
  out.BeginObject();
  out.Field("id", id);
  out.Field("sha256", *sha256);
  out.End();
  // As `sha256sum --check` reads it.
  session.Print(json, absl::StrCat(*sha256, "  ", id, ".mp4"));
  return kDone;
}

int RunRemove(Session& session, const Args& args) {
  const auto path = RecordingPath(args.operands()[0]);
  if (!path.ok()) return session.Fail(path.status(), kUsage);
  kine::ClientRequest request;
  request.method = "DELETE";
  request.target = *path;
  // A second try would find nothing and say so.
  request.repeatable = false;
  if (!session.Call(request).has_value()) return session.exit_code();
  std::string json;
  kine::JsonOut out(json);
  out.BeginObject();
  out.Field("id", args.operands()[0]);
  out.Field("state", "deleted");
  out.End();
  session.Print(json, absl::StrCat(args.operands()[0], ": deleted"));
  return kDone;
}

}  // namespace kinectl
