// kinectl frame, shot, trace, cursor: single pictures, how they came about, and
// what the pointer did.
#include <string>

#include "absl/strings/str_cat.h"
#include "ipc/json_out.h"
#include "tools/kinectl/download.h"
#include "tools/kinectl/values.h"
#include "tools/kinectl/verbs.h"

namespace kinectl {
namespace {

int Fetch(Session& session, const std::string& target,
          const std::string& path) {
  const std::optional<uint64_t> bytes = DownloadFrom(session, target, path);
  if (!bytes.has_value()) return session.exit_code();
  if (path == "-") return kDone;
  std::string json;
  kine::JsonOut out(json);
  out.BeginObject();
  out.Field("output", path);
  out.Field("bytes", *bytes);
  out.End();
  session.Print(json, absl::StrCat(path, ": ", HumanBytes(*bytes)));
  return kDone;
}

}  // namespace

int RunFrame(Session& session, const Args& args) {
  const std::string& id = args.operands()[0];
  const bool at = args.Has("at");
  const auto target = RecordingPath(id, at ? "/frame" : "/thumbnail");
  if (!target.ok()) return session.Fail(target.status(), kUsage);
  std::string query;
  if (at) {
    const auto time = ParseDuration(args.Get("at"));
    if (!time.ok())
      return session.Fail(absl::InvalidArgumentError(
                              absl::StrCat("--at: ", time.status().message())),
                          kUsage);
    query = absl::StrCat("?at_media_us=", absl::ToInt64Microseconds(*time));
  }
  return Fetch(session, *target + query,
               args.Has("output") ? args.Get("output")
                                  : absl::StrCat(id, at ? ".png" : ".jpg"));
}

int RunCursor(Session& session, const Args& args) {
  const std::string& id = args.operands()[0];
  auto target = RecordingPath(id, "/cursor");
  if (!target.ok()) return session.Fail(target.status(), kUsage);
  const char* separator = "?";
  for (const char* name : {"format", "view"}) {
    if (!args.Has(name)) continue;
    absl::StrAppend(&*target, separator, name, "=", Encoded(args.Get(name)));
    separator = "&";
  }
  const bool cap = args.Get("format") == "cap";
  return Fetch(session, *target,
               args.Has("output")
                   ? args.Get("output")
                   : absl::StrCat(id, cap ? ".cursor.json" : ".cursor.ndjson"));
}

int RunShot(Session& session, const Args& args) {
  std::string target = "/v1/screenshot";
  const char* separator = "?";
  for (const char* name : {"source", "width", "height"}) {
    if (!args.Has(name)) continue;
    absl::StrAppend(&target, separator, name, "=", Encoded(args.Get(name)));
    separator = "&";
  }
  return Fetch(session, target,
               args.Has("output") ? args.Get("output") : "screenshot.png");
}

int RunTrace(Session& session, const Args& args) {
  const std::string& id = args.operands()[0];
  const auto target = RecordingPath(id, "/trace");
  if (!target.ok()) return session.Fail(target.status(), kUsage);
  return Fetch(session, *target,
               args.Has("output") ? args.Get("output")
                                  : absl::StrCat(id, ".trace.json"));
}

}  // namespace kinectl
