// Clients that are not ours run through the test driver, and a decoder gives
// back what they put in: the driver is right about more than our own client.
//
// Not with sanitizers: those programs cannot load a driver that needs one.
#include <gtest/gtest.h>

#include <filesystem>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "tests/va/raw_video.h"
#include "tests/va/softva_env.h"

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)

namespace kine {
namespace {

using Env = std::vector<std::pair<std::string, std::string>>;

struct ControlCase {
  const char* name;
  int width;
  int height;
  const char* options;
  SoftVaEnv::Settings settings = {};
};

void PrintTo(const ControlCase& c, std::ostream* os) { *os << c.name; }

std::string CaseName(const testing::TestParamInfo<ControlCase>& info) {
  return info.param.name;
}

constexpr int kFrames = 8;

class FfmpegControlTest : public testing::TestWithParam<ControlCase> {};

TEST_P(FfmpegControlTest, DecodesToItsInput) {
  if (!HaveProgram("ffmpeg")) GTEST_SKIP() << "ffmpeg is not installed";
  const ControlCase& c = GetParam();
  const SoftVaEnv env(c.settings);
  const std::string video = MovingBlockVideo(c.width, c.height, kFrames);
  WriteWholeFile(env.File("in"), video);
  std::vector<std::string> argv = {"ffmpeg",
                                   "-v",
                                   "error",
                                   "-vaapi_device",
                                   kFakeRenderNode,
                                   "-f",
                                   "rawvideo",
                                   "-pix_fmt",
                                   "nv12",
                                   "-s",
                                   absl::StrCat(c.width, "x", c.height),
                                   "-r",
                                   "30",
                                   "-i",
                                   env.File("in"),
                                   "-vf",
                                   "hwupload",
                                   "-c:v",
                                   "h264_vaapi",
                                   "-bf",
                                   "0",
                                   "-qp",
                                   "22"};
  for (const auto option : absl::StrSplit(c.options, ' ', absl::SkipEmpty()))
    argv.emplace_back(option);
  argv.insert(argv.end(), {"-f", "h264", env.File("out")});
  const ProgramResult result =
      RunProgram(argv, {{"LD_PRELOAD", SoftVaEnv::FakeDrmLibrary()}});
  EXPECT_EQ(result.code, 0) << result.err;
  EXPECT_EQ(env.Complaints(), "");
  EXPECT_EQ(
      FirstDifference(DecodeAnnexB(env.File("out")), video, c.width, c.height),
      "");
}

INSTANTIATE_TEST_SUITE_P(
    All, FfmpegControlTest,
    testing::Values(
        ControlCase{"CabacSlicesCropped", 322, 242,
                    "-profile:v 100 -coder cabac -slices 3 -aud 1"},
        ControlCase{"CavlcMainPipelined",
                    176,
                    144,
                    "-profile:v 77 -coder cavlc -g 3 -async_depth 4",
                    {{"LATENCY_US", "8000"}, {"SEGMENTS", "nal"}}},
        ControlCase{"Cbr", 176, 144,
                    "-rc_mode CBR -b:v 2M -maxrate 2M -bufsize 500k -aud 1 "
                    "-sei identifier+timing+recovery_point"},
        ControlCase{"NoPackedHeaders",
                    322,
                    242,
                    "-coder cabac -slices 2",
                    {{"PACKED", "0"}}},
        ControlCase{
            "ParameterSetsPacked",
            176,
            144,
            "-coder cabac",
            {{"PACKED", "3"}, {"NO_DERIVE", "1"}, {"NO_SYNC_BUFFER", "1"}}},
        ControlCase{"LowPowerIcq",
                    176,
                    144,
                    "-low_power 1 -rc_mode ICQ -global_quality 20",
                    {{"EP", "lp"}, {"RC", "0x46"}, {"NEED_CODED_SIZE", "1"}}},
        ControlCase{"HighQpWithDeblocking", 176, 144, "-profile:v 578 -qp 45"}),
    CaseName);

// What GStreamer 1.22 leaves out; no real driver looks at either.
constexpr const char* kGstreamerHabits[] = {
    "an unused reference is not marked invalid",
    "CurrPic.frame_idx 0 is not frame_num"};

std::string WithoutHabits(const std::string& complaints) {
  std::string rest;
  for (const auto line : absl::StrSplit(complaints, '\n', absl::SkipEmpty())) {
    bool known = false;
    for (const char* const habit : kGstreamerHabits)
      known = known || line.find(habit) != line.npos;
    if (!known) absl::StrAppend(&rest, line, "\n");
  }
  return rest;
}

// GStreamer finds render nodes through udev: one is mocked.
constexpr char kMockedGpu[] = R"(P: /devices/pci0000:00/0000:00:02.0
E: SUBSYSTEM=pci
E: DRIVER=softva
E: PCI_ID=8086:9A49
A: vendor=0x8086\n
A: device=0x9a49\n
A: drm/placeholder=\n

P: /devices/pci0000:00/0000:00:02.0/drm/renderD128
N: dri/renderD128
E: DEVNAME=/dev/dri/renderD128
E: SUBSYSTEM=drm
E: DEVTYPE=drm_minor
E: MAJOR=226
E: MINOR=128
A: dev=226:128\n
L: device=../../../0000:00:02.0
)";

// The plugins that are needed alone: others probe the fake device and crash.
std::string LinkPlugins(const SoftVaEnv& env) {
  const std::string directory = env.File("plugins");
  std::filesystem::create_directory(directory);
  for (const auto& entry : std::filesystem::directory_iterator("/usr/lib")) {
    const auto plugins = entry.path() / "gstreamer-1.0";
    for (const char* const name :
         {"libgstva.so", "libgstcoreelements.so", "libgstrawparse.so"}) {
      std::error_code ignored;
      if (std::filesystem::exists(plugins / name, ignored))
        std::filesystem::create_symlink(plugins / name, directory + "/" + name);
    }
  }
  return directory;
}

class GstreamerControlTest : public testing::TestWithParam<ControlCase> {};

TEST_P(GstreamerControlTest, DecodesToItsInput) {
  for (const char* const program :
       {"ffmpeg", "gst-launch-1.0", "umockdev-run"}) {
    if (!HaveProgram(program)) GTEST_SKIP() << program << " is not installed";
  }
  const ControlCase& c = GetParam();
  const SoftVaEnv env(c.settings);
  const std::string video = MovingBlockVideo(c.width, c.height, kFrames);
  WriteWholeFile(env.File("in"), video);
  WriteWholeFile(env.File("gpu.umockdev"), kMockedGpu);
  std::vector<std::string> argv = {
      "umockdev-run",
      "--device",
      env.File("gpu.umockdev"),
      "--",
      "env",
      absl::StrCat("LD_PRELOAD=", SoftVaEnv::FakeDrmLibrary(),
                   ":libumockdev-preload.so.0"),
      "gst-launch-1.0",
      "-q",
      "filesrc",
      absl::StrCat("location=", env.File("in")),
      "!",
      "rawvideoparse",
      "format=nv12",
      absl::StrCat("width=", c.width),
      absl::StrCat("height=", c.height),
      "framerate=30/1",
      "!"};
  for (const auto option : absl::StrSplit(c.options, ' ', absl::SkipEmpty()))
    argv.emplace_back(option);
  argv.insert(argv.end(),
              {"!", "filesink", absl::StrCat("location=", env.File("out"))});
  const ProgramResult result =
      RunProgram(argv, {{"GST_PLUGIN_SYSTEM_PATH_1_0", LinkPlugins(env)},
                        {"GST_REGISTRY", env.File("registry")}});
  EXPECT_EQ(result.code, 0) << result.err;
  EXPECT_EQ(WithoutHabits(env.Complaints()), "");
  EXPECT_EQ(
      FirstDifference(DecodeAnnexB(env.File("out")), video, c.width, c.height),
      "");
}

INSTANTIATE_TEST_SUITE_P(
    All, GstreamerControlTest,
    testing::Values(
        ControlCase{"Cabac", 320, 240, "vah264enc b-frames=0 num-slices=2"},
        ControlCase{"CavlcCropped", 324, 244,
                    "vah264enc b-frames=0 cabac=false rate-control=cqp"},
        ControlCase{"NoPackedHeaders",
                    320,
                    240,
                    "vah264enc b-frames=0",
                    {{"PACKED", "0"}}},
        ControlCase{"LowPower", 320, 240, "vah264lpenc", {{"EP", "lp"}}}),
    CaseName);

TEST(VainfoTest, ListsTheDriver) {
  if (!HaveProgram("vainfo")) GTEST_SKIP() << "vainfo is not installed";
  const SoftVaEnv env(SoftVaEnv::Settings{{"EP", "both"}});
  const ProgramResult result =
      RunProgram({"vainfo", "--display", "drm", "--device", kFakeRenderNode},
                 {{"LD_PRELOAD", SoftVaEnv::FakeDrmLibrary()}});
  EXPECT_EQ(result.code, 0) << result.err;
  EXPECT_NE(result.out.find("VAProfileH264High               :\t"
                            "VAEntrypointEncSliceLP"),
            std::string::npos)
      << result.out;
  EXPECT_EQ(env.Complaints(), "");
}

}  // namespace
}  // namespace kine

#endif
