// The file back ends, and what the daemon must not be linked with.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include <cerrno>
#include <cstddef>

#include "tests/integration/daemon_rig.h"
#include "tests/integration/video_file.h"

namespace kine {
namespace {

using ::testing::AnyOf;
using ::testing::HasSubstr;
using ::testing::Not;

// From now on io_uring_setup fails with EPERM, for this process and whatever it
// starts: what container run-times do.
bool ForbidIoUring() {
  sock_filter code[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_io_uring_setup, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  const sock_fprog filter{std::size(code), code};
  return ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
         ::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) == 0;
}

// True when this kernel, or what we run in, has io_uring.
bool HaveIoUring() {
  errno = 0;
  ::syscall(SYS_io_uring_setup, 0, nullptr);
  return errno == EFAULT || errno == EINVAL;
}

// One recording with its stop; the same whatever writes it.
void ExpectRecords(DaemonRig& rig) {
  rig.StartRecording("a", TestSource(640, 360));
  rig.WaitFor("a", "first_frame");
  rig.WaitDurable("a", absl::Milliseconds(900));
  const Json state = rig.StopRecording("a");
  ASSERT_EQ(state.Text("state"), "ready") << state.text();
  EXPECT_EQ(state.Text("artifact.index"), "front");
  const std::string file = rig.Fetch("a");
  EXPECT_TRUE(ReadWholeFile(file) == ReadWholeFile(rig.VideoPath("a")));
  const VideoFile video = Decode(file);
  EXPECT_EQ(static_cast<int64_t>(video.pictures.size()),
            state.Int("frames.encoded"));
  EXPECT_GE(video.pictures.size(), 10u);
  MissingPictures(video, state);
  EXPECT_NEAR(video.duration,
              static_cast<double>(state.Int("artifact.duration_us")) / 1e6,
              0.001);
}

TEST(FileBackEndTest, AForbiddenIoUringMeansTheThreadAndSaysSo) {
  DaemonRig::Options options;
  options.before_exec = ForbidIoUring;
  DaemonRig rig(std::move(options));

  const Json info = rig.Call("GET", "/v1/info").body;

  EXPECT_EQ(info.Text("backends.file_io.chosen"), "thread");
  EXPECT_THAT(info.Text("backends.file_io.reason"),
              AnyOf(HasSubstr("EPERM"), HasSubstr("not permitted")));
  ExpectRecords(rig);
}

TEST(FileBackEndTest, TheThreadOnDemandRecordsTheSame) {
  DaemonRig::Options options;
  options.flags = {"--file_io=thread"};
  DaemonRig rig(std::move(options));
  const Json info = rig.Call("GET", "/v1/info").body;
  EXPECT_EQ(info.Text("backends.file_io.chosen"), "thread");
  EXPECT_EQ(info.Text("backends.file_io.reason"), "--file_io=thread");
  ExpectRecords(rig);
}

TEST(FileBackEndTest, IoUringIsTakenWhereItWorks) {
  DaemonRig rig;
  const Json info = rig.Call("GET", "/v1/info").body;
  EXPECT_EQ(info.Text("backends.file_io.chosen"),
            HaveIoUring() ? "uring" : "thread")
      << info.text();
  EXPECT_NE(info.Text("backends.file_io.reason"), "");
  ExpectRecords(rig);
}

TEST(LinkageTest, TheDaemonHasNoMediaAndNoGraphicsLibrary) {
  const ProgramResult daemon = RunProgram({"ldd", BinaryPath("kinescoped")});
  ASSERT_EQ(daemon.code, 0) << daemon.err;
  EXPECT_THAT(daemon.out, HasSubstr("libjansson"));
  for (const char* library :
       {"libpipewire", "libspa", "libva", "libdrm", "libGL", "libEGL",
        "libvulkan", "libgbm", "libx264", "libavcodec", "libX11", "libwayland"})
    EXPECT_THAT(daemon.out, Not(HasSubstr(library)));
  // The same question finds them where they are.
  const ProgramResult recorder =
      RunProgram({"ldd", BinaryPath("kinescope-recorder")});
  EXPECT_THAT(recorder.out, HasSubstr("libpipewire"));
}

}  // namespace
}  // namespace kine
