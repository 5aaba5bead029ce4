// Commands from their start to the end of their trees.
#include <gmock/gmock.h>

#include "absl/strings/numbers.h"
#include "daemon/process/proc_tree.h"
#include "daemon/process/process_store.h"
#include "ipc/problem.h"
#include "tests/process/process_rig.h"

namespace kine {
namespace {

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

}  // namespace
}  // namespace kine
