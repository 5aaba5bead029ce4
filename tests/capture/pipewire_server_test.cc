// PipeWireSource against real servers and sources that nobody here wrote.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <csignal>

#include "capture/pipewire_source.h"
#include "capture/pixel_format.h"
#include "tests/capture/source_collector.h"
#include "tests/fakes/private_pipewire.h"

namespace kine {
namespace {

using ::testing::HasSubstr;
using State = SourceCollector::State;

constexpr char kVideoSrc[] =
    "/usr/libexec/installed-tests/pipewire-0.3/examples/video-src";
constexpr char kVideoSrcReneg[] =
    "/usr/libexec/installed-tests/pipewire-0.3/examples/video-src-reneg";
constexpr char kVideoSrcAlloc[] =
    "/usr/libexec/installed-tests/pipewire-0.3/examples/video-src-alloc";

class PipeWireServer : public testing::TestWithParam<bool> {
 protected:
  void SetUp() override { StartServer(GetParam()); }

  void StartServer(bool with_session_manager) {
    auto server = PrivatePipeWire::Start(with_session_manager);
    if (absl::IsNotFound(server.status()))
      GTEST_SKIP() << server.status().message();
    ASSERT_TRUE(server.ok()) << server.status();
    server_ = *std::move(server);
  }

  // Skips where the program is not installed.
  void RunSource(std::vector<std::string> argv) {
    auto child = server_->Run(std::move(argv));
    if (absl::IsNotFound(child.status()))
      GTEST_SKIP() << child.status().message();
    ASSERT_TRUE(child.ok()) << child.status();
    children_.push_back(*std::move(child));
  }

  void RunGst(const std::string& name, const std::string& format, int width,
              int height) {
    RunSource(
        {"gst-launch-1.0", "-q", "videotestsrc", "is-live=true",
         "pattern=smpte", "!",
         "video/x-raw,format=" + format + ",width=" + std::to_string(width) +
             ",height=" + std::to_string(height) + ",framerate=30/1",
         "!", "pipewiresink", "mode=provide",
         "stream-properties=p,media.class=Video/Source,node.name=" + name});
  }

  void Record(PipeWireSpec spec) {
    collector_ = std::make_unique<SourceCollector>(
        [&](Loop& loop) { return *PipeWireSource::ForNode(spec, 30, loop); });
  }

  void RecordName(const std::string& name) {
    PipeWireSpec spec;
    spec.node_name = name;
    Record(spec);
  }

  testing::AssertionResult WaitForFrames(uint64_t count) {
    if (collector_->WaitFor(
            [&](const State& state) { return state.frames >= count; }))
      return testing::AssertionSuccess();
    auto result = testing::AssertionFailure();
    collector_->With([&](State& state) {
      result << state.formats.size() << " formats, " << state.frames
             << " frames";
      for (const absl::Status& reason : state.lost) result << "; " << reason;
      for (const absl::Status& reason : state.failed) result << "; " << reason;
    });
    return result;
  }

  // A source may take longer to appear than we to look: what was lost before
  // the first frames does not count.
  testing::AssertionResult WaitForFirstFrames(uint64_t count) {
    testing::AssertionResult result = WaitForFrames(count);
    if (!result) return result;
    collector_->With([](State& state) {
      for (const absl::Status& reason : state.lost)
        EXPECT_TRUE(absl::IsNotFound(reason)) << reason;
      state.lost.clear();
    });
    return result;
  }

  std::unique_ptr<PrivatePipeWire> server_;
  std::vector<LoggedProcess> children_;
  std::unique_ptr<SourceCollector> collector_;
};

class PipeWireWithoutManager : public PipeWireServer {
 protected:
  void SetUp() override { StartServer(false); }
};

INSTANTIATE_TEST_SUITE_P(, PipeWireServer, testing::Bool(),
                         [](const testing::TestParamInfo<bool>& param) {
                           return param.param ? "WithWirePlumber" : "Alone";
                         });

TEST_P(PipeWireServer, RecordsTheExampleSource) {
  RunSource({kVideoSrc});
  if (IsSkipped()) return;
  RecordName("video-src");
  ASSERT_TRUE(WaitForFirstFrames(5));
  const SourceStats stats = collector_->stats();
  collector_->With([&](State& state) {
    ASSERT_EQ(state.formats.size(), 1u);
    EXPECT_EQ(PixelFormatName(state.formats[0].format.fourcc), "RGB");
    EXPECT_EQ(state.formats[0].format.max_fps, 25);
    const SourceDescription& about = state.formats[0].description;
    EXPECT_EQ(about.kind, "pipewire");
    EXPECT_EQ(about.name, "video-src");
    EXPECT_EQ(about.memory, "MemPtr");
    EXPECT_GT(about.serial, 0u);
    EXPECT_FALSE(about.cursor_embedded);
    EXPECT_TRUE(about.has_damage);
    EXPECT_TRUE(about.has_times);
    // Its stamps are all -1.
    EXPECT_FALSE(state.last.time_is_source);
    EXPECT_EQ(state.last.time, state.last.arrival);
    EXPECT_EQ(state.times_backwards, 0u);
    EXPECT_EQ(state.frames_other_size, 0u);
    EXPECT_GE(state.cursors.size(), 2u);
    ASSERT_GE(state.shapes.size(), 1u);
    EXPECT_EQ(state.shapes[0].width, 64);
    EXPECT_EQ(state.lost.size(), 0u);
  });
  EXPECT_GE(stats.received, 5u);
  EXPECT_EQ(stats.corrupted, 0u);
}

TEST_P(PipeWireServer, RecordsGStreamersTestPicture) {
  RunGst("gst-test", "BGRx", 320, 240);
  if (IsSkipped()) return;
  RecordName("gst-test");
  ASSERT_TRUE(WaitForFirstFrames(3));
  collector_->With([&](State& state) {
    EXPECT_EQ(PixelFormatName(state.last.format.fourcc), "BGRx");
    EXPECT_FALSE(state.formats[0].description.has_times);
    EXPECT_TRUE(state.formats[0].description.cursor_embedded);
    EXPECT_TRUE(state.last.damage.full());
    EXPECT_FALSE(state.last.damage_is_source);
    // SMPTE bars: grey on the left, then yellow (no blue).
    const Plane& plane = state.last.planes[0];
    ASSERT_GE(plane.size, size_t{plane.stride} * 239 + 1280);
    const std::byte* yellow = plane.data + 20 * plane.stride + 70 * 4;
    EXPECT_LT(std::to_integer<int>(yellow[0]), 30);
    EXPECT_GT(std::to_integer<int>(yellow[1]), 150);
    EXPECT_GT(std::to_integer<int>(yellow[2]), 150);
  });
}

TEST_P(PipeWireServer, GoesOnAfterTheServerWasKilledAndStartedAgain) {
  RunSource({kVideoSrc});
  if (IsSkipped()) return;
  RecordName("video-src");
  ASSERT_TRUE(WaitForFirstFrames(3));
  server_->KillServer(SIGKILL);
  ASSERT_TRUE(collector_->WaitFor(
      [](const State& state) { return state.lost.size() == 1; }));
  children_.clear();
  ASSERT_TRUE(server_->StartServer().ok());
  RunSource({kVideoSrc});
  ASSERT_TRUE(collector_->WaitFor([](const State& state) {
    return state.formats.size() >= 2 && state.frames >= 3;
  }));
  collector_->With([](State& state) {
    EXPECT_EQ(state.lost.size(), 1u);
    EXPECT_TRUE(absl::IsUnavailable(state.lost[0])) << state.lost[0];
    EXPECT_EQ(state.failed.size(), 0u);
    EXPECT_EQ(state.times_backwards, 0u);
  });
}

TEST_P(PipeWireServer, GoesOnWhenTheNodeComesBack) {
  RunSource({kVideoSrc});
  if (IsSkipped()) return;
  RecordName("video-src");
  ASSERT_TRUE(WaitForFirstFrames(3));
  for (size_t round = 1; round <= 2; ++round) {
    children_.clear();
    ASSERT_TRUE(collector_->WaitFor(
        [&](const State& state) { return state.lost.size() == round; }));
    RunSource({kVideoSrc});
    ASSERT_TRUE(collector_->WaitFor([&](const State& state) {
      return state.formats.size() >= round + 1 && state.frames >= 3;
    }));
  }
}

TEST_P(PipeWireServer, FollowsASizeChangeInMidStream) {
  RunSource({kVideoSrcReneg});
  if (IsSkipped()) return;
  Record(PipeWireSpec{});
  ASSERT_TRUE(WaitForFirstFrames(2));
  collector_->With([](State& state) { state.keep = true; });
  ASSERT_TRUE(collector_->WaitFor([](const State& state) {
    return state.formats.size() >= 2 && state.frames >= 2 &&
           state.formats.front().format.width !=
               state.formats.back().format.width;
  }));
  collector_->With([](State& state) {
    state.keep = false;
    EXPECT_EQ(state.frames_other_size, 0u);
    EXPECT_EQ(state.lost.size(), 0u);
    // Those of the old size are still readable: all bytes, to the last.
    ASSERT_GE(state.kept.size(), 2u);
    int sum = 0;
    for (const Frame& frame : state.kept) {
      for (size_t i = 0; i < frame.planes[0].size; ++i)
        sum += std::to_integer<int>(frame.planes[0].data[i]);
    }
    EXPECT_GT(sum, 0);
    state.kept.clear();
  });
}

TEST_F(PipeWireWithoutManager, RecordsMemoryThatTheSourceAllocated) {
  RunSource({kVideoSrcAlloc});
  if (IsSkipped()) return;
  Record(PipeWireSpec{});
  ASSERT_TRUE(WaitForFrames(3));
  collector_->With([](State& state) {
    EXPECT_EQ(state.formats[0].description.memory, "MemFd");
  });
}

TEST_F(PipeWireWithoutManager, WaitsForANodeThatIsNotThereYet) {
  RecordName("video-src");
  ASSERT_TRUE(collector_->WaitFor(
      [](const State& state) { return state.lost.size() == 1; }));
  RunSource({kVideoSrc});
  if (IsSkipped()) return;
  EXPECT_TRUE(WaitForFrames(2));
  collector_->With([](State& state) {
    EXPECT_TRUE(absl::IsNotFound(state.lost[0])) << state.lost[0];
    EXPECT_THAT(std::string(state.lost[0].message()), HasSubstr("video-src"));
    EXPECT_EQ(state.lost.size(), 1u);
  });
}

TEST_F(PipeWireWithoutManager, WaitsForAServerThatIsNotThereYet) {
  server_->KillServer(SIGTERM);
  RecordName("video-src");
  ASSERT_TRUE(collector_->WaitFor(
      [](const State& state) { return state.lost.size() == 1; }));
  ASSERT_TRUE(server_->StartServer().ok());
  RunSource({kVideoSrc});
  if (IsSkipped()) return;
  EXPECT_TRUE(WaitForFrames(2));
}

TEST_F(PipeWireWithoutManager, FindsANodeByIdAndBySerialAndListsIt) {
  RunSource({kVideoSrc});
  if (IsSkipped()) return;
  Record(PipeWireSpec{});
  ASSERT_TRUE(WaitForFrames(1));
  const std::vector<SourceListing> listings =
      ListPipeWireSources(absl::Seconds(10));
  ASSERT_EQ(listings.size(), 1u);
  EXPECT_TRUE(listings[0].available) << listings[0].reason;
  EXPECT_EQ(listings[0].name, "video-src");
  EXPECT_EQ(listings[0].media_class, "Video/Source");
  PipeWireSpec by_id;
  by_id.node_id = listings[0].node_id;
  Record(by_id);
  EXPECT_TRUE(WaitForFrames(1));
  PipeWireSpec by_serial;
  by_serial.serial = listings[0].serial;
  Record(by_serial);
  EXPECT_TRUE(WaitForFrames(1));
  collector_->With([&](State& state) {
    EXPECT_EQ(state.formats[0].description.node_id, listings[0].node_id);
    EXPECT_EQ(state.formats[0].description.serial, listings[0].serial);
  });
}

TEST_F(PipeWireWithoutManager, ANodeFoundByIdComesBackByItsName) {
  RunSource({kVideoSrc});
  if (IsSkipped()) return;
  Record(PipeWireSpec{});
  ASSERT_TRUE(WaitForFrames(1));
  PipeWireSpec by_id;
  collector_->With([&](State& state) {
    by_id.node_id = state.formats[0].description.node_id;
  });
  Record(by_id);
  ASSERT_TRUE(WaitForFirstFrames(1));
  children_.clear();
  ASSERT_TRUE(collector_->WaitFor(
      [](const State& state) { return state.lost.size() == 1; }));
  // Another source must not be taken instead, whatever its id.
  RunGst("other", "BGRx", 64, 64);
  RunSource({kVideoSrc});
  if (IsSkipped()) return;
  ASSERT_TRUE(collector_->WaitFor([](const State& state) {
    return state.formats.size() == 2 && state.frames >= 1;
  }));
  collector_->With([](State& state) {
    EXPECT_EQ(state.formats[1].description.name, "video-src");
  });
}

TEST_F(PipeWireWithoutManager, SeveralSourcesWithoutANameAreRefused) {
  RunSource({kVideoSrc});
  if (IsSkipped()) return;
  RunGst("second", "BGRx", 64, 64);
  if (IsSkipped()) return;
  for (const char* name : {"second", "video-src"}) {
    RecordName(name);
    ASSERT_TRUE(WaitForFrames(1)) << name;
  }
  Record(PipeWireSpec{});
  ASSERT_TRUE(collector_->WaitFor(
      [](const State& state) { return !state.failed.empty(); }));
  collector_->With([](State& state) {
    EXPECT_THAT(
        std::string(state.failed[0].message()),
        testing::AllOf(HasSubstr("\"second\""), HasSubstr("\"video-src\"")));
  });
}

TEST_F(PipeWireWithoutManager, AFormatThatNobodyHereReadsIsAFailure) {
  RunGst("grey", "GRAY8", 64, 64);
  if (IsSkipped()) return;
  RecordName("grey");
  ASSERT_TRUE(collector_->WaitFor(
      [](const State& state) { return !state.failed.empty(); }));
  collector_->With([](State& state) { EXPECT_EQ(state.formats.size(), 0u); });
}

TEST_F(PipeWireWithoutManager, StopsBeforeTheFirstFrameAndWithFramesOut) {
  RunSource({kVideoSrc});
  if (IsSkipped()) return;
  RecordName("nobody");
  collector_->Stop();
  RecordName("video-src");
  collector_->With([](State& state) { state.keep = true; });
  ASSERT_TRUE(WaitForFrames(3));
  collector_->Stop();
  collector_->DestroySource();
  server_->KillServer(SIGKILL);
  collector_->With([](State& state) {
    int sum = 0;
    for (const Frame& frame : state.kept) {
      for (size_t i = 0; i < frame.planes[0].size; ++i)
        sum += std::to_integer<int>(frame.planes[0].data[i]);
    }
    EXPECT_GT(sum, 0);
    EXPECT_TRUE(state.stopped);
  });
}

TEST_F(PipeWireWithoutManager, ListingWithoutAServerSaysWhy) {
  server_->KillServer(SIGTERM);
  const std::vector<SourceListing> listings =
      ListPipeWireSources(absl::Seconds(10));
  ASSERT_EQ(listings.size(), 1u);
  EXPECT_FALSE(listings[0].available);
  EXPECT_THAT(listings[0].reason, HasSubstr("no PipeWire server at /"));
  EXPECT_THAT(listings[0].reason, HasSubstr("/pipewire-0: start pipewire"));
}

}  // namespace
}  // namespace kine
