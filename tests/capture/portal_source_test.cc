// PortalSource and AutoSource: a fake portal in front of a real PipeWire
// server with a video source that nobody here wrote.
#include "capture/portal/portal_source.h"

#include <sys/socket.h>
#include <sys/un.h>

#include <cstring>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "capture/create_source.h"
#include "capture/pipewire_source.h"
#include "daemon/base/limits.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/capture/portal_fixture.h"
#include "tests/fakes/private_pipewire.h"

namespace kine {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

constexpr char kVideoSource[] =
    "/usr/libexec/installed-tests/pipewire-0.3/examples/video-src";

class PortalSourceTest : public PortalFixture, private FrameSource::Client {
 protected:
  void SetUp() override {
    // A portal's client may not link by itself.
    auto server = PrivatePipeWire::Start(/*with_session_manager=*/true);
    if (!server.ok()) GTEST_SKIP() << server.status();
    server_ = *std::move(server);
    PortalFixture::SetUp();
  }

  void TearDown() override {
    if (source_ == nullptr) return;
    if (!stopped_) source_->Stop();
    EXPECT_TRUE(RunUntil([this] { return stopped_; }));
    source_.reset();
  }

  // A node to cast, and a portal that casts it.
  void StartDesktop() {
    StartNode();
    StartPortal();
    portal_->habits.open_remote = [this] { return ConnectToServer(); };
    for (const SourceListing& node : ListPipeWireSources(absl::Seconds(10))) {
      if (node.available) portal_->habits.node_id = node.node_id;
    }
    ASSERT_NE(portal_->habits.node_id, 42u) << "the node was not found";
  }
  void StartNode() {
    auto node = server_->Run({kVideoSource});
    if (!node.ok()) GTEST_SKIP() << node.status();
    nodes_.push_back(*std::move(node));
    // It has no way to say that it is there, but the registry has.
    const size_t wanted = nodes_.size();
    for (int i = 0; i < 200; ++i) {
      size_t found = 0;
      for (const auto& n : ListPipeWireSources(absl::Seconds(10)))
        found += n.available ? 1 : 0;
      if (found >= wanted) return;
    }
    FAIL() << "video-src did not come up";
  }
  UniqueFd ConnectToServer() {
    UniqueFd fd(
        ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    const std::string path = server_->directory() + "/pipewire-0";
    std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
    EXPECT_EQ(0, ::connect(fd.get(), reinterpret_cast<sockaddr*>(&address),
                           sizeof(address)));
    return fd;
  }

  void Start(SourceSpec spec) {
    SourceOptions options;
    options.spec = std::move(spec);
    options.on_restore_token = [this](std::string token) {
      tokens_.push_back(std::move(token));
    };
    options.on_needs_consent = [this] { ++consents_; };
    auto source = CreateSource(std::move(options), loop_);
    ASSERT_TRUE(source.ok()) << source.status();
    source_ = *std::move(source);
    source_->Start(*this);
  }
  bool RunUntilFrames(int count) {
    frames_ = 0;
    return RunUntil([=, this] { return frames_ >= count || failed_; }) &&
           !failed_;
  }
  bool RunUntilFailed() {
    return RunUntil([this] { return failed_.has_value(); });
  }

  void OnFormat(const VideoFormat&, const SourceDescription& d) override {
    ++formats_;
    description_ = d;
    Check();
  }
  void OnNeverFinished(const VideoFormat&) override { ADD_FAILURE(); }
  void OnFrame(Frame) override {
    ++frames_;
    Check();
  }
  void OnCursor(const CursorUpdate&) override {}
  void OnLost(absl::Status reason) override {
    lost_.emplace_back(reason.message());
    Check();
  }
  void OnFailed(absl::Status reason) override {
    EXPECT_EQ(failed_, std::nullopt);
    failed_ = std::move(reason);
    Check();
  }
  void OnStopped() override {
    stopped_ = true;
    Check();
  }

  std::unique_ptr<PrivatePipeWire> server_;
  std::vector<LoggedProcess> nodes_;
  std::unique_ptr<FrameSource> source_;
  int formats_ = 0;
  int frames_ = 0;
  int consents_ = 0;
  bool stopped_ = false;
  SourceDescription description_;
  std::vector<std::string> tokens_;
  std::vector<std::string> lost_;
  std::optional<absl::Status> failed_;
};

TEST_F(PortalSourceTest, CastsWhatThePortalGrants) {
  StartDesktop();
  portal_->habits.restore_token = "next";
  Start(PortalSpec{1, "now", true});
  ASSERT_TRUE(RunUntilFrames(5)) << *failed_;
  EXPECT_EQ(description_.kind, "portal");
  EXPECT_EQ(portal_->seen.restore_token, "now");
  EXPECT_THAT(tokens_, ElementsAre("next"));
  EXPECT_GE(source_->stats().received, 5u);
  source_->Stop();
  ASSERT_TRUE(RunUntil([&] { return stopped_; }));
  EXPECT_TRUE(RunUntil([&] { return portal_->seen.sessions_closed == 1; }));
}

TEST_F(PortalSourceTest, ThePointerIsAskedForAsDataOnWish) {
  StartDesktop();
  Start(PortalSpec{.cursor_as_data = true});
  ASSERT_TRUE(RunUntilFrames(1)) << *failed_;
  EXPECT_EQ(portal_->seen.cursor_mode, 4u);
}

TEST_F(PortalSourceTest, TheCursorIsInThePictureWhereMetadataIsMissing) {
  StartDesktop();
  portal_->habits.cursor_modes = 3;
  Start(PortalSpec());
  ASSERT_TRUE(RunUntilFrames(1));
  EXPECT_TRUE(description_.cursor_embedded);
}

TEST_F(PortalSourceTest, AHiddenCursorIsNotInThePicture) {
  StartDesktop();
  portal_->habits.cursor_modes = std::nullopt;
  Start(PortalSpec());
  ASSERT_TRUE(RunUntilFrames(1));
  EXPECT_FALSE(description_.cursor_embedded);
}

TEST_F(PortalSourceTest, AClosedSessionIsLostAndOpenedAgainWithTheNewToken) {
  StartDesktop();
  portal_->habits.restore_token = "second";
  Start(PortalSpec{1, "first", true});
  ASSERT_TRUE(RunUntilFrames(2));
  const uint64_t before = source_->stats().received;
  portal_->habits.restore_token = "third";
  portal_->CloseSession();
  ASSERT_TRUE(RunUntil([&] { return formats_ == 2; }));
  EXPECT_THAT(lost_, ElementsAre(HasSubstr("closed the session")));
  EXPECT_EQ(portal_->seen.restore_token, "second");
  EXPECT_THAT(tokens_, ElementsAre("second", "third"));
  EXPECT_TRUE(RunUntilFrames(2));
  EXPECT_GT(source_->stats().received, before) << "counters go on";
  EXPECT_EQ(portal_->seen.sessions, 2);
}

TEST_F(PortalSourceTest, APortalThatRefusesForAWhileIsAskedAgain) {
  StartDesktop();
  Start(PortalSpec());
  ASSERT_TRUE(RunUntilFrames(1));
  portal_->habits.start_response = 2;
  portal_->CloseSession();
  ASSERT_TRUE(RunUntil([&] { return portal_->seen.sessions == 3; }))
      << "at once, and again after a pause";
  portal_->habits.start_response = 0;
  ASSERT_TRUE(RunUntil([&] { return formats_ == 2; }));
  EXPECT_EQ(lost_.size(), 1u) << "one loss, however many attempts";
}

TEST_F(PortalSourceTest, APortalThatAppearsIsAskedAtOnce) {
  StartDesktop();
  const FakePortal::Habits habits = portal_->habits;
  Start(PortalSpec{1, "token", true});
  ASSERT_TRUE(RunUntilFrames(1));
  portal_->CloseSession();
  ASSERT_TRUE(RunUntil([&] { return !lost_.empty(); }));
  portal_.reset();
  // Attempts without a portal, until the pauses are long.
  for (int64_t pause_ms = limits::kPortalRetryMs;
       pause_ms < limits::kPortalRetryMaxMs; pause_ms *= 2) {
    bool expired = false;
    for (int i = 0; i < 100 && !expired; ++i) {
      RunRoundTrip();
      expired = loop_.Expire(absl::Milliseconds(pause_ms));
    }
    ASSERT_TRUE(expired) << pause_ms;
  }
  for (int i = 0; i < 5; ++i) RunRoundTrip();
  const MonoTime start = SystemClock().Now();
  StartPortal();
  portal_->habits = habits;
  EXPECT_TRUE(RunUntil([&] { return formats_ == 2; }));
  EXPECT_LT(SystemClock().Now() - start,
            absl::Milliseconds(limits::kPortalRetryMaxMs) * 3 / 4);
}

TEST_F(PortalSourceTest, DecliningASecondTimeIsFinal) {
  StartDesktop();
  Start(PortalSpec());
  ASSERT_TRUE(RunUntilFrames(1));
  portal_->habits.start_response = 1;
  portal_->CloseSession();
  ASSERT_TRUE(RunUntilFailed());
  EXPECT_EQ(failed_->code(), absl::StatusCode::kPermissionDenied);
  EXPECT_EQ(lost_.size(), 1u);
}

TEST_F(PortalSourceTest, ARefusalAtTheStartIsFinal) {
  StartDesktop();
  portal_->habits.start_response = 2;
  Start(PortalSpec());
  ASSERT_TRUE(RunUntilFailed());
  EXPECT_THAT(lost_, IsEmpty());
  EXPECT_EQ(portal_->seen.sessions, 1);
}

TEST_F(PortalSourceTest, StopWhileADialogIsOpenEndsIt) {
  StartDesktop();
  portal_->habits.start_response = std::nullopt;
  Start(PortalSpec());
  ASSERT_TRUE(RunUntil([&] { return portal_->seen.calls == 4; }));
  ASSERT_TRUE(loop_.Expire(absl::Milliseconds(limits::kPortalQuietMs)));
  EXPECT_EQ(consents_, 1);
  source_->Stop();
  EXPECT_FALSE(stopped_) << "never inside Stop";
  ASSERT_TRUE(RunUntil([&] { return stopped_; }));
  EXPECT_TRUE(RunUntil([&] { return portal_->seen.sessions_closed == 1; }));
}

TEST_F(PortalSourceTest, TheServersEndIsALoss) {
  StartDesktop();
  Start(PortalSpec());
  ASSERT_TRUE(RunUntilFrames(1));
  server_->KillServer(9);
  ASSERT_TRUE(RunUntil([&] { return lost_.size() == 1; }));
}

// -- AutoSource

TEST_F(PortalSourceTest, AutoTakesThePortalThatDoesNotAsk) {
  StartDesktop();
  portal_->habits.restore_token = "next";
  Start(AutoSpec{"now"});
  ASSERT_TRUE(RunUntilFrames(1));
  EXPECT_EQ(description_.kind, "portal");
  EXPECT_EQ(description_.refused, "");
  EXPECT_EQ(portal_->seen.restore_token, "now");
  EXPECT_THAT(tokens_, ElementsAre("next"));
}

TEST_F(PortalSourceTest, AutoTakesTheOnlyNodeWhenThePortalAsks) {
  StartDesktop();
  portal_->habits.start_response = std::nullopt;
  Start(AutoSpec());
  ASSERT_TRUE(RunUntil([&] { return portal_->seen.calls == 4; }));
  ASSERT_TRUE(loop_.Expire(absl::Milliseconds(limits::kPortalQuietMs)));
  ASSERT_TRUE(RunUntilFrames(1)) << *failed_;
  EXPECT_EQ(description_.kind, "pipewire");
  EXPECT_THAT(description_.refused, HasSubstr("portal: it asks a person"));
  EXPECT_EQ(consents_, 0) << "nobody is waited for";
  EXPECT_TRUE(RunUntil([&] { return portal_->seen.sessions_closed == 1; }))
      << "the dialog goes away";
}

TEST_F(PortalSourceTest, AutoSaysWhyNothingWorks) {
  Start(AutoSpec());
  ASSERT_TRUE(RunUntilFailed());
  const std::string text(failed_->message());
  EXPECT_THAT(text, HasSubstr("portal: no desktop portal"));
  EXPECT_THAT(text, HasSubstr("; pipewire: "));
}

TEST_F(PortalSourceTest, AutoDoesNotChooseAmongSeveralNodes) {
  StartNode();
  StartNode();
  Start(AutoSpec());
  ASSERT_TRUE(RunUntilFailed());
  EXPECT_THAT(std::string(failed_->message()), HasSubstr("pipewire: "));
  EXPECT_EQ(formats_, 0);
}

TEST_F(PortalSourceTest, AutoStopsWhileItIsStillTrying) {
  StartDesktop();
  portal_->habits.start_response = std::nullopt;
  Start(AutoSpec());
  ASSERT_TRUE(RunUntil([&] { return portal_->seen.calls == 4; }));
  source_->Stop();
  ASSERT_TRUE(RunUntil([&] { return stopped_; }));
  EXPECT_FALSE(failed_);
  EXPECT_EQ(formats_, 0);
}

TEST_F(PortalSourceTest, EverySourceIsListedWithItsReason) {
  StartNode();
  // On this machine there is a bus without a portal.
  std::vector<std::string> kinds;
  for (const SourceListing& listing : ListSources(absl::Seconds(10))) {
    kinds.push_back(listing.kind);
    EXPECT_EQ(listing.available, listing.kind != "portal");
    if (listing.kind == "portal") {
      EXPECT_THAT(listing.reason, HasSubstr("xdg-desktop-portal"));
    } else {
      EXPECT_EQ(listing.reason, "");
    }
  }
  EXPECT_THAT(kinds, ElementsAre("pipewire", "portal", "test"));
}

TEST_F(PortalSourceTest, CreateSourceRefusesWhatCannotBe) {
  SourceOptions options;
  options.spec = TestPatternSpec{.width = 1};
  EXPECT_EQ(CreateSource(std::move(options), loop_).status().code(),
            absl::StatusCode::kInvalidArgument);
  SourceOptions twice;
  PipeWireSpec spec;
  spec.node_name = "a";
  spec.node_id = 3;
  twice.spec = spec;
  EXPECT_EQ(CreateSource(std::move(twice), loop_).status().code(),
            absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace kine
