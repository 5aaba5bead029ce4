// The mount for clients of coder's agent, with the real daemon: what it answers
// them, in its words. The tests of the original are walked row by row; what has
// no counterpart is what the daemon does not have: hooks into its environment,
// directories that it derives from its own configuration, git watchers that a
// start notifies, an access log. Of its buffer: OutputStoreTest. The wait that
// runs out: CompatWaitTest.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <cstdlib>
#include <fstream>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "ipc/client.h"
#include "tests/integration/daemon_rig.h"

namespace kine {
namespace {

using ::testing::HasSubstr;

class CompatTest : public testing::Test {
 protected:
  DaemonRig::Answer Post(const std::string& tail, const std::string& body,
                         const std::string& chat = "") {
    return rig_.Call("POST", "/api/v0/processes/" + tail, body, chat);
  }
  DaemonRig::Answer Ask(const std::string& tail, const std::string& chat = "") {
    return rig_.Call("GET", "/api/v0/processes/" + tail, "", chat);
  }
  std::string Begin(const std::string& command, const std::string& more = "",
                    const std::string& chat = "") {
    const auto answer =
        Post("start",
             absl::StrCat("{\"command\":", JsonText(command), more, "}"), chat);
    EXPECT_EQ(answer.status, 200) << answer.body.text();
    EXPECT_TRUE(answer.body.Bool("started"));
    return answer.body.Text("id");
  }
  Json Finish(const std::string& id, const std::string& chat = "") {
    return Ask(id + "/output?wait=true", chat).body;
  }

  DaemonRig rig_;
};

// Bad requests: their codes and texts.
TEST_F(CompatTest, TellsMistakesInItsOwnWords) {
  struct Case {
    const char* tail;
    const char* body;
    int status;
    const char* message;
  };
  const std::string ended = Begin("true");
  Finish(ended);
  const std::string at_ended = ended + "/signal";
  const std::string not_running =
      absl::StrCat("Process \"", ended, "\" is not running.");
  const Case cases[] = {
      {"start", "{", 400, "Request body must be valid JSON."},
      {"start", R"({"command":1})", 400, "Request body must be valid JSON."},
      {"start", "{}", 400, "Command is required."},
      {"start", R"({"command":""})", 400, "Command is required."},
      {"start", R"({"command":"true","workdir":"/no/such"})", 500,
       "Failed to start process."},
      {"x/signal", "{", 400, "Request body must be valid JSON."},
      {"x/signal", "{}", 400, "Signal is required."},
      {"x/signal", R"({"signal":"SIGFOO"})", 400,
       "Unsupported signal \"SIGFOO\". Use \"kill\" or \"terminate\"."},
      {"x/signal", R"({"signal":"kill"})", 404, "Process \"x\" not found."},
      {at_ended.c_str(), R"({"signal":"kill"})", 409, not_running.c_str()},
  };
  for (const Case& c : cases) {
    const auto answer = Post(c.tail, c.body);
    EXPECT_EQ(answer.status, c.status) << c.tail << c.body;
    EXPECT_EQ(answer.body.Text("message"), c.message) << c.tail << c.body;
  }
  EXPECT_EQ(Ask("x/output").status, 404);
  EXPECT_EQ(Ask("x/output").body.Text("message"), "Process \"x\" not found.");
}

// Commands and what comes of them.
TEST_F(CompatTest, RunsCommandsAsItsClientsExpect) {
  struct Case {
    const char* command;
    const char* more;
    const char* chat;
    const char* output;  // All of it; null: any.
    int code;
  };
  const char* const home = std::getenv("HOME");
  const std::string at_home = absl::StrCat(home == nullptr ? "/" : home, "\n");
  const std::string marker = rig_.directory();
  const std::string here = absl::StrCat(",\"workdir\":", JsonText(marker));
  const std::string marked = marker + "\n";
  const Case cases[] = {
      {"echo hi", "", "", "hi\n", 0},
      {"echo hi", ",\"background\":true", "", "hi\n", 0},
      {"exit 42", "", "", "", 42},
      {"echo out; echo err >&2", "", "", "out\nerr\n", 0},
      {"pwd", here.c_str(), "", marked.c_str(), 0},
      {"echo $A-$B", ",\"env\":{\"A\":\"1\",\"B\":\"2\"}", "", "1-2\n", 0},
      {"echo $CODER_CHAT_ID", "", "chat1", "chat1\n", 0},
      {"echo x$CODER_CHAT_ID", "", "", "x\n", 0},
      {"kill -9 $$", "", "", "", -1},
      {"read x; echo [$x]", "", "", "[]\n", 0},
      {"echo a; exit", ",\"unknown\":[1]", "", "a\n", 0},
      {"pwd", "", "", home == nullptr ? nullptr : at_home.c_str(), 0},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(absl::StrCat(c.command, c.more));
    const Json end = Finish(Begin(c.command, c.more, c.chat), c.chat);
    EXPECT_FALSE(end.Bool("running"));
    EXPECT_EQ(end.Int("exit_code"), c.code);
    EXPECT_FALSE(end.Has("truncated"));
    if (c.output != nullptr) {
      EXPECT_EQ(end.Text("output"), c.output);
    }
  }
}

TEST_F(CompatTest, ListsTenRunningFirstThenTheNewest) {
  EXPECT_EQ(Ask("list").body.text(), "{\"processes\":[]}");
  std::string running = Begin("sleep 100", ",\"background\":true");
  std::string last;
  for (int i = 0; i < 12; ++i) Finish(last = Begin(absl::StrCat("true ", i)));
  const Json list = Ask("list").body;
  ASSERT_EQ(list.Size("processes"), 10u);
  EXPECT_EQ(list.Text("processes.0.id"), running);
  EXPECT_TRUE(list.Bool("processes.0.running"));
  EXPECT_TRUE(list.Bool("processes.0.background"));
  EXPECT_FALSE(list.Has("processes.0.exit_code"));
  EXPECT_EQ(list.Text("processes.1.id"), last);
  EXPECT_EQ(list.Text("processes.1.command"), "true 11");
  EXPECT_EQ(list.Int("processes.1.exit_code"), 0);
  EXPECT_GE(list.Int("processes.1.exited_at_unix"),
            list.Int("processes.1.started_at_unix"));
}

TEST_F(CompatTest, ChatsSeeTheirOwn) {
  const std::string mine = Begin("sleep 100", "", "a");
  const std::string nobodys = Begin("sleep 100");
  EXPECT_EQ(Ask("list", "a").body.Size("processes"), 1u);
  EXPECT_EQ(Ask("list", "b").body.Size("processes"), 0u);
  EXPECT_EQ(Ask("list").body.Size("processes"), 2u);
  EXPECT_EQ(Ask(mine + "/output", "a").status, 200);
  EXPECT_EQ(Ask(mine + "/output", "b").status, 404);
  EXPECT_EQ(Ask(mine + "/output").status, 200);
  EXPECT_EQ(Ask(nobodys + "/output", "b").status, 200);
  EXPECT_EQ(Post(mine + "/signal", R"({"signal":"kill"})", "b").status, 404);
  EXPECT_EQ(Post(mine + "/signal", R"({"signal":"kill"})", "a").status, 200);
}

TEST_F(CompatTest, KillAndTerminateReachTheWholeGroup) {
  for (const std::string signal : {"kill", "terminate"}) {
    const std::string id = Begin("sleep 100 & sleep 100; true");
    const auto answer =
        Post(id + "/signal", absl::StrCat("{\"signal\":\"", signal, "\"}"));
    EXPECT_EQ(answer.status, 200);
    EXPECT_EQ(
        answer.body.Text("message"),
        absl::StrCat("Signal \"", signal, "\" sent to process \"", id, "\"."));
    EXPECT_EQ(Finish(id).Int("exit_code"), -1);
  }
}

TEST_F(CompatTest, LargeOutputIsHeadAndTail) {
  const Json end = Finish(Begin("seq 1 100000"));
  EXPECT_EQ(end.Int("truncated.original_bytes"), 588'895);
  EXPECT_EQ(end.Int("truncated.omitted_bytes"), 588'895 - 32'768);
  EXPECT_EQ(end.Int("truncated.retained_bytes"),
            static_cast<int64_t>(end.Text("output").size()));
  EXPECT_EQ(end.Text("truncated.strategy"), "head_tail");
  EXPECT_THAT(end.Text("output"), HasSubstr("... [omitted 556127 bytes] ..."));
}

TEST_F(CompatTest, AWaitSeesTheExitAndASnapshotDoesNotWait) {
  const std::string id = Begin("echo now; sleep 0.3; echo then");
  EXPECT_TRUE(Ask(id + "/output").body.Bool("running"));
  const Json end = Finish(id);
  EXPECT_EQ(end.Text("output"), "now\nthen\n");
  EXPECT_EQ(Finish(id).Text("output"), "now\nthen\n");  // At once.
}

TEST_F(CompatTest, AnyNumberMayWaitForTheSameExit) {
  const std::string go = rig_.directory() + "/go";
  const std::string id =
      Begin(absl::StrCat("mkfifo ", go, "; echo ready; cat ", go, "; exit 3"));
  // One that gives up: nobody else's wait ends.
  Client::Options options;
  options.socket_path = rig_.socket();
  Client impatient(std::move(options));
  ClientRequest request;
  request.target = absl::StrCat("/api/v0/processes/", id, "/output?wait=true");
  request.deadline = absl::Milliseconds(50);
  EXPECT_FALSE(impatient.Call(request).ok());

  std::atomic<int> exits = 0;
  std::vector<std::thread> waiters;
  for (int i = 0; i < 12; ++i)
    waiters.emplace_back([&] {
      const Json end = Finish(id);
      if (!end.Bool("running") && end.Int("exit_code") == 3 &&
          end.Text("output") == "ready\nwent\n")
        ++exits;
    });
  EXPECT_TRUE(Ask(id + "/output").body.Bool("running"));
  std::ofstream(go) << "went\n";
  for (std::thread& waiter : waiters) waiter.join();
  EXPECT_EQ(exits, 12);
}

}  // namespace
}  // namespace kine
