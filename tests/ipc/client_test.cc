#include "ipc/client.h"

#include <fcntl.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <cstdlib>
#include <thread>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "daemon/base/limits.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace kine {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

std::string Reply200(const std::string& body, const std::string& fields = "") {
  return absl::StrCat("HTTP/1.1 200 OK\r\n", fields,
                      "Kinescope-Instance: one\r\nContent-Length: ",
                      body.size(), "\r\n\r\n", body);
}

using Script = std::vector<std::vector<std::string>>;

// A server that does what it is told, on a thread of its own: for each
// connection, for each request, what to send; "" closes without an answer, and
// a text that ends in "|close" closes after it. After the last entry of a
// connection the peer is left waiting, until it hangs up.
class ScriptedServer {
 public:
  explicit ScriptedServer(Script script) : script_(std::move(script)) {
    directory_ = ::testing::TempDir() + "kine-client-XXXXXX";
    EXPECT_NE(::mkdtemp(directory_.data()), nullptr);
    path_ = directory_ + "/s";
    listener_ = UniqueFd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_un address = AddressOf(path_);
    EXPECT_EQ(::bind(listener_.get(), reinterpret_cast<sockaddr*>(&address),
                     sizeof address),
              0);
    EXPECT_EQ(::listen(listener_.get(), 4), 0);
    thread_ = std::thread([this] { Run(); });
  }
  ~ScriptedServer() {
    Finish();
    ::unlink(path_.c_str());
    ::unlink((path_ + ".lock").c_str());
    ::rmdir(directory_.c_str());
  }
  static sockaddr_un AddressOf(const std::string& path) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    path.copy(address.sun_path, sizeof address.sun_path - 1);
    return address;
  }
  // Ends the server: for when the client has had all its answers.
  std::vector<std::string> Requests() {
    Finish();
    return requests_;
  }
  // Returns once the server has closed its first connection.
  void AwaitClosed() { closed_.wait(0); }
  const std::string& path() const { return path_; }
  int connections() const { return connections_; }

 private:
  void Finish() {
    ::eventfd_write(stop_.get(), 1);
    ::shutdown(listener_.get(), SHUT_RDWR);
    if (thread_.joinable()) thread_.join();
  }
  void Run() {
    for (const auto& answers : script_) {
      UniqueFd socket(
          ::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
      if (!socket.valid()) return;
      ++connections_;
      bool closed = false;
      for (std::string answer : answers) {
        if (!ReadRequest(socket.get())) closed = true;
        if (closed || answer.empty()) {
          closed = true;
          break;
        }
        if (absl::EndsWith(answer, "|close")) {
          answer.resize(answer.size() - 6);
          closed = true;
        }
        ::send(socket.get(), answer.data(), answer.size(), MSG_NOSIGNAL);
        if (closed) break;
      }
      if (!closed) ReadRequest(socket.get());
      socket.Reset();
      ++closed_;
      closed_.notify_all();
    }
  }
  // Head and body; false at the end of the connection.
  bool ReadRequest(int socket) {
    std::string text;
    char byte;
    size_t want = 0;
    while (want == 0 || text.size() < want) {
      pollfd fds[2] = {{socket, POLLIN, 0}, {stop_.get(), POLLIN, 0}};
      ::poll(fds, 2, -1);
      if (fds[0].revents == 0 || ::recv(socket, &byte, 1, 0) != 1) return false;
      text.push_back(byte);
      if (want == 0 && absl::EndsWith(text, "\r\n\r\n")) {
        const size_t at = text.find("Content-Length: ");
        want = text.size() +
               (at == std::string::npos
                    ? 0
                    : std::strtoul(text.c_str() + at + 16, nullptr, 10));
      }
    }
    requests_.push_back(text);
    return true;
  }

  const Script script_;
  std::string directory_;
  std::string path_;
  UniqueFd listener_;
  const UniqueFd stop_{::eventfd(0, EFD_CLOEXEC)};
  std::vector<std::string> requests_;
  std::atomic<int> connections_{0};
  std::atomic<int> closed_{0};
  std::thread thread_;
};

// Time that passes only when a poll() runs out.
class FakeTime final : public Clock {
 public:
  MonoTime Now() const override { return now_; }
  absl::Time Wall() const override { return absl::UnixEpoch(); }
  // For scripts that will send nothing more: what is there is there at once
  // (a moment is granted to the server's thread), else the time-out has come.
  int Poll(pollfd* fds, nfds_t count, absl::Duration timeout) {
    const int ready = ::poll(fds, count, 200);
    if (ready == 0) now_ = now_ + timeout;
    return ready;
  }
  void Install(Client::Options& options) {
    options.clock = this;
    options.poll = [this](pollfd* fds, nfds_t count, absl::Duration timeout) {
      return Poll(fds, count, timeout);
    };
  }

 private:
  MonoTime now_ = MonoTime::FromNanos(1'000'000'000);
};

Client::Options OptionsFor(const ScriptedServer& server) {
  Client::Options options;
  options.socket_path = server.path();
  return options;
}

ClientRequest Get(const std::string& target) {
  ClientRequest request;
  request.target = target;
  return request;
}

TEST(Client, KeepsItsConnectionBetweenCalls) {
  ScriptedServer server(Script{{Reply200("{}"), Reply200("[]")}});
  Client::Options options = OptionsFor(server);
  options.owner = "me";
  Client client(std::move(options));
  ClientRequest post;
  post.method = "POST";
  post.target = "/v1/recordings";
  post.body = "{\"id\":\"a\"}";
  const auto first = client.Call(post);
  ASSERT_TRUE(first.ok()) << first.status();
  EXPECT_EQ(first->body, "{}");
  const auto second = client.Call(Get("/v1/info"));
  ASSERT_TRUE(second.ok()) << second.status();
  EXPECT_EQ(second->body, "[]");
  EXPECT_EQ(client.instance(), "one");
  EXPECT_EQ(server.connections(), 1);
  EXPECT_THAT(
      server.Requests(),
      ElementsAre("POST /v1/recordings HTTP/1.1\r\nHost: kinescope\r\n"
                  "Kinescope-Owner: me\r\nContent-Type: application/json\r\n"
                  "Content-Length: 10\r\n\r\n{\"id\":\"a\"}",
                  "GET /v1/info HTTP/1.1\r\nHost: kinescope\r\n"
                  "Kinescope-Owner: me\r\n\r\n"));
}

TEST(Client, AStaleConnectionIsDialledAgainWithoutAWord) {
  // The server closes behind its first answer, as after its idle time.
  ScriptedServer server(Script{{Reply200("1") + "|close"}, {Reply200("2")}});
  Client client(OptionsFor(server));
  ASSERT_TRUE(client.Call(Get("/")).ok());
  server.AwaitClosed();
  ClientRequest once = Get("/");
  once.repeatable = false;
  const auto second = client.Call(once);
  ASSERT_TRUE(second.ok()) << second.status();
  EXPECT_EQ(second->body, "2");
  EXPECT_EQ(server.Requests().size(), 2u);
}

TEST(Client, WhatNobodyAskedForMakesAConnectionStale) {
  ScriptedServer server(
      Script{{Reply200("1") + Reply200("not yours")}, {Reply200("2")}});
  Client client(OptionsFor(server));
  ASSERT_TRUE(client.Call(Get("/")).ok());
  const auto second = client.Call(Get("/"));
  ASSERT_TRUE(second.ok()) << second.status();
  EXPECT_EQ(second->body, "2");
}

TEST(Client, ALostReplyIsAskedForAgainOnceWhereThatIsHarmless) {
  ScriptedServer server(Script{{""}, {Reply200("again")}});
  Client client(OptionsFor(server));
  const auto reply = client.Call(Get("/"));
  ASSERT_TRUE(reply.ok()) << reply.status();
  EXPECT_EQ(reply->body, "again");
  EXPECT_EQ(server.connections(), 2);
}

TEST(Client, ALostReplyIsNotAskedForTwice) {
  ScriptedServer server(
      Script{{""}, {"HTTP/1.1 200 OK\r\n|close"}, {Reply200("x")}});
  Client client(OptionsFor(server));
  const auto reply = client.Call(Get("/"));
  EXPECT_EQ(reply.status().code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(reply.status().message(), HasSubstr("in the middle"));
  EXPECT_THAT(reply.status().message(), HasSubstr("try again"));
  EXPECT_EQ(server.connections(), 2);
}

TEST(Client, ALostReplyToWhatMustNotBeRepeatedIsSaidToBeUnknown) {
  ScriptedServer server(Script{{""}, {Reply200("x")}});
  Client client(OptionsFor(server));
  ClientRequest once = Get("/");
  once.repeatable = false;
  const auto reply = client.Call(once);
  EXPECT_EQ(reply.status().code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(reply.status().message(), HasSubstr("is not known"));
  EXPECT_THAT(reply.status().message(), Not(HasSubstr("start it")));
  EXPECT_EQ(server.connections(), 1);
}

TEST(Client, ARestartedDaemonIsNoticed) {
  const std::string other =
      absl::StrReplaceAll(Reply200("x"), {{"Instance: one", "Instance: two"}});
  ScriptedServer server(Script{{Reply200("x") + "|close"}, {other, other}});
  Client client(OptionsFor(server));
  const auto first = client.Call(Get("/"));
  ASSERT_TRUE(first.ok());
  EXPECT_FALSE(first->restarted);
  const auto second = client.Call(Get("/"));
  ASSERT_TRUE(second.ok());
  EXPECT_TRUE(second->restarted);
  EXPECT_EQ(client.instance(), "two");
  const auto third = client.Call(Get("/"));
  ASSERT_TRUE(third.ok());
  EXPECT_FALSE(third->restarted);
}

TEST(Client, ARequestsDeadlineIsNamedAsSuch) {
  ScriptedServer server(
      Script{{"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhal"}});
  Client::Options options = OptionsFor(server);
  FakeTime time;
  time.Install(options);
  Client client(std::move(options));
  const auto reply = client.Call(Get("/"));
  EXPECT_EQ(reply.status().code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_THAT(reply.status().message(), HasSubstr("may still happen"));
}

TEST(Client, CancellingIsNeverATimeout) {
  ScriptedServer server(
      Script{{"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhal"},
             {Reply200("after")}});
  Client::Options options = OptionsFor(server);
  const UniqueFd cancel(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  options.cancel_fd = cancel.get();
  Client client(std::move(options));
  std::string got;
  const auto reply =
      client.Stream(Get("/"), [&](absl::string_view piece) -> absl::Status {
        got.append(piece.data(), piece.size());
        EXPECT_EQ(::eventfd_write(cancel.get(), 1), 0);
        return absl::OkStatus();
      });
  EXPECT_EQ(reply.status().code(), absl::StatusCode::kCancelled);
  EXPECT_EQ(got, "hal");
  // Taken back, the client works, on another connection: the rest of the old
  // reply must not be taken for the new one.
  eventfd_t value;
  EXPECT_EQ(::eventfd_read(cancel.get(), &value), 0);
  const auto after = client.Call(Get("/"));
  ASSERT_TRUE(after.ok()) << after.status();
  EXPECT_EQ(after->body, "after");
}

TEST(Client, AStreamArrivesInPiecesAndErrorsDoNot) {
  ScriptedServer server(
      Script{{"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
              "3\r\nabc\r\n0a\r\n0123456789\r\n0\r\n\r\n",
              "HTTP/1.1 404 Not Found\r\nContent-Length: 45\r\n\r\n"
              R"({"code":"not_found","message":"no such file"})"}});
  Client client(OptionsFor(server));
  std::string got;
  const auto sink = [&](absl::string_view piece) {
    got.append(piece.data(), piece.size());
    return absl::OkStatus();
  };
  const auto reply = client.Stream(Get("/"), sink);
  ASSERT_TRUE(reply.ok()) << reply.status();
  EXPECT_EQ(got, "abc0123456789");
  EXPECT_EQ(reply->body, "");
  const auto missing = client.Stream(Get("/"), sink);
  ASSERT_TRUE(missing.ok()) << missing.status();
  EXPECT_EQ(got, "abc0123456789");
  const absl::Status problem = ProblemOfReply(*missing);
  EXPECT_EQ(problem.code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(problem.message(), "no such file (not_found)");
}

TEST(Client, AStreamThatBreaksIsNotStartedAnew) {
  ScriptedServer server(
      Script{{"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc|close"},
             {Reply200("0123456789")}});
  Client client(OptionsFor(server));
  std::string got;
  const auto reply = client.Stream(Get("/"), [&](absl::string_view piece) {
    got.append(piece.data(), piece.size());
    return absl::OkStatus();
  });
  EXPECT_EQ(reply.status().code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(got, "abc");
}

TEST(Client, ASinksErrorEndsTheStreamWithIt) {
  ScriptedServer server(Script{{Reply200("0123456789")}});
  Client client(OptionsFor(server));
  const auto reply = client.Stream(Get("/"), [](absl::string_view) {
    return absl::DataLossError("my disk");
  });
  EXPECT_EQ(reply.status(), absl::DataLossError("my disk"));
}

TEST(Client, ASilentStreamIsDeadAfterThirtySeconds) {
  ScriptedServer server(
      Script{{"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"}});
  Client::Options options = OptionsFor(server);
  FakeTime time;
  time.Install(options);
  const MonoTime begin = time.Now();
  Client client(std::move(options));
  const absl::Status ended =
      client.Follow("/v1/events", [](absl::string_view) { return true; });
  EXPECT_EQ(ended.code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(ended.message(), HasSubstr("nothing for 30 s"));
  EXPECT_EQ(time.Now() - begin, absl::Seconds(30));
}

TEST(Client, EventsAreLinesHoweverTheyAreCutAndHeartbeatsAreNone) {
  ScriptedServer server(
      Script{{"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
              "4\r\n{\"a\"\r\n4\r\n:1}\n\r\n"
              "15\r\n{\"type\":\"heartbeat\"}\n\r\n\r\n"
              "10\r\n{\"b\":2}\n{\"c\":3}\n\r\n"}});
  Client client(OptionsFor(server));
  std::vector<std::string> lines;
  const absl::Status ended =
      client.Follow("/v1/events", [&](absl::string_view line) {
        lines.emplace_back(line);
        return lines.size() < 3;
      });
  // The heartbeat's chunk above has one byte too many on purpose.
  EXPECT_EQ(ended.code(), absl::StatusCode::kDataLoss) << ended;
  EXPECT_THAT(lines, ElementsAre("{\"a\":1}"));
}

TEST(Client, FollowingEndsWhenTheCallerHasEnough) {
  ScriptedServer server(
      Script{{"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
              "4\r\n{\"a\"\r\n4\r\n:1}\n\r\n"
              "15\r\n{\"type\":\"heartbeat\"}\n\r\n"
              "10\r\n{\"b\":2}\n{\"c\":3}\n\r\n"}});
  Client client(OptionsFor(server));
  std::vector<std::string> lines;
  const absl::Status ended =
      client.Follow("/v1/events", [&](absl::string_view line) {
        lines.emplace_back(line);
        return lines.size() < 2;
      });
  EXPECT_TRUE(ended.ok()) << ended;
  EXPECT_THAT(lines, ElementsAre("{\"a\":1}", "{\"b\":2}"));
  EXPECT_THAT(server.Requests()[0],
              HasSubstr("Accept: application/x-ndjson\r\n"));
}

TEST(Client, LongWaitsAreAskedForInSlices) {
  const std::string waiting = Reply200("waiting");
  ScriptedServer server(Script{{waiting, waiting, Reply200("done")}});
  Client client(OptionsFor(server));
  const auto reply =
      client.Wait(Get("/v1/recordings/a?wait=ready"), absl::Seconds(300),
                  [](const ClientReply& now) { return now.body == "done"; });
  ASSERT_TRUE(reply.ok()) << reply.status();
  EXPECT_EQ(reply->body, "done");
  const auto requests = server.Requests();
  ASSERT_EQ(requests.size(), 3u);
  EXPECT_THAT(requests[0],
              HasSubstr("GET /v1/recordings/a?wait=ready&timeout_ms=20000 "));
}

TEST(Client, AWaitThatRunsOutGivesTheLastState) {
  ScriptedServer server(Script{{Reply200("waiting")}});
  Client client(OptionsFor(server));
  const auto reply = client.Wait(Get("/x"), absl::Milliseconds(70),
                                 [](const ClientReply&) { return false; });
  ASSERT_TRUE(reply.ok()) << reply.status();
  EXPECT_EQ(reply->body, "waiting");
  EXPECT_THAT(server.Requests(), ElementsAre(HasSubstr("GET /x?timeout_ms=")));
}

TEST(Client, EachFailureToConnectSaysWhatToDo) {
  std::string path;
  {
    ScriptedServer server(Script{});
    path = server.path();
  }
  Client::Options options;
  options.socket_path = path;
  const auto missing = Client(options).Call(Get("/"));
  EXPECT_EQ(missing.status().code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(missing.status().message(), HasSubstr("start it:"));

  std::string directory = ::testing::TempDir() + "kine-connect-XXXXXX";
  ASSERT_NE(::mkdtemp(directory.data()), nullptr);
  options.socket_path = directory + "/s";
  {
    const UniqueFd bound(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_un address = ScriptedServer::AddressOf(options.socket_path);
    ASSERT_EQ(::bind(bound.get(), reinterpret_cast<sockaddr*>(&address),
                     sizeof address),
              0);
  }
  const auto refused = Client(options).Call(Get("/"));
  EXPECT_EQ(refused.status().code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(refused.status().message(), HasSubstr("refused"));
  EXPECT_THAT(refused.status().message(), HasSubstr("start it:"));

  // Somebody holds the service's lock: it is no advice to start it.
  const std::string lock_path = options.socket_path + ".lock";
  const UniqueFd lock(
      ::open(lock_path.c_str(), O_CREAT | O_RDWR | O_CLOEXEC, 0600));
  struct flock whole {};
  whole.l_type = F_WRLCK;
  whole.l_whence = SEEK_SET;
  ASSERT_EQ(::fcntl(lock.get(), F_OFD_SETLK, &whole), 0);
  const auto locked = Client(options).Call(Get("/"));
  EXPECT_EQ(locked.status().code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(locked.status().message(), HasSubstr("holds its lock"));
  EXPECT_THAT(locked.status().message(), Not(HasSubstr("start it:")));
  ::unlink(lock_path.c_str());
  ::unlink(options.socket_path.c_str());
  ::rmdir(directory.c_str());
}

TEST(Client, ABodyWithoutEndIsRefused) {
  const std::string mib(1 << 20, 'x');
  std::string body = "HTTP/1.1 200 OK\r\n\r\n";
  for (int i = 0; i < 9; ++i) body += mib;
  ScriptedServer server(Script{{body + "|close"}});
  Client client(OptionsFor(server));
  const auto reply = client.Call(Get("/"));
  EXPECT_EQ(reply.status().code(), absl::StatusCode::kResourceExhausted);
}

}  // namespace
}  // namespace kine
