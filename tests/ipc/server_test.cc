// Requests and answers over real sockets, in fake time.
#include "ipc/server.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include <thread>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "daemon/base/limits/output.h"
#include "tests/ipc/http_requests.h"
#include "tests/ipc/http_world.h"

namespace kine {
namespace {

using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::StartsWith;

// What the tests below need of a daemon.
struct App {
  std::vector<Reply> waiting;
  std::vector<Request> seen;

  std::vector<Route> Routes() {
    std::vector<Route> routes;
    routes.push_back({Method::kPost,
                      "/e",
                      "Echoes.",
                      "0.1.0",
                      {{"a", ""}},
                      Route::Body::kJson,
                      false,
                      [this](Request request, Reply reply) {
                        std::string body = request.body;
                        seen.push_back(std::move(request));
                        reply.Json(200, body);
                      }});
    routes.push_back({Method::kPut,
                      "/bytes",
                      "Counts.",
                      "0.2.0",
                      {},
                      Route::Body::kOctets,
                      false,
                      [this](Request request, Reply reply) {
                        reply.Json(200, std::to_string(request.body.size()));
                        seen.push_back(std::move(request));
                      }});
    routes.push_back({Method::kGet,
                      "/e",
                      "Says hello.",
                      "0.1.0",
                      {{"a", ""}},
                      Route::Body::kNone,
                      false,
                      [this](Request request, Reply reply) {
                        seen.push_back(std::move(request));
                        reply.Json(200, "{\"hello\":1}");
                      }});
    routes.push_back({Method::kGet,
                      "/later/{id}",
                      "",
                      "0.1.0",
                      {},
                      Route::Body::kNone,
                      false,
                      [this](Request, Reply reply) {
                        waiting.push_back(std::move(reply));
                      }});
    routes.push_back({Method::kGet,
                      "/forgotten",
                      "",
                      "0.1.0",
                      {},
                      Route::Body::kNone,
                      false,
                      [](Request, Reply) {}});
    return routes;
  }
};

class ServerTest : public ::testing::Test {
 protected:
  const ServerMetrics& metrics() { return http_.server->metrics(); }

  App app_;
  HttpWorld http_{app_.Routes()};
};

TEST_F(ServerTest, AnswersWithInstanceLengthAndDate) {
  RawClient client(http_);

  const std::string answer = client.Ask(Get("/e"));

  EXPECT_THAT(answer, StartsWith("HTTP/1.1 200 OK\r\n"));
  EXPECT_EQ(FieldOfResponse(answer, "Kinescope-Instance"), kInstance);
  EXPECT_EQ(FieldOfResponse(answer, "Content-Length"), "11");
  EXPECT_EQ(FieldOfResponse(answer, "Content-Type"), "application/json");
  EXPECT_THAT(FieldOfResponse(answer, "Date"), EndsWith(" GMT"));
  EXPECT_EQ(FieldOfResponse(answer, "Connection"), "");
  EXPECT_EQ(BodyOf(answer), "{\"hello\":1}");
  EXPECT_FALSE(client.ended());
}

TEST_F(ServerTest, TellsTheHandlerWhoAsks) {
  RawClient client(http_);

  (void)client.Ask(Get("/e"));

  ASSERT_EQ(app_.seen.size(), 1u);
  EXPECT_EQ(app_.seen[0].peer.uid, ::geteuid());
  EXPECT_EQ(app_.seen[0].peer.pid, ::getpid());
}

TEST_F(ServerTest, RefusesEveryHostileRequestAndClosesTheConnection) {
  for (const HttpCase& hostile : HostileRequests()) {
    SCOPED_TRACE(hostile.name);
    RawClient client(http_);

    const std::string answer = client.Ask(hostile.bytes);

    EXPECT_EQ(StatusOf(answer), hostile.status);
    EXPECT_EQ(FieldOfResponse(answer, "Content-Type"),
              "application/problem+json");
    EXPECT_EQ(FieldOfResponse(answer, "Connection"), "close");
    EXPECT_EQ(FieldOfResponse(answer, "Kinescope-Instance"), kInstance);
    EXPECT_TRUE(client.ended());
  }
  EXPECT_TRUE(app_.seen.empty());
  EXPECT_EQ(metrics().requests.value(), 0u);
  EXPECT_EQ(metrics().refused_requests.value(), HostileRequests().size());
}

TEST_F(ServerTest, AnswersEveryLegalRequestInItsOrder) {
  for (const LegalCase& legal : LegalRequests()) {
    SCOPED_TRACE(legal.name);
    app_.seen.clear();
    RawClient client(http_);

    const std::string answer = client.Ask(legal.bytes);

    ASSERT_EQ(app_.seen.size(), legal.bodies.size());
    for (size_t i = 0; i < legal.bodies.size(); ++i)
      EXPECT_EQ(app_.seen[i].body, legal.bodies[i]);
    EXPECT_EQ(StatusOf(answer), legal.name == "expect" ? 100 : 200);
    EXPECT_THAT(answer, Not(HasSubstr("HTTP/1.1 4")));
  }
}

TEST_F(ServerTest, KeepsAConnectionForTheNextRequest) {
  RawClient client(http_);

  for (int i = 0; i < 100; ++i) EXPECT_EQ(StatusOf(client.Ask(Get("/e"))), 200);

  EXPECT_FALSE(client.ended());
  EXPECT_EQ(metrics().accepted.value(), 1u);
  EXPECT_EQ(metrics().requests.value(), 100u);
}

TEST_F(ServerTest, ClosesWhenTheClientAsksForItOrIsOld) {
  for (const char* request : {"GET /e HTTP/1.1\r\nHost: k\r\nConnection: "
                              "close\r\n\r\n",
                              "GET /e HTTP/1.0\r\n\r\n"}) {
    RawClient client(http_);
    const std::string answer = client.Ask(request);
    EXPECT_EQ(StatusOf(answer), 200);
    EXPECT_EQ(FieldOfResponse(answer, "Connection"), "close");
    EXPECT_TRUE(client.ended());
  }
}

TEST_F(ServerTest, SendsContinueBeforeTheBodyAndOnlyOnce) {
  RawClient client(http_);

  EXPECT_EQ(client.Ask("POST /e HTTP/1.1\r\nHost: k\r\nContent-Length: 2\r\n"
                       "Expect: 100-continue\r\n\r\n"),
            "HTTP/1.1 100 Continue\r\n\r\n");

  EXPECT_THAT(client.Ask("{}"), StartsWith("HTTP/1.1 200 OK\r\n"));
}

TEST_F(ServerTest, HeadGetsTheHeadOfTheGet) {
  RawClient client(http_);

  const std::string answer = client.Ask("HEAD /e HTTP/1.1\r\nHost: k\r\n\r\n");

  EXPECT_EQ(FieldOfResponse(answer, "Content-Length"), "11");
  EXPECT_THAT(answer, EndsWith("\r\n\r\n"));
  EXPECT_EQ(StatusOf(client.Ask(Get("/e"))), 200);
}

TEST_F(ServerTest, UnknownPathsAndMethodsAreToldApart) {
  RawClient client(http_);

  const std::string missing = client.Ask(Get("/nowhere"));
  const std::string wrong = client.Ask("PUT /e HTTP/1.1\r\nHost: k\r\n\r\n");

  EXPECT_EQ(StatusOf(missing), 404);
  EXPECT_EQ(FieldOfResponse(missing, "Allow"), "");
  EXPECT_THAT(BodyOf(missing), HasSubstr("\"code\":\"no_route\""));
  EXPECT_EQ(StatusOf(wrong), 405);
  EXPECT_EQ(FieldOfResponse(wrong, "Allow"), "POST, GET, HEAD");
  EXPECT_FALSE(client.ended());  // The framing was in order.
}

TEST_F(ServerTest, UnknownParametersAndUnwantedBodiesAreRefusedByName) {
  RawClient client(http_);

  const std::string parameter = client.Ask(Get("/e?a=1&b=2"));
  const std::string body =
      client.Ask("GET /e HTTP/1.1\r\nHost: k\r\nContent-Length: 2\r\n\r\n{}");

  EXPECT_EQ(StatusOf(parameter), 400);
  EXPECT_THAT(BodyOf(parameter), HasSubstr("\"field\":\"b\""));
  EXPECT_EQ(StatusOf(body), 400);
  EXPECT_THAT(BodyOf(body), HasSubstr("body_not_expected"));
  EXPECT_TRUE(app_.seen.empty());
}

TEST_F(ServerTest, ARouteOfOctetsTakesAMebibyteAndTheOthersNoMoreThanBefore) {
  const auto send = [this](absl::string_view start, const std::string& body) {
    RawClient client(http_);
    return client.Ask(absl::StrCat(start, " HTTP/1.1\r\nHost: k\r\n",
                                   "Content-Length: ", body.size(), "\r\n\r\n",
                                   body));
  };
  const std::string most = Pattern(limits::kOctetsBytesMax);

  EXPECT_EQ(BodyOf(send("PUT /bytes", most)), "1048576");
  EXPECT_EQ(StatusOf(send("PUT /bytes", most + "x")), 413);
  EXPECT_EQ(StatusOf(send("POST /e", std::string(65'536, ' '))), 200);
  EXPECT_EQ(StatusOf(send("POST /e", std::string(65'537, ' '))), 413);
  EXPECT_EQ(StatusOf(send("PUT /nothing", std::string(65'537, ' '))), 413);
  ASSERT_EQ(app_.seen.size(), 2u);
  EXPECT_TRUE(app_.seen[0].body == most);
}

TEST_F(ServerTest, AChunkedBodyHasItsRoutesLimitToo) {
  const auto send = [this](absl::string_view start, size_t pieces) {
    std::string bytes = absl::StrCat(
        start, " HTTP/1.1\r\nHost: k\r\nTransfer-Encoding: chunked\r\n\r\n");
    for (size_t i = 0; i < pieces; ++i)
      absl::StrAppend(&bytes, "8000\r\n", std::string(0x8000, 'x'), "\r\n");
    RawClient client(http_);
    return client.Ask(absl::StrCat(bytes, "0\r\n\r\n"));
  };
  EXPECT_EQ(BodyOf(send("PUT /bytes", 32)), "1048576");
  EXPECT_EQ(StatusOf(send("PUT /bytes", 33)), 413);
  EXPECT_EQ(StatusOf(send("POST /e", 3)), 413);
}

TEST_F(ServerTest, AnswersLaterAndOnlyThenReadsTheNextRequest) {
  RawClient client(http_);
  EXPECT_EQ(client.Ask(Get("/later/7") + Get("/e")), "");
  ASSERT_EQ(app_.waiting.size(), 1u);
  EXPECT_TRUE(app_.seen.empty());

  app_.waiting[0].Json(200, "1");
  const std::string answers = client.Read();

  EXPECT_THAT(answers, HasSubstr("\r\n\r\n1HTTP/1.1 200 OK"));
  EXPECT_EQ(app_.seen.size(), 1u);
}

TEST_F(ServerTest, InputDuringAWaitDoesNotSpinTheLoop) {
  RawClient client(http_);
  client.Send(Get("/later/7"));

  client.Send(Get("/e"));

  // Nothing but the passing of time is left to happen.
  const MonoTime before = http_.world.Now();
  (void)http_.world.Step();
  EXPECT_GT(http_.world.Now(), before);
  app_.waiting[0].Json(200, "1");
  EXPECT_THAT(client.Read(), HasSubstr("{\"hello\":1}"));
}

TEST_F(ServerTest, AnswersForAClientThatHasGoneAreDropped) {
  RawClient client(http_);
  client.Send(Get("/later/7"));
  ASSERT_EQ(app_.waiting.size(), 1u);

  client.Leave();
  EXPECT_EQ(metrics().connections.value(), 0);
  app_.waiting[0].Json(200, "1");

  RawClient next(http_);
  EXPECT_EQ(StatusOf(next.Ask(Get("/e"))), 200);
}

TEST_F(ServerTest, AnswersForAServerThatHasGoneAreDropped) {
  RawClient client(http_);
  client.Send(Get("/later/7"));

  http_.server.reset();

  app_.waiting[0].Json(200, "1");
  EXPECT_EQ(client.Read(), "");
  EXPECT_TRUE(client.ended());
}

TEST_F(ServerTest, AClientThatHasOnlyStoppedSendingGetsItsAnswer) {
  RawClient client(http_);
  client.Send(Get("/later/7"));
  ::shutdown(client.fd(), SHUT_WR);
  http_.world.Settle();

  app_.waiting[0].Json(200, "1");

  EXPECT_EQ(BodyOf(client.Read()), "1");
  EXPECT_TRUE(client.ended());
}

TEST_F(ServerTest, ARequestIsServedThoughItsSenderLeftAtOnce) {
  const UniqueFd fd = *ConnectUnix(http_.dir.socket(), absl::Seconds(2));
  const std::string request =
      "POST /e HTTP/1.1\r\nHost: k\r\nContent-Length: 2\r\n\r\n{}";
  ASSERT_EQ(::send(fd.get(), request.data(), request.size(), 0),
            static_cast<ssize_t>(request.size()));
  ::shutdown(fd.get(), SHUT_RDWR);

  http_.world.Settle();

  EXPECT_EQ(app_.seen.size(), 1u);
  EXPECT_EQ(metrics().connections.value(), 0);
}

TEST_F(ServerTest, AForgottenReplyIsAnsweredAndCounted) {
  RawClient client(http_);

  const std::string answer = client.Ask(Get("/forgotten"));

  EXPECT_EQ(StatusOf(answer), 500);
  EXPECT_THAT(BodyOf(answer), HasSubstr("\"code\":\"unanswered\""));
  EXPECT_EQ(metrics().unanswered.value(), 1u);
}

TEST_F(ServerTest, DrainAnswersWhatIsInHandAndThenIsDone) {
  RawClient idle(http_);
  RawClient busy(http_);
  busy.Send(Get("/later/7"));
  bool done = false;

  http_.server->Drain([&] { done = true; });
  (void)idle.Read();

  EXPECT_TRUE(idle.ended());
  EXPECT_FALSE(done);
  EXPECT_FALSE(ConnectUnix(http_.dir.socket(), absl::Seconds(2)).ok());
  app_.waiting[0].Json(200, "1");
  const std::string answer = busy.Read();
  EXPECT_EQ(StatusOf(answer), 200);
  EXPECT_EQ(FieldOfResponse(answer, "Connection"), "close");
  EXPECT_TRUE(busy.ended());
  EXPECT_TRUE(done);
}

TEST_F(ServerTest, DrainWithoutConnectionsIsDoneAtOnce) {
  bool done = false;

  http_.server->Drain([&] { done = true; });
  http_.world.Settle();

  EXPECT_TRUE(done);
}

// Connects with the credentials of `uid` and `gid`, which only this thread has
// for that time.
absl::StatusOr<UniqueFd> ConnectAs(HttpWorld& http, uid_t uid, gid_t gid,
                                   gid_t extra) {
  absl::StatusOr<UniqueFd> fd = absl::UnknownError("");
  std::thread([&] {
    ::syscall(SYS_setgroups, 1, &extra);
    ::syscall(SYS_setresgid, gid, gid, gid);
    ::syscall(SYS_setresuid, uid, uid, uid);
    fd = ConnectUnix(http.dir.socket(), absl::Seconds(2));
  }).join();
  http.world.Settle();
  return fd;
}

// Writes first and reads then, as clients do.
std::string AskAs(HttpWorld& http, uid_t uid, gid_t gid, gid_t extra) {
  const absl::StatusOr<UniqueFd> fd = ConnectAs(http, uid, gid, extra);
  if (!fd.ok()) return std::string(fd.status().message());
  const std::string request = Get("/e");
  if (::send(fd->get(), request.data(), request.size(), MSG_NOSIGNAL) < 0)
    return "a broken pipe";
  http.world.Settle();
  char buffer[4096];
  const ssize_t count = ::recv(fd->get(), buffer, sizeof buffer, MSG_DONTWAIT);
  return count <= 0 ? "" : std::string(buffer, static_cast<size_t>(count));
}

TEST_F(ServerTest, ServesTheListedUidsAndTheSocketsGroupOnly) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root to be somebody else";
  ASSERT_EQ(::chmod(http_.dir.path().c_str(), 0755), 0);
  ASSERT_EQ(::chmod(http_.dir.socket().c_str(), 0666), 0);
  ASSERT_EQ(::chown(http_.dir.socket().c_str(), 0, 4242), 0);
  // The group is read when the server starts to listen.
  http_.server.reset();
  http_.listener.reset();
  http_.listener.emplace(
      std::move(*UnixListener::Listen(http_.dir.socket(), 0660, gid_t{4242})));
  http_.server =
      std::make_unique<Server>(http_.loop, http_.file_loop, http_.table,
                               ServerOptions{kInstance, {uid_t{1001}}});
  http_.server->Listen(http_.listener->TakeFd());
  ASSERT_EQ(::chmod(http_.dir.socket().c_str(), 0666), 0);

  const std::string stranger = AskAs(http_, 1002, 1002, 1002);
  EXPECT_EQ(StatusOf(stranger), 403) << stranger;
  EXPECT_THAT(stranger, HasSubstr("peer_not_allowed"));
  EXPECT_EQ(FieldOfResponse(stranger, "Connection"), "close");
  EXPECT_EQ(metrics().bytes_in.value(), 0u);
  EXPECT_EQ(metrics().refused_peers.value(), 1u);

  // For a second, in which there may be many more.
  std::vector<UniqueFd> many;
  for (int i = 0; i < 70; ++i)
    many.push_back(*ConnectAs(http_, 1002, 1002, 1002));
  const auto broken = [](const UniqueFd& fd) {
    return ::send(fd.get(), "x", 1, MSG_NOSIGNAL) < 0;
  };
  EXPECT_TRUE(broken(many.front()));
  EXPECT_FALSE(broken(many.back()));
  http_.world.Advance(absl::Seconds(1));
  EXPECT_TRUE(broken(many.back()));

  EXPECT_EQ(StatusOf(AskAs(http_, 1001, 1001, 1001)), 200);
  EXPECT_EQ(StatusOf(AskAs(http_, 1002, 4242, 1002)), 200);
  EXPECT_EQ(StatusOf(AskAs(http_, 1002, 1002, 4242)), 200);
}

}  // namespace
}  // namespace kine
