// Facts in, findings and their text out.
#include "daemon/doctor/checks.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cerrno>

#include "daemon/doctor/report.h"
#include "daemon/selftest/self_test.h"

namespace kine {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;
using Level = DoctorCheck::Level;

// A machine where nothing is wrong.
DoctorFacts Sound() {
  DoctorFacts facts;
  facts.version = "1.2.3";
  facts.kernel = "Linux 6.1";
  facts.machine = "x86_64";
  facts.distribution = "Debian GNU/Linux 12 (bookworm)";
  facts.cpus = 8;
  facts.user = "agent";
  facts.environment = {{"LIBVA_DRIVER_NAME", "iHD"}};
  facts.daemon.version = "1.2.3";
  facts.daemon.started_at = "2026-11-25T09:00:00Z";
  facts.daemon.encoders = {"vaapi", "x264"};
  facts.daemon.file_io = "uring";
  facts.daemon.file_io_reason = "io_uring works here";
  facts.daemon.cgroups_usable = true;
  facts.daemon.cgroups_reason = "/kinescope-commands";
  facts.daemon.cgroup_controllers = {"memory", "pids"};
  facts.recorder = "/usr/libexec/kinescope/kinescope-recorder";
  facts.nodes = {{"/dev/dri/renderD128", 0, "render", 0660, "i915"}};
  facts.runtime_dir = "/run/user/1000";
  facts.pipewire_socket = "/run/user/1000/pipewire-0";
  facts.state_dir = "/home/agent/.local/state/kinescope";
  facts.state_free_bytes = 50ull << 30;
  return facts;
}

DoctorCheck Find(const DoctorFacts& facts, const std::string& name) {
  for (const DoctorCheck& check : CheckFacts(facts))
    if (check.name == name) return check;
  ADD_FAILURE() << "no check " << name;
  return {};
}

void Expect(const DoctorFacts& facts, const std::string& name, Level level,
            const std::string& summary, const std::string& remedy = "") {
  const DoctorCheck check = Find(facts, name);
  EXPECT_EQ(check.level, level) << name;
  EXPECT_THAT(check.summary, HasSubstr(summary));
  EXPECT_THAT(check.remedy, HasSubstr(remedy));
  EXPECT_EQ(check.remedy.empty(), remedy.empty()) << check.remedy;
}

TEST(ChecksTest, ASoundMachineHasNothingToRemedy) {
  const std::vector<DoctorCheck> checks = CheckFacts(Sound());
  EXPECT_EQ(checks.size(), 9u);
  for (const DoctorCheck& check : checks) {
    EXPECT_EQ(check.level, Level::kOk) << check.name << ": " << check.summary;
    EXPECT_EQ(check.remedy, "") << check.name;
  }
}

TEST(ChecksTest, EveryWayNotToReachTheDaemonIsTold) {
  DoctorFacts facts = Sound();
  facts.daemon.reached = absl::NotFoundError("no socket at '/run/s'");
  Expect(facts, "daemon", Level::kWarn, "does not run: no socket at '/run/s'",
         "start kinescoped");
  facts.daemon.reached = absl::PermissionDeniedError("not allowed");
  Expect(facts, "daemon", Level::kFail, "not allowed", "--socket_group");
  facts.daemon.reached = absl::DataLossError("no HTTP");
  Expect(facts, "daemon", Level::kFail, "no HTTP", "restart");
  facts = Sound();
  facts.daemon.version = "1.2.4";
  Expect(facts, "daemon", Level::kFail, "is version 1.2.4, kinectl is 1.2.3",
         "one build");
}

TEST(ChecksTest, ProgramsAndEncoders) {
  DoctorFacts facts = Sound();
  facts.decoder_error = "kinescope-frames is neither at a nor at b";
  Expect(facts, "programs", Level::kWarn, "no decoder", "libavcodec");
  facts.recorder_error = "kinescope-recorder is neither at a nor at b";
  Expect(facts, "programs", Level::kFail, "kinescope-recorder is neither",
         "make install");
  facts.daemon.recorder_error = "gave no answer in 5s";
  Expect(facts, "programs", Level::kFail, "gave no answer in 5s", "one build");

  facts = Sound();
  facts.daemon.encoders = {"x264"};
  facts.daemon.refused = {{"vaapi", "no render node in /dev/dri"}};
  Expect(facts, "encoders", Level::kWarn,
         "x264; not vaapi: no render node in /dev/dri", "`auto`");
  facts.daemon.render_node = "/dev/dri/renderD200";
  Expect(facts, "encoders", Level::kWarn, "x264",
         "--render_node=/dev/dri/renderD200");
  facts.daemon.encoders = {};
  Expect(facts, "encoders", Level::kFail, "none: vaapi: no render", "x264");
  facts.daemon.refused = {};
  Expect(facts, "encoders", Level::kWarn, "does not know them yet", "again");
}

TEST(ChecksTest, ANodeThatCannotBeOpenedNamesTheGroup) {
  DoctorFacts facts = Sound();
  facts.nodes[0].error = EACCES;
  Expect(facts, "render node", Level::kWarn,
         "/dev/dri/renderD128, i915 cannot be opened: Permission denied (group "
         "render, mode 0660)",
         "usermod -aG 'render' USER");
  facts.nodes[0].mode = 0600;
  Expect(facts, "render node", Level::kWarn, "mode 0600", "udev");
  facts.nodes[0].error = ENODEV;
  Expect(facts, "render node", Level::kWarn, "No such device");
  facts.nodes = {};
  Expect(facts, "render node", Level::kWarn, "there is none", "/dev/dri");
}

TEST(ChecksTest, TheSessionAndTheDisk) {
  DoctorFacts facts = Sound();
  facts.runtime_dir_error = EACCES;
  Expect(facts, "runtime dir", Level::kFail, "Permission denied",
         "XDG_RUNTIME_DIR");
  facts.runtime_dir = "";
  Expect(facts, "runtime dir", Level::kWarn, "is not set", "PAM");
  facts.pipewire_error = "nobody answers";
  Expect(facts, "pipewire", Level::kWarn, "nobody answers", "start PipeWire");
  facts.state_free_bytes = (64ull << 20) - 1;
  Expect(facts, "state dir", Level::kFail, "63 MiB free", "below 64 MiB");
  facts.state_free_bytes = 64ull << 20;
  Expect(facts, "state dir", Level::kWarn, "64 MiB free", "kinectl rm");
  facts.state_free_bytes.reset();
  facts.state_dir_error = "Permission denied";
  Expect(facts, "state dir", Level::kWarn, "Permission denied", "the user");
  facts.daemon.strangers = {{"lost+found", "no id"}};
  Expect(facts, "strangers", Level::kWarn, "lost+found (no id)",
         "move them away");
  facts.daemon.reached = absl::NotFoundError("none");
  facts.file_io = "thread";
  facts.file_io_reason = "forbidden here";
  Expect(facts, "file io", Level::kOk, "thread: forbidden here");
}

TEST(ChecksTest, WhatHoldsCommands) {
  DoctorFacts facts = Sound();
  Expect(facts, "cgroups", Level::kOk,
         "/kinescope-commands, limits of: memory, pids");
  facts.daemon.cgroup_controllers = {};
  facts.daemon.cgroup_controllers_reason = "cpu: not a controller here";
  Expect(facts, "cgroups", Level::kWarn,
         "limits of: nothing; not cpu: not a controller here",
         "controllers on");
  facts.daemon.cgroup_start = "moved";
  Expect(facts, "cgroups", Level::kWarn, "20 ms a start", "clone3");
  facts.daemon.cgroups_usable = false;
  facts.daemon.cgroups_reason = "/a.scope is not delegated to this service";
  Expect(facts, "cgroups", Level::kWarn,
         "none for commands: /a.scope is not delegated", "Delegate=yes");
  facts.daemon.reached = absl::NotFoundError("none");
  for (const DoctorCheck& check : CheckFacts(facts))
    EXPECT_NE(check.name, "cgroups");
}

SelfTestReport OneDevice() {
  SelfTestReport report{640, 360, 30, 32, 30, {}};
  SelfTestDevice device;
  device.device = "/dev/dri/renderD128";
  device.state = SelfTestDevice::State::kPassed;
  device.kernel_driver = "i915";
  device.driver = "Intel iHD";
  device.encoder = "vaapi Intel iHD, High";
  device.offers = {
      {"High", "EncSliceLP", {"CQP", "VBR"}, {"sequence"}, 7, 4096, 2304}};
  device.converts = true;
  device.imports = {{"BGRx", {"0x100000000000002", "linear"}}};
  device.open_ms = 41.5;
  device.frames = 30;
  device.bytes = 300'000;
  device.frames_per_second = 412.4;
  device.cpu_ms_per_frame = 0.31;
  device.luma_psnr_min = 41.25;
  device.luma_psnr_mean = 42;
  device.chroma_psnr_min = kPsnrSame;
  report.devices = {device};
  return report;
}

TEST(SelfTestChecksTest, SaysWhatWasMeasuredOrWhyNot) {
  SelfTestReport report = OneDevice();
  DoctorCheck check = CheckSelfTest(report).at(0);
  EXPECT_EQ(check.level, Level::kOk);
  EXPECT_EQ(check.summary,
            "30 frames 640x360, 412 frames/s, 0.31 ms CPU a frame, 292 KiB; "
            "luma worst 41.2 dB, mean 42.0 dB; chroma identical");
  EXPECT_EQ(check.remedy, "");

  report.devices[0].state = SelfTestDevice::State::kFailed;
  report.devices[0].reason = "low_psnr";
  report.devices[0].message = "picture 3 differs";
  check = CheckSelfTest(report).at(0);
  EXPECT_EQ(check.level, Level::kFail);
  EXPECT_EQ(check.summary, "low_psnr: picture 3 differs");
  EXPECT_THAT(check.remedy, HasSubstr("--encoder=software"));
  EXPECT_THAT(check.details.at(0), HasSubstr("luma worst 41.2 dB"));

  report.devices[0].state = SelfTestDevice::State::kUnusable;
  EXPECT_EQ(CheckSelfTest(report).at(0).level, Level::kWarn);
  report.devices[0].state = SelfTestDevice::State::kUnchecked;
  report.devices[0].reason = "no_decoder";
  check = CheckSelfTest(report).at(0);
  EXPECT_EQ(check.level, Level::kWarn);
  EXPECT_THAT(check.remedy, HasSubstr("libavcodec"));

  check = CheckSelfTest(absl::DeadlineExceededError("hung")).at(0);
  EXPECT_EQ(check.level, Level::kFail);
  EXPECT_EQ(check.summary, "hung");
}

TEST(SelfTestReportTest, ReadsBackWhatItWrote) {
  SelfTestReport report = OneDevice();
  report.devices.emplace_back().device = "software";
  const auto read = ParseSelfTestReport(ToJson(report));
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_EQ(ToJson(*read), ToJson(report));
  EXPECT_EQ(read->devices[0].offers[0].packed_headers[0], "sequence");
  EXPECT_EQ(read->devices[1].state, SelfTestDevice::State::kFailed);
  EXPECT_THAT(
      std::string(ParseSelfTestDevice(R"({"device":"x","state":"well"})")
                      .status()
                      .message()),
      HasSubstr("state"));
}

TEST(DoctorReportTest, CanBePastedAndCounts) {
  DoctorReport report{Sound(), {}, OneDevice()};
  report.checks = CheckFacts(report.facts);
  for (DoctorCheck& check : CheckSelfTest(*report.self_test))
    report.checks.push_back(check);
  EXPECT_FALSE(report.failed());
  // Foreign text stays in its line.
  report.checks.push_back(
      {"odd", Level::kFail, "a\nok    b: c", "mend\x1b[31m it", {"d\te"}});
  EXPECT_TRUE(report.failed());
  const std::string text = ToText(report);
  EXPECT_THAT(
      text,
      AllOf(HasSubstr("kinescope 1.2.3; Linux 6.1 x86_64; Debian GNU/Linux 12 "
                      "(bookworm); 8 CPUs; user agent\n"
                      "LIBVA_DRIVER_NAME=iHD\n"),
            HasSubstr("\nok    render node: /dev/dri/renderD128, i915\n"),
            HasSubstr("\n      offers: High EncSliceLP; rate control CQP VBR; "
                      "packed headers sequence; quality levels 7; up to "
                      "4096x2304\n"
                      "      imports: BGRx (0x100000000000002, linear)\n"),
            HasSubstr("\nfail  odd: a ok    b: c\n      -> mend [31m it\n"
                      "      d e\n"),
            HasSubstr("\n10 ok, 0 warnings, 1 failures\n")));
  const std::string json = ToJson(report);
  EXPECT_THAT(json, AllOf(HasSubstr(R"("environment":{"LIBVA_DRIVER_NAME")"),
                          HasSubstr(R"("self_test":{"width":640)"),
                          HasSubstr(R"("level":"fail")"),
                          HasSubstr(R"("failures":1)")));
}

TEST(FactsTest, TheEnvironmentIsNotTold) {
  ::setenv("KINE_TEST_SECRET", "do-not-tell", 1);
  ::setenv("LIBVA_DRIVER_NAME", "some-driver", 1);
  DoctorReport report;
  report.facts = GatherFacts({.reached = absl::NotFoundError("none")});
  report.checks = CheckFacts(report.facts);
  ::unsetenv("KINE_TEST_SECRET");
  ::unsetenv("LIBVA_DRIVER_NAME");
  for (const std::string& all : {ToText(report), ToJson(report)})
    EXPECT_THAT(all,
                AllOf(HasSubstr("some-driver"), Not(HasSubstr("do-not-tell")),
                      Not(HasSubstr("KINE_TEST"))));
  EXPECT_GT(report.facts.cpus, 0);
  EXPECT_NE(report.facts.kernel, "");
  EXPECT_NE(report.facts.distribution, "");
  EXPECT_TRUE(report.facts.state_free_bytes.has_value())
      << report.facts.state_dir_error;
}

TEST(FactsTest, ReadsWhatTheDaemonSays) {
  DoctorFacts::Daemon daemon;
  ASSERT_TRUE(BindInfo(R"({"version":"9","state_dir":"/s","more":[1],
      "backends":{"encode":{"available":["x264"],
      "refused":[{"name":"vaapi","reason":"why"}],"render_node":"/n"},
      "file_io":{"chosen":"thread","reason":"r"},"cgroups":{"usable":true,
      "reason":"/c","start":"moved","controllers":["pids"],"controllers_reason":"no cpu"}},
      "strangers":[{"name":"s","reason":"no id"}]})",
                       daemon)
                  .ok());
  EXPECT_EQ(daemon.version, "9");
  EXPECT_EQ(daemon.encoders.at(0), "x264");
  EXPECT_EQ(daemon.refused.at(0).second, "why");
  EXPECT_EQ(daemon.render_node, "/n");
  EXPECT_EQ(daemon.file_io, "thread");
  EXPECT_TRUE(daemon.cgroups_usable);
  EXPECT_EQ(daemon.cgroups_reason, "/c");
  EXPECT_EQ(daemon.cgroup_start, "moved");
  EXPECT_EQ(daemon.cgroup_controllers.at(0), "pids");
  EXPECT_EQ(daemon.cgroup_controllers_reason, "no cpu");
  EXPECT_EQ(daemon.strangers.at(0).first, "s");
  EXPECT_EQ(daemon.strangers.at(0).second, "no id");
  EXPECT_FALSE(BindInfo("{}", daemon).ok());
}

// What the process that tested a device left behind.
TEST(ResultOfTest, OneThatDidNotEndWellSaysHowFarItCame) {
  SelfTestDevice device;
  device.device = "/dev/x";
  device.stage = "encoding";
  device.driver = "a driver";
  const std::string line = ToJson(device) + "\n";
  const absl::Duration limit = absl::Seconds(20);

  SelfTestDevice result = ResultOf(
      "/dev/x", RunResult{.hung = true, .output = line + "{\"dev"}, limit);
  EXPECT_EQ(result.reason, "hung");
  EXPECT_EQ(result.message, "no answer within 20s while encoding");
  EXPECT_EQ(result.driver, "a driver");

  result = ResultOf(
      "/dev/x",
      RunResult{.exit = {true, 11}, .output = line, .errors = "oops\n"}, limit);
  EXPECT_EQ(result.state, SelfTestDevice::State::kFailed);
  EXPECT_EQ(result.reason, "crashed");
  EXPECT_EQ(result.message,
            "signal 11 (Segmentation fault) while encoding: oops");

  result = ResultOf("/dev/x", RunResult{.output = "nonsense\n"}, limit);
  EXPECT_EQ(result.device, "/dev/x");
  EXPECT_EQ(result.state, SelfTestDevice::State::kFailed);
  EXPECT_EQ(result.reason, "internal");

  result = ResultOf("/dev/x", absl::NotFoundError("no program"), limit);
  EXPECT_EQ(result.reason, "internal");
  EXPECT_EQ(result.message, "no program");

  device.state = SelfTestDevice::State::kPassed;
  device.stage = "";
  result = ResultOf("/dev/x", RunResult{.output = line + ToJson(device) + "\n"},
                    limit);
  EXPECT_EQ(result.state, SelfTestDevice::State::kPassed);
}

}  // namespace
}  // namespace kine
