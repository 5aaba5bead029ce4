// The HTTP surface of the real daemon, asked with curl, Python and our own
// client.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "tests/integration/daemon_rig.h"
#include "tests/integration/event_stream.h"

namespace kine {
namespace {

using ::testing::EndsWith;
using ::testing::HasSubstr;

constexpr char kRecordings[] = "/v1/recordings";

class HttpTest : public testing::Test {
 protected:
  // A small recording that has ended.
  void Finish(const std::string& id) {
    rig_.StartRecording(id, TestSource(320, 240));
    rig_.WaitFor(id, "first_frame");
    EXPECT_EQ(rig_.StopRecording(id).Text("state"), "ready");
  }
  void ExpectProblem(const DaemonRig::Answer& answer, int status,
                     const std::string& code) {
    EXPECT_EQ(answer.status, status) << answer.body.text();
    EXPECT_EQ(std::string(answer.head.Field("Content-Type")),
              "application/problem+json");
    EXPECT_EQ(answer.body.Int("status"), status);
    EXPECT_EQ(answer.body.Text("code"), code);
    EXPECT_NE(answer.body.Text("message"), "");
  }

  DaemonRig rig_;
};

TEST_F(HttpTest, CurlReadsInfoHealthAndMetrics) {
  if (!HaveProgram("curl")) GTEST_SKIP() << "no curl here";
  const auto curl = [&](const std::string& path) {
    const ProgramResult result =
        RunProgram({"curl", "-sS", "-w", "|%{http_code}|%{content_type}",
                    "--unix-socket", rig_.socket(), "http://kinescope" + path});
    EXPECT_EQ(result.code, 0) << result.err;
    return result.out;
  };
  std::string info = curl("/v1/info");
  EXPECT_THAT(info, EndsWith("|200|application/json"));
  const Json json(info.substr(0, info.find('|')));
  EXPECT_EQ(json.Text("name"), "kinescope");
  EXPECT_EQ(json.Text("state_dir"), rig_.state_dir());
  EXPECT_EQ(json.Int("limits.recordings"), 16);
  EXPECT_TRUE(json.Has("instance_id"));
  EXPECT_THAT(curl("/v1/healthz"), HasSubstr("\"ok\""));
  const std::string metrics = curl("/metrics");
  EXPECT_THAT(metrics, HasSubstr("# EOF\n|200|application/openmetrics-text"));
  EXPECT_THAT(metrics, HasSubstr("kinescope_http_requests_total "));
  EXPECT_THAT(curl("/v1/sources"), HasSubstr("\"kind\":\"test\""));
  EXPECT_THAT(curl("/v1/nothing"), HasSubstr("|404|application/problem+json"));
}

TEST_F(HttpTest, WhatIsNotThereAndWhatIsNotAllowedIsSaid) {
  ExpectProblem(rig_.Call("GET", "/v2/info"), 404, "no_route");
  ExpectProblem(rig_.Call("GET", "/v1/recordings/nobody"), 404, "not_found");
  const DaemonRig::Answer wrong = rig_.Call("PUT", kRecordings);
  ExpectProblem(wrong, 405, "method_not_allowed");
  EXPECT_EQ(std::string(wrong.head.Field("Allow")), "POST, GET, HEAD");
  EXPECT_EQ(std::string(wrong.head.Field("Kinescope-Instance")),
            rig_.Call("GET", "/v1/info").body.Text("instance_id"));
}

TEST_F(HttpTest, BadBodiesAreRefusedWithTheFieldAtFault) {
  const std::pair<const char*, const char*> cases[] = {
      {R"({"id":"a","bogus":1})", "bogus"},
      {R"({"id":7})", "id"},
      {R"({"id":"../etc"})", "id"},
      {R"({"id":"a","fps_max":0})", "fps_max"},
      {R"({"id":"a","max_bytes":4194303})", "max_bytes"},
      {R"({"id":"a","max_bytes":5000000.5})", "max_bytes"},
      {R"({"id":"a","quality":50,"bitrate":1000000})", "bitrate"},
      {R"({"id":"a","source":{"test":{"width":8}}})", "source.test.width"},
      {R"({"id":"a","source":{"test":{"colour":1}}})", "source.test.colour"},
      {R"({"id":"a","source":"camera"})", "source"},
      {R"({"id":"a","labels":{"x":null}})", "labels.x"},
      {R"({"id":"a","durability":"never"})", "durability"},
      {R"({"id":"a","id":"b"})", "id"},
  };
  for (const auto& [body, field] : cases) {
    SCOPED_TRACE(body);
    const DaemonRig::Answer answer = rig_.Call("POST", kRecordings, body);
    ExpectProblem(answer, 400, "invalid_argument");
    EXPECT_EQ(answer.body.Text("field"), field);
  }
  for (const char* body : {"{", "[]", "7", "{\"id\":\"a\"} x"}) {
    SCOPED_TRACE(body);
    ExpectProblem(rig_.Call("POST", kRecordings, body), 400,
                  "invalid_argument");
  }
  EXPECT_EQ(rig_.Call("GET", kRecordings).body.Int("total"), 0);
}

TEST_F(HttpTest, AStartMayBeRepeatedButNotChanged) {
  const std::string same =
      absl::StrCat("{\"id\":\"a\",\"source\":", TestSource(320, 240), "}");
  const std::string other =
      absl::StrCat("{\"id\":\"a\",\"source\":", TestSource(320, 256), "}");
  EXPECT_EQ(rig_.Call("POST", kRecordings, same).status, 201);

  DaemonRig::Answer again = rig_.Call("POST", kRecordings, same);
  EXPECT_EQ(again.status, 200);
  EXPECT_TRUE(again.body.Bool("attached"));
  ExpectProblem(rig_.Call("POST", kRecordings, other), 409,
                "different_request");
  ExpectProblem(rig_.Call("DELETE", "/v1/recordings/a"), 409, "wrong_state");
  ExpectProblem(rig_.Call("GET", "/v1/recordings/a/artifact"), 409,
                "wrong_state");
  ExpectProblem(rig_.Call("POST", kRecordings,
                          "{\"id\":\"b\",\"expect_instance\":\"another\"}"),
                409, "instance_changed");
  rig_.WaitFor("a", "first_frame");
  rig_.StopRecording("a");

  // The same after its end; and a stop, too.
  again = rig_.Call("POST", kRecordings, same);
  EXPECT_EQ(again.status, 200);
  EXPECT_TRUE(again.body.Bool("attached"));
  EXPECT_EQ(again.body.Text("state"), "ready");
  EXPECT_EQ(rig_.StopRecording("a").Text("reason"), "stopped");
  ExpectProblem(rig_.Call("POST", kRecordings, other), 409,
                "different_request");
  // Unless it is asked to be replaced.
  const int64_t height = rig_.State("a").Int("artifact.height");
  const DaemonRig::Answer restarted = rig_.Call(
      "POST", kRecordings,
      absl::StrCat("{\"id\":\"a\",\"on_existing\":\"restart\",\"source\":",
                   TestSource(320, 256), "}"));
  EXPECT_EQ(restarted.status, 201) << restarted.body.text();
  rig_.WaitFor("a", "first_frame");
  EXPECT_NE(rig_.StopRecording("a").Int("artifact.height"), height);
}

TEST_F(HttpTest, AnOwnersRecordingsAreNobodyElses) {
  const std::string body =
      absl::StrCat("{\"id\":\"a\",\"source\":", TestSource(320, 240), "}");
  EXPECT_EQ(rig_.Call("POST", kRecordings, body, "alice").status, 201);
  const std::string path = "/v1/recordings/a";

  for (const char* stranger : {"bob", ""}) {
    SCOPED_TRACE(stranger);
    ExpectProblem(rig_.Call("GET", path, "", stranger), 404, "not_found");
    ExpectProblem(rig_.Call("POST", path + "/stop", "", stranger), 404,
                  "not_found");
    ExpectProblem(rig_.Call("DELETE", path, "", stranger), 404, "not_found");
    ExpectProblem(rig_.Call("GET", path + "/artifact", "", stranger), 404,
                  "not_found");
    EXPECT_EQ(rig_.Call("GET", kRecordings, "", stranger).body.Int("total"), 0);
    ExpectProblem(rig_.Call("POST", kRecordings, body, stranger), 409,
                  "id_in_use");
  }

  EXPECT_EQ(rig_.Call("GET", path, "", "alice").status, 200);
  EXPECT_EQ(rig_.Call("GET", kRecordings, "", "alice").body.Int("total"), 1);
  EXPECT_EQ(rig_.Call("POST", path + "/stop", "{\"wait_ready\":true}", "alice")
                .status,
            200);
}

TEST_F(HttpTest, AListComesInPagesTheRunningOnesFirst) {
  for (const char* id : {"a", "b", "c"}) Finish(id);
  rig_.StartRecording("d", TestSource(320, 240));
  Finish("e");

  std::vector<std::string> ids;
  std::string target = absl::StrCat(kRecordings, "?limit=2");
  std::string next;
  int pages = 0;
  do {
    const Json page =
        rig_.Call("GET", next.empty() ? target
                                      : absl::StrCat(target, "&cursor=", next))
            .body;
    EXPECT_EQ(page.Int("total"), 5);
    for (size_t i = 0; i < page.Size("items"); ++i)
      ids.push_back(page.Text(absl::StrCat("items.", i, ".id")));
    next = page.Has("next") ? page.Text("next") : "";
  } while (!next.empty() && ++pages < 5);

  EXPECT_EQ(ids, (std::vector<std::string>{"d", "e", "c", "b", "a"}));
  EXPECT_EQ(rig_.Call("GET", absl::StrCat(kRecordings, "?state=ready"))
                .body.Int("total"),
            4);
  ExpectProblem(rig_.Call("GET", absl::StrCat(kRecordings, "?limit=0")), 400,
                "invalid_argument");
  ExpectProblem(rig_.Call("GET", absl::StrCat(kRecordings, "?state=done")), 400,
                "invalid_argument");
}

TEST_F(HttpTest, EventsTellEveryStateAndResumeWhereTheyWereLeft) {
  EventStream events(rig_.socket());
  Finish("a");
  const auto recording = events.NextState("a", "recording");
  const auto ready = events.NextState("a", "ready");
  ASSERT_TRUE(recording.has_value() && ready.has_value());
  EXPECT_EQ(ready->body.Text("data.reason"), "stopped");
  EXPECT_EQ(std::string(events.head().Field("Content-Type")),
            "text/event-stream");
  std::vector<std::string> states;
  for (const EventStream::Event& event : events.seen())
    if (event.type == "recording.state" &&
        event.body.Text("data.state") != "starting")
      states.push_back(event.body.Text("data.state"));
  EXPECT_EQ(states,
            (std::vector<std::string>{"recording", "finalizing", "ready"}));

  // Exactly what came after the event that was seen last.
  EventStream resumed(rig_.socket(), recording->id);
  ASSERT_TRUE(resumed.NextState("a", "ready"));
  ASSERT_EQ(resumed.seen().size(), 2u);
  EXPECT_EQ(resumed.seen()[0].body.Text("data.state"), "finalizing");
  EXPECT_EQ(resumed.seen()[1].id, ready->id);
  // Another run's id: what was in between is not known.
  EventStream foreign(rig_.socket(), "00000000-0000-4000-8000-000000000000-7");
  Finish("b");
  ASSERT_TRUE(foreign.NextState("b", "ready"));
  EXPECT_EQ(foreign.seen()[0].type, "gap");
}

TEST_F(HttpTest, PythonsOwnClientRecordsAndFetches) {
  if (!HaveProgram("python3")) GTEST_SKIP() << "no python3 here";
  const ProgramResult result = RunProgram({"python3", "-c", R"(
import http.client, json, socket, sys
class C(http.client.HTTPConnection):
  def connect(self):
    self.sock = socket.socket(socket.AF_UNIX)
    self.sock.settimeout(30)
    self.sock.connect(sys.argv[1])
c = C('kinescope')
def call(method, path, body=None, headers={}):
  c.request(method, path, body and json.dumps(body), headers)
  r = c.getresponse()
  return r.status, r.read()
base = '/v1/recordings'
status, _ = call('POST', base, {'id': 'py', 'source': {'test': {'width': 320, 'height': 240}}})
assert status == 201, status
status, text = call('GET', base + '/py?wait=first_frame')
assert json.loads(text)['state'] == 'recording', text
status, text = call('POST', base + '/py/stop', {'wait_ready': True})
size = json.loads(text)['bytes']
status, video = call('GET', base + '/py/artifact')
assert (status, len(video)) == (200, size), status
status, part = call('GET', base + '/py/artifact', headers={'Range': 'bytes=100-199'})
assert (status, part) == (206, video[100:200]), status
print('done')
)",
                                           rig_.socket()});
  EXPECT_EQ(result.out, "done\n") << result.err;
}

}  // namespace
}  // namespace kine
