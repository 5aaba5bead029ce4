#include "ipc/event_ring.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "daemon/base/limits.h"
#include "ipc/problem.h"
#include "tests/fakes/fake_loop.h"

namespace kine {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::StartsWith;

constexpr char kRun[] = "aaaa-bbbb";

// A reader as a connection drives it.
class Follower {
 public:
  explicit Follower(Response response)
      : content_type_(response.content_type),
        body_(std::get<StreamBody>(std::move(response.body))) {
    body_.start([this] { ++wakes_; });
  }
  std::string Read(size_t room = 1 << 20) {
    std::string all;
    do {
      std::string piece;
      state_ = body_.read(room, piece);
      all += piece;
    } while (state_ == StreamBody::State::kMore);
    return all;
  }
  int wakes() const { return wakes_; }
  bool ended() const { return state_ == StreamBody::State::kEnd; }
  const std::string& content_type() const { return content_type_; }

 private:
  std::string content_type_;
  int wakes_ = 0;
  StreamBody::State state_ = StreamBody::State::kWait;
  StreamBody body_;
};

// The ids, types and data of NDJSON lines: "3 a {}".
std::vector<std::string> Brief(const std::string& text) {
  std::vector<std::string> lines;
  for (absl::string_view line : absl::StrSplit(text, '\n', absl::SkipEmpty())) {
    const auto between = [&](absl::string_view before, char after) {
      const size_t at = line.find(before);
      if (at == absl::string_view::npos) return absl::string_view();
      const absl::string_view rest = line.substr(at + before.size());
      return rest.substr(0, rest.find(after));
    };
    lines.push_back(absl::StrCat(between("bbbb-", '"'), " ",
                                 between("\"type\":\"", '"'), " ",
                                 between("\"data\":", '}'), "}"));
  }
  return lines;
}

class EventRingTest : public ::testing::Test {
 protected:
  Response Ask(absl::string_view since = "", EventFilter filter = {true, ""},
               bool ndjson = true) {
    Request request;
    if (ndjson) request.accept = "application/x-ndjson";
    if (!since.empty()) request.query.emplace_back("since", since);
    absl::StatusOr<Response> response = ring_->Follow(request, filter);
    EXPECT_TRUE(response.ok()) << response.status();
    return *std::move(response);
  }

  FakeWorld world_;
  FakeLoop& loop_ = world_.AddLoop("control");
  std::unique_ptr<EventRing> ring_ = std::make_unique<EventRing>(loop_, kRun);
};

TEST_F(EventRingTest, TellsWhatHappensFromNowOn) {
  ring_->Publish("recording.started", "{\"id\":\"old\"}");
  Follower follower(Ask());

  ring_->Publish("recording.started", "{\"id\":\"new\"}");
  world_.Settle();

  EXPECT_EQ(follower.wakes(), 1);
  EXPECT_THAT(Brief(follower.Read()),
              ElementsAre("2 recording.started {\"id\":\"new\"}"));
  EXPECT_THAT(follower.Read(), IsEmpty());
  EXPECT_EQ(ring_->newest_id(), "aaaa-bbbb-2");
}

TEST_F(EventRingTest, IsServerSentEventsUnlessAskedForLines) {
  Follower follower(Ask("", {true, ""}, false));
  EXPECT_EQ(follower.content_type(), "text/event-stream");

  ring_->Publish("a", "{\"x\":1}");

  const std::string text = follower.Read();
  EXPECT_THAT(text, StartsWith("id: aaaa-bbbb-1\nevent: a\ndata: {\"id\":"
                               "\"aaaa-bbbb-1\",\"type\":\"a\",\"at\":\""));
  EXPECT_THAT(text, HasSubstr("\"data\":{\"x\":1}}\n\n"));
}

TEST_F(EventRingTest, ManyEventsAreOneWakeUp) {
  Follower follower(Ask());

  for (int i = 0; i < 10; ++i) ring_->Publish("a", "{}");
  EXPECT_EQ(follower.wakes(), 0);  // Never inside Publish().
  world_.Settle();

  EXPECT_EQ(follower.wakes(), 1);
  EXPECT_EQ(Brief(follower.Read()).size(), 10u);
}

TEST_F(EventRingTest, ReadsOnlyAsMuchAsThereIsRoom) {
  Follower follower(Ask("aaaa-bbbb-0"));
  for (int i = 0; i < 100; ++i) ring_->Publish("a", "{}");

  EXPECT_EQ(Brief(follower.Read(200)).size(), 100u);
}

TEST_F(EventRingTest, ResumesAfterTheIdGiven) {
  for (int i = 0; i < 5; ++i) ring_->Publish("a", "{}");

  EXPECT_THAT(Brief(Follower(Ask("aaaa-bbbb-3")).Read()),
              ElementsAre("4 a {}", "5 a {}"));
  EXPECT_THAT(Brief(Follower(Ask("aaaa-bbbb-5")).Read()), IsEmpty());
  Request request;
  request.last_event_id = "aaaa-bbbb-4";
  request.accept = "application/x-ndjson";
  EXPECT_THAT(Brief(Follower(*ring_->Follow(request, {true, ""})).Read()),
              ElementsAre("5 a {}"));
}

TEST_F(EventRingTest, AnotherRunsIdIsAGapAndThenAllThatIsThere) {
  ring_->Publish("a", "{}");
  ring_->Publish("b", "{}");

  EXPECT_THAT(
      Brief(Follower(Ask("cccc-99")).Read()),
      ElementsAre("0 gap {\"reason\":\"instance\",\"from\":null,\"to\":0}",
                  "1 a {}", "2 b {}"));
}

TEST_F(EventRingTest, WhoIsTooSlowIsToldWhatIsLost) {
  Follower follower(Ask("aaaa-bbbb-0"));
  for (size_t i = 0; i < limits::kEventRing; ++i) ring_->Publish("a", "{}");
  Follower in_time(Ask("aaaa-bbbb-0"));
  EXPECT_EQ(Brief(in_time.Read()).front(), "1 a {}");
  for (int i = 0; i < 10; ++i) ring_->Publish("b", "{}");

  const std::vector<std::string> lines = Brief(follower.Read());

  ASSERT_EQ(lines.size(), limits::kEventRing + 1);
  EXPECT_EQ(lines[0], "10 gap {\"reason\":\"overflow\",\"from\":1,\"to\":10}");
  EXPECT_EQ(lines[1], "11 a {}");
  EXPECT_EQ(lines.back(), "4106 b {}");
  // Who resumes from the gap's id is told of no second one.
  EXPECT_EQ(Brief(Follower(Ask("aaaa-bbbb-10")).Read()).front(), "11 a {}");
}

TEST_F(EventRingTest, AnOwnerSeesItsOwnAndWhatHasNone) {
  ring_->Publish("a", "{}", "me");
  ring_->Publish("b", "{}", "you");
  ring_->Publish("c", "{}");

  const auto seen = [&](EventFilter filter) {
    return Brief(Follower(Ask("aaaa-bbbb-0", filter)).Read());
  };
  EXPECT_THAT(seen({false, "me"}), ElementsAre("1 a {}", "3 c {}"));
  EXPECT_THAT(seen({false, ""}), ElementsAre("3 c {}"));
  EXPECT_THAT(seen({true, ""}), ElementsAre("1 a {}", "2 b {}", "3 c {}"));
}

TEST_F(EventRingTest, SilenceIsBrokenEveryFifteenSeconds) {
  Follower lines(Ask());
  Follower events(Ask("", {true, ""}, false));

  world_.Advance(absl::Milliseconds(14'990));
  EXPECT_EQ(lines.wakes(), 0);
  world_.Advance(absl::Milliseconds(20));

  EXPECT_EQ(lines.wakes(), 1);
  EXPECT_EQ(lines.Read(), "{\"type\":\"heartbeat\"}\n");
  EXPECT_EQ(events.Read(), ": heartbeat\n\n");
  EXPECT_EQ(events.Read(), "");
  ring_->Publish("a", "{}");
  world_.Advance(absl::Seconds(15));
  EXPECT_THAT(Brief(lines.Read()), ElementsAre("1 a {}"));
}

TEST_F(EventRingTest, IdsThatCannotBeOnesAreRefusedByName) {
  for (const char* id : {"x", "aaaa-bbbb-", "aaaa-bbbb-x", "-1", "aaaa-bbbb-1",
                         "aaaa-bbbb-99999999999999999999999"}) {
    Request request;
    request.query.emplace_back("since", id);
    const absl::Status status = ring_->Follow(request, {}).status();
    EXPECT_EQ(FieldOf(status), "since") << id;
  }
}

TEST_F(EventRingTest, AnEventThatIsTooLargeSaysSo) {
  Follower follower(Ask());
  const std::string fits = absl::StrCat(
      "{\"x\":\"", std::string(limits::kEventBytesMax - 8, 'x'), "\"}");
  ASSERT_EQ(fits.size(), limits::kEventBytesMax);

  ring_->Publish("a", fits);
  ring_->Publish("a", fits + " ");

  const std::vector<std::string> lines = Brief(follower.Read());
  EXPECT_EQ(lines[0], absl::StrCat("1 a ", fits));
  EXPECT_EQ(lines[1], "2 a {\"omitted_bytes\":4097}");
}

TEST_F(EventRingTest, CloseEndsReadersAfterWhatIsThere) {
  Follower follower(Ask());
  ring_->Publish("a", "{}");

  ring_->Close();
  world_.Settle();

  EXPECT_EQ(Brief(follower.Read()).size(), 1u);
  EXPECT_TRUE(follower.ended());
}

TEST_F(EventRingTest, ReadersMayOutliveTheRing) {
  Follower follower(Ask());

  ring_.reset();
  world_.Settle();

  EXPECT_EQ(follower.wakes(), 1);
  EXPECT_EQ(follower.Read(), "");
  EXPECT_TRUE(follower.ended());
  EXPECT_EQ(loop_.timer_count(), 0u);
}

TEST_F(EventRingTest, AReaderMayDieWhileOthersAreWoken) {
  auto first = std::make_unique<std::optional<StreamBody>>(
      std::get<StreamBody>(Ask().body));
  (*first)->start([&] { first->reset(); });
  Follower second(Ask());

  ring_->Publish("a", "{}");
  world_.Settle();

  EXPECT_FALSE(first->has_value());
  EXPECT_EQ(second.wakes(), 1);
}

}  // namespace
}  // namespace kine
