// kinectl live --http: who may see it, and what a browser shows how late.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <csignal>
#include <filesystem>
#include <string>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "tests/integration/daemon_rig.h"

namespace kine {
namespace {

using ::testing::HasSubstr;

class LivePageTest : public testing::Test {
 protected:
  // A page of a picture that changes once a second.
  LivePageTest() {
    rig_.StartRecording("a", TestSource(640, 360, 1, "typing"));
    bridge_ = Process({{BinaryPath("kinectl"), "--socket=" + rig_.socket(),
                        "live", "a", "--http=127.0.0.1:0"},
                       rig_.Environment(),
                       rig_.directory() + "/url",
                       "",
                       {}});
    rig_.WaitUntil("a", [this](const Json&) {
      url_ = ReadWholeFile(rig_.directory() + "/url");
      return absl::EndsWith(url_, "\n");
    });
    url_.pop_back();
  }
  ~LivePageTest() override {
    bridge_.Signal(SIGTERM);
    EXPECT_EQ(ExitCodeOf(bridge_.Wait()), 0);
  }

  std::string Curl(std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(),
                     {"curl", "-s", "-i", "--max-time", "60"});
    return RunProgram(std::move(arguments)).out;
  }

  DaemonRig rig_;
  Process bridge_;
  std::string url_;
};

TEST_F(LivePageTest, IsOnlyForWhoKnowsItsAddress) {
  if (!HaveProgram("curl")) GTEST_SKIP() << "no curl here";
  const std::string page = Curl({url_});
  EXPECT_THAT(page, HasSubstr("HTTP/1.1 200"));
  EXPECT_THAT(page, HasSubstr("Content-Security-Policy: default-src 'none'"));
  EXPECT_THAT(page, HasSubstr("<video"));
  EXPECT_THAT(page, Not(HasSubstr("Access-Control")));
  const size_t token = url_.find('/', 8) + 1;
  EXPECT_THAT(page, Not(HasSubstr(url_.substr(token, 36))));

  std::string guessed = url_;
  guessed[token] = guessed[token] == '0' ? '1' : '0';
  EXPECT_THAT(Curl({guessed}), HasSubstr("HTTP/1.1 404"));
  EXPECT_THAT(Curl({absl::StrReplaceAll(guessed, {{"/view", "/live"}})}),
              HasSubstr("HTTP/1.1 404"));
  EXPECT_THAT(Curl({"-H", "Host: example.org", url_}),
              HasSubstr("HTTP/1.1 403"));
  EXPECT_THAT(Curl({"-X", "POST", url_}), HasSubstr("HTTP/1.1 405"));
  rig_.StopRecording("a");
  EXPECT_THAT(Curl({absl::StrReplaceAll(url_, {{"/view", "/live"}})}),
              HasSubstr("HTTP/1.1 409"));
}

TEST_F(LivePageTest, ABrowserShowsWhatChangesAfterStillnessInTime) {
  const std::string script = SourcePath("tools/live_lag");
  if (!HaveProgram("chromium") || !HaveProgram("python3") ||
      !std::filesystem::exists(script))
    GTEST_SKIP() << "no chromium, python3 or source tree here";

  const ProgramResult shown = RunProgram({script, url_, "--changes=3"});

  ASSERT_EQ(shown.code, 0) << shown.out << shown.err;
  // The best of them: a busy machine is late now and then, a stalled player is
  // late for good.
  int best = 1'000'000;
  for (const absl::string_view text :
       absl::StrSplit(absl::StripAsciiWhitespace(shown.out), ' ')) {
    int lag = 0;
    ASSERT_TRUE(absl::SimpleAtoi(text, &lag)) << shown.out;
    best = std::min(best, lag);
  }
  EXPECT_GE(best, 0);
  EXPECT_LE(best, 1'500) << shown.out;
}

}  // namespace
}  // namespace kine
