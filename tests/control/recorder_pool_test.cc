// The pool with real processes: each test's ids say how the fake recorder
// behaves (tests/programs/fake_recorder.cc).
#include "daemon/control/recorders/recorder_pool.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "daemon/base/limits/recorders.h"
#include "ipc/problem.h"
#include "tests/control/control_rig.h"

namespace kine {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

RecordingSettings Settings(int width = 640, double fps_max = 30) {
  RecordingSettings settings;
  settings.source = TestRequest{.width = width};
  settings.fps_max = fps_max;
  return settings;
}

// A recording as the pool sees it.
class TestUser final : public RecorderPool::User {
 public:
  TestUser(ControlRig& rig, const std::string& id,
           const RecordingSettings& settings = Settings())
      : id_(id), use_(rig.recorders().Join(*this, id, settings)) {
    std::vector<UniqueFd> fds;
    fds.emplace_back(
        ::open(rig.path().c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    use_->Send(link::ToRecorder(link::Start{id, settings}), std::move(fds));
  }
  // A ring as the pool sees it, whose encoder is the hardware's.
  explicit TestUser(ControlRig& rig)
      : id_("ring"), use_(rig.recorders().Join(*this, id_, Settings(106))) {
    link::KeepReplay keep;
    keep.id = id_;
    keep.settings = Settings(106);
    use_->Send(link::ToRecorder(keep));
  }

  void OnRecorderMessage(link::ToDaemon message) override {
    if (const auto* progress = std::get_if<link::Progress>(&message)) {
      for (const auto& one : progress->recordings) progress_.push_back(one.id);
      return;
    }
    heard_.emplace_back(link::TypeOf(message));
    if (leave_at_ == heard_.back()) use_.reset();
  }
  void OnRecorderGone(absl::Status reason) override {
    gone_.emplace_back(reason.message());
    use_.reset();
  }

  void Stop() { use_->Send(link::ToRecorder(link::Stop{id_})); }
  void Leave() { use_.reset(); }
  // In the middle of a message of this type.
  void LeaveAt(const std::string& type) { leave_at_ = type; }
  bool Heard(const std::string& type) const {
    return std::find(heard_.begin(), heard_.end(), type) != heard_.end();
  }
  RecorderPool::Use& use() { return *use_; }
  const std::vector<std::string>& progress() const { return progress_; }
  const std::vector<std::string>& gone() const { return gone_; }
  const std::vector<std::string>& heard() const { return heard_; }

 private:
  const std::string id_;
  std::vector<std::string> heard_;
  std::vector<std::string> progress_;  // Whose.
  std::vector<std::string> gone_;      // Why.
  std::string leave_at_;
  std::unique_ptr<RecorderPool::Use> use_;
};

class RecorderPoolTest : public testing::Test {
 protected:
  ~RecorderPoolTest() override {
    rig_.RunUntil([&] { return pool_.running() == 0; });
    rig_.StopFileIo();
  }
  void UntilHeard(const TestUser& user, const std::string& type) {
    rig_.RunUntil([&] { return user.Heard(type); });
  }

  ControlRig rig_;
  RecorderPool& pool_ = rig_.recorders();
};

TEST_F(RecorderPoolTest, OneSourceIsOneProcessUntilItsLastUserHasLeft) {
  TestUser a(rig_, "a");
  TestUser b(rig_, "b");
  TestUser other(rig_, "other", Settings(320));
  EXPECT_EQ(pool_.running(), 2);
  EXPECT_EQ(pool_.uses(), 3);
  EXPECT_FALSE(a.use().alone());
  EXPECT_TRUE(other.use().alone());
  UntilHeard(a, "first_frame");
  UntilHeard(b, "first_frame");

  a.Stop();
  UntilHeard(a, "finished");
  a.Leave();
  EXPECT_EQ(pool_.running(), 2);
  b.Stop();
  UntilHeard(b, "finished");
  EXPECT_TRUE(b.use().alone());
  other.Leave();
  b.Leave();
  // Who comes while it ends gets another.
  TestUser late(rig_, "late");
  EXPECT_EQ(pool_.running(), 3);
  UntilHeard(late, "first_frame");
  // As a run does, in the middle of the message.
  late.LeaveAt("finished");
  late.Stop();
  bool empty = false;
  pool_.WhenEmpty([&] { empty = true; });
  rig_.RunUntil([&] { return empty; });
  EXPECT_EQ(pool_.running(), 0);
  EXPECT_EQ(pool_.deaths(), 0u);
  EXPECT_TRUE(a.gone().empty());
}

TEST_F(RecorderPoolTest, NobodyHearsOfAnother) {
  TestUser a(rig_, "a");
  TestUser b(rig_, "token-b");
  UntilHeard(b, "first_frame");
  rig_.RunUntil([&] { return !a.progress().empty() && !b.progress().empty(); });
  EXPECT_THAT(a.heard(), ElementsAre("accepted", "format", "first_frame"));
  EXPECT_THAT(b.heard(), ElementsAre("accepted", "restore_token", "format",
                                     "first_frame"));
  EXPECT_THAT(a.progress(), testing::Each("a"));
  EXPECT_THAT(b.progress(), testing::Each("token-b"));
}

TEST_F(RecorderPoolTest, ADeathReachesEveryUserOnceWithOneReason) {
  int of_hardware = 0;
  pool_.set_on_hardware_death([&] { ++of_hardware; });
  TestUser a(rig_, "gpu-a");
  TestUser b(rig_, "gpu-b");
  UntilHeard(b, "first_frame");
  TestUser killer(rig_, "crash-c");
  rig_.RunUntil([&] { return !killer.gone().empty(); });
  for (const TestUser* user : {&a, &b, &killer})
    EXPECT_THAT(user->gone(), ElementsAre(HasSubstr("signal 9")));
  EXPECT_EQ(pool_.deaths(), 1u);
  EXPECT_EQ(of_hardware, 1);
  EXPECT_EQ(pool_.uses(), 0);
  // The source is not condemned.
  TestUser next(rig_, "next");
  UntilHeard(next, "first_frame");
  next.use().Kill(absl::DeadlineExceededError("enough"));
  rig_.RunUntil([&] { return !next.gone().empty(); });
  EXPECT_THAT(next.gone(), ElementsAre("enough"));
  EXPECT_EQ(of_hardware, 1) << "no encoder of the hardware's was used";
}

TEST_F(RecorderPoolTest, ARingsDeathInADriverCountsToo) {
  int of_hardware = 0;
  pool_.set_on_hardware_death([&] { ++of_hardware; });
  TestUser ring(rig_);
  UntilHeard(ring, "replay_kept");
  TestUser killer(rig_, "crash-a", Settings(106));
  rig_.RunUntil([&] { return !ring.gone().empty(); });
  EXPECT_EQ(of_hardware, 1);
}

TEST_F(RecorderPoolTest, WhoLeavesEarlyIsStoppedAndDisturbsNobody) {
  TestUser stays(rig_, "stays");
  auto hung = std::make_unique<TestUser>(rig_, "hang-a");
  auto leaves = std::make_unique<TestUser>(rig_, "b");
  UntilHeard(*leaves, "first_frame");
  hung.reset();
  leaves.reset();
  // What the recorder still owes under that id is not the new one's.
  TestUser again(rig_, "hang-a");
  EXPECT_EQ(pool_.running(), 2);
  UntilHeard(again, "first_frame");
  again.Leave();
  // A stop that is answered frees the id.
  stays.Stop();
  UntilHeard(stays, "finished");
  TestUser b(rig_, "b");
  EXPECT_FALSE(b.use().alone());
  UntilHeard(b, "first_frame");
  EXPECT_FALSE(b.Heard("finished"));
  EXPECT_TRUE(stays.gone().empty());
}

TEST_F(RecorderPoolTest, AFourthSetOfPictureSettingsIsRefused) {
  TestUser a(rig_, "a", Settings(640, 30));
  TestUser b(rig_, "b", Settings(640, 20));
  TestUser c(rig_, "c", Settings(640, 10));
  EXPECT_TRUE(pool_.CheckEncoders(Settings(640, 20)).ok());
  EXPECT_TRUE(pool_.CheckEncoders(Settings(320, 5)).ok());
  const absl::Status full = pool_.CheckEncoders(Settings(640, 5));
  EXPECT_EQ(ProblemOf(full).status, 429);
  EXPECT_EQ(ProblemOf(full).code, "encoders");
  EXPECT_THAT(std::string(full.message()),
              AllOf(HasSubstr("(3)"), HasSubstr("stop")));
  // What is no matter of the picture needs no other encoder.
  RecordingSettings longer = Settings(640, 10);
  longer.max_bytes *= 2;
  EXPECT_TRUE(pool_.CheckEncoders(longer).ok());
  RecordingSettings part = Settings(640, 10);
  part.crop = {0, 0, 64, 64};
  EXPECT_FALSE(pool_.CheckEncoders(part).ok());
  c.Leave();
  EXPECT_TRUE(pool_.CheckEncoders(Settings(640, 5)).ok());
}

TEST_F(RecorderPoolTest, APictureIsTakenByTheSourcesRecorder) {
  constexpr int kShotless = 103;
  constexpr int kShotSilent = 104;
  const auto take = [&](int width, const std::function<void()>& meanwhile) {
    UniqueFd memory(::memfd_create("shot", MFD_CLOEXEC));
    const UniqueFd ours(::fcntl(memory.get(), F_DUPFD_CLOEXEC, 0));
    std::optional<absl::StatusOr<link::ShotTaken>> taken;
    pool_.TakeShot(Settings(width).source, 32, 16, std::move(memory),
                   [&](auto result) { taken = std::move(result); });
    EXPECT_FALSE(taken.has_value());
    meanwhile();
    rig_.RunUntil([&] { return taken.has_value(); });
    if (!taken->ok()) return std::string(taken->status().message());
    std::string picture((*taken)->bytes, ' ');
    EXPECT_EQ(::pread(ours.get(), picture.data(), picture.size(), 0),
              static_cast<ssize_t>(picture.size()));
    return picture;
  };
  const auto nothing = [] {};
  EXPECT_FALSE(pool_.Captures(Settings().source));
  EXPECT_THAT(take(640, nothing), HasSubstr("nobody"));
  TestUser a(rig_, "a");
  TestUser shotless(rig_, "shotless", Settings(kShotless));
  TestUser silent(rig_, "silent", Settings(kShotSilent));
  EXPECT_TRUE(pool_.Captures(Settings().source));
  EXPECT_EQ(take(640, nothing), "fake picture");
  EXPECT_EQ(take(kShotless, nothing), "no picture yet");
  EXPECT_THAT(take(kShotSilent,
                   [&] { silent.use().Kill(absl::AbortedError("killed")); }),
              HasSubstr("killed"));
  EXPECT_EQ(a.heard().size(), 3u) << "a picture is no recording's business";
}

TEST_F(RecorderPoolTest, AFullRecorderGetsACompanion) {
  std::vector<std::unique_ptr<TestUser>> users;
  for (int i = 0; i <= limits::kRecorderUsesMax; ++i)
    users.push_back(std::make_unique<TestUser>(rig_, "r" + std::to_string(i)));
  EXPECT_EQ(pool_.running(), 2);
  for (const auto& user : users) UntilHeard(*user, "first_frame");
}

}  // namespace
}  // namespace kine
