// kinectl doctor on the real programs: without a GPU, with the test driver, and
// with one that fails or hangs.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <filesystem>

#include "absl/strings/str_cat.h"
#include "tests/integration/daemon_rig.h"

namespace kine {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

using Env = std::vector<std::pair<std::string, std::string>>;

class DoctorTest : public testing::Test {
 protected:
  // A session without PipeWire and without a daemon.
  Env Session() const {
    return {{"XDG_RUNTIME_DIR", directory_.path()},
            {"XDG_STATE_HOME", directory_.path()}};
  }
  // With the VA driver of tests/softva behind the null device.
  Env WithDriver(const Env& settings = {}) const {
    const std::string softva = BinaryPath("../tests/softva");
    const char* const asan = std::getenv("ASAN_OPTIONS");
    Env env = Session();
    env.insert(env.end(),
               {{"LIBVA_DRIVER_NAME", "softva"},
                {"LIBVA_DRIVERS_PATH", softva},
                {"LIBVA_MESSAGING_LEVEL", "0"},
                {"LD_PRELOAD", softva + "/fake_drm.so"},
                // The preloaded library comes before the sanitizer's.
                {"ASAN_OPTIONS", absl::StrCat(asan == nullptr ? "" : asan,
                                              ":verify_asan_link_order=0")},
                {"SOFTVA_COMPLAINTS", directory_.File("complaints")},
                {"KINESCOPE_RENDER_NODE", "/dev/null"}});
    env.insert(env.end(), settings.begin(), settings.end());
    return env;
  }
  static ProgramResult Doctor(const std::vector<std::string>& arguments,
                              const Env& env) {
    std::vector<std::string> argv = {BinaryPath("kinectl"), "doctor"};
    argv.insert(argv.end(), arguments.begin(), arguments.end());
    return RunProgram(std::move(argv), env);
  }
  // The first device of a self-test that must have failed.
  Json FailedDevice(const std::vector<std::string>& arguments,
                    const Env& settings) const {
    const ProgramResult result = Doctor(arguments, WithDriver(settings));
    EXPECT_EQ(result.code, 1) << result.out << result.err;
    Json report(result.out);
    EXPECT_EQ(report.Text("self_test.devices.0.state"), "failed")
        << report.text();
    return report;
  }
  // Appends what comes next. False at the end of it, and after kPatience.
  static bool ReadSome(const UniqueFd& fd, std::string& text) {
    pollfd ready{fd.get(), POLLIN, 0};
    char bytes[4096];
    if (::poll(&ready, 1,
               static_cast<int>(absl::ToInt64Milliseconds(kPatience))) != 1)
      return false;
    const ssize_t count = ::read(fd.get(), bytes, sizeof bytes);
    if (count > 0) text.append(bytes, static_cast<size_t>(count));
    return count > 0;
  }
  static bool HaveDecoder() {
    return std::filesystem::exists(BinaryPath("kinescope-frames"));
  }

  RunDirectory directory_;
};

TEST_F(DoctorTest, WithoutAGpuSaysSoAndTestsTheSoftware) {
  const ProgramResult result = Doctor({"--self-test"}, Session());

  EXPECT_EQ(result.code, 0) << result.out << result.err;
  EXPECT_EQ(result.err, "");
  EXPECT_THAT(
      result.out,
      AllOf(HasSubstr("warn  daemon: does not run: no socket at"),
            HasSubstr(absl::StrCat("warn  pipewire: not reachable: ")),
            HasSubstr(absl::StrCat("ok    runtime dir: ", directory_.path())),
            HasSubstr(absl::StrCat("ok    state dir: ", directory_.path(),
                                   "/kinescope, ")),
            HasSubstr(" 0 failures\n")));
  if (!std::filesystem::exists("/dev/dri")) {
    EXPECT_THAT(result.out,
                HasSubstr("warn  render node: there is none in /dev/dri"));
  }
  if (HaveDecoder()) {
    EXPECT_THAT(result.out, HasSubstr("ok    self-test software: 30 frames "
                                      "640x360, "));
  }
}

TEST_F(DoctorTest, ADriverThatEncodesPassesWithItsFigures) {
  if (!HaveDecoder()) GTEST_SKIP() << "built without libavcodec";
  const ProgramResult result = Doctor({"--self-test", "--json"}, WithDriver());

  EXPECT_EQ(result.code, 0) << result.out << result.err;
  const Json report(result.out);
  ASSERT_EQ(report.Size("self_test.devices"), 2u) << result.out;
  const std::string device = "self_test.devices.0.";
  EXPECT_EQ(report.Text(device + "device"), "/dev/null");
  EXPECT_EQ(report.Text(device + "state"), "passed");
  EXPECT_THAT(report.Text(device + "driver"), HasSubstr("softva test driver"));
  EXPECT_EQ(report.Text(device + "offers.0.profile"), "High");
  EXPECT_EQ(report.Text(device + "offers.0.entry_point"), "EncSlice");
  EXPECT_EQ(report.Text(device + "imports.0.modifiers.0"), "linear");
  EXPECT_EQ(report.Int(device + "frames"), 30);
  // The driver is lossless.
  EXPECT_THAT(result.out, HasSubstr(R"("luma_psnr_min":99,)"));
  EXPECT_EQ(report.Text("self_test.devices.1.device"), "software");
  EXPECT_EQ(report.Text("self_test.devices.1.state"), "passed");
  EXPECT_EQ(ReadWholeFile(directory_.File("complaints")), "");
}

TEST_F(DoctorTest, ADriverThatFailsOrHangsFailsWithItsReason) {
  // VA_STATUS_ERROR_OPERATION_FAILED, for good, behind the trial of opening.
  Json report = FailedDevice({"--self-test", "--json"},
                             {{"SOFTVA_FAULT", "EndPicture:12+=1"}});
  EXPECT_EQ(report.Text("self_test.devices.0.reason"), "encode_failed");
  EXPECT_THAT(report.Text("self_test.devices.0.message"),
              AllOf(HasSubstr("picture "), HasSubstr("vaEndPicture")));

  report = FailedDevice({"--self-test", "--json", "--timeout=4s"},
                        {{"SOFTVA_HANG", "12"}, {"SOFTVA_HANG_HARD", "1"}});
  EXPECT_EQ(report.Text("self_test.devices.0.reason"), "hung");
  EXPECT_EQ(report.Text("self_test.devices.0.message"),
            "no answer within 4s while encoding");
  EXPECT_THAT(report.Text("self_test.devices.0.driver"), HasSubstr("softva"));

  // Named, and not there.
  report = FailedDevice(
      {"--self-test", "--json", "--render_node=/dev/dri/none"}, {});
  EXPECT_EQ(report.Text("self_test.devices.0.reason"), "not_usable");
}

TEST_F(DoctorTest, CtrlCEndsADriverThatHangs) {
  // What the driver says of itself; at its end when the last process that has
  // it loaded is gone.
  const std::string trace = directory_.File("trace");
  ASSERT_EQ(::mkfifo(trace.c_str(), 0600), 0);
  const UniqueFd reader(
      ::open(trace.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC));
  UniqueFd between_displays(::open(trace.c_str(), O_WRONLY | O_CLOEXEC));
  Process::Options options;
  options.argv = {BinaryPath("kinectl"), "doctor", "--self-test"};
  options.env = WithDriver({{"SOFTVA_HANG", "12"},
                            {"SOFTVA_HANG_HARD", "1"},
                            {"SOFTVA_TRACE", trace}});
  options.out = directory_.File("out");
  options.err = directory_.File("err");
  Process kinectl(std::move(options));
  std::string said;
  while (said.find("HANG at picture 12\n") == std::string::npos)
    ASSERT_TRUE(ReadSome(reader, said)) << said;
  between_displays.Reset();

  kinectl.Signal(SIGINT);

  EXPECT_EQ(ExitCodeOf(kinectl.Wait()), 130);
  while (ReadSome(reader, said)) {
  }
  char byte;
  EXPECT_EQ(::read(reader.get(), &byte, 1), 0) << "it lives on: " << said;
}

TEST_F(DoctorTest, AsksTheDaemonThatRuns) {
  DaemonRig::Options options;
  options.flags = {"--file_io=thread"};
  DaemonRig rig(std::move(options));

  const ProgramResult result = Kinectl(rig, {"doctor"});
  const std::string cgroups =
      rig.Call("GET", "/v1/info").body.Text("backends.cgroups.reason");

  EXPECT_EQ(result.code, 0) << result.out << result.err;
  EXPECT_NE(cgroups, "");
  EXPECT_THAT(result.out,
              AllOf(HasSubstr("ok    daemon: "), HasSubstr("runs since 20"),
                    HasSubstr("  encoders: "), HasSubstr("  cgroups: "),
                    HasSubstr(cgroups),
                    HasSubstr("ok    file io: thread: --file_io=thread"),
                    HasSubstr(absl::StrCat("ok    state dir: ", rig.state_dir(),
                                           ", "))));
}

}  // namespace
}  // namespace kine
