// The rules of the API serve any language: a whole recording through the
// standard HTTP client of four, as their users would write it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "tests/integration/daemon_rig.h"

namespace kine {
namespace {

struct Language {
  const char* name;
  std::vector<std::string> command;  // Before the client's file.
  const char* file;
};

class ClientsTest : public testing::TestWithParam<Language> {};
INSTANTIATE_TEST_SUITE_P(
    , ClientsTest,
    testing::Values(Language{"Curl", {"sh"}, "client.sh"},
                    Language{"Python", {"python3"}, "client.py"},
                    Language{"Node", {"node"}, "client.js"},
                    Language{"Go", {"go", "run"}, "client.go"}),
    [](const auto& i) { return std::string(i.param.name); });

TEST_P(ClientsTest, StartWaitMarkStopAndDownloadInParts) {
  const Language& language = GetParam();
  if (!HaveProgram(language.command[0]))
    GTEST_SKIP() << "no " << language.command[0] << " here";
  DaemonRig rig;
  const std::string copy = rig.directory() + "/copy.mp4";
  // Go wants a place for what it compiles, also where there is no HOME.
  std::vector<std::string> argv = {
      "env", absl::StrCat("GOCACHE=", rig.directory(), "/go")};
  argv.insert(argv.end(), language.command.begin(), language.command.end());
  argv.insert(argv.end(),
              {SourcePath(absl::StrCat("tests/clients/", language.file)),
               rig.socket(), "a", copy});
  const ProgramResult result = RunProgram(argv);
  ASSERT_EQ(result.code, 0) << result.err;
  EXPECT_TRUE(ReadWholeFile(copy) == ReadWholeFile(rig.VideoPath("a")));
  EXPECT_GT(ReadWholeFile(copy).size(), 1'000u);
  EXPECT_EQ(rig.State("a").Text("reason"), "stopped");
  const Json markers =
      rig.Call("GET", "/v1/recordings/a/markers?format=json").body;
  EXPECT_THAT(markers.text(), testing::HasSubstr("from "));
}

}  // namespace
}  // namespace kine
