// DMA-BUFs from a PipeWire node into a file, through the daemon and the driver
// of tests/softva: what the desktop's GPU drew is never read by the processor.
#include <gtest/gtest.h>

#include "tests/integration/event_stream.h"
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

class UnfinishedDmabufTest : public DmabufTest {
 protected:
  DaemonRig::Options RigOptions() override {
    return WithSoftVa({}, {"fake_fences.so"});
  }
};

TEST_F(UnfinishedDmabufTest, AreGivenUpForMemoryInTheSameRecording) {
  RunNode({"--modifiers=23,0", "--size=322x242", "--pattern=typing"});
  if (IsSkipped()) return;
  EventStream events(rig_->socket());
  rig_->StartRecording("a", Node("dmabuf"));
  const auto told = events.NextOfType("recording.fallback", "a");
  ASSERT_TRUE(told.has_value());
  EXPECT_EQ(told->body.Text("data.what"), "import");
  EXPECT_EQ(told->body.Text("data.from"), "BGRx linear");
  EXPECT_EQ(told->body.Text("data.to"), "shared memory");
  rig_->WaitDurable("a", absl::Milliseconds(400));

  const Json state = rig_->StopRecording("a");

  ASSERT_EQ(state.Text("state"), "ready") << state.text();
  EXPECT_EQ(state.Text("encoder.name"), "vaapi");
  EXPECT_EQ(state.Text("source.memory"), "MemFd");
  EXPECT_EQ(state.Size("fallbacks"), 1u) << state.text();
  EXPECT_GE(state.Int("frames.lost_import"), 3);
  EXPECT_GE(ExpectPattern(rig_->Fetch("a"), "typing", 322, 242), 5u);
}

}  // namespace
}  // namespace kine
