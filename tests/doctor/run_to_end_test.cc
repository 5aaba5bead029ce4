// Programs run to their end, whatever they do.
#include "daemon/programs/run_to_end.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/mman.h>

#include <cstdlib>

#include "daemon/base/clock.h"

namespace kine {
namespace {

using ::testing::HasSubstr;

// Against hangs only.
constexpr absl::Duration kPatience = absl::Minutes(1);

ProgramCommand Shell(const std::string& script) {
  ProgramCommand command;
  command.path = "/bin/sh";
  command.argv = {"sh", "-c", script};
  return command;
}

TEST(RunToEndTest, GivesWhatWasPrintedAndHowItEnded) {
  auto run = RunToEnd(Shell("echo out; echo err >&2; exit 3"),
                      {.deadline = kPatience});
  ASSERT_TRUE(run.ok()) << run.status();
  EXPECT_EQ(run->output, "out\n");
  EXPECT_EQ(run->errors, "err\n");
  EXPECT_FALSE(run->hung);
  EXPECT_EQ(ExitText(run->exit), "exit status 3");

  run = RunToEnd(Shell("kill -SEGV $$"), {.deadline = kPatience});
  ASSERT_TRUE(run.ok()) << run.status();
  EXPECT_TRUE(run->exit.signaled);
  EXPECT_EQ(run->exit.code, SIGSEGV);
}

TEST(RunToEndTest, PassesDescriptorsOnFromThree) {
  UniqueFd file(::memfd_create("test", MFD_CLOEXEC));
  ASSERT_EQ(::write(file.get(), "hello", 5), 5);
  ASSERT_EQ(::lseek(file.get(), 0, SEEK_SET), 0);
  ProgramCommand command = Shell("cat <&3");
  command.fds.push_back(std::move(file));
  const auto run = RunToEnd(std::move(command), {.deadline = kPatience});
  ASSERT_TRUE(run.ok()) << run.status();
  EXPECT_EQ(run->output, "hello");
}

TEST(RunToEndTest, OneThatHangsIsKilledAndWhatItSaidIsKept) {
  const MonoTime start = SystemClock().Now();
  const auto run = RunToEnd(Shell("trap '' TERM; echo first; exec sleep 1000"),
                            {.deadline = absl::Milliseconds(500)});
  ASSERT_TRUE(run.ok()) << run.status();
  EXPECT_TRUE(run->hung);
  EXPECT_EQ(run->output, "first\n");
  EXPECT_LT(SystemClock().Now() - start, kPatience);
}

TEST(RunToEndTest, AGrandchildThatKeepsThePipeDelaysNothing) {
  const auto run =
      RunToEnd(Shell("sleep 1000 & echo $!"), {.deadline = kPatience});
  ASSERT_TRUE(run.ok()) << run.status();
  EXPECT_FALSE(run->hung);
  const int grandchild = std::atoi(run->output.c_str());
  ASSERT_GT(grandchild, 1);
  EXPECT_EQ(::kill(grandchild, SIGKILL), 0);
}

TEST(RunToEndTest, TooMuchOutputIsAnError) {
  const auto run =
      RunToEnd(Shell("yes"), {.deadline = kPatience, .output_bytes = 1000});
  EXPECT_EQ(run.status().code(), absl::StatusCode::kResourceExhausted);
  const auto exact = RunToEnd(Shell("printf '%1000s' x"),
                              {.deadline = kPatience, .output_bytes = 1000});
  EXPECT_TRUE(exact.ok()) << exact.status();
}

TEST(RunToEndTest, ReturnsWhenTheCallerWantsOut) {
  const UniqueFd cancel(::eventfd(1, EFD_CLOEXEC));
  const auto run = RunToEnd(Shell("exec sleep 1000"),
                            {.deadline = kPatience, .cancel_fd = cancel.get()});
  EXPECT_EQ(run.status().code(), absl::StatusCode::kCancelled);
}

TEST(RunToEndTest, NamesAProgramThatIsNotThere) {
  ProgramCommand command;
  command.path = "/nonexistent/program";
  command.argv = {"program"};
  const auto run = RunToEnd(std::move(command), {.deadline = kPatience});
  EXPECT_THAT(std::string(run.status().message()),
              HasSubstr("/nonexistent/program"));
}

}  // namespace
}  // namespace kine
