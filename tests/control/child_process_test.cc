#include "daemon/process/child_process.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <optional>
#include <string>
#include <vector>

#include "daemon/control/one_shot.h"
#include "tests/control/control_rig.h"

namespace kine {
namespace {

using testing::HasSubstr;

Spawner::Command Shell(const std::string& script) {
  Spawner::Command command;
  command.path = "/bin/sh";
  command.argv = {"sh", "-c", script};
  return command;
}

class ChildProcessTest : public testing::Test {
 protected:
  std::unique_ptr<ChildProcess> Start(Spawner::Command command) {
    std::optional<absl::StatusOr<std::unique_ptr<ChildProcess>>> started;
    rig_.spawner().Spawn(std::move(command), [&](auto child) {
      started.emplace(std::move(child));
    });
    EXPECT_FALSE(started.has_value()) << "never inside the call";
    rig_.RunUntil([&] { return started.has_value(); });
    if (!started->ok()) {
      error_ = started->status();
      return nullptr;
    }
    return *std::move(*started);
  }
  ExitStatus WaitFor(ChildProcess& child) {
    std::optional<ExitStatus> exit;
    child.set_on_exit([&](ExitStatus e) { exit = e; });
    rig_.RunUntil([&] { return exit.has_value(); });
    return *exit;
  }

  ControlRig rig_;
  absl::Status error_;
};

TEST_F(ChildProcessTest, TellsTheExitCodeAndTheSignalApart) {
  auto child = Start(Shell("exit 3"));
  EXPECT_EQ(ExitText(WaitFor(*child)), "exit status 3");
  child = Start(Shell("kill -TERM $$"));
  EXPECT_THAT(ExitText(WaitFor(*child)), HasSubstr("signal 15"));
}

TEST_F(ChildProcessTest, AProgramThatIsNotThereIsAnErrorThatNamesIt) {
  Spawner::Command command = Shell("");
  command.path = "/nonexistent/program";
  EXPECT_EQ(Start(std::move(command)), nullptr);
  EXPECT_EQ(error_.code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(std::string(error_.message()), HasSubstr("/nonexistent/program"));
}

TEST_F(ChildProcessTest, TheChildHasExactlyTheDescriptorsItWasGiven) {
  const std::string out = rig_.path() + "/fds";
  // Given in the wrong order of numbers on purpose: 3 must be `second`.
  UniqueFd first(::open("/dev/null", O_RDONLY | O_CLOEXEC));
  UniqueFd second(::open("/dev/zero", O_RDONLY | O_CLOEXEC));
  Spawner::Command command = Shell(
      "exec python3 -c 'import os; "
      "[print(n, os.readlink(\"/proc/self/fd/\" + n), file=open(\"" +
      out +
      "\", \"a\")) for n in sorted(os.listdir(\"/proc/self/fd\"), key=int) "
      "if os.path.exists(\"/proc/self/fd/\" + n)]'");
  command.fds.push_back(std::move(second));
  command.fds.push_back(std::move(first));
  auto child = Start(std::move(command));
  EXPECT_EQ(WaitFor(*child).code, 0);

  std::ifstream file(out);
  std::vector<std::string> fds;
  for (std::string line; std::getline(file, line);)
    // Its own: the file that is being written.
    if (line.find(out) == std::string::npos) fds.push_back(line);
  ASSERT_EQ(fds.size(), 5u) << testing::PrintToString(fds);
  EXPECT_EQ(fds[0], "0 /dev/null");
  EXPECT_EQ(fds[3], "3 /dev/zero");
  EXPECT_EQ(fds[4], "4 /dev/null");
}

TEST_F(ChildProcessTest, TheChildHasDefaultSignalsAndAGroupOfItsOwn) {
  ::signal(SIGPIPE, SIG_IGN);
  // glibc ignores its two internal signals, 32 and 33, in every spawned child.
  auto child =
      Start(Shell("grep -E '^Sig(Ign|Blk):' /proc/self/status | "
                  "grep -vE '0000000(00|18)0000000$' && exit 1; "
                  "[ \"$(ps -o pgid= -p $$ | tr -d ' ')\" = $$ ]"));
  EXPECT_EQ(WaitFor(*child).code, 0);
}

TEST_F(ChildProcessTest, WhatTheServiceManagerGaveUsStaysWithUs) {
  ::setenv("NOTIFY_SOCKET", "/x", 1);
  ::setenv("LISTEN_FDS", "1", 1);
  ::setenv("KINE_TEST_KEEP", "yes", 1);
  auto child = Start(Shell(
      "[ -z \"$NOTIFY_SOCKET$LISTEN_FDS\" ] && [ \"$KINE_TEST_KEEP\" = yes ]"));
  EXPECT_EQ(WaitFor(*child).code, 0);
  ::unsetenv("NOTIFY_SOCKET");
  ::unsetenv("LISTEN_FDS");
}

TEST_F(ChildProcessTest, AnExitBeforeAnybodyAskedIsStillTold) {
  auto child = Start(Shell("exit 4"));
  rig_.RunUntil([&] { return ::kill(child->pid(), 0) != 0; });  // Reaped.
  EXPECT_EQ(WaitFor(*child).code, 4);
}

TEST_F(ChildProcessTest, DestroyingItKillsAndReaps) {
  auto child = Start(Shell("exec sleep 1000"));
  const pid_t pid = child->pid();
  child.reset();
  // Reaped, not only killed: a zombie would still answer.
  rig_.RunUntil([&] { return ::kill(pid, 0) != 0; });
}

TEST_F(ChildProcessTest, GraceLetsItEndByItself) {
  const std::string mark = rig_.path() + "/mark";
  UniqueFd gate_read;
  int pipe[2];
  ASSERT_EQ(::pipe2(pipe, O_CLOEXEC), 0);
  Spawner::Command command = Shell("read line <&3; echo ended >" + mark);
  command.fds.emplace_back(pipe[0]);
  UniqueFd gate(pipe[1]);
  auto child = Start(std::move(command));
  child->set_grace(absl::Seconds(30));
  child.reset();
  gate.Reset();  // Its input ends: it goes on and ends by itself.
  rig_.RunUntil([&] { return std::filesystem::exists(mark); });
}

class OneShotTest : public testing::Test {
 protected:
  absl::StatusOr<std::string> Run(const std::string& mode,
                                  absl::Duration deadline) {
    std::optional<absl::StatusOr<std::string>> result;
    OneShot shot(rig_.loop(), rig_.spawner(), {FakeRecorderPath(), mode}, {},
                 deadline, [&](auto output) { result.emplace(output); });
    rig_.RunUntil([&] { return result.has_value(); });
    return *std::move(result);
  }
  ControlRig rig_;
};

TEST_F(OneShotTest, TheAnswerIsWhatItPrinted) {
  EXPECT_EQ(Run("--list_sources", absl::Seconds(30)).value(),
            "{\"items\":[]}\n");
}

TEST_F(OneShotTest, AFailedRunTellsItsExitStatus) {
  const absl::Status status = Run("--fail", absl::Seconds(30)).status();
  EXPECT_EQ(status.message(), "exit status 5");
}

TEST_F(OneShotTest, ARunThatSaysNothingEndsAtItsDeadline) {
  EXPECT_EQ(Run("--pause", absl::Milliseconds(50)).status().code(),
            absl::StatusCode::kDeadlineExceeded);
}

TEST_F(OneShotTest, ARunThatSaysTooMuchIsEnded) {
  EXPECT_EQ(Run("--flood", absl::Seconds(30)).status().code(),
            absl::StatusCode::kResourceExhausted);
}

TEST_F(OneShotTest, AProgramThatIsNotThereIsAnError) {
  std::optional<absl::StatusOr<std::string>> result;
  OneShot shot(rig_.loop(), rig_.spawner(), {"/nonexistent"}, {},
               absl::Seconds(30), [&](auto output) { result.emplace(output); });
  rig_.RunUntil([&] { return result.has_value(); });
  EXPECT_EQ(result->status().code(), absl::StatusCode::kNotFound);
}

}  // namespace
}  // namespace kine
