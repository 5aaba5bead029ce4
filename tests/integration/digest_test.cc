// The SHA-256 of a finished recording: computed once, when asked, and kept.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "tests/integration/daemon_rig.h"
#include "tests/integration/event_stream.h"

namespace kine {
namespace {

using ::testing::HasSubstr;

class DigestTest : public testing::Test {
 protected:
  void Record() {
    rig_.StartRecording("a", TestSource(320, 240));
    rig_.WaitFor("a", "first_frame");
    rig_.StopRecording("a");
  }
  DaemonRig::Answer Digest(const std::string& more = "",
                           const std::string& owner = "") {
    return rig_.Call("GET", "/v1/recordings/a/digest" + more, "", owner);
  }
  // What the system's own program says of the daemon's file.
  std::string Sum() {
    const ProgramResult sum = RunProgram({"sha256sum", rig_.VideoPath("a")});
    EXPECT_EQ(sum.code, 0) << sum.err;
    return sum.out.substr(0, 64);
  }
  std::string KeptPath() const {
    return std::filesystem::path(rig_.VideoPath("a")).parent_path() /
           "digest.json";
  }
  // Another byte, at the same length.
  void Damage() {
    std::fstream file(rig_.VideoPath("a"),
                      std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(-1, std::ios::end);
    file.put('\x55');
  }

  DaemonRig rig_;
};

TEST_F(DigestTest, IsThatOfTheFileAndIsComputedOnce) {
  EventStream events(rig_.socket());
  rig_.StartRecording("a", TestSource(320, 240));
  EXPECT_EQ(Digest().status, 409);
  rig_.WaitFor("a", "first_frame");
  rig_.StopRecording("a");
  EXPECT_EQ(Digest("", "somebody").status, 404);
  // Another's is told to nobody else.
  rig_.Call("POST", "/v1/recordings",
            absl::StrCat(R"({"id":"b","source":)", TestSource(320, 240), "}"),
            "somebody");
  rig_.Call("GET", "/v1/recordings/b?wait=first_frame", "", "somebody");
  rig_.Call("POST", "/v1/recordings/b/stop", R"({"wait_ready":true})",
            "somebody");
  EXPECT_EQ(rig_.Call("GET", "/v1/recordings/b/digest", "", "somebody").status,
            200);
  EXPECT_EQ(Digest("?timeout_ms=-1").status, 400);

  // Who asks at the same time shares the answer.
  std::vector<std::thread> clients;
  std::vector<std::string> answers(8);
  for (std::string& answer : answers)
    clients.emplace_back([&] { answer = Digest().body.Text("sha256"); });
  for (std::thread& client : clients) client.join();

  const std::string sum = Sum();
  for (const std::string& answer : answers) EXPECT_EQ(answer, sum);
  const auto told = events.NextOfType("recording.sidefile_ready", "a");
  ASSERT_TRUE(told.has_value());
  EXPECT_EQ(told->body.Text("data.sha256"), sum);
  for (const EventStream::Event& event : events.seen())
    EXPECT_FALSE(event.Is("recording.sidefile_ready", "b"));
  // Of what is kept no time is needed, and the file is not read again: this
  // would be another one.
  Damage();
  const Json again = Digest("?timeout_ms=0").body;
  EXPECT_EQ(again.Text("state"), "ready");
  EXPECT_EQ(again.Text("sha256"), sum);
  EXPECT_NE(Sum(), sum);
}

TEST_F(DigestTest, OfAnotherFileOrADamagedOneIsComputedAnew) {
  Record();
  const std::string first = Digest().body.Text("sha256");
  std::ofstream(KeptPath(), std::ios::binary) << "{\"generation\":1";
  Damage();
  EXPECT_EQ(Digest().body.Text("sha256"), Sum());
  // One that is not of this recording.
  const std::string kept = ReadWholeFile(KeptPath());
  rig_.Call("DELETE", "/v1/recordings/a");
  Record();
  std::ofstream(KeptPath(), std::ios::binary) << kept;
  EXPECT_EQ(Digest().body.Text("sha256"), Sum());
  EXPECT_NE(Digest().body.Text("sha256"), first);
  // Nor one of the same length.
  const std::string newer = absl::StrReplaceAll(
      ReadWholeFile(KeptPath()),
      {{Sum(), first}, {R"("generation":1)", R"("generation":2)"}});
  std::ofstream(KeptPath(), std::ios::binary) << newer;
  EXPECT_EQ(Digest().body.Text("sha256"), Sum());

  std::filesystem::remove(KeptPath());
  std::filesystem::resize_file(rig_.VideoPath("a"), 1'000);
  const DaemonRig::Answer cut = Digest();
  EXPECT_EQ(cut.status, 500);
  EXPECT_THAT(cut.body.Text("message"), HasSubstr("the file has 1000 bytes"));
}

TEST_F(DigestTest, KinectlKeepsOnlyWhatIsWhole) {
  Record();
  const ProgramResult shown = Kinectl(rig_, {"digest", "a"});
  EXPECT_EQ(shown.out, Sum() + "  a.mp4\n") << shown.err;
  const std::string path = rig_.directory() + "/got.mp4";
  ProgramResult got =
      Kinectl(rig_, {"get", "a", "--verify", "--output=" + path});
  EXPECT_EQ(got.code, 0) << got.err;
  EXPECT_TRUE(ReadWholeFile(path) == ReadWholeFile(rig_.VideoPath("a")));

  std::filesystem::remove(path);
  Damage();
  got = Kinectl(rig_, {"get", "a", "--verify", "--output=" + path});
  EXPECT_EQ(got.code, 1);
  EXPECT_THAT(got.err, HasSubstr("is not kept"));
  EXPECT_FALSE(std::filesystem::exists(path));
  got = Kinectl(rig_, {"get", "a", "--verify", "--view=compact"});
  EXPECT_EQ(got.code, 2);
}

}  // namespace
}  // namespace kine
