// The mount for clients of coder's agent, with the real daemon: recordings in
// its words.
#include <gtest/gtest.h>

#include <csignal>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "tests/integration/daemon_rig.h"
#include "tests/integration/video_file.h"

namespace kine {
namespace {

constexpr char kId[] = "7e9b4a0e-2f1c-4b7d-9a53-0c6f1d2e3a4b";

std::string Uuid(int number) {
  return absl::StrCat("00000000-0000-4000-8000-00000000000", number);
}

DaemonRig::Options TestDesktop() {
  DaemonRig::Options options;
  options.flags = {absl::StrCat("--desktop_source=", TestSource(320, 240))};
  return options;
}

class RecordingCompatTest : public testing::Test {
 protected:
  struct Part {
    std::string type;
    std::string body;
  };

  DaemonRig::Answer Post(const std::string& verb, const std::string& body,
                         const std::string& chat = "") {
    return rig_.Call("POST", "/api/v0/desktop/recording/" + verb, body, chat);
  }
  DaemonRig::Answer Start(const std::string& id, const std::string& chat = "") {
    return Post("start", absl::StrCat("{\"recording_id\":\"", id, "\"}"), chat);
  }
  DaemonRig::Answer Stop(const std::string& id, const std::string& chat = "") {
    return Post("stop", absl::StrCat("{\"recording_id\":\"", id, "\"}"), chat);
  }
  void Begin(const std::string& id, const std::string& chat = "") {
    const DaemonRig::Answer answer = Start(id, chat);
    ASSERT_EQ(answer.status, 200) << answer.body.text();
    EXPECT_EQ(answer.body.text(), R"({"message":"Recording started."})");
  }

  // As a client reads multipart/mixed.
  static std::vector<Part> PartsOf(const DaemonRig::Answer& answer) {
    std::vector<Part> parts;
    EXPECT_EQ(answer.status, 200) << answer.body.text().substr(0, 300);
    absl::string_view type = answer.head.Field("Content-Type");
    EXPECT_TRUE(absl::ConsumePrefix(&type, "multipart/mixed; boundary="))
        << type;
    const std::string line = absl::StrCat("--", type);
    absl::string_view rest = answer.body.text();
    EXPECT_TRUE(absl::ConsumePrefix(&rest, line));
    while (absl::ConsumePrefix(&rest, "\r\nContent-Type: ")) {
      const size_t head = rest.find("\r\n\r\n");
      const size_t end = rest.find(absl::StrCat("\r\n", line));
      if (head == rest.npos || end == rest.npos) break;
      parts.push_back({std::string(rest.substr(0, head)),
                       std::string(rest.substr(head + 4, end - head - 4))});
      rest.remove_prefix(end + 2 + line.size());
    }
    EXPECT_EQ(rest, "--\r\n");
    return parts;
  }
  VideoFile Video(const std::string& bytes) {
    const std::string path = rig_.directory() + "/compat.mp4";
    std::ofstream(path, std::ios::binary | std::ios::trunc) << bytes;
    return Decode(path);
  }

  DaemonRig rig_{TestDesktop()};
};

TEST_F(RecordingCompatTest, TellsMistakesInItsOwnWords) {
  struct Case {
    const char* body;
    int status;
    const char* message;
  };
  const Case cases[] = {
      {"{", 400, "Failed to decode request body."},
      {"", 400, "Failed to decode request body."},
      {R"({"recording_id":1})", 400, "Failed to decode request body."},
      {"{}", 400, "Missing recording_id."},
      {R"({"recording_id":""})", 400, "Missing recording_id."},
      {R"({"recording_id":"x","more":1})", 400, "Invalid recording_id format."},
      {R"({"recording_id":"7e9b4a0e-2f1c-4b7d-9a53-0c6f1d2e3a4g"})", 400,
       "Invalid recording_id format."},
  };
  for (const std::string verb : {"start", "stop"}) {
    for (const Case& c : cases) {
      const DaemonRig::Answer answer = Post(verb, c.body);
      EXPECT_EQ(answer.status, c.status) << verb << c.body;
      EXPECT_EQ(answer.body.Text("message"), c.message) << verb << c.body;
    }
  }
  EXPECT_EQ(Start("x").body.Text("detail"),
            "recording_id must be a valid UUID.");
  EXPECT_EQ(Stop(kId).status, 404);
  EXPECT_EQ(Stop(kId).body.text(), R"({"message":"Recording not found."})");
}

TEST_F(RecordingCompatTest, StartsOnceStopsOftenAndBeginsAnew) {
  Begin(kId);
  Begin(kId);                                 // It runs: nothing happens.
  Begin("7E9B4A0E2F1C4B7D9A530C6F1D2E3A4B");  // The same, spelt otherwise.
  rig_.WaitDurable(kId, absl::Milliseconds(500));
  const DaemonRig::Answer first = Stop(kId);
  const std::vector<Part> parts = PartsOf(first);
  const bool pictures = std::filesystem::exists(BinaryPath("kinescope-frames"));
  ASSERT_EQ(parts.size(), pictures ? 2u : 1u);
  EXPECT_EQ(parts[0].type, "video/mp4");
  EXPECT_TRUE(Video(parts[0].body).clean);
  if (pictures) {
    EXPECT_EQ(parts[1].type, "image/jpeg");
    EXPECT_TRUE(absl::StartsWith(parts[1].body, "\xff\xd8\xff"));
  }
  const std::vector<Part> again = PartsOf(Stop(kId));
  ASSERT_EQ(again.size(), parts.size());
  EXPECT_TRUE(again[0].body == parts[0].body);
  EXPECT_TRUE(again.back().body == parts.back().body);

  Begin(kId);
  EXPECT_EQ(rig_.State(kId).Text("state"), "recording");
  rig_.WaitDurable(kId, absl::Milliseconds(500));
  const std::vector<Part> other = PartsOf(Stop(kId));
  ASSERT_FALSE(other.empty());
  EXPECT_FALSE(other[0].body == parts[0].body);
}

// There a killed recording is corrupted for good; here it plays.
TEST_F(RecordingCompatTest, AKilledRecordingPlays) {
  Begin(kId);
  rig_.WaitDurable(kId, absl::Milliseconds(500));
  ASSERT_EQ(::kill(rig_.RecorderOf(kId), SIGKILL), 0);
  const std::vector<Part> parts = PartsOf(Stop(kId));
  ASSERT_FALSE(parts.empty());
  EXPECT_GE(Video(parts[0].body).pictures.size(), 10u);
}

TEST_F(RecordingCompatTest, FiveRunAtOnceAndChatsSeeTheirOwn) {
  for (int i = 0; i < 5; ++i) Begin(Uuid(i), "chat1");
  const DaemonRig::Answer sixth = Start(Uuid(6), "chat1");
  EXPECT_EQ(sixth.status, 500);
  EXPECT_EQ(sixth.body.Text("message"), "Failed to start recording.");
  EXPECT_EQ(sixth.body.Text("detail"),
            "too many concurrent recordings (max 5)");
  EXPECT_EQ(Stop(Uuid(0), "chat2").status, 404);
  EXPECT_EQ(Start(Uuid(0), "chat2").status, 500);
  EXPECT_EQ(Stop(Uuid(0), "chat1").status, 200);
  EXPECT_EQ(Stop(Uuid(1)).status, 200);  // No chat: all of them.
  Begin(Uuid(6), "chat1");
}

}  // namespace
}  // namespace kine
