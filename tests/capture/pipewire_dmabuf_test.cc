// DMA-BUFs over a real PipeWire: what is negotiated, what is lent, and how it
// is negotiated again. The node is tests/programs/dmabuf_source.
#include <drm_fourcc.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <csignal>
#include <filesystem>
#include <map>
#include <set>

#include "capture/pipewire_source.h"
#include "tests/capture/source_collector.h"
#include "tests/fakes/private_pipewire.h"

namespace kine {
namespace {

using State = SourceCollector::State;
using Imports = std::vector<DmabufFormat>;

constexpr uint64_t kTiled = 0x23;
constexpr uint64_t kOtherTiled = 0x22;
constexpr uint64_t kLinear = DRM_FORMAT_MOD_LINEAR;

Imports Xrgb(std::vector<uint64_t> modifiers) {
  return {{DRM_FORMAT_XRGB8888, std::move(modifiers)}};
}

class PipeWireDmabuf : public testing::TestWithParam<bool> {
 protected:
  void SetUp() override {
    auto server = PrivatePipeWire::Start(GetParam());
    if (absl::IsNotFound(server.status()))
      GTEST_SKIP() << server.status().message();
    ASSERT_TRUE(server.ok()) << server.status();
    server_ = *std::move(server);
  }

  void RunNode(std::vector<std::string> flags) {
    const std::filesystem::path self =
        std::filesystem::read_symlink("/proc/self/exe");
    flags.insert(flags.begin(),
                 self.parent_path() / "programs" / "dmabuf_source");
    auto child = server_->Run(std::move(flags));
    ASSERT_TRUE(child.ok()) << child.status();
    node_.emplace(*std::move(child));
  }

  void Record(Imports imports) {
    // The one before is gone first: two on one node, each with other layouts,
    // now and then leave PipeWire (0.3.65) without a format for the second.
    collector_.reset();
    collector_ = std::make_unique<SourceCollector>([&](Loop& loop) {
      PipeWireSpec spec;
      spec.node_name = "dmabuf";
      auto source = *PipeWireSource::ForNode(spec, 30, loop);
      source_ = source.get();
      source->SetImports(std::move(imports));
      return source;
    });
  }

  void SetImports(Imports imports) {
    collector_->RunOnLoop([&] { source_->SetImports(std::move(imports)); });
  }

  // Frames of the last format, which is that.
  testing::AssertionResult WaitFor(const std::string& memory,
                                   uint64_t modifier) {
    if (collector_->WaitFor([&](const State& state) {
          if (state.formats.empty() || state.frames < 3) return false;
          const auto& last = state.formats.back();
          return last.description.memory == memory &&
                 last.format.modifier == modifier;
        }))
      return testing::AssertionSuccess();
    auto result = testing::AssertionFailure();
    collector_->With([&](State& state) {
      result << state.frames << " frames";
      for (const auto& each : state.formats) {
        result << "; " << each.description.memory << " "
               << each.format.modifier;
      }
      for (const absl::Status& reason : state.lost) result << "; " << reason;
      for (const absl::Status& reason : state.failed) result << "; " << reason;
    });
    return result;
  }

  // Nothing was lost or is wrong since the first frame.
  void ExpectUnbroken() {
    const SourceStats stats = collector_->stats();
    EXPECT_EQ(stats.corrupted, 0u);
    EXPECT_EQ(stats.fence_timeouts, 0u);
    collector_->With([](State& state) {
      for (const absl::Status& reason : state.lost)
        EXPECT_TRUE(absl::IsNotFound(reason)) << reason;  // Not there yet.
      EXPECT_EQ(state.failed.size(), 0u);
      EXPECT_EQ(state.times_backwards, 0u);
      EXPECT_EQ(state.frames_other_size, 0u);
    });
  }

  std::unique_ptr<PrivatePipeWire> server_;
  std::optional<LoggedProcess> node_;
  FrameSource* source_ = nullptr;
  std::unique_ptr<SourceCollector> collector_;
};

INSTANTIATE_TEST_SUITE_P(, PipeWireDmabuf, testing::Bool(),
                         [](const testing::TestParamInfo<bool>& param) {
                           return param.param ? "WithWirePlumber" : "Alone";
                         });

TEST_P(PipeWireDmabuf, LendsTheDescriptorsOfALayoutThatBothKnow) {
  RunNode({"--modifiers=24,23,0", "--pattern=typing"});
  if (IsSkipped()) return;
  Record(Xrgb({kOtherTiled, kTiled, kLinear}));
  ASSERT_TRUE(WaitFor("DmaBuf", kTiled));
  collector_->With([](State& state) {
    const Frame& frame = state.last;
    EXPECT_EQ(frame.plane_count, 1);
    EXPECT_EQ(frame.format.modifier, kTiled);
    EXPECT_EQ(frame.format.fourcc, uint32_t{DRM_FORMAT_XRGB8888});
    const Plane& plane = frame.planes[0];
    EXPECT_EQ(plane.data, nullptr);
    EXPECT_EQ(plane.offset, 4096u);
    EXPECT_EQ(plane.stride, 320u * 4 + 64);
    ASSERT_GE(plane.fd, 0);
    EXPECT_TRUE(frame.damage_is_source);
    EXPECT_FALSE(frame.damage.full());
    // The page's first pixel is a block of the number: black or white.
    const size_t size = 4096 + size_t{plane.stride} * 240;
    void* memory = mmap(nullptr, size, PROT_READ, MAP_SHARED, plane.fd, 0);
    ASSERT_NE(memory, MAP_FAILED);
    int white = 0;
    const auto* bytes = static_cast<const uint8_t*>(memory) + 4096;
    for (size_t x = 0; x < 320; ++x) white += bytes[x * 4] == 255;
    EXPECT_GT(white, 0);
    munmap(memory, size);
  });
  ExpectUnbroken();
}

TEST_P(PipeWireDmabuf, ABuffersIdStaysAsLongAsTheBuffer) {
  RunNode({"--modifiers=23"});
  if (IsSkipped()) return;
  Record(Xrgb({kTiled}));
  ASSERT_TRUE(WaitFor("DmaBuf", kTiled));
  std::map<uint64_t, ino_t> inodes;
  for (uint64_t frames = 3; frames < 12; ++frames) {
    ASSERT_TRUE(collector_->WaitFor(
        [&](const State& state) { return state.frames > frames; }));
    collector_->With([&](State& state) {
      struct stat status {};
      ASSERT_EQ(fstat(state.last.planes[0].fd, &status), 0);
      const auto [at, fresh] =
          inodes.emplace(state.last.buffer_id, status.st_ino);
      EXPECT_EQ(at->second, status.st_ino);
    });
  }
  EXPECT_LE(inodes.size(), 4u);
  EXPECT_GE(inodes.size(), 2u);
  // Other buffers have other ids, for ever.
  SetImports({});
  ASSERT_TRUE(WaitFor("MemFd", kLinear));
  SetImports(Xrgb({kTiled}));
  ASSERT_TRUE(WaitFor("DmaBuf", kTiled));
  collector_->With([&](State& state) {
    EXPECT_FALSE(inodes.contains(state.last.buffer_id));
  });
  ExpectUnbroken();
}

TEST_P(PipeWireDmabuf, NegotiatesAgainDownToMemoryAndUpAgain) {
  RunNode({"--modifiers=23,22,0"});
  if (IsSkipped()) return;
  Record(Xrgb({kTiled, kOtherTiled, kLinear}));
  ASSERT_TRUE(WaitFor("DmaBuf", kTiled));
  collector_->With([](State& state) { state.keep = true; });
  ASSERT_TRUE(collector_->WaitFor(
      [](const State& state) { return state.kept.size() >= 2; }));
  collector_->With([](State& state) { state.keep = false; });
  SetImports(Xrgb({kOtherTiled, kLinear}));
  ASSERT_TRUE(WaitFor("DmaBuf", kOtherTiled));
  SetImports(Xrgb({kLinear}));
  ASSERT_TRUE(WaitFor("DmaBuf", kLinear));
  SetImports({});
  ASSERT_TRUE(WaitFor("MemFd", kLinear));
  collector_->With([](State& state) {
    EXPECT_NE(state.last.planes[0].data, nullptr);
    EXPECT_EQ(state.last.planes[0].fd, -1);
    // Those of the first layout are still there.
    for (const Frame& frame : state.kept) {
      struct stat status {};
      EXPECT_EQ(fstat(frame.planes[0].fd, &status), 0);
      EXPECT_GT(status.st_size, 320 * 240 * 4);
    }
    state.kept.clear();
  });
  SetImports(Xrgb({kTiled}));
  ASSERT_TRUE(WaitFor("DmaBuf", kTiled));
  ExpectUnbroken();
}

TEST_P(PipeWireDmabuf, ALayoutThatTheNodeCannotAllocateIsPassedOver) {
  RunNode({"--modifiers=23,22,0", "--unallocatable=23,22"});
  if (IsSkipped()) return;
  Record(Xrgb({kTiled, kOtherTiled, kLinear}));
  ASSERT_TRUE(WaitFor("DmaBuf", kLinear));
  Record(Xrgb({kTiled, kOtherTiled}));
  EXPECT_TRUE(WaitFor("MemFd", kLinear));
  ExpectUnbroken();
}

TEST_P(PipeWireDmabuf, WithoutACommonLayoutMemoryIsTaken) {
  RunNode({"--modifiers=23"});
  if (IsSkipped()) return;
  for (const Imports& imports :
       {Xrgb({kOtherTiled}), Imports(), Imports{{DRM_FORMAT_NV12, {kTiled}}}}) {
    Record(imports);
    EXPECT_TRUE(WaitFor("MemFd", kLinear));
  }
}

TEST_P(PipeWireDmabuf, ANodeWithMemoryOnlyIsTakenAsBefore) {
  RunNode({});
  if (IsSkipped()) return;
  Record(Xrgb({kTiled, kLinear}));
  EXPECT_TRUE(WaitFor("MemFd", kLinear));
  ExpectUnbroken();
}

TEST_P(PipeWireDmabuf, ANodeWithForeignLayoutsOnlyIsAFailure) {
  RunNode({"--modifiers=23", "--memory=false"});
  if (IsSkipped()) return;
  Record(Xrgb({kOtherTiled}));
  EXPECT_TRUE(collector_->WaitFor(
      [](const State& state) { return !state.failed.empty(); }));
}

TEST_P(PipeWireDmabuf, FollowsASizeChange) {
  RunNode({"--modifiers=23", "--second_size=400x300"});
  if (IsSkipped()) return;
  Record(Xrgb({kTiled}));
  ASSERT_TRUE(WaitFor("DmaBuf", kTiled));
  kill(node_->pid(), SIGUSR1);
  ASSERT_TRUE(collector_->WaitFor([](const State& state) {
    return state.formats.back().format.width == 400 && state.frames >= 2;
  }));
  collector_->With([](State& state) {
    EXPECT_EQ(state.last.planes[0].stride, 400u * 4 + 64);
    EXPECT_EQ(state.formats.back().description.memory, "DmaBuf");
  });
  ExpectUnbroken();
}

}  // namespace
}  // namespace kine
