// --render_node, from kinescoped to the encoder.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/time/clock.h"
#include "tests/integration/daemon_rig.h"

namespace kine {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

// kinescoped asks its recorder at the start, and is up before that has
// answered.
Json InfoWithEncoders(DaemonRig& rig) {
  const absl::Time deadline = absl::Now() + kPatience;
  for (;;) {
    Json info = rig.Call("GET", "/v1/info").body;
    if (info.Size("backends.encode.refused") > 0 || absl::Now() > deadline)
      return info;
    rig.Elapse(absl::Milliseconds(10));
  }
}

TEST(RenderNodeFlagTest, AWrongDeviceIsRefusedByTheFlagsName) {
  DaemonRig::Options options;
  options.flags = {"--render_node=/dev/dri/none"};
  DaemonRig rig(std::move(options));

  rig.Call("POST", "/v1/recordings",
           R"({"id": "a", "source": "test", "encoder": "vaapi"})");
  const Json state = rig.WaitFor("a", "ready");

  EXPECT_EQ(state.Text("reason"), "encoder_failed") << state.text();
  EXPECT_THAT(state.Text("message"),
              HasSubstr("--render_node: /dev/dri/none: open"));
  const Json info = InfoWithEncoders(rig);
  const std::string encode = "backends.encode.";
  EXPECT_EQ(info.Text(encode + "render_node"), "/dev/dri/none");
  EXPECT_EQ(info.Text(encode + "available.0"), "x264") << info.text();
  EXPECT_EQ(info.Text(encode + "refused.0.name"), "vaapi");
  EXPECT_THAT(info.Text(encode + "refused.0.reason"),
              HasSubstr("--render_node: /dev/dri/none: open: No such file"));
}

TEST(RenderNodeFlagTest, ARelativePathIsNoDevice) {
  const ProgramResult result =
      RunProgram({BinaryPath("kinescoped"), "--render_node=renderD128"});
  EXPECT_EQ(result.code, 2);
  EXPECT_THAT(result.err, AllOf(HasSubstr("--render_node='renderD128'"),
                                HasSubstr("must be an absolute path")));
}

}  // namespace
}  // namespace kine
