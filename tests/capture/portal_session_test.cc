// PortalSession against a portal with all kinds of habits, on a real bus.
#include "capture/portal/portal_session.h"

#include <fcntl.h>

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "capture/portal/portal_source.h"
#include "daemon/base/limits.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/capture/portal_fixture.h"

namespace kine {
namespace {

using testing::HasSubstr;

class PortalSessionTest : public PortalFixture, private PortalSession::Client {
 protected:
  void OnGranted(PortalSession::Grant grant) override {
    grant_ = std::move(grant);
    Check();
  }
  void OnNeedsConsent() override { ++consents_; }
  void OnClosed(absl::Status reason) override {
    EXPECT_EQ(closed_, std::nullopt) << "only once";
    closed_ = std::move(reason);
    Check();
  }

  void Open(PortalSession::Request request = {}) {
    auto bus = SessionBus::Open(loop_, [](absl::Status) {});
    ASSERT_TRUE(bus.ok()) << bus.status();
    session_.reset();
    session_bus_ = *std::move(bus);
    PortalSession::Client& client = *this;
    session_ = std::make_unique<PortalSession>(std::move(request),
                                               *session_bus_, loop_, client);
    EXPECT_FALSE(grant_ || closed_) << "never inside the constructor";
  }
  bool RunUntilAnswer() {
    return RunUntil([this] { return grant_ || closed_; });
  }
  bool RunUntilGranted() {
    return RunUntilAnswer() && grant_.has_value() && !closed_;
  }
  // Runs until it is closed; the code and the text.
  void ExpectClosed(absl::StatusCode code, const std::string& text) {
    ASSERT_TRUE(RunUntil([this] { return closed_.has_value(); }));
    EXPECT_EQ(closed_->code(), code);
    EXPECT_THAT(std::string(closed_->message()), HasSubstr(text));
  }

  std::unique_ptr<SessionBus> session_bus_;
  std::unique_ptr<PortalSession> session_;
  std::optional<PortalSession::Grant> grant_;
  std::optional<absl::Status> closed_;
  int consents_ = 0;
};

TEST_F(PortalSessionTest, AGrantBringsASocketANodeAndAToken) {
  StartPortal();
  portal_->habits.node_id = 77;
  portal_->habits.serial = 1ull << 40;
  portal_->habits.restore_token = "second";
  Open({.types = 1, .restore_token = "first", .persist = true});
  ASSERT_TRUE(RunUntilGranted());

  EXPECT_EQ(grant_->node_id, 77u);
  EXPECT_EQ(grant_->serial, 1ull << 40);
  EXPECT_EQ(grant_->restore_token, "second");
  EXPECT_EQ(grant_->cursor_mode, PortalCursorMode::kEmbedded);
  ASSERT_TRUE(grant_->remote.valid());
  EXPECT_NE(::fcntl(grant_->remote.get(), F_GETFD) & FD_CLOEXEC, 0);
  EXPECT_EQ(portal_->seen.types, 1u);
  EXPECT_EQ(portal_->seen.cursor_mode, 2u);
  EXPECT_EQ(portal_->seen.persist_mode, 2u);
  EXPECT_EQ(portal_->seen.restore_token, "first");
  EXPECT_TRUE(session_->token_sent());
  EXPECT_EQ(consents_, 0);
  EXPECT_FALSE(loop_.Expire(absl::Milliseconds(limits::kPortalQuietMs)))
      << "no timer is left";
}

TEST_F(PortalSessionTest, TheFirstOfSeveralStreamsIsTaken) {
  StartPortal();
  Open();
  ASSERT_TRUE(RunUntilGranted());
  EXPECT_EQ(grant_->node_id, 42u);
  EXPECT_EQ(grant_->serial, std::nullopt);
}

TEST_F(PortalSessionTest, AResponseMayComeBeforeTheCallReturns) {
  StartPortal();
  portal_->habits.response_first = true;
  Open();
  EXPECT_TRUE(RunUntilGranted());
}

TEST_F(PortalSessionTest, OldPortalsMakeUpTheirOwnRequestPaths) {
  StartPortal();
  portal_->habits.own_paths = true;
  Open();
  EXPECT_TRUE(RunUntilGranted());
}

TEST_F(PortalSessionTest, VersionsBefore4AreAskedForNoToken) {
  StartPortal();
  portal_->habits.version = 3;
  Open({.types = 1, .restore_token = "kept", .persist = true});
  ASSERT_TRUE(RunUntilGranted());
  EXPECT_EQ(portal_->seen.persist_mode, std::nullopt);
  EXPECT_EQ(portal_->seen.restore_token, "");
  EXPECT_FALSE(session_->token_sent());
}

TEST_F(PortalSessionTest, NothingIsKeptUnlessAsked) {
  StartPortal();
  Open({.types = 1, .restore_token = "", .persist = false});
  ASSERT_TRUE(RunUntilGranted());
  EXPECT_EQ(portal_->seen.persist_mode, std::nullopt);
}

TEST_F(PortalSessionTest, TheBestCursorModeThatIsOfferedIsAsked) {
  constexpr auto kHidden = PortalCursorMode::kHidden;
  constexpr auto kEmbedded = PortalCursorMode::kEmbedded;
  constexpr auto kMetadata = PortalCursorMode::kMetadata;
  struct Case {
    PortalCursorMode wish;
    std::optional<uint32_t> offered;
    std::optional<uint32_t> asked;
    PortalCursorMode mode;
  };
  const Case cases[] = {
      {kEmbedded, 7, 2, kEmbedded},
      {kEmbedded, 5, 4, kMetadata},
      {kEmbedded, 3, 2, kEmbedded},
      {kEmbedded, 1, std::nullopt, kHidden},
      {kEmbedded, std::nullopt, std::nullopt, kHidden},
      {kMetadata, 7, 4, kMetadata},
      {kMetadata, 5, 4, kMetadata},
      {kMetadata, 3, 2, kEmbedded},
      {kMetadata, 1, std::nullopt, kHidden},
  };
  StartPortal();
  for (const Case& c : cases) {
    portal_->habits.cursor_modes = c.offered;
    grant_.reset();
    Open({.cursor_mode = c.wish});
    ASSERT_TRUE(RunUntilGranted());
    EXPECT_EQ(portal_->seen.cursor_mode, c.asked);
    EXPECT_EQ(grant_->cursor_mode, c.mode);
  }
}

TEST_F(PortalSessionTest, OnlyTypesThatAreOfferedAreAsked) {
  StartPortal();
  portal_->habits.types = 1;
  Open({.types = 3, .restore_token = "", .persist = true});
  ASSERT_TRUE(RunUntilGranted());
  EXPECT_EQ(portal_->seen.types, 1u);
}

TEST_F(PortalSessionTest, ATypeThatIsNotOfferedIsUnimplemented) {
  StartPortal();
  portal_->habits.types = 1;
  Open({.types = 2, .restore_token = "", .persist = true});
  ExpectClosed(absl::StatusCode::kUnimplemented, "window");
  EXPECT_EQ(portal_->seen.sessions, 0);
}

TEST_F(PortalSessionTest, ADeclinedCastIsPermissionDenied) {
  StartPortal();
  portal_->habits.start_response = 1;
  Open();
  ExpectClosed(absl::StatusCode::kPermissionDenied, "declined");
  EXPECT_TRUE(RunUntil([&] { return portal_->seen.sessions_closed == 1; }));
}

TEST_F(PortalSessionTest, ACastThatEndsOtherwiseIsUnavailable) {
  StartPortal();
  portal_->habits.start_response = 2;
  Open();
  ExpectClosed(absl::StatusCode::kUnavailable, "response 2");
}

TEST_F(PortalSessionTest, ADialogIsReportedOnceAndThenGivenUp) {
  StartPortal();
  portal_->habits.start_response = std::nullopt;
  Open({.types = 1, .restore_token = "x", .persist = true});
  ASSERT_TRUE(RunUntil([&] { return portal_->seen.calls == 4; }));
  EXPECT_EQ(portal_->seen.restore_token, "x");
  ASSERT_TRUE(loop_.Expire(absl::Milliseconds(limits::kPortalQuietMs)));
  EXPECT_EQ(consents_, 1);
  EXPECT_FALSE(closed_.has_value());
  ASSERT_TRUE(loop_.Expire(absl::Milliseconds(limits::kConsentMs)));
  ExpectClosed(absl::StatusCode::kDeadlineExceeded, "dialog");
  EXPECT_EQ(consents_, 1);
  EXPECT_TRUE(RunUntil([&] {
    return portal_->seen.requests_closed == 1 &&
           portal_->seen.sessions_closed == 1;
  })) << "the dialog must go away";
}

TEST_F(PortalSessionTest, DestroyingItClosesTheDialog) {
  StartPortal();
  portal_->habits.start_response = std::nullopt;
  Open();
  // Properties, CreateSession, SelectSources, Start.
  ASSERT_TRUE(RunUntil([&] { return portal_->seen.calls == 4; }));
  session_.reset();
  EXPECT_TRUE(RunUntil([&] {
    return portal_->seen.requests_closed == 1 &&
           portal_->seen.sessions_closed == 1;
  }));
  EXPECT_FALSE(grant_ || closed_);
}

TEST_F(PortalSessionTest, APortalThatDoesNotAnswerIsUnavailable) {
  StartPortal();
  portal_->habits.mute = true;
  Open();
  ASSERT_TRUE(RunUntil([&] { return portal_->seen.calls == 2; }));
  ASSERT_TRUE(loop_.Expire(absl::Milliseconds(limits::kPortalCallMs)));
  ExpectClosed(absl::StatusCode::kUnavailable, "did not answer");
}

TEST_F(PortalSessionTest, NoPortalNamesThePackage) {
  Open();
  ExpectClosed(absl::StatusCode::kUnavailable, "xdg-desktop-portal");
}

TEST_F(PortalSessionTest, APortalWithoutScreenCastNamesTheBackEnds) {
  StartPortal();
  portal_->habits.no_screen_cast = true;
  Open();
  ExpectClosed(absl::StatusCode::kUnimplemented, "xdg-desktop-portal-wlr");
}

TEST_F(PortalSessionTest, AGrantWithoutAStreamIsAnError) {
  StartPortal();
  portal_->habits.no_streams = true;
  Open();
  ExpectClosed(absl::StatusCode::kUnavailable, "unexpected message");
  EXPECT_EQ(portal_->seen.remotes, 0);
}

TEST_F(PortalSessionTest, ASessionThatThePortalClosesIsClosed) {
  StartPortal();
  Open();
  ASSERT_TRUE(RunUntilGranted());
  portal_->CloseSession();
  ExpectClosed(absl::StatusCode::kUnavailable, "closed the session");
  RunRoundTrip();
  EXPECT_EQ(portal_->seen.sessions_closed, 0) << "it is closed already";
}

TEST_F(PortalSessionTest, AnswersToOthersAreNotOurs) {
  StartPortal();
  portal_->habits.start_response = std::nullopt;
  Open();
  ASSERT_TRUE(RunUntil([&] { return portal_->seen.calls == 4; }));
  portal_->SendForeignResponse();
  RunRoundTrip();
  RunRoundTrip();
  EXPECT_FALSE(grant_ || closed_);
}

TEST_F(PortalSessionTest, NoBusNamesTheVariable) {
  ::setenv("DBUS_SESSION_BUS_ADDRESS", "unix:path=/nonexistent/bus", 1);
  const auto bus = SessionBus::Open(loop_, [](absl::Status) {});
  const absl::Status probed = ProbePortal(absl::Seconds(1));
  for (const absl::Status& status : {bus.status(), probed}) {
    EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
    EXPECT_THAT(std::string(status.message()),
                HasSubstr("DBUS_SESSION_BUS_ADDRESS='unix:path=/nonexistent"));
  }
}

TEST_F(PortalSessionTest, ABusThatGoesAwayIsReportedOnce) {
  int gone = 0;
  auto bus = SessionBus::Open(loop_, [&](absl::Status status) {
    EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
    ++gone;
    Check();
  });
  ASSERT_TRUE(bus.ok());
  RunRoundTrip();
  bus_.reset();
  EXPECT_TRUE(RunUntil([&] { return gone == 1; }));
}

}  // namespace
}  // namespace kine
