// kinescope-exec and the plan it is given: what a command finds when it starts,
// and what is said when it cannot.
#include <elf.h>
#include <gmock/gmock.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "daemon/process/exec_plan.h"
#include "ipc/problem.h"
#include "tests/process/process_rig.h"

namespace kine {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

// Every way there is to start one.
enum class Way { kSpawned, kMoved, kBegun };

class ExecTest : public testing::TestWithParam<Way> {
 protected:
  void SetUp() override {
    if (GetParam() == Way::kSpawned) return;
    if (!rig_.cgroups().usable()) GTEST_SKIP() << rig_.cgroups().reason();
    if (GetParam() == Way::kBegun && !CanVforkInto())
      GTEST_SKIP() << "no clone3(CLONE_INTO_CGROUP)";
  }
  std::string Shell(const std::string& script, const std::string& more = "") {
    std::string quoted;
    for (const char c : script) {
      if (c == '"' || c == '\\') quoted += '\\';
      quoted += c;
    }
    const ProcessRecord record =
        rig_.Run("{\"command\":\"" + quoted + "\"" + more + "}");
    EXPECT_EQ(record.exit->code, 0) << rig_.Output(record.id);
    return rig_.Output(record.id);
  }
  ProcessRig rig_{GetParam() != Way::kSpawned, GetParam() == Way::kMoved};
};
INSTANTIATE_TEST_SUITE_P(
    , ExecTest, testing::Values(Way::kSpawned, Way::kMoved, Way::kBegun),
    [](const auto& i) {
      return std::string(i.param == Way::kSpawned ? "Spawned"
                         : i.param == Way::kMoved ? "MovedToItsCgroup"
                                                  : "BegunInItsCgroup");
    });

TEST_P(ExecTest, TheProgramIsStatic) {
  const std::string program = ProcessRig::Read(rig_.context().exec_path);
  ASSERT_GT(program.size(), sizeof(Elf64_Ehdr));
  const auto* header = reinterpret_cast<const Elf64_Ehdr*>(program.data());
  for (int i = 0; i < header->e_phnum; ++i) {
    const auto* segment =
        reinterpret_cast<const Elf64_Phdr*>(program.data() + header->e_phoff) +
        i;
    EXPECT_NE(segment->p_type, static_cast<Elf64_Word>(PT_INTERP));
    EXPECT_NE(segment->p_type, static_cast<Elf64_Word>(PT_DYNAMIC));
  }
}

TEST_P(ExecTest, TheCommandHasThreeDescriptorsAndNoMore) {
  // Inheritable on purpose, as a careless library leaves them.
  const UniqueFd leak(::open("/dev/zero", O_RDONLY));
  // The fourth is ls' own.
  EXPECT_EQ(Shell("ls /proc/self/fd | tr '\\n' ' '"), "0 1 2 3 ");
}

TEST_P(ExecTest, TheCommandLeadsASessionOfItsOwn) {
  EXPECT_EQ(Shell("set -- $(cat /proc/$$/stat); [ $5 = $$ ] && [ $6 = $$ ] && "
                  "echo leader"),
            "leader\n");
}

TEST_P(ExecTest, TheCommandIsInItsCgroup) {
  const absl::StatusOr<const ProcessRecord*> started =
      rig_.Start(R"({"id":"c","command":"grep ^0:: /proc/self/cgroup"})");
  ASSERT_TRUE(started.ok()) << started.status();
  rig_.WaitExit("c");
  EXPECT_EQ(rig_.Output("c") == "0::" + rig_.cgroups().reason() + "/c\n",
            GetParam() != Way::kSpawned)
      << rig_.Output("c");
}

// In one container: a system's daemon and a user's, or two in tests.
TEST_P(ExecTest, AnotherDaemonsCommandOfTheSameIdIsNotTouched) {
  ProcessRig other(GetParam() != Way::kSpawned, GetParam() == Way::kMoved);
  other.Restart("instance-2");  // As no two daemons have the same.
  constexpr char kSleep[] = R"({"id":"c","command":"exec sleep 1000"})";
  ASSERT_TRUE(rig_.Start(kSleep).ok());
  ASSERT_TRUE(other.Start(kSleep).ok());
  rig_.table().Cancel("c", rig_.all(), [](auto) {});
  rig_.WaitOver("c");
  const ProcessRecord& theirs = **other.table().Find("c", other.all());
  EXPECT_EQ(::kill(theirs.pid, 0), 0);
  // Nothing of it is to be reaped: it has not ended.
  siginfo_t info{};
  EXPECT_EQ(::waitid(P_PID, static_cast<id_t>(theirs.pid), &info,
                     WEXITED | WNOHANG | WNOWAIT),
            0);
  EXPECT_EQ(info.si_pid, 0);
}

TEST_P(ExecTest, WithoutItsProgramNothingIsLeft) {
  rig_.context().exec_path = rig_.File("none");
  const absl::Status status = rig_.Start(R"({"command":"true"})").status();
  EXPECT_THAT(status.message(),
              AllOf(HasSubstr("cannot start " + rig_.File("none")),
                    HasSubstr("No such file")));
  EXPECT_EQ(::waitpid(-1, nullptr, WNOHANG), -1);
  EXPECT_EQ(errno, ECHILD);
}

TEST_P(ExecTest, EverySignalIsAtItsDefaultAndNoneIsBlocked) {
  ::signal(SIGPIPE, SIG_IGN);
  EXPECT_EQ(
      Shell("grep -E '^Sig(Ign|Blk):' /proc/self/status | tr '\\t\\n' '  '"),
      "SigBlk: 0000000000000000 SigIgn: 0000000000000000 ");
}

TEST_P(ExecTest, NothingOfTheDaemonsIsInTheEnvironment) {
  ::setenv("NOTIFY_SOCKET", "/x", 1);
  ::setenv("STATE_DIRECTORY", "/x", 1);
  ::setenv("KINESCOPE_QUEUE_PACKETS", "7", 1);
  ::setenv("KINE_TEST_DESKTOP", "kept", 1);
  const std::string env = Shell(
      "env", ",\"env\":{\"A\":\"b c\"},\"env_preset\":\"noninteractive\"");
  ::unsetenv("NOTIFY_SOCKET");
  ::unsetenv("STATE_DIRECTORY");
  ::unsetenv("KINESCOPE_QUEUE_PACKETS");
  ::unsetenv("KINE_TEST_DESKTOP");
  EXPECT_THAT(env, AllOf(Not(HasSubstr("NOTIFY_SOCKET")),
                         Not(HasSubstr("STATE_DIRECTORY")),
                         Not(HasSubstr("KINESCOPE_QUEUE"))));
  EXPECT_THAT(
      env,
      AllOf(HasSubstr("\nA=b c\n"), HasSubstr("PAGER=cat\n"),
            HasSubstr("TERM=dumb\n"), HasSubstr("HOME=/"),
            HasSubstr("KINE_TEST_DESKTOP=kept\n"),
            HasSubstr("KINESCOPE_PROCESS_ID="),
            HasSubstr("KINESCOPE_SOCKET=/run/s\n"),
            HasSubstr("KINESCOPE_INSTANCE=" + rig_.context().instance + "\n")));
}

TEST_P(ExecTest, ThePresetYieldsToTheRequest) {
  EXPECT_EQ(Shell("echo $TERM $PAGER",
                  ",\"env\":{\"TERM\":\"vt100\"},"
                  "\"env_preset\":\"noninteractive\""),
            "vt100 cat\n");
}

TEST_P(ExecTest, OpenFilesAreLimitedAsTheDaemonWasAndNotAsItIs) {
  EXPECT_EQ(Shell("ulimit -Sn"), "333\n");
  EXPECT_EQ(Shell("ulimit -Sn; ulimit -Hn", ",\"rlimits\":{\"nofile\":77}"),
            "77\n77\n");
}

TEST_P(ExecTest, NiceUmaskOomScoreRlimitsAndDirectoryAreAsAsked) {
  EXPECT_EQ(Shell("nice; umask; cat /proc/self/oom_score_adj; ulimit -c; pwd",
                  ",\"nice\":7,\"umask\":63,\"oom_score_adj\":123,"
                  "\"rlimits\":{\"core\":0},\"cwd\":\"/usr/bin\",\"shell\":"
                  "\"/bin/bash\""),
            "7\n0077\n123\n0\n/usr/bin\n");
}

TEST_P(ExecTest, AnotherUserHasItsIdsItsGroupsAndItsHome) {
  if (::geteuid() != 0) GTEST_SKIP() << "not root";
  EXPECT_EQ(Shell("id -un; id -gn; id -Gn; echo $USER; [ ! -w /root ] && echo "
                  "unable",
                  ",\"user\":\"nobody\",\"cwd\":\"/\""),
            "nobody\nnogroup\nnogroup\nnobody\nunable\n");
}

TEST_P(ExecTest, APtyIsTheControllingTerminalWithItsSize) {
  const absl::StatusOr<const ProcessRecord*> started = rig_.Start(
      "{\"id\":\"t\",\"command\":\"tty </dev/tty >&2; stty size; read line; "
      "stty size\",\"pty\":{\"cols\":91,\"rows\":17}}");
  ASSERT_TRUE(started.ok()) << started.status();
  rig_.RunUntil(
      [&] { return rig_.Output("t").find("17 91") != std::string::npos; });
  EXPECT_THAT(rig_.Output("t"), StartsWith("/dev/"));
  ASSERT_TRUE(rig_.table().Resize("t", rig_.all(), 100, 20).ok());
  const int terminal = rig_.table().OutputOf(**started)->terminal();
  ASSERT_EQ(::write(terminal, "\n", 1), 1);
  EXPECT_EQ(rig_.WaitExit("t").exit->code, 0);
  EXPECT_THAT(rig_.Output("t"), HasSubstr("20 100"));
}

TEST_P(ExecTest, AFailureNamesItsStage) {
  const std::string not_executable = rig_.File("plain");
  std::ofstream(not_executable) << "text";
  const std::string no_format = rig_.File("noformat");
  std::ofstream(no_format) << "text";
  ::chmod(no_format.c_str(), 0755);
  const struct {
    std::string json;
    const char* code;
  } rows[] = {
      {R"("command":"true","cwd":"/nonexistent")", "workdir_not_found"},
      {R"("command":"true","cwd":"/etc/passwd")", "workdir_not_found"},
      {R"("argv":["kine-no-such-program"])", "exec_not_found"},
      {R"("argv":["/nonexistent/program"])", "exec_not_found"},
      {R"("argv":["x"],"env":{"PATH":"/nonexistent:"})", "exec_not_found"},
      {"\"argv\":[\"" + not_executable + "\"]", "permission_denied"},
      {R"("argv":["/tmp"])", "permission_denied"},
      {"\"argv\":[\"" + no_format + "\"]", "exec_format"},
      {R"("command":"true","shell":"/nonexistent/sh")", "exec_not_found"},
      {R"("command":"true","user":"kine-nobody-here")", "user_not_found"},
      {R"("command":"true","rlimits":{"nofile":2000000000})",
       "permission_denied"},
  };
  for (const auto& row : rows) {
    const absl::Status status =
        rig_.Start("{\"id\":\"same\"," + row.json + "}").status();
    ASSERT_FALSE(status.ok()) << row.json;
    EXPECT_EQ(ProblemOf(status).code, row.code) << row.json << status;
    EXPECT_EQ(ProblemOf(status).status, 422) << row.json;
  }
  // Nothing was run, and the id is free.
  EXPECT_EQ(rig_.Run(R"({"id":"same","command":"exit 4"})").exit->code, 4);
  EXPECT_EQ(rig_.table().totals().start_failed, std::size(rows));
}

TEST_P(ExecTest, ADamagedPlanIsRefused) {
  // Straight at the program: what the daemon would never write.
  for (const std::string& plan :
       {std::string(), std::string("kinescope-plan 2\0.\0", 19),
        std::string("kinescope-plan 1\0d/\0a/bin/true\0", 30),
        std::string("kinescope-plan 1\0d/\0a/bin/true\0.\0x\0", 34),
        std::string("kinescope-plan 1\0d/\0d/\0a/bin/true\0.\0", 35),
        std::string("kinescope-plan 1\0d/\0a/bin/true\0Z\0.\0", 34),
        std::string("kinescope-plan 1\0a/bin/true\0.\0", 29),
        std::string("kinescope-plan 1\0d/\0.\0", 21)}) {
    const std::string path = rig_.File("plan");
    std::ofstream(path) << plan;
    const std::string output = Shell(rig_.context().exec_path + " 3<" + path +
                                     " 4>&1 | od -An -tu1 | "
                                     "head -c 5");
    EXPECT_EQ(output, "   1 ") << plan;
  }
}

}  // namespace
}  // namespace kine
