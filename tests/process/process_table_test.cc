// The table of commands: ids, owners, receipts, waits, limits.
#include <gmock/gmock.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include "ipc/problem.h"
#include "tests/process/process_rig.h"

namespace kine {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

std::string CodeOf(const absl::Status& status) {
  return ProblemOf(status).code;
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
