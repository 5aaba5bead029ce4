// DMA-BUFs from a PipeWire node into a file, through the daemon and the driver
// of tests/softva: what the desktop's GPU drew is never read by the processor.
#include <gtest/gtest.h>

#include "tests/integration/hardware_rig.h"
#include "tests/integration/pipewire_rig.h"
#include "tests/integration/video_file.h"

namespace kine {
namespace {

class DmabufTest : public PipeWireTest {
 protected:
  DaemonRig::Options RigOptions() override {
    return WithSoftVa({{"LATENCY_US", "2000"}});
  }
  void RunNode(std::vector<std::string> flags) {
    flags.insert(flags.begin(), TestPath("programs/dmabuf_source"));
    RunSource(std::move(flags));
  }
};

TEST_F(DmabufTest, AreEncodedWithoutACopy) {
  // Of the two, the driver reads linear.
  RunNode({"--modifiers=23,0", "--size=322x242", "--pattern=typing"});
  if (IsSkipped()) return;
  rig_->StartRecording("a", Node("dmabuf"));
  rig_->WaitDurable("a", absl::Milliseconds(900));

  const Json state = rig_->StopRecording("a");

  ASSERT_EQ(state.Text("state"), "ready") << state.text();
  EXPECT_EQ(state.Text("encoder.name"), "vaapi");
  EXPECT_EQ(state.Text("source.memory"), "DmaBuf");
  EXPECT_EQ(state.Text("source.modifier"), "linear");
  EXPECT_EQ(state.Size("fallbacks"), 0u) << state.text();
  EXPECT_EQ(state.Int("frames.lost_import"), 0);
  // The driver's colours are rounded in places of their own.
  const std::string file = rig_->Fetch("a");
  EXPECT_GE(ExpectPattern(file, "typing", 322, 242, /*tolerance=*/1), 10u);
  MissingPictures(Decode(file), state);
  EXPECT_EQ(Complaints(*rig_), "");
}

}  // namespace
}  // namespace kine
