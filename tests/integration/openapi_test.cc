// The document that the daemon gives of itself, and every route of it driven by
// what it says: with what is legal by it, and what is not.
#include <gtest/gtest.h>
#include <jansson.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <optional>
#include <random>
#include <set>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "daemon/base/check.h"
#include "tests/integration/api_document.h"
#include "tests/integration/daemon_rig.h"
#include "tests/integration/exchange.h"
#include "tests/integration/schema_values.h"

namespace kine {
namespace {

struct Operation {
  std::string method;
  std::string path;
  json_t* json = nullptr;  // Of the document.

  json_t* Body() const {
    return json_object_get(
        json_object_get(json_object_get(json, "requestBody"), "content"),
        "application/json");
  }
  bool has_id() const { return absl::StrContains(path, "{id}"); }
  bool compatible() const { return absl::StartsWith(path, "/api/"); }
  bool documents(int status) const {
    return json_object_get(json_object_get(json, "responses"),
                           absl::StrCat(status).c_str()) != nullptr;
  }
};

// While it lives, new temporary directories are in memory, where there is some.
class TemporaryInMemory {
 public:
  TemporaryInMemory() {
    if (const char* const path = std::getenv("TMPDIR")) before_ = path;
    if (::access("/dev/shm", W_OK) == 0) ::setenv("TMPDIR", "/dev/shm", 1);
  }
  ~TemporaryInMemory() {
    if (before_.has_value())
      ::setenv("TMPDIR", before_->c_str(), 1);
    else
      ::unsetenv("TMPDIR");
  }

 private:
  std::optional<std::string> before_;
};

class OpenApiTest : public testing::Test {
 protected:
  void SetUp() override {
    in_memory_.reset();
    // What comes and goes is counted later.
    while (rig_.Call("GET", "/v1/info").body.Text("backends.replay.state") ==
           "waiting")
      rig_.Elapse(absl::Milliseconds(20));
    const DaemonRig::Answer answer = rig_.Call("GET", "/v1/openapi.json");
    ASSERT_EQ(answer.status, 200);
    document_.emplace(answer.body.text());
    ASSERT_NE(document_->json(), nullptr) << answer.body.text();
    const char* path;
    json_t* methods;
    json_object_foreach(json_object_get(document_->json(), "paths"), path,
                        methods) {
      const char* method;
      json_t* json;
      json_object_foreach(methods, method, json)
          operations_.push_back({absl::AsciiStrToUpper(method), path, json});
    }
    // What ends things last.
    const auto rank = [](const Operation& o) {
      return std::pair(o.method == "GET"      ? 0
                       : o.method == "DELETE" ? 2
                                              : 1,
                       o.path);
    };
    std::sort(operations_.begin(), operations_.end(),
              [rank](const Operation& a, const Operation& b) {
                return rank(a) < rank(b);
              });
  }

  // Sends, and checks what holds for every reply. The status.
  int Drive(const Operation& operation, const std::string& target,
            const std::string& body, const std::string& owner = "") {
    const Exchange reply =
        Send(rig_.socket(), operation.method, target, body, owner);
    ++driven_;
    SCOPED_TRACE(absl::StrCat(operation.method, " ", target, " ",
                              absl::CHexEscape(body.substr(0, 300)), " -> ",
                              reply.status, " ", reply.body.substr(0, 300)));
    EXPECT_NE(reply.status, 0) << "no reply";
    if (reply.status < 400) {
      EXPECT_EQ(document_->Complaint(operation.method, target, reply.status,
                                     reply.media_type, reply.body),
                "");
    } else {
      EXPECT_TRUE(operation.documents(reply.status)) << "not documented";
      const Json json(reply.body);
      const bool problem = reply.media_type == "application/problem+json";
      EXPECT_TRUE(problem || operation.compatible()) << reply.media_type;
      EXPECT_FALSE(json.Text("message").empty());
      if (problem) {
        EXPECT_FALSE(json.Text("code").empty());
        EXPECT_EQ(json.Int("status"), reply.status);
      }
    }
    if (reply.status == 201) Undo(operation, reply.body);
    return reply.status;
  }

  // What a start made must not pile up.
  void Undo(const Operation& operation, const std::string& started) {
    if (operation.path == "/v1/recordings" || operation.path == "/v1/replays")
      EndRecording(Json(started).Text("id"));
    if (operation.path == "/v1/processes") EndProcess(Json(started).Text("id"));
  }
  void EndRecording(const std::string& id, const std::string& owner = "") {
    const std::string path = "/v1/recordings/" + id;
    Send(rig_.socket(), "POST", path + "/stop", R"({"wait_ready":true})",
         owner);
    Send(rig_.socket(), "DELETE", path, "", owner);
  }
  void EndProcess(const std::string& id, const std::string& owner = "") {
    const std::string path = "/v1/processes/" + id;
    Send(rig_.socket(), "POST", path + "/cancel", "", owner);
    Send(rig_.socket(), "GET", path + "?wait=exit", "", owner);
    Send(rig_.socket(), "DELETE", path, "", owner);
  }

  // One that lives, of this owner, for a path's {id}.
  void Begin(const Operation& operation, const std::string& id,
             const std::string& owner = "") {
    const bool recording = absl::StrContains(operation.path, "recordings/");
    const Exchange reply =
        recording ? Send(rig_.socket(), "POST", "/v1/recordings",
                         // Of a source each: who joins a still screen waits for
                         // a keyframe.
                         absl::StrCat(R"({"id":")", id,
                                      R"(","source":{"test":{"width":)",
                                      owner.empty() ? 64 : 66,
                                      R"(,"height":48,"pattern":"still"}}})"),
                         owner)
                  : Send(rig_.socket(), "POST", "/v1/processes",
                         absl::StrCat(R"({"id":")", id,
                                      R"(","command":"cat","pty":{}})"),
                         owner);
    ASSERT_EQ(reply.status, 201) << reply.body;
    if (recording)
      Send(rig_.socket(), "GET",
           absl::StrCat("/v1/recordings/", id, "?wait=first_frame"), "", owner);
  }
  void End(const Operation& operation, const std::string& id,
           const std::string& owner = "") {
    if (absl::StrContains(operation.path, "recordings/"))
      EndRecording(id, owner);
    else
      EndProcess(id, owner);
  }

  const Operation* Find(const std::string& path) const {
    const auto found = std::ranges::find(operations_, path, &Operation::path);
    KINE_CHECK(found != operations_.end());
    return &*found;
  }

  static std::string At(const Operation& operation, const std::string& id) {
    return absl::StrReplaceAll(operation.path, {{"{id}", id}, {"{hash}", id}});
  }

  static DaemonRig::Options TestDesktop() {
    DaemonRig::Options options;
    options.flags = {absl::StrCat("--desktop_source=", TestSource(64, 48)),
                     absl::StrCat("--replay_source=", TestSource(64, 48)),
                     "--replay_seconds=600"};
    return options;
  }

  // Starts and deletes are durable, and hundreds of them wait for little else;
  // the disk is not what is tested here.
  std::optional<TemporaryInMemory> in_memory_{std::in_place};
  DaemonRig rig_{TestDesktop()};
  std::optional<ApiDocument> document_;
  std::vector<Operation> operations_;
  int driven_ = 0;
};

// Heads of views are a cache, with limits of its own.
size_t OpenFiles(pid_t pid) {
  size_t count = 0;
  std::error_code error;
  for (const auto& file : std::filesystem::directory_iterator(
           absl::StrCat("/proc/", pid, "/fd"))) {
    const std::string what =
        std::filesystem::read_symlink(file.path(), error).string();
    if (!absl::StartsWith(what, "/memfd:kine-view")) ++count;
  }
  return count;
}

size_t Children(pid_t pid) {
  std::string all;
  for (const auto& task : std::filesystem::directory_iterator(
           absl::StrCat("/proc/", pid, "/task")))
    absl::StrAppend(&all, ReadWholeFile(task.path().string() + "/children"));
  return std::vector<std::string>(
             absl::StrSplit(all, ' ', absl::SkipWhitespace()))
      .size();
}

// "?offset=0" where there must be one.
std::string NeededQuery(const Operation& operation) {
  // `auto` finds nothing to capture here.
  if (operation.path == "/v1/screenshot")
    return "?source=%7B%22test%22:%7B%22width%22:64,%22height%22:48%7D%7D";
  size_t i;
  json_t* parameter;
  json_array_foreach(json_object_get(operation.json, "parameters"), i,
                     parameter) {
    if (!json_is_true(json_object_get(parameter, "required"))) continue;
    if (json_object_get(parameter, "in") == nullptr ||
        json_string_value(json_object_get(parameter, "in")) !=
            std::string("query"))
      continue;
    return absl::StrCat(
        "?", json_string_value(json_object_get(parameter, "name")), "=0");
  }
  return "";
}

// In place of what `target` says of the same parameter.
std::string AddQuery(const std::string& target, const std::string& query) {
  const size_t begin = target.find('?');
  if (begin == target.npos) return absl::StrCat(target, "?", query);
  if (absl::StartsWith(target.substr(begin + 1),
                       query.substr(0, query.find('=') + 1)))
    return absl::StrCat(target.substr(0, begin), "?", query);
  return absl::StrCat(target, "&", query);
}

// The queries of an operation, one parameter each.
std::vector<SchemaValue> QueriesOf(const Operation& operation) {
  std::vector<SchemaValue> queries;
  size_t i;
  json_t* parameter;
  json_array_foreach(json_object_get(operation.json, "parameters"), i,
                     parameter) {
    const json_t* in = json_object_get(parameter, "in");
    if (in == nullptr || json_string_value(in) != std::string("query"))
      continue;
    const std::string name =
        json_string_value(json_object_get(parameter, "name"));
    json_t* schema = json_object_get(parameter, "schema");
    for (const SchemaValue& value : ValuesOf(schema)) {
      std::string text = value.json;
      // All is text here: types that are wrong in JSON need not be.
      const bool name_of = json_object_get(schema, "enum") != nullptr;
      if (!value.legal && name_of != (text.front() == '"')) continue;
      if (text.front() == '"') text = text.substr(1, text.size() - 2);
      const bool typed = json_object_get(schema, "enum") != nullptr ||
                         json_object_get(schema, "minimum") != nullptr;
      if (!value.legal && (!typed || text.size() > 1'000)) continue;
      queries.push_back(
          {absl::StrCat(
               name, "=",
               absl::StrReplaceAll(text, {{"%", "%25"},
                                          {" ", "%20"},
                                          {"\"", "%22"},
                                          {"{", "%7B"},
                                          {"}", "%7D"},
                                          {"[", "%5B"},
                                          {"]", "%5D"},
                                          {"\\", "%5C"},
                                          {"+", "%2B"}}),
               // Nothing here waits for what does not come.
               name == "wait" && !value.free_text ? "&timeout_ms=1" : ""),
           value.legal, value.free_text});
    }
  }
  return queries;
}

// Whether the recording has had it is not for a schema to say.
bool IsMoment(const std::string& name) {
  return name == "at_media_us" || name == "at_mono_us";
}

constexpr const char* kNoJson[] = {"{",
                                   "[]",
                                   "null",
                                   "\"x\"",
                                   "{}x",
                                   "{} {}",
                                   "{\"a\":}",
                                   "{'a':1}",
                                   "{\"a\":01}",
                                   "{\"a\":\"\xff\"}",
                                   "\xef\xbb\xbf{}",
                                   "nan",
                                   "{\"a\":1e999}",
                                   "{\"\\u0000\":1}",
                                   "{\"zzz\":1,\"zzz\":2}"};

TEST_F(OpenApiTest, EveryRouteAnswersWhatItsDocumentSays) {
  const pid_t pid = rig_.daemon().pid();
  ASSERT_GE(operations_.size(), 25u);
  const size_t files = OpenFiles(pid);
  const size_t children = Children(pid);
  std::minstd_rand random(20'260'101);
  int fixture = 0;
  // Of another owner, whom nothing here may touch: one for all.
  const Operation* kinds[] = {Find("/v1/recordings/{id}"),
                              Find("/v1/processes/{id}")};
  for (const Operation* kind : kinds) Begin(*kind, "theirs", "somebody");
  for (const Operation& operation : operations_) {
    const std::string live = absl::StrCat("live-", ++fixture);
    if (operation.has_id()) Begin(operation, live);
    const std::string needed = NeededQuery(operation);
    const std::string target = At(operation, live) + needed;
    json_t* body = operation.Body();
    char* dumped = json_dumps(json_object_get(body, "example"), JSON_COMPACT);
    const std::string example = dumped == nullptr ? "" : dumped;
    std::free(dumped);
    std::set<int> seen;
    // Somebody else's, strange ones, and none.
    const auto expect = [&](int status, const std::string& to,
                            const std::string& with) {
      EXPECT_EQ(Drive(operation, to, with), status)
          << operation.method << " " << to << " " << with.substr(0, 200);
    };
    if (operation.has_id()) {
      if (!operation.compatible()) {
        const int absent =
            absl::EndsWith(operation.path, "/cancel") ? 200 : 404;
        const int other =
            Drive(operation, At(operation, "theirs") + needed, example);
        EXPECT_EQ(other, 404) << operation.method << operation.path;
        const int none = Drive(
            operation, At(operation, absl::StrCat("absent-", fixture)) + needed,
            example);
        EXPECT_EQ(none, absent) << operation.method << operation.path;
      }
      for (const char* id : {"%2e%2e", "..", "%00", "%ff", "a%2fb", "%"})
        seen.insert(Drive(operation, At(operation, id), example));
      seen.insert(
          Drive(operation, At(operation, std::string(3'000, 'a')), example));
    }
    // The body, piece by piece.
    if (body != nullptr) {
      for (const char* text : kNoJson) expect(400, target, text);
      expect(400, target, std::string("{}\0", 3));
      expect(400, target, std::string(30'000, '['));
      expect(413, target, std::string((64u << 10) + 1, ' '));
      json_t* schema = json_object_get(body, "schema");
      if (json_is_false(json_object_get(schema, "additionalProperties")))
        expect(400, target, WithMember(example, "zzz", "1"));
      const char* name;
      json_t* member;
      json_object_foreach(json_object_get(schema, "properties"), name, member) {
        for (const SchemaValue& value : ValuesOf(member)) {
          const std::string changed = WithMember(example, name, value.json);
          const int status = Drive(operation, target, changed);
          const bool judged = !value.free_text && !IsMoment(name);
          if (!value.legal || (judged && status == 400)) {
            EXPECT_EQ(status == 400, !value.legal)
                << status << changed.substr(0, 200);
          }
          seen.insert(status);
        }
      }
    }
    // The query, and then anything together.
    const std::vector<SchemaValue> queries = QueriesOf(operation);
    for (const SchemaValue& query : queries) {
      const int status =
          Drive(operation, AddQuery(target, query.json), example);
      const bool refused = status == 400 || (status == 409 && !query.legal);
      EXPECT_TRUE(refused == !query.legal || query.free_text)
          << operation.path << "?" << query.json << " -> " << status;
      seen.insert(status);
    }
    expect(400, AddQuery(target, "zzz=1"), example);
    if (operation.method == "GET" && body == nullptr) expect(400, target, "{}");
    for (int i = 0; i < 8 && !queries.empty(); ++i) {
      std::string together = target;
      for (int j = 0; j < 3; ++j)
        together = AddQuery(together, queries[random() % queries.size()].json);
      seen.insert(Drive(operation, together, example));
    }
    if (operation.has_id() && operation.method != "POST" &&
        operation.method != "PUT") {
      seen.insert(Drive(operation, target, ""));
      // And of one that has ended.
      Send(rig_.socket(), "POST",
           absl::StrCat("/v1/recordings/", live, "/stop"),
           R"({"wait_ready":true})");
      Send(rig_.socket(), "POST",
           absl::StrCat("/v1/processes/", live, "/cancel"), "");
      Send(rig_.socket(), "GET",
           absl::StrCat("/v1/processes/", live, "?wait=exit"), "");
      for (const SchemaValue& query : queries)
        seen.insert(Drive(operation, AddQuery(target, query.json), ""));
    }
    // The rest of a command's tree ends a little after the command.
    int last = Drive(operation, target, example);
    for (int i = 0; i < 250 && operation.method == "DELETE" && last == 409;
         ++i) {
      rig_.Elapse(absl::Milliseconds(20));
      last = Drive(operation, target, example);
    }
    seen.insert(last);
    // The test picture has no pointer, and so no shape of one.
    EXPECT_TRUE(*seen.begin() < 300 || absl::EndsWith(operation.path, "{hash}"))
        << operation.method << " " << operation.path << " never worked";
    if (operation.has_id()) End(operation, live);
  }
  for (const Operation* kind : kinds) End(*kind, "theirs", "somebody");
  for (const char* kind : {"recordings", "processes"}) {
    const Json list = rig_.Call("GET", absl::StrCat("/v1/", kind)).body;
    for (size_t i = 0; i < list.Size("items"); ++i) {
      const std::string id = list.Text(absl::StrCat("items.", i, ".id"));
      if (kind == std::string("recordings"))
        EndRecording(id);
      else
        EndProcess(id);
    }
  }
  // Closed connections and ended children are noticed a little later.
  for (int i = 0;
       i < 250 && (OpenFiles(pid) > files || Children(pid) > children); ++i)
    rig_.Elapse(absl::Milliseconds(20));
  EXPECT_LE(OpenFiles(pid), files);
  EXPECT_LE(Children(pid), children);
  EXPECT_GT(driven_, 1'000);
}

}  // namespace
}  // namespace kine
