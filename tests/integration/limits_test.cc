// Recordings that reach a limit: of their own, of the daemon, of the disk.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <sys/mount.h>
#include <unistd.h>

#include <filesystem>

#include "absl/strings/str_cat.h"
#include "tests/integration/daemon_rig.h"
#include "tests/integration/video_file.h"

namespace kine {
namespace {

using ::testing::HasSubstr;

TEST(LimitsTest, MaxBytesIsNotExceededByAByteAndTheFilePlays) {
  DaemonRig rig;
  rig.StartRecording("a", TestSource(1920, 1080, 30, "video"),
                     ",\"max_bytes\":4194304,\"quality\":90");
  rig.WaitFor("a", "first_frame");
  for (int i = 0; i < 10; ++i)
    rig.Call("POST", "/v1/recordings/a/markers",
             R"({"label":"chapter","at_media_us":0})");

  const Json state = rig.WaitFor("a", "ready");

  ASSERT_EQ(state.Text("state"), "ready") << state.text();
  EXPECT_EQ(state.Text("reason"), "max_bytes");
  EXPECT_TRUE(state.Bool("truncated"));
  EXPECT_GE(state.Int("artifact.chapters"), 1);
  const std::string file = rig.Fetch("a");
  EXPECT_LE(std::filesystem::file_size(file), 4'194'304u);
  // Full, not given up early.
  EXPECT_GE(std::filesystem::file_size(file), 3'000'000u);
  const VideoFile video = Decode(file);
  EXPECT_EQ(static_cast<int64_t>(video.pictures.size()),
            state.Int("artifact.frames"));
  MissingNumbers(video.Numbers());
}

TEST(LimitsTest, OneRecordingTooManyIsRefusedWithTheLimitsName) {
  DaemonRig::Options options;
  options.flags = {"--recordings_max=2", "--recordings_per_owner_max=1"};
  DaemonRig rig(std::move(options));
  const auto start = [&](const char* id, const char* owner) {
    return rig.Call("POST", "/v1/recordings",
                    absl::StrCat("{\"id\":\"", id,
                                 "\",\"source\":", TestSource(320, 240), "}"),
                    owner);
  };
  EXPECT_EQ(start("a", "alice").status, 201);

  DaemonRig::Answer refused = start("b", "alice");
  EXPECT_EQ(refused.status, 429);
  EXPECT_EQ(refused.body.Text("code"), "limit");
  EXPECT_THAT(refused.body.Text("message"),
              HasSubstr("limit recordings_per_owner (1)"));
  EXPECT_EQ(start("c", "bob").status, 201);
  refused = start("d", "carol");
  EXPECT_EQ(refused.status, 429);
  EXPECT_THAT(refused.body.Text("message"), HasSubstr("limit recordings (2)"));

  EXPECT_EQ(rig.Call("POST", "/v1/recordings/a/stop", "{\"wait_ready\":true}",
                     "alice")
                .status,
            200);
  EXPECT_EQ(start("b", "alice").status, 201) << "there is room again";
}

// A daemon whose state directory is a disk of its own.
class SmallDiskTest : public testing::Test {
 protected:
  // Skips where this process may not mount.
  void Start(const std::string& size) {
    if (::geteuid() != 0) GTEST_SKIP() << "not root: cannot mount a tmpfs";
    const RunDirectory directory;
    const std::string options = "size=" + size;
    Process::Options probe;
    probe.argv = {"true"};
    probe.before_exec = [&] { return Mount(directory.path(), options); };
    if (ExitCodeOf(Process(std::move(probe)).Wait()) != 0)
      GTEST_SKIP() << "may not mount a tmpfs here";
    state_ = directory_.File("disk");
    std::filesystem::create_directory(state_);
    DaemonRig::Options rig;
    rig.flags = {"--state_dir=" + state_};
    rig.before_exec = [this, options] { return Mount(state_, options); };
    rig_ = std::make_unique<DaemonRig>(std::move(rig));
  }
  // In a mount namespace of the child's own, which goes with it.
  static bool Mount(const std::string& path, const std::string& options) {
    return ::unshare(CLONE_NEWNS) == 0 &&
           ::mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0 &&
           ::mount("none", path.c_str(), "tmpfs", 0, options.c_str()) == 0;
  }

  const RunDirectory directory_;
  std::string state_;
  std::unique_ptr<DaemonRig> rig_;
};

TEST_F(SmallDiskTest, AFullDiskEndsTheRecordingWithAValidFile) {
  // The floor of 64 MiB, the ballast of 16 MiB, and a few MiB.
  Start("86m");
  if (IsSkipped()) return;
  rig_->StartRecording("a", TestSource(1920, 1080, 60, "video"),
                       ",\"quality\":100");

  const Json state = rig_->WaitFor("a", "ready");

  ASSERT_EQ(state.Text("state"), "ready") << state.text();
  EXPECT_EQ(state.Text("reason"), "disk_full");
  EXPECT_TRUE(state.Bool("truncated"));
  EXPECT_EQ(static_cast<int64_t>(Decode(rig_->Fetch("a")).pictures.size()),
            state.Int("artifact.frames"));
}

TEST_F(SmallDiskTest, AStartOnAFullDiskIsRefused) {
  Start("40m");
  if (IsSkipped()) return;

  const DaemonRig::Answer answer = rig_->Call(
      "POST", "/v1/recordings",
      absl::StrCat("{\"id\":\"a\",\"source\":", TestSource(320, 240), "}"));

  EXPECT_EQ(answer.status, 507) << answer.body.text();
  EXPECT_EQ(answer.body.Text("code"), "no_space");
  EXPECT_EQ(rig_->Call("GET", "/v1/healthz").status, 200);
}

}  // namespace
}  // namespace kine
