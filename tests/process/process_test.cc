// Commands from their start to the end of their trees.
#include <gmock/gmock.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <set>

#include "absl/strings/numbers.h"
#include "daemon/process/proc_tree.h"
#include "daemon/process/process_store.h"
#include "ipc/problem.h"
#include "tests/process/process_rig.h"

namespace kine {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

bool Alive(pid_t pid) {
  ProcEntry entry;
  return ReadProcEntry(pid, entry) && !entry.zombie;
}

std::string CodeOf(const absl::Status& status) {
  return ProblemOf(status).code;
}

// Both ways of knowing a tree, where the machine has both.
class ProcessTest : public testing::TestWithParam<bool> {
 protected:
  void SetUp() override {
    if (GetParam() && !rig_.cgroups().usable())
      GTEST_SKIP() << rig_.cgroups().reason();
  }
  // The pid that the command wrote to `name`.
  pid_t PidIn(const std::string& name) {
    int pid = 0;
    rig_.RunUntil([&] {
      const std::string text = rig_.Read(rig_.File(name));
      return !text.empty() && text.back() == '\n' &&
             absl::SimpleAtoi(text, &pid);
    });
    return pid;
  }
  ProcessTable& table() { return rig_.table(); }
  ProcessRig rig_{GetParam()};
};
INSTANTIATE_TEST_SUITE_P(, ProcessTest, testing::Bool(), [](const auto& i) {
  return std::string(i.param ? "ByCgroup" : "ByWalk");
});

TEST_P(ProcessTest, TheExitSaysCodeSignalAndWhatItTook) {
  ProcessExit exit = *rig_.Run(R"({"command":"exit 42"})").exit;
  EXPECT_EQ(exit.code, 42);
  EXPECT_FALSE(exit.signal.has_value());
  EXPECT_EQ(exit.reason, ExitReason::kExited);
  EXPECT_GT(exit.usage->max_rss_bytes, 100'000);
  exit = *rig_.Run(R"({"command":"kill -USR1 $$"})").exit;
  EXPECT_EQ(exit.signal, SIGUSR1);
  EXPECT_FALSE(exit.code.has_value());
  EXPECT_EQ(exit.reason, ExitReason::kSignaled);
}

TEST_P(ProcessTest, ACgroupGoesWithTheNewestRunOfItsName) {
  Cgroups& cgroups = rig_.cgroups();
  ASSERT_EQ(cgroups.Open("x"), nullptr);
  if (!GetParam()) return;
  const std::unique_ptr<CgroupLeaf> earlier = *cgroups.Make("x", {});
  const std::unique_ptr<CgroupLeaf> later = *cgroups.Make("x", {});
  EXPECT_TRUE(cgroups.Remove(*earlier).ok());
  EXPECT_NE(cgroups.Open("x"), nullptr);
  EXPECT_TRUE(cgroups.Remove(*later).ok());
  EXPECT_EQ(cgroups.Open("x"), nullptr);
  EXPECT_TRUE(cgroups.Remove(*later).ok());
}

TEST_P(ProcessTest, AKillIsNoOutOfMemory) {
  EXPECT_EQ(rig_.Run(R"({"command":"kill -KILL $$"})").exit->reason,
            ExitReason::kSignaled);
}

TEST_P(ProcessTest, ACoreIsTold) {
  const ProcessExit exit =
      *rig_.Run("{\"command\":\"kill -QUIT $$\",\"cwd\":\"" + rig_.File("") +
                "\",\"rlimits\":{\"core\":100000000}}")
           .exit;
  EXPECT_EQ(exit.signal, SIGQUIT);
  EXPECT_TRUE(exit.core_dumped);
}

TEST_P(ProcessTest, WhatItPrintedLastIsThereWhenTheExitIsTold) {
  for (int i = 0; i < 20; ++i) {
    const ProcessRecord record =
        rig_.Run(R"({"command":"seq 1 3000; printf last"})");
    const std::string text = rig_.Output(record.id);
    ASSERT_EQ(text.size(), 13'893u + 4) << i;
    ASSERT_EQ(text.substr(text.size() - 4), "last");
  }
}

TEST_P(ProcessTest, AGrandchildThatHoldsThePipeDelaysNoExit) {
  const std::string gate = rig_.File("gate");
  ASSERT_EQ(::mkfifo(gate.c_str(), 0600), 0);
  const ProcessRecord record =
      rig_.Run("{\"id\":\"g\",\"command\":\"(read x <" + gate +
               "; echo late) & echo early\",\"on_exit\":\"keep\"}");
  EXPECT_EQ(record.exit->code, 0);
  // It goes on, and is known as what is left.
  const ProcessRecord& now = **table().Find("g", rig_.all());
  rig_.RunUntil([&] { return now.state == ProcessState::kOrphan; });
  rig_.RunUntil([&] { return !now.leftovers.empty(); });
  EXPECT_EQ(rig_.Output("g"), "early\n");
  std::ofstream(gate) << "x\n";
  rig_.RunUntil([&] { return now.state == ProcessState::kExited; });
  rig_.RunUntil([&] { return rig_.Output("g") == "early\nlate\n"; });
  EXPECT_TRUE(now.leftovers.empty());
}

TEST_P(ProcessTest, AnExitTakesTheTreeWithIt) {
  // One in the group, one in a session of its own whose parent has gone.
  rig_.Run("{\"id\":\"k\",\"command\":\"sleep 1000 & echo $! >" +
           rig_.File("a") + "; setsid sh -c 'echo $$ >" + rig_.File("b") +
           "; sleep 1000 & exec sleep 1000' & while [ ! -s " + rig_.File("b") +
           " ]; do :; done\"}");
  const pid_t a = PidIn("a");
  const pid_t b = PidIn("b");
  rig_.WaitOver("k");
  EXPECT_FALSE(Alive(a));
  EXPECT_FALSE(Alive(b));
}

TEST_P(ProcessTest, CancelIsTermThenGraceThenKillOnTheWholeTree) {
  ASSERT_TRUE(
      rig_.Start("{\"id\":\"c\",\"command\":\"trap '' TERM; sh -c 'trap "
                 "\\\"\\\" TERM; echo $$ >" +
                 rig_.File("a") +
                 "; while :; do sleep 1000; done' & while :; do sleep "
                 "1000; done\",\"stop\":{\"grace_ms\":50}}")
          .ok());
  const pid_t a = PidIn("a");
  table().Cancel("c", rig_.all(),
                 [](auto record) { EXPECT_TRUE(record.ok()); });
  const ProcessRecord record = rig_.WaitOver("c");
  EXPECT_EQ(record.exit->reason, ExitReason::kCanceled);
  EXPECT_EQ(record.exit->signal, SIGKILL);
  EXPECT_FALSE(Alive(a));
}

TEST_P(ProcessTest, AStopSignalOfItsOwnAndTimeToObeyIt) {
  ASSERT_TRUE(
      rig_.Start(
              R"({"id":"c","command":"trap 'echo bye; exit 5' INT; echo up; while :; do sleep 0.01; done","stop":{"signal":"INT","grace_ms":60000}})")
          .ok());
  rig_.RunUntil([&] { return rig_.Output("c") == "up\n"; });
  table().Cancel("c", rig_.all(), [](auto) {});
  const ProcessExit exit = *rig_.WaitExit("c").exit;
  EXPECT_EQ(exit.code, 5);
  EXPECT_EQ(exit.reason, ExitReason::kCanceled);
  EXPECT_EQ(rig_.Output("c"), "up\nbye\n");
}

TEST_P(ProcessTest, ADeadlineEndsIt) {
  const ProcessExit exit =
      *rig_.Run(R"({"command":"sleep 1000","deadline_ms":20})").exit;
  EXPECT_EQ(exit.reason, ExitReason::kDeadline);
  EXPECT_EQ(exit.signal, SIGTERM);
}

TEST_P(ProcessTest, AFullOutputEndsItWhenAsked) {
  ASSERT_TRUE(rig_.Start(R"({"id":"f","command":"sleep 1000"})").ok());
  rig_.output_client().OnOutputLimit();
  EXPECT_EQ(rig_.WaitExit("f").exit->reason, ExitReason::kOutputLimit);
}

TEST_P(ProcessTest, SignalsReachTheProcessTheGroupOrTheTree) {
  ASSERT_TRUE(rig_.Start("{\"id\":\"s\",\"command\":\"trap 'echo root' USR1; "
                         "setsid sh -c 'echo $$ >" +
                         rig_.File("a") +
                         "; exec sleep 1000' & "
                         "echo up; while :; do wait; done\"}")
                  .ok());
  // Written by itself: between its fork and its exec it has the trap of its
  // parent, and would lose the signal.
  const pid_t a = PidIn("a");
  rig_.RunUntil([&] { return rig_.Output("s") == "up\n"; });
  table().Signal("s", rig_.all(), SIGUSR1, SignalScope::kProcess, [](auto) {});
  rig_.RunUntil([&] { return rig_.Output("s") == "up\nroot\n"; });
  EXPECT_TRUE(Alive(a));
  table().Signal("s", rig_.all(), SIGUSR1, SignalScope::kTree, [](auto) {});
  rig_.RunUntil([&] { return !Alive(a); });
  table().Signal("s", rig_.all(), SIGKILL, SignalScope::kTree, [](auto) {});
  EXPECT_EQ(rig_.WaitExit("s").exit->signal, SIGKILL);
  rig_.WaitOver("s");
  table().Signal("s", rig_.all(), SIGKILL, SignalScope::kTree, [](auto answer) {
    EXPECT_EQ(CodeOf(answer.status()), "not_running");
  });
}

TEST_P(ProcessTest, AForkBombIsEnded) {
  if (::geteuid() != 0) GTEST_SKIP() << "not root";
  // A user of its own, whose processes are counted: a bomb that never stops
  // trying and never fills the machine.
  ASSERT_TRUE(
      rig_.Start(
              R"({"id":"b","argv":["/bin/bash","-c","b() { b | b & }; b; while :; do b; done"],"user":"games","cwd":"/","rlimits":{"nproc":60},"stop":{"grace_ms":0}})")
          .ok());
  rig_.RunUntil([&] {
    int count = 0;
    const pid_t root = (*table().Find("b", rig_.all()))->pid;
    for (const ProcEntry& entry : ReadProc()) count += entry.session == root;
    return count > 20;
  });
  const pid_t root = (*table().Find("b", rig_.all()))->pid;
  table().Cancel("b", rig_.all(), [](auto) {});
  rig_.WaitOver("b");
  for (const ProcEntry& entry : ReadProc())
    EXPECT_FALSE(entry.session == root && !entry.zombie) << entry.pid;
}

TEST_P(ProcessTest, ManyShortOnesLeaveNothingBehind) {
  const auto descriptors = [] {
    return std::distance(std::filesystem::directory_iterator("/proc/self/fd"),
                         std::filesystem::directory_iterator());
  };
  for (int i = 0; i < 3; ++i) rig_.Run(R"({"command":"true"})");
  const auto before = descriptors();
  for (int i = 0; i < 20; ++i) {
    const ProcessRecord record =
        rig_.Run(R"({"command":"(sleep 0.002; (true) & ) & true"})");
    ASSERT_TRUE(rig_.Delete(record.id).ok());
  }
  // The adopted ones too are reaped.
  rig_.RunUntil([] { return !HasAdoptedChildren(); });
  rig_.RunUntil([&] { return descriptors() <= before; });
  for (const ProcEntry& entry : ReadProc())
    EXPECT_FALSE(entry.zombie && entry.parent == ::getpid());
  if (GetParam()) {
    EXPECT_EQ(rig_.cgroups().Open("x"), nullptr);
  }
}

TEST_P(ProcessTest, ADeletionWaitsForTheRestOfTheTree) {
  // What it leaves takes no notice of the stop signal and ends by itself.
  rig_.Run(R"({"id":"d","command":"(trap '' TERM; exec sleep 0.1) & true"})");
  // Two at once: one has it, the other finds it gone.
  std::vector<absl::Status> done;
  for (int i = 0; i < 2; ++i)
    table().Delete("d", rig_.all(),
                   [&](const absl::Status& status) { done.push_back(status); });
  EXPECT_TRUE(done.empty());
  rig_.RunUntil([&] { return done.size() == 2; });
  EXPECT_TRUE(done[0].ok()) << done[0];
  EXPECT_EQ(ProblemOf(done[1]).status, 410);
  EXPECT_THAT(rig_.observer().states, testing::Contains("orphan"));
  EXPECT_EQ(rig_.observer().states.back(), "exited");
}

TEST_P(ProcessTest, TheEndOfTheDaemonIsTheEndOfEveryTree) {
  ASSERT_TRUE(
      rig_.Start("{\"id\":\"a\",\"command\":\"setsid sleep 1000 & echo $! >" +
                 rig_.File("a") + "\",\"on_exit\":\"keep\"}")
          .ok());
  ASSERT_TRUE(
      rig_.Start(
              R"({"id":"b","command":"trap '' TERM; echo up; while :; do sleep 1000; done","stop":{"grace_ms":30}})")
          .ok());
  const pid_t a = PidIn("a");
  rig_.RunUntil([&] { return rig_.Output("b") == "up\n"; });
  rig_.RunUntil([&] {
    return (*table().Find("a", rig_.all()))->state == ProcessState::kOrphan;
  });
  bool done = false;
  table().Shutdown([&] { done = true; });
  EXPECT_EQ(rig_.Start(R"({"command":"true"})").status().code(),
            absl::StatusCode::kUnavailable);
  rig_.RunUntil([&] { return done; });
  EXPECT_FALSE(Alive(a));
  EXPECT_EQ((*table().Find("b", rig_.all()))->exit->reason,
            ExitReason::kCanceled);
  // The next daemon knows how they ended.
  rig_.Restart("instance-2");
  EXPECT_EQ((*table().Find("b", rig_.all()))->exit->signal, SIGKILL);
}

TEST_P(ProcessTest, WhatADeadDaemonLeftIsFoundAgain) {
  ASSERT_TRUE(
      rig_.Start("{\"id\":\"o\",\"command\":\"setsid sleep 1000 & echo $! >" +
                     rig_.File("a") + "; exec sleep 1000\"}",
                 "me")
          .ok());
  const pid_t a = PidIn("a");
  const pid_t root = (*table().Find("o", rig_.all()))->pid;
  StoredProcess stored;
  // As its file is when the daemon is killed now: ours kills the command when
  // its table goes, which a dead daemon does not.
  std::vector<std::string> damaged;
  const auto all = LoadProcesses(rig_.context().state_fd, damaged);
  ASSERT_EQ(all.size(), 1u);
  EXPECT_EQ(all[0].record.pid, root);
  EXPECT_GT(all[0].start_ticks, 0u);
  rig_.Restart("instance-2");
  // The command itself was killed with the table, its child lives.
  const ProcessRecord& record = **table().Find("o", {"me", false});
  EXPECT_TRUE(record.adopted);
  rig_.RunUntil([&] { return record.ended(); });
  EXPECT_EQ(record.exit->reason, ExitReason::kLost);
  rig_.RunUntil([&] { return record.leftovers == std::vector<pid_t>{a}; });
  EXPECT_EQ(record.state, ProcessState::kOrphan);
  // The same start again runs nothing.
  EXPECT_TRUE(
      rig_.Start("{\"id\":\"o\",\"command\":\"setsid sleep 1000 & echo $! >" +
                     rig_.File("a") + "; exec sleep 1000\"}",
                 "me")
          .ok());
  EXPECT_TRUE(rig_.attached());
  table().Cancel("o", rig_.all(), [](auto) {});
  rig_.WaitOver("o");
  EXPECT_FALSE(Alive(a));
}

TEST_P(ProcessTest, AnotherBootOrAnotherProcessOfTheSameNumberIsLost) {
  StoredProcess stored;
  stored.record.id = "x";
  stored.record.request = *ParseProcessRequest(R"({"command":"true"})");
  stored.record.pid = ::getpid();
  stored.boot_id = "boot-1";
  stored.start_ticks = 1;  // Not ours.
  ASSERT_TRUE(SaveProcess(rig_.context().state_fd, stored).ok());
  stored.record.id = "y";
  stored.boot_id = "boot-0";
  ASSERT_TRUE(SaveProcess(rig_.context().state_fd, stored).ok());
  std::ofstream(rig_.File("state/z.json")) << "{";
  rig_.Restart("instance-2");
  EXPECT_EQ(rig_.WaitOver("x").exit->reason, ExitReason::kLost);
  EXPECT_EQ(rig_.WaitOver("y").exit->message, "the machine was restarted");
  EXPECT_FALSE(table().Find("z", rig_.all()).ok());
  EXPECT_TRUE(std::filesystem::exists(rig_.File("state/z.json.damaged")));
}

class ProcessTableTest : public testing::Test {
 protected:
  ProcessTable& table() { return rig_.table(); }
  ProcessRig rig_;
};

TEST_F(ProcessTableTest, TheSameStartRunsOnceHoweverOftenItIsAsked) {
  const std::string json =
      "{\"id\":\"once\",\"command\":\"echo x >>" + rig_.File("runs") + "\"}";
  int fresh = 0;
  int attached = 0;
  for (int i = 0; i < 64; ++i)
    table().Start(*ParseProcessRequest(json), "", [&](auto record, bool again) {
      ASSERT_TRUE(record.ok()) << record.status();
      ++(again ? attached : fresh);
    });
  rig_.RunUntil([&] { return fresh + attached == 64; });
  EXPECT_EQ(fresh, 1);
  rig_.WaitOver("once");
  rig_.Restart("instance-2");
  ASSERT_TRUE(rig_.Start(json).ok());
  EXPECT_TRUE(rig_.attached());
  EXPECT_EQ(rig_.Read(rig_.File("runs")), "x\n");
}

TEST_F(ProcessTableTest, AnIdOfAnotherCommandOrOwnerIsRefused) {
  rig_.Run(R"({"id":"a","command":"true"})");
  EXPECT_EQ(CodeOf(rig_.Start(R"({"id":"a","command":"false"})").status()),
            "different_request");
  EXPECT_EQ(
      CodeOf(rig_.Start(R"({"id":"a","command":"true"})", "her").status()),
      "conflict");
  EXPECT_EQ(
      CodeOf(
          rig_.Start(R"({"command":"true","expect_instance":"old"})").status()),
      "instance_changed");
}

TEST_F(ProcessTableTest, AnothersProcessIsNotThere) {
  ASSERT_TRUE(rig_.Start(R"({"id":"a","command":"sleep 1000"})", "me").ok());
  for (const char* owner : {"", "her"}) {
    const ProcessViewer viewer{owner, false};
    EXPECT_EQ(table().Find("a", viewer).status().code(),
              absl::StatusCode::kNotFound);
    EXPECT_TRUE(table().List(viewer).empty());
    int answers = 0;
    const auto not_found = [&answers](auto answer) {
      EXPECT_EQ(answer.status().code(), absl::StatusCode::kNotFound);
      ++answers;
    };
    table().Signal("a", viewer, SIGKILL, SignalScope::kTree, not_found);
    table().Cancel("a", viewer, not_found);
    table().Wait("a", viewer, ProcessTable::WaitFor::kExit, absl::Minutes(1),
                 not_found);
    EXPECT_EQ(answers, 3);
    EXPECT_EQ(rig_.Delete("a", viewer).code(), absl::StatusCode::kNotFound);
  }
  EXPECT_EQ(table().List({"me", false}).size(), 1u);
  EXPECT_FALSE((*table().Find("a", {"me", false}))->ended());
  EXPECT_EQ(CodeOf(rig_.Delete("a", {"me", false})), "running");
}

TEST_F(ProcessTableTest, ACancelBeforeTheStartIsAFence) {
  table().Cancel("late", {"me", false}, [](auto answer) {
    ASSERT_TRUE(answer.ok());
    EXPECT_EQ(*answer, nullptr);
  });
  EXPECT_EQ(
      CodeOf(rig_.Start(R"({"id":"late","command":"true"})", "me").status()),
      "fenced");
  bool done = false;
  rig_.spawner().Run([] {}, [&] { done = true; });
  rig_.RunUntil([&] { return done; });
  rig_.Restart("instance-2");
  EXPECT_EQ(
      CodeOf(rig_.Start(R"({"id":"late","command":"true"})", "me").status()),
      "fenced");
}

TEST_F(ProcessTableTest, OfTooManyReceiptsTheOldestGoes) {
  // The first in time, not by name.
  const auto name = [](int i) {
    return "r" + std::to_string(limits::kReceiptsMax + 10'000 - i);
  };
  for (int i = 0; i <= limits::kReceiptsMax; ++i)
    table().Cancel(name(i), rig_.all(), [](auto) {});
  const auto start = [&](int i) {
    return rig_.Start("{\"id\":\"" + name(i) + "\",\"command\":\"true\"}")
        .status();
  };
  EXPECT_EQ(CodeOf(start(1)), "fenced");
  EXPECT_EQ(CodeOf(start(limits::kReceiptsMax)), "fenced");
  EXPECT_TRUE(start(0).ok());
}

TEST_F(ProcessTableTest, OfOneDeletedTheReceiptStays) {
  rig_.Run(R"({"id":"d","command":"exit 9"})");
  rig_.WaitOver("d");
  ASSERT_TRUE(rig_.Delete("d").ok());
  const absl::Status gone = table().Find("d", rig_.all()).status();
  EXPECT_EQ(ProblemOf(gone).status, 410);
  EXPECT_THAT(std::string(gone.message()), HasSubstr("exit code 9"));
  EXPECT_EQ(CodeOf(rig_.Start(R"({"id":"d","command":"exit 9"})").status()),
            "expired");
  EXPECT_EQ(CodeOf(rig_.Start(R"({"id":"d","command":"exit 8"})").status()),
            "different_request");
}

TEST_F(ProcessTableTest, WaitsEndAtTheirTimeAndAtReadiness) {
  ASSERT_TRUE(
      rig_.Start(R"({"id":"w","command":"sleep 1000","ready":{"regex":"x"}})")
          .ok());
  std::optional<bool> ended;
  table().Wait("w", rig_.all(), ProcessTable::WaitFor::kExit,
               absl::Milliseconds(10),
               [&](auto answer) { ended = (*answer)->ended(); });
  rig_.RunUntil([&] { return ended.has_value(); });
  EXPECT_FALSE(*ended);
  std::optional<bool> ready;
  table().Wait("w", rig_.all(), ProcessTable::WaitFor::kReady, absl::Minutes(1),
               [&](auto answer) { ready = (*answer)->ready; });
  rig_.output_client().OnPatternFound();
  EXPECT_EQ(ready, true);
}

TEST_F(ProcessTableTest, APortMakesItReady) {
  const UniqueFd server(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t length = sizeof address;
  auto* const any = reinterpret_cast<sockaddr*>(&address);
  ASSERT_EQ(::bind(server.get(), any, length), 0);
  ASSERT_EQ(::getsockname(server.get(), any, &length), 0);
  ASSERT_TRUE(rig_.Start("{\"id\":\"r\",\"command\":\"sleep 1000\",\"ready\":{"
                         "\"port\":" +
                         std::to_string(ntohs(address.sin_port)) + "}}")
                  .ok());
  EXPECT_FALSE((*table().Find("r", rig_.all()))->ready);
  ASSERT_EQ(::listen(server.get(), 5), 0);
  rig_.RunUntil([&] { return (*table().Find("r", rig_.all()))->ready; });
}

TEST_F(ProcessTableTest, ChaptersAndActivityAreTold) {
  rig_.Run(R"({"id":"v","command":"true"})");
  EXPECT_THAT(rig_.observer().chapters, ElementsAre("v started", "v ended"));
  EXPECT_THAT(rig_.observer().states, ElementsAre("running", "exited"));
  EXPECT_GE(rig_.observer().activity, 2);
  EXPECT_THAT((*table().Find("v", rig_.all()))->recordings, ElementsAre("rec"));
}

TEST_F(ProcessTableTest, LimitsNeedTheirController) {
  const absl::Status status =
      rig_.Start(R"({"command":"true","limits":{"pids":5}})").status();
  EXPECT_EQ(status.code(), absl::StatusCode::kUnimplemented);
  EXPECT_THAT(std::string(status.message()), HasSubstr("not mounted"));
}

TEST_F(ProcessTableTest, ARecordingThatIsNotThereIsRefusedBeforeAnythingRuns) {
  const auto refused =
      rig_.Start(R"({"id":"a","command":"true","recording_id":"gone"})");
  EXPECT_TRUE(absl::IsNotFound(refused.status()));
  // The id is free.
  ASSERT_TRUE(
      rig_.Start(R"({"id":"a","command":"true","recording_id":"rec"})").ok());
}

TEST_F(ProcessTableTest, RunningFirstThenTheNewest) {
  rig_.Run(R"({"id":"1","command":"true"})");
  ASSERT_TRUE(rig_.Start(R"({"id":"2","command":"sleep 1000"})").ok());
  rig_.Run(R"({"id":"3","command":"true"})");
  std::vector<std::string> ids;
  for (const ProcessRecord* record : table().List(rig_.all()))
    ids.push_back(record->id);
  EXPECT_THAT(ids, ElementsAre("2", "3", "1"));
}

}  // namespace
}  // namespace kine
