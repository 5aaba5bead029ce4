// --render_node, from kinescoped to the encoder.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/integration/daemon_rig.h"

namespace kine {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

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
  EXPECT_EQ(
      rig.Call("GET", "/v1/info").body.Text("backends.encode.render_node"),
      "/dev/dri/none");
  // What kinescoped asks for /v1/info, with the flag that it passes on.
  const Json hello(RunProgram({BinaryPath("kinescope-recorder"), "--describe",
                               "--render_node=/dev/dri/none"})
                       .out);
  EXPECT_THAT(hello.text(), HasSubstr("--render_node: /dev/dri/none: open"));
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
