// What slow, many and greedy clients get, in fake time.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>

#include "absl/strings/str_cat.h"
#include "tests/ipc/http_world.h"

namespace kine {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

class ServerLimitsTest : public ::testing::Test {
 protected:
  ServerLimitsTest() : http_(Routes()) {}

  std::vector<Route> Routes() {
    std::vector<Route> routes;
    routes.push_back({Method::kPost,
                      "/e",
                      "",
                      "0.1.0",
                      {},
                      Route::Body::kJson,
                      false,
                      [](Request, Reply reply) { reply.Json(200, "1"); }});
    routes.push_back({Method::kGet,
                      "/health",
                      "",
                      "0.1.0",
                      {},
                      Route::Body::kNone,
                      true,
                      [](Request, Reply reply) { reply.Json(200, "1"); }});
    routes.push_back({Method::kGet,
                      "/e",
                      "",
                      "0.1.0",
                      {},
                      Route::Body::kNone,
                      false,
                      [](Request, Reply reply) { reply.Json(200, "1"); }});
    routes.push_back({Method::kGet,
                      "/later",
                      "",
                      "0.1.0",
                      {},
                      Route::Body::kNone,
                      false,
                      [this](Request, Reply reply) {
                        waiting_.push_back(std::move(reply));
                      }});
    routes.push_back({Method::kGet,
                      "/large",
                      "",
                      "0.1.0",
                      {},
                      Route::Body::kNone,
                      false,
                      [](Request, Reply reply) {
                        reply.Json(200, std::string(8 << 20, 'x'));
                      }});
    routes.push_back({Method::kGet,
                      "/file",
                      "",
                      "0.1.0",
                      {},
                      Route::Body::kNone,
                      false,
                      [this](Request, Reply reply) {
                        Response response;
                        response.content_type = "video/mp4";
                        response.body = FileBody{file_, 0, kFileSize, ""};
                        reply.Send(std::move(response));
                      }});
    routes.push_back({Method::kGet,
                      "/stream",
                      "",
                      "0.1.0",
                      {},
                      Route::Body::kNone,
                      false,
                      [this](Request, Reply reply) { reply.Send(Stream()); }});
    return routes;
  }

  // Says what is in `news_`, piece by piece, until it is "end".
  Response Stream() {
    Response response;
    response.content_type = "text/plain";
    StreamBody body;
    auto at = std::make_shared<size_t>(0);
    body.start = [this](StreamBody::Wake wake) {
      wakes_.push_back(std::move(wake));
    };
    body.read = [this, at](size_t, std::string& out) {
      if (*at == news_.size()) return StreamBody::State::kWait;
      if (news_[*at] == "end") return StreamBody::State::kEnd;
      if (news_[*at] == "abort") return StreamBody::State::kAbort;
      out += news_[(*at)++];
      return StreamBody::State::kMore;
    };
    response.body = std::move(body);
    return response;
  }
  void Tell(std::string news) {
    news_.push_back(std::move(news));
    for (auto& wake : wakes_) wake();
    http_.world.Settle();
  }

  const ServerMetrics& metrics() { return http_.server->metrics(); }

  static constexpr size_t kFileSize = 8 << 20;
  std::vector<Reply> waiting_;
  std::vector<std::string> news_;
  std::vector<StreamBody::Wake> wakes_;
  std::shared_ptr<const UniqueFd> file_ = FileOf(Pattern(kFileSize));
  HttpWorld http_;
};

TEST_F(ServerLimitsTest, ASlowHeadIsGivenFiveSeconds) {
  RawClient client(http_);
  for (int i = 0; i < 4; ++i) {
    client.Send("G");  // A byte a second does not help.
    http_.world.Advance(absl::Milliseconds(1'200));
  }
  EXPECT_EQ(client.Read(), "");

  http_.world.Advance(absl::Milliseconds(210));

  EXPECT_EQ(StatusOf(client.Read()), 408);
  EXPECT_TRUE(client.ended());
  EXPECT_EQ(metrics().timeouts.value(), 1u);
}

TEST_F(ServerLimitsTest, ASlowBodyIsGivenTenSeconds) {
  RawClient client(http_);
  client.Send("POST /e HTTP/1.1\r\nHost: k\r\nContent-Length: 100\r\n\r\n");
  for (int i = 0; i < 9; ++i) {
    client.Send("x");
    http_.world.Advance(absl::Seconds(1));
  }
  EXPECT_EQ(client.Read(), "");

  http_.world.Advance(absl::Milliseconds(1'010));

  const std::string answer = client.Read();
  EXPECT_EQ(StatusOf(answer), 408);
  EXPECT_THAT(answer, HasSubstr("body"));
  EXPECT_TRUE(client.ended());
}

TEST_F(ServerLimitsTest, AnIdleConnectionIsKeptForAMinuteAfterEachRequest) {
  RawClient client(http_);
  for (int i = 0; i < 3; ++i) {
    http_.world.Advance(absl::Seconds(59));
    EXPECT_EQ(StatusOf(client.Ask(Get("/e"))), 200);
  }

  http_.world.Advance(absl::Milliseconds(60'010));

  EXPECT_EQ(client.Read(), "");
  EXPECT_TRUE(client.ended());
}

TEST_F(ServerLimitsTest, ManyPartsOfHeadsDoNotAddUpToASlowOne) {
  RawClient client(http_);
  client.Send("G");

  for (int i = 0; i < 10; ++i) {
    http_.world.Advance(absl::Seconds(3));
    EXPECT_EQ(StatusOf(client.Ask(Get("/e").substr(1) + "G")), 200);
  }

  http_.world.Advance(absl::Milliseconds(5'010));
  EXPECT_EQ(StatusOf(client.Read()), 408);
}

TEST_F(ServerLimitsTest, AWaitMayTakeAsLongAsItsHandlerLikes) {
  RawClient client(http_);
  client.Send(Get("/later"));

  http_.world.Advance(absl::Minutes(10));
  waiting_[0].Json(200, "1");

  EXPECT_EQ(StatusOf(client.Read()), 200);
}

TEST_F(ServerLimitsTest, ReadersThatStallAreCutAfterThirtySeconds) {
  for (const char* path : {"/large", "/file"}) {
    SCOPED_TRACE(path);
    RawClient client(http_);
    client.Send(Get(path));
    http_.world.Advance(absl::Seconds(29));
    EXPECT_EQ(metrics().connections.value(), 1);

    http_.world.Advance(absl::Milliseconds(1'010));
    http_.world.Settle();

    EXPECT_EQ(metrics().connections.value(), 0);
    const std::string got = client.Read();
    EXPECT_LT(got.size(), kFileSize);
    EXPECT_TRUE(client.ended());
  }
}

TEST_F(ServerLimitsTest, AReaderThatIsSlowButNotStalledGetsEverything) {
  for (const char* path : {"/large", "/file"}) {
    SCOPED_TRACE(path);
    RawClient client(http_);
    client.Send(Get(path));
    std::string got = client.ReadNow();

    while (BodyOf(got).size() < kFileSize) {
      http_.world.Advance(absl::Seconds(20));
      const std::string more = client.ReadNow();
      ASSERT_FALSE(more.empty());
      got += more;
    }

    EXPECT_EQ(BodyOf(got).size(), kFileSize);
    EXPECT_FALSE(client.ended());
  }
}

TEST_F(ServerLimitsTest, AThousandIdleOnesAndSlowlorisCostTheNextOneNothing) {
  std::vector<std::unique_ptr<RawClient>> idle;
  for (int i = 0; i < 1'000; ++i) {
    idle.push_back(std::make_unique<RawClient>(http_));
    if (i % 2 == 0) idle.back()->Send("GET /e HTTP/1.1\r\nX: ");
  }
  EXPECT_EQ(metrics().connections.value(), 1'000);

  RawClient client(http_);
  EXPECT_EQ(StatusOf(client.Ask(Get("/e"))), 200);

  http_.world.Advance(absl::Milliseconds(5'010));
  http_.world.Advance(absl::Milliseconds(limits::kLingerMs + 10));
  EXPECT_EQ(metrics().connections.value(), 501);
  EXPECT_EQ(metrics().timeouts.value(), 500u);
  http_.world.Advance(absl::Seconds(60));
  EXPECT_EQ(metrics().connections.value(), 0);
}

TEST_F(ServerLimitsTest, TheLastConnectionsServeOnlyReservedRoutes) {
  std::vector<std::unique_ptr<RawClient>> clients;
  for (int i = 0; i < limits::kConnectionsMax - limits::kConnectionsReserved;
       ++i)
    clients.push_back(std::make_unique<RawClient>(http_));
  EXPECT_EQ(StatusOf(clients.back()->Ask(Get("/e"))), 200);

  RawClient other(http_);
  const std::string refused = other.Ask(Get("/e"));
  RawClient health(http_);
  const std::string served = health.Ask(Get("/health"));

  EXPECT_EQ(StatusOf(refused), 503);
  EXPECT_THAT(refused, HasSubstr("\"code\":\"connections\""));
  EXPECT_EQ(StatusOf(served), 200);
  // They are not for keeping.
  EXPECT_TRUE(other.ended());
  EXPECT_TRUE(health.ended());

  for (int i = 0; i < limits::kConnectionsReserved; ++i)
    clients.push_back(std::make_unique<RawClient>(http_));
  RawClient late(http_);
  const std::string answer = late.Read();
  EXPECT_EQ(StatusOf(answer), 503);
  EXPECT_TRUE(late.ended());
  EXPECT_EQ(metrics().refused_connections.value(), 1u);
  // The reserved ones that ask nothing are free again after the head's time.
  http_.world.Advance(absl::Milliseconds(limits::kHeadMs + 10));
  RawClient again(http_);
  EXPECT_EQ(StatusOf(again.Ask(Get("/health"))), 200);
}

TEST_F(ServerLimitsTest, StreamsArePulledChunkedAndEnded) {
  RawClient client(http_);
  const std::string head = client.Ask(Get("/stream"));
  EXPECT_EQ(FieldOfResponse(head, "Transfer-Encoding"), "chunked");
  EXPECT_EQ(FieldOfResponse(head, "Content-Length"), "");
  EXPECT_EQ(metrics().streams.value(), 1);

  Tell("hello");
  EXPECT_EQ(client.Read(), "5\r\nhello\r\n");
  http_.world.Advance(absl::Minutes(10));  // Nothing to say is not slow.
  Tell("end");

  EXPECT_EQ(client.Read(), "0\r\n\r\n");
  EXPECT_EQ(metrics().streams.value(), 0);
  EXPECT_EQ(StatusOf(client.Ask(Get("/e"))), 200);
}

TEST_F(ServerLimitsTest, AnOldClientGetsAStreamUntilTheConnectionCloses) {
  RawClient client(http_);
  news_ = {"hello", "end"};

  const std::string answer = client.Ask("GET /stream HTTP/1.0\r\n\r\n");

  EXPECT_EQ(FieldOfResponse(answer, "Transfer-Encoding"), "");
  EXPECT_EQ(BodyOf(answer), "hello");
  EXPECT_TRUE(client.ended());
}

TEST_F(ServerLimitsTest, ABrokenStreamIsCutAndNotEnded) {
  RawClient client(http_);
  client.Send(Get("/stream"));

  Tell("abort");

  EXPECT_THAT(client.Read(), Not(HasSubstr("0\r\n\r\n")));
  EXPECT_TRUE(client.ended());
  EXPECT_EQ(metrics().streams.value(), 0);
}

TEST_F(ServerLimitsTest, AStreamsReaderThatStallsIsNotReadFurtherAndCut) {
  RawClient client(http_);
  for (int i = 0; i < 1'000; ++i) news_.push_back(std::string(32 << 10, 'x'));
  client.Send(Get("/stream"));

  EXPECT_LT(metrics().bytes_out.value(), 1u << 20);
  http_.world.Advance(absl::Milliseconds(30'010));

  EXPECT_EQ(metrics().connections.value(), 0);
  EXPECT_EQ(metrics().streams.value(), 0);
  for (auto& wake : wakes_) wake();  // Whoever still calls does no harm.
}

TEST_F(ServerLimitsTest, ThereAreSoManyStreamsAndNoMore) {
  std::vector<std::unique_ptr<RawClient>> readers;
  for (int i = 0; i < limits::kStreamsMax; ++i) {
    readers.push_back(std::make_unique<RawClient>(http_));
    EXPECT_EQ(StatusOf(readers.back()->Ask(Get("/stream"))), 200);
  }
  RawClient client(http_);

  const std::string answer = client.Ask(Get("/stream"));

  EXPECT_EQ(StatusOf(answer), 429);
  EXPECT_THAT(answer, HasSubstr("\"code\":\"streams\""));
  readers.pop_back();
  http_.world.Settle();
  EXPECT_EQ(StatusOf(client.Ask(Get("/stream"))), 200);
}

TEST_F(ServerLimitsTest, DrainEndsStreams) {
  RawClient client(http_);
  client.Send(Get("/stream"));
  (void)client.Read();
  bool done = false;

  http_.server->Drain([&] { done = true; });

  EXPECT_EQ(client.Read(), "0\r\n\r\n");
  EXPECT_TRUE(client.ended());
  EXPECT_TRUE(done);
}

TEST_F(ServerLimitsTest, WithoutDescriptorsClientsAreToldAndItRecovers) {
  RawClient before(http_);
  rlimit old{};
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &old), 0);
  // Room for one client's socket, none for the server's end of it.
  const int next = ::dup(0);
  ASSERT_GE(next, 0);
  ::close(next);
  const rlimit tight{static_cast<rlim_t>(next) + 1, old.rlim_max};
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &tight), 0);

  auto refused = std::make_unique<RawClient>(http_);
  const std::string answer = refused->Read();
  EXPECT_EQ(StatusOf(answer), 503);
  EXPECT_THAT(answer, HasSubstr("\"code\":\"descriptors\""));
  EXPECT_EQ(StatusOf(before.Ask(Get("/e"))), 200);
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &old), 0);

  http_.world.Advance(absl::Milliseconds(limits::kAcceptPauseMs + 10));
  RawClient after(http_);
  EXPECT_EQ(StatusOf(after.Ask(Get("/e"))), 200);
}

}  // namespace
}  // namespace kine
