// Commands across the lives of daemons: killed, stopped and started again.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <csignal>
#include <thread>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "ipc/client.h"
#include "tests/integration/daemon_rig.h"
#include "tests/integration/event_stream.h"

namespace kine {
namespace {

using ::testing::AnyOf;

constexpr char kProcesses[] = "/v1/processes";

class ProcessRestartTest : public testing::Test {
 protected:
  ~ProcessRestartTest() override {
    // What a test leaves when it fails.
    for (const UniqueFd& fd : watched_)
      (void)::syscall(SYS_pidfd_send_signal, fd.get(), SIGKILL, nullptr, 0);
  }
  DaemonRig::Answer Start(DaemonRig& rig, const std::string& id,
                          const std::string& command,
                          const std::string& more = "",
                          const std::string& owner = "") {
    return rig.Call("POST", kProcesses,
                    absl::StrCat("{\"id\":\"", id, "\",\"command\":\"", command,
                                 "\"", more, "}"),
                    owner);
  }
  DaemonRig::Answer Get(DaemonRig& rig, const std::string& tail) {
    return rig.Call("GET", absl::StrCat(kProcesses, "/", tail));
  }
  // Of a process that is there now; it is ended with the test.
  const UniqueFd& Watch(pid_t pid) {
    watched_.emplace_back(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
    EXPECT_TRUE(watched_.back().valid()) << pid;
    return watched_.back();
  }
  static bool Ended(const UniqueFd& pidfd, int timeout_ms = 0) {
    pollfd poll_for{pidfd.get(), POLLIN, 0};
    return ::poll(&poll_for, 1, timeout_ms) == 1;
  }
  static constexpr int kPatienceMs = 30'000;

  std::vector<UniqueFd> watched_;
};

TEST_F(ProcessRestartTest, WhatAKilledDaemonLeftIsListedAndCanBeEnded) {
  DaemonRig rig;
  const Json first = Start(rig, "left", "sleep 1000 & exec sleep 1000").body;
  const pid_t pid = static_cast<pid_t>(first.Int("pid"));
  const UniqueFd& process = Watch(pid);
  Start(rig, "short", "exit 3");
  EXPECT_EQ(Get(rig, "short?wait=exit").body.Int("exit.code"), 3);
  rig.daemon().Kill();
  ASSERT_TRUE(rig.Start());

  EXPECT_FALSE(Ended(process));
  const Json state = Get(rig, "left").body;
  EXPECT_EQ(state.Text("state"), "orphan") << state.text();
  EXPECT_EQ(state.Int("pid"), pid);
  // Said again by a client that lost the reply: it is the same one.
  const auto again = Start(rig, "left", "sleep 1000 & exec sleep 1000");
  EXPECT_EQ(again.status, 200);
  EXPECT_TRUE(again.body.Bool("attached"));
  EXPECT_EQ(again.body.Int("pid"), pid);
  // Of what had ended before the end is still told.
  EXPECT_EQ(Get(rig, "short").body.Int("exit.code"), 3);
  EXPECT_EQ(Start(rig, "short", "exit 3").status, 200);
  EXPECT_EQ(Start(rig, "short", "exit 4").status, 409);

  EXPECT_EQ(rig.Call("POST", std::string(kProcesses) + "/left/cancel").status,
            200);
  const Json end = Get(rig, "left?wait=exit").body;
  EXPECT_THAT(end.Text("exit.reason"), AnyOf("canceled", "lost"));
  EXPECT_TRUE(Ended(process, kPatienceMs));
}

TEST_F(ProcessRestartTest, WhatAKilledDaemonLeftIsEndedWhereThatIsAsked) {
  DaemonRig::Options options;
  options.flags = {"--orphans=kill"};
  DaemonRig rig(options);
  const Json first = Start(rig, "left", "exec sleep 1000").body;
  const UniqueFd& process = Watch(static_cast<pid_t>(first.Int("pid")));
  rig.daemon().Kill();
  EXPECT_FALSE(Ended(process));
  ASSERT_TRUE(rig.Start());
  EXPECT_TRUE(Ended(process, kPatienceMs));
  EXPECT_TRUE(Get(rig, "left?wait=exit").body.Has("exit"));
}

// A start is asked for by 64 clients at once, whose replies are lost because
// the daemon is killed meanwhile, and again by them from the next ones.
TEST_F(ProcessRestartTest, ManyStartsOfOneIdAcrossRestartsAreOneRun) {
  DaemonRig rig;
  const std::string marker = rig.directory() + "/runs";
  const std::string body =
      absl::StrCat("{\"id\":\"once\",\"command\":\"echo x >>", marker,
                   "; exec sleep 1000\"}");
  std::atomic<int> answered = 0;
  const auto ask = [&] {
    std::vector<std::thread> clients;
    for (int i = 0; i < 64; ++i)
      clients.emplace_back([&] {
        Client::Options options;
        options.socket_path = rig.socket();
        Client client(std::move(options));
        ClientRequest request;
        request.method = "POST";
        request.target = kProcesses;
        request.body = body;
        request.repeatable = false;
        request.deadline = kPatience;
        // Cut short or refused: what a client sees of a daemon that dies.
        if (client.Call(request).ok()) ++answered;
        answered.notify_all();
      });
    return clients;
  };
  for (int round = 0; round < 3; ++round) {
    answered = 0;
    std::vector<std::thread> clients = ask();
    // Killed at once, when it has answered one, and when half of them.
    for (int seen = 0; seen < round * 16; seen = answered) answered.wait(seen);
    rig.daemon().Kill();
    for (std::thread& client : clients) client.join();
    ASSERT_TRUE(rig.Start());
  }
  std::vector<std::thread> clients = ask();
  for (std::thread& client : clients) client.join();
  const auto state = rig.Call("POST", kProcesses, body);
  EXPECT_THAT(state.status, AnyOf(200, 201));
  // Killed between the spawn and its first line it may never have run; it never
  // ran twice.
  const std::string runs = ReadWholeFile(marker);
  EXPECT_LE(std::count(runs.begin(), runs.end(), 'x'), 1) << runs;
  EXPECT_TRUE(runs == "x\n" || state.body.Has("exit")) << state.body.text();
  rig.Call("POST", std::string(kProcesses) + "/once/cancel");
  EXPECT_TRUE(Get(rig, "once?wait=exit").body.Has("exit"));

  const auto expected = rig.Call(
      "POST", kProcesses,
      R"({"id":"late","command":"true","expect_instance":"an-earlier-one"})");
  EXPECT_EQ(expected.status, 409);
  EXPECT_EQ(expected.body.Text("code"), "instance_changed");
}

TEST_F(ProcessRestartTest, AStoppedDaemonLeavesNothing) {
  DaemonRig rig;
  const Json polite = Start(rig, "polite", "exec sleep 1000").body;
  const Json deaf = Start(rig, "deaf",
                          "trap '' TERM; setsid sleep 1000 & echo $!; "
                          "while :; do sleep 1000; done",
                          ",\"stop\":{\"grace_ms\":50},\"on_exit\":\"keep\"")
                        .body;
  const Json said = Get(rig, "deaf/output?wait=output").body;
  pid_t grandchild = 0;
  ASSERT_TRUE(absl::SimpleAtoi(said.Text("data"), &grandchild));
  const UniqueFd& away = Watch(grandchild);
  const UniqueFd& a = Watch(static_cast<pid_t>(polite.Int("pid")));
  const UniqueFd& b = Watch(static_cast<pid_t>(deaf.Int("pid")));
  EXPECT_EQ(rig.Stop(), 0);
  EXPECT_TRUE(Ended(watched_[0]) && Ended(watched_[1]) && Ended(watched_[2]))
      << Ended(away) << Ended(a) << Ended(b);
}

TEST_F(ProcessRestartTest, OnlyTheOwnerHearsOfACommand) {
  DaemonRig rig;
  EventStream events(rig.socket());
  EXPECT_EQ(Start(rig, "hers", "true", "", "alice").status, 201);
  EXPECT_EQ(Get(rig, "hers").status, 404);
  EXPECT_EQ(rig.Call("GET", kProcesses).body.Size("items"), 0u);
  EXPECT_EQ(rig.Call("GET", kProcesses, "", "alice").body.Size("items"), 1u);
  EXPECT_EQ(rig.Call("GET", std::string(kProcesses) + "/hers/output", "", "bob")
                .status,
            404);
  EXPECT_EQ(
      rig.Call("GET", std::string(kProcesses) + "/hers?wait=exit", "", "alice")
          .status,
      200);
  Start(rig, "mine", "exit 5");
  const auto ended = events.NextOfType("process.exited", "mine");
  ASSERT_TRUE(ended.has_value());
  EXPECT_EQ(ended->body.Int("data.exit.code"), 5);
  for (const EventStream::Event& event : events.seen())
    EXPECT_NE(event.body.Text("data.id"), "hers") << event.type;
}

}  // namespace
}  // namespace kine
