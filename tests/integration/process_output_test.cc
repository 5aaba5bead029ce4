// Output and input of commands, and kinectl for them, with the real daemon.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <random>

#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "tests/integration/daemon_rig.h"

namespace kine {
namespace {

using ::testing::AnyOf;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::StartsWith;

constexpr char kProcesses[] = "/v1/processes";

class OutputTest : public testing::Test {
 protected:
  Json Start(const std::string& id, const std::string& command,
             const std::string& more = "", const std::string& owner = "") {
    const auto answer =
        rig_.Call("POST", kProcesses,
                  absl::StrCat("{\"id\":\"", id,
                               "\",\"command\":", JsonText(command), more, "}"),
                  owner);
    EXPECT_EQ(answer.status, 201) << answer.body.text();
    return answer.body;
  }
  DaemonRig::Answer Get(const std::string& tail,
                        const std::string& owner = "") {
    return rig_.Call("GET", absl::StrCat(kProcesses, "/", tail), "", owner);
  }
  Json WaitExit(const std::string& id) {
    const auto answer = Get(id + "?wait=exit&timeout_ms=100000");
    EXPECT_EQ(answer.status, 200);
    EXPECT_TRUE(answer.body.Has("exit")) << answer.body.text();
    return answer.body;
  }
  // One piece as bytes, and where the next is.
  struct Piece {
    uint64_t gap_to = 0;
    std::string bytes;
    uint64_t next = 0;
    bool eof = false;
  };
  Piece Read(const std::string& id, uint64_t from, uint64_t max,
             const std::string& more = "") {
    const auto answer = Get(absl::StrCat(
        id, "/output?encoding=base64&from=", from, "&max=", max, more));
    EXPECT_EQ(answer.status, 200) << answer.body.text();
    Piece piece;
    EXPECT_TRUE(absl::Base64Unescape(answer.body.Text("data"), &piece.bytes));
    piece.next = static_cast<uint64_t>(answer.body.Int("next"));
    piece.eof = answer.body.Bool("eof");
    if (answer.body.Has("gap")) {
      EXPECT_EQ(static_cast<uint64_t>(answer.body.Int("gap.from")), from);
      piece.gap_to = static_cast<uint64_t>(answer.body.Int("gap.to"));
    }
    return piece;
  }
  std::string ReadAll(const std::string& id, const std::string& more = "") {
    std::string all;
    for (uint64_t at = 0;;) {
      const Piece piece = Read(id, at, 1 << 20, more);
      if (piece.bytes.empty()) return all;
      all += piece.bytes;
      at = piece.next;
    }
  }
  void ExpectProblem(const DaemonRig::Answer& answer, int status,
                     const std::string& code) {
    EXPECT_EQ(answer.status, status) << answer.body.text();
    EXPECT_EQ(answer.body.Text("code"), code);
  }

  DaemonRig rig_;
};

TEST_F(OutputTest, BothStreamsByOffsetWithTheExitInTheSameReply) {
  Start("a", "printf out; printf problem >&2; exit 3");
  WaitExit("a");
  const auto out = Get("a/output").body;
  EXPECT_EQ(out.Text("data"), "out");
  EXPECT_EQ(out.Text("stream"), "stdout");
  EXPECT_EQ(out.Int("next"), 3);
  EXPECT_TRUE(out.Bool("eof"));
  EXPECT_EQ(out.Int("exit.code"), 3);
  EXPECT_EQ(Get("a/output?stream=stderr&from=4").body.Text("data"), "lem");
  ExpectProblem(Get("a/output?stream=merged"), 409, "not_merged");
  ExpectProblem(Get("a/output?stream=both"), 400, "invalid_argument");
  ExpectProblem(Get("a/output?max=3"), 400, "invalid_argument");
}

TEST_F(OutputTest, MergedKeepsTheOrderOfWriting) {
  Start("a", "for i in 1 2 3 4; do echo $i; echo e$i >&2; done",
        ",\"merge_stderr\":true");
  WaitExit("a");
  EXPECT_EQ(Get("a/output").body.Text("data"), "1\ne1\n2\ne2\n3\ne3\n4\ne4\n");
  ExpectProblem(Get("a/output?stream=stderr"), 409, "merged");
}

TEST_F(OutputTest, APieceNeverEndsInsideACharacter) {
  Start("a", "for i in 1 2 3 4 5 6 7 8 9; do printf '\\342\\202\\254x'; done");
  WaitExit("a");
  for (const int max : {4, 5, 6, 7, 8, 9}) {
    std::string all;
    for (int64_t at = 0;;) {
      const Json piece =
          Get(absl::StrCat("a/output?from=", at, "&max=", max)).body;
      all += piece.Text("data");
      at = piece.Int("next");
      if (piece.Bool("eof")) break;
    }
    EXPECT_EQ(all.find("\xEF\xBF\xBD"), std::string::npos) << max;
    EXPECT_EQ(all.size(), 36u) << max;
  }
}

TEST_F(OutputTest, WaitsForTheNextByteAndNoLonger) {
  Start("a", "printf one; read x; printf two", ",\"stdin\":\"pipe\"");
  EXPECT_EQ(Read("a", 0, 100, "&wait=output").bytes, "one");
  EXPECT_EQ(Read("a", 3, 100, "&wait=output&timeout_ms=50").bytes, "");
  EXPECT_EQ(
      rig_.Call("PUT", std::string(kProcesses) + "/a/stdin?offset=0", "go\n")
          .status,
      200);
  EXPECT_EQ(Read("a", 3, 100, "&wait=output").bytes, "two");
  EXPECT_TRUE(Read("a", 6, 100, "&wait=output").eof);
}

TEST_F(OutputTest, InputIsTakenOnceHoweverOftenItIsSaid) {
  Start("a", "cat", ",\"stdin\":\"pipe\"");
  const std::string put = std::string(kProcesses) + "/a/stdin?offset=";
  EXPECT_EQ(rig_.Call("PUT", put + "0", "hello ").body.Int("next"), 6);
  EXPECT_EQ(rig_.Call("PUT", put + "0", "hello ").body.Int("next"), 6);
  ExpectProblem(rig_.Call("PUT", put + "9", "x"), 409, "stdin_gap");
  const std::string big(1 << 20, 'x');
  EXPECT_EQ(rig_.Call("PUT", put + "6", big).body.Int("written"),
            (1 << 20) + 6);
  EXPECT_TRUE(rig_.Call("PUT", absl::StrCat(put, (1 << 20) + 6, "&eof=1"), "")
                  .body.Bool("closed"));
  EXPECT_EQ(WaitExit("a").Int("exit.code"), 0);
  EXPECT_TRUE(ReadAll("a") == "hello " + big);
}

TEST_F(OutputTest, ACommandWithoutInputSaysSo) {
  Start("a", "sleep 100");
  ExpectProblem(
      rig_.Call("PUT", std::string(kProcesses) + "/a/stdin?offset=0", "x"), 409,
      "no_stdin");
}

TEST_F(OutputTest, OthersOutputIsNotFound) {
  Start("a", "echo secret; sleep 100", "", "me");
  EXPECT_EQ(Get("a/output", "me").status, 200);
  EXPECT_EQ(Get("a/output", "you").status, 404);
  EXPECT_EQ(Get("a/output").status, 404);
  EXPECT_EQ(rig_.Call("GET", kProcesses, "", "you").body.Int("total"), 0);
  EXPECT_EQ(rig_.Call("GET", kProcesses, "", "me").body.Int("total"), 1);
}

TEST_F(OutputTest, AGrandchildThatKeepsThePipeDoesNotDelayTheExit) {
  Start("a", "sleep 100 & echo done", ",\"on_exit\":\"keep\"");
  EXPECT_EQ(WaitExit("a").Int("exit.code"), 0);
  EXPECT_EQ(Read("a", 0, 100).bytes, "done\n");
  EXPECT_TRUE(Read("a", 5, 100, "&wait=output").eof);  // Quiet after the exit.
}

TEST_F(OutputTest, NoLastLineIsLost) {
  for (int i = 0; i < 60; ++i) {
    const std::string id = absl::StrCat("c", i);
    Start(id, "seq 1 2000");
    WaitExit(id);
    const std::string all = ReadAll(id);
    ASSERT_EQ(all.size(), 8893u);
    ASSERT_THAT(all, EndsWith("\n2000\n"));
  }
}

// The truth: line i of the command is i.
std::string Truth(size_t size) {
  std::string text;
  for (int i = 1; text.size() < size; ++i) absl::StrAppend(&text, i, "\n");
  return text.substr(0, size);
}

TEST_F(OutputTest, ReadersAtAnyOffsetGetTheTruthOrAToldGap) {
  Start("a", "seq 1 1000000; read x",
        ",\"stdin\":\"pipe\",\"output\":{\"head_bytes\":65536,"
        "\"tail_bytes\":65536,\"spool_bytes\":2097152}");
  const std::string truth = Truth(6'888'896);
  std::mt19937 random(7);
  // While it writes and after; every request may be on a new connection.
  uint64_t seen = 0;
  for (int i = 0; i < 200; ++i) {
    const uint64_t total =
        static_cast<uint64_t>(Get("a/output?max=4").body.Int("total"));
    const uint64_t from = random() % (total + 1);
    const Piece piece = Read("a", from, 1 + 4 + random() % 200'000);
    const uint64_t at = std::max(from, piece.gap_to);
    ASSERT_EQ(piece.next, at + piece.bytes.size());
    ASSERT_TRUE(piece.bytes == truth.substr(at, piece.bytes.size()))
        << "from " << from;
    seen += piece.bytes.size();
  }
  EXPECT_GT(seen, 0u);
}

TEST_F(OutputTest, AFloodStaysWithinItsBounds) {
  for (int i = 0; i < 4; ++i)
    Start(absl::StrCat("yes", i), "yes",
          ",\"output\":{\"spool_bytes\":1048576}");
  rig_.Elapse(absl::Milliseconds(1500));
  const Json state = Get("yes0").body;
  EXPECT_GT(state.Int("output.bytes"), 10 << 20);
  EXPECT_GT(state.Int("output.dropped"), 0);
  // Heads, tails and files of four, with a block of slack a stream.
  const auto metric = [&](const std::string& name) {
    const std::string text = rig_.Call("GET", "/metrics").body.text();
    const size_t at = text.find("\nkinescope_" + name + " ");
    EXPECT_NE(at, std::string::npos) << name;
    return std::atoll(text.c_str() + at + name.size() + 12);
  };
  EXPECT_LE(metric("output_memory_bytes"), 4 * ((64 + 1024 + 128 + 512) << 10));
  EXPECT_LE(metric("output_spool_bytes"), 4 << 20);
  for (int i = 0; i < 4; ++i)
    rig_.Call("POST", absl::StrCat(kProcesses, "/yes", i, "/cancel"));
  for (int i = 0; i < 4; ++i) WaitExit(absl::StrCat("yes", i));
}

TEST_F(OutputTest, FollowsBothStreamsUntilTheExit) {
  Start("a", "printf out; printf err >&2; exit 4");
  Client::Options options;
  options.socket_path = rig_.socket();
  Client client(options);
  std::string out, err, end;
  const absl::Status status = client.Follow(
      std::string(kProcesses) + "/a/output?follow=1&stream=both",
      [&](absl::string_view line) {
        const Json json{std::string(line)};
        if (json.Text("type") == "end") {
          end = json.text();
          return false;
        }
        (json.Text("stream") == "stdout" ? out : err) += json.Text("data");
        return true;
      });
  EXPECT_TRUE(status.ok()) << status;
  EXPECT_EQ(out, "out");
  EXPECT_EQ(err, "err");
  EXPECT_EQ(Json(end).Int("exit.code"), 4);
  EXPECT_EQ(Json(end).Int("stdout"), 3);
}

TEST_F(OutputTest, TheAgentsViewFitsAContext) {
  Start("a", "seq 1 100000");
  WaitExit("a");
  const Json view = Get("a/output?view=agent").body;
  EXPECT_LT(view.Text("data").size(), 33'000u);
  EXPECT_THAT(view.Text("data"), StartsWith("1\n2\n"));
  EXPECT_THAT(view.Text("data"), EndsWith("100000\n"));
  EXPECT_THAT(view.Text("data"), HasSubstr("... [omitted 556127 bytes] ..."));
}

TEST_F(OutputTest, ReadyByALineOfTheOutput) {
  Start("a", "sleep 0.1; echo server is up; sleep 100",
        ",\"ready\":{\"regex\":\"^server is up$\"}");
  EXPECT_TRUE(Get("a?wait=ready").body.Bool("ready"));
  const auto bad =
      rig_.Call("POST", kProcesses,
                R"({"id":"b","command":"true","ready":{"regex":"(a"}})");
  EXPECT_EQ(bad.status, 400);
  EXPECT_EQ(bad.body.Text("field"), "ready.regex");
}

class KinectlRunTest : public OutputTest {};

TEST_F(KinectlRunTest, IsTheCommand) {
  const ProgramResult result = Kinectl(
      rig_, {"run", "--shell", "--no_stdin", "echo out; echo err >&2; exit 7"});
  EXPECT_EQ(result.code, 7);
  EXPECT_EQ(result.out, "out\n");
  EXPECT_EQ(result.err, "err\n");
}

TEST_F(KinectlRunTest, FlagsBehindTheCommandAreTheCommands) {
  const ProgramResult result =
      Kinectl(rig_, {"run", "--no_stdin", "printf", "%s", "--json"});
  EXPECT_EQ(result.code, 0) << result.err;
  EXPECT_EQ(result.out, "--json");
}

TEST_F(KinectlRunTest, WhatCannotStartSaysWhy) {
  const ProgramResult result = Kinectl(rig_, {"run", "/no/such/program"});
  EXPECT_NE(result.code, 0);
  EXPECT_THAT(result.err, HasSubstr("/no/such/program"));
}

TEST_F(KinectlRunTest, PsLogsWaitAndKill) {
  const ProgramResult started = Kinectl(
      rig_, {"run", "--detach", "--id=a", "--shell", "echo up; sleep 100"});
  EXPECT_EQ(started.out, "a\n") << started.err;
  EXPECT_EQ(Read("a", 0, 10, "&wait=output").bytes, "up\n");
  EXPECT_THAT(Kinectl(rig_, {"ps"}).out, HasSubstr("running"));
  EXPECT_EQ(Kinectl(rig_, {"logs", "a"}).out, "up\n");
  Kinectl(rig_, {"run", "--detach", "--id=b", "--shell", "sleep 0.3; exit 5"});
  EXPECT_EQ(Kinectl(rig_, {"wait", "b"}).code, 5);
  EXPECT_EQ(Kinectl(rig_, {"kill", "a"}).code, 0);
  const ProgramResult waited = Kinectl(rig_, {"wait", "a"});
  EXPECT_EQ(waited.code, 128 + SIGTERM) << waited.out << waited.err;
  EXPECT_EQ(Kinectl(rig_, {"logs", "-f", "a"}).out, "up\n");
  EXPECT_EQ(Kinectl(rig_, {"logs", "nobody"}).code, 4);
}

}  // namespace
}  // namespace kine
