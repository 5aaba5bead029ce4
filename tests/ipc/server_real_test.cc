// The server on real loops and threads, asked by other people's clients.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cstdio>

#include "absl/strings/str_cat.h"
#include "daemon/base/loop_thread.h"
#include "ipc/event_ring.h"
#include "tests/ipc/http_world.h"

namespace kine {
namespace {

using ::testing::HasSubstr;

// What `command` prints on standard output; nullopt when it fails.
std::optional<std::string> OutputOf(const std::string& command) {
  std::FILE* pipe = ::popen(command.c_str(), "re");
  if (pipe == nullptr) return std::nullopt;
  std::string out;
  std::array<char, 65536> buffer;
  size_t count = 0;
  while ((count = std::fread(buffer.data(), 1, buffer.size(), pipe)) > 0)
    out.append(buffer.data(), count);
  if (::pclose(pipe) != 0) return std::nullopt;
  return out;
}

class ServerRealTest : public ::testing::Test {
 protected:
  ServerRealTest() : table_(Routes()) {
    control_ = *LoopThread::Start("test-control");
    file_loop_ = *LoopThread::Start("test-file");
    auto listener = UnixListener::Listen(dir_.socket(), 0600, std::nullopt);
    KINE_CHECK(listener.ok());
    listener_.emplace(std::move(*listener));
    OnControl([this] {
      ring_ = std::make_unique<EventRing>(control_->loop(), kInstance);
      server_ = std::make_unique<Server>(control_->loop(), file_loop_->loop(),
                                         table_, ServerOptions{kInstance, {}});
      server_->Listen(listener_->TakeFd());
    });
  }
  ~ServerRealTest() override {
    OnControl([this] {
      server_.reset();
      ring_.reset();
    });
    file_loop_.reset();  // Before the loop that it posts to.
  }

  // Runs `task` on the control loop and waits for its end.
  void OnControl(absl::AnyInvocable<void()> task) {
    int fds[2];
    KINE_CHECK(::pipe2(fds, O_CLOEXEC) == 0);
    const UniqueFd read(fds[0]), write(fds[1]);
    control_->loop().Post([&task, &write] {
      task();
      KINE_CHECK(::write(write.get(), "x", 1) == 1);
    });
    char byte;
    KINE_CHECK(::read(read.get(), &byte, 1) == 1);
  }

  std::vector<Route> Routes() {
    std::vector<Route> routes;
    routes.push_back(
        {Method::kPost,
         "/e",
         "",
         "0.1.0",
         {},
         Route::Body::kJson,
         false,
         [](Request request, Reply reply) { reply.Json(201, request.body); }});
    routes.push_back(
        {Method::kGet,
         "/f",
         "",
         "0.1.0",
         {},
         Route::Body::kNone,
         false,
         [this](Request, Reply reply) {
           Response response;
           response.content_type = "video/mp4";
           response.body = FileBody{file_, 0, bytes_.size(), "\"a\""};
           reply.Send(std::move(response));
         }});
    routes.push_back({Method::kGet,
                      "/events",
                      "",
                      "0.1.0",
                      {{"since", ""}},
                      Route::Body::kNone,
                      false,
                      [this](Request request, Reply reply) {
                        auto response = ring_->Follow(request, {true, ""});
                        if (!response.ok())
                          return reply.Fail(response.status());
                        reply.Send(*std::move(response));
                        ring_->Publish("asked", "{}");
                        ring_->Close();
                      }});
    return routes;
  }
  std::string Curl(const std::string& arguments) {
    const auto out =
        OutputOf(absl::StrCat("curl -sS --max-time 30 --unix-socket ",
                              dir_.socket(), " ", arguments));
    EXPECT_TRUE(out.has_value()) << arguments;
    return out.value_or("");
  }

  const SocketDir dir_;
  const std::string bytes_ = Pattern(8 << 20);
  const std::shared_ptr<const UniqueFd> file_ = FileOf(bytes_);
  const RouteTable table_;
  std::unique_ptr<LoopThread> control_;
  std::unique_ptr<LoopThread> file_loop_;
  std::optional<UnixListener> listener_;
  std::unique_ptr<EventRing> ring_;
  std::unique_ptr<Server> server_;
};

TEST_F(ServerRealTest, SpeaksWithCurl) {
  if (!OutputOf("curl --version").has_value()) GTEST_SKIP() << "no curl here";

  EXPECT_EQ(Curl("-w ' %{http_code}' -d '{}' http://kinescope/e"), "{} 201");
  EXPECT_TRUE(Curl("http://kinescope/f") == bytes_);
  EXPECT_TRUE(Curl("-r 5-1048580 http://kinescope/f") ==
              bytes_.substr(5, 1048576));
  EXPECT_THAT(Curl("-I http://kinescope/f"),
              HasSubstr("Content-Length: 8388608\r\n"));
  EXPECT_THAT(Curl("-N http://kinescope/events"), HasSubstr("event: asked\n"));
  // A body that curl announces with Expect: 100-continue.
  EXPECT_EQ(Curl("-H 'Expect: 100-continue' -d '{\"a\":1}' http://k/e"),
            "{\"a\":1}");
  // 1 MiB, chunked and not, is refused while it is being sent.
  const std::string large = "head -c 1048576 /dev/zero | ";
  for (const char* how : {"", "-H 'Transfer-Encoding: chunked' "}) {
    const auto out = OutputOf(absl::StrCat(
        large, "curl -sS --max-time 30 --unix-socket ", dir_.socket(), " ", how,
        "--data-binary @- -w ' %{http_code}' http://k/e"));
    EXPECT_THAT(out.value_or("(failed)"), HasSubstr(" 413")) << how;
  }
}

TEST_F(ServerRealTest, SpeaksWithPython) {
  if (!OutputOf("python3 -c 'import http.client'").has_value())
    GTEST_SKIP() << "no python3 here";

  const auto out = OutputOf(absl::StrCat(
      "python3 - ", dir_.socket(),
      " <<'END'\n"
      "import http.client, socket, sys\n"
      "class C(http.client.HTTPConnection):\n"
      "  def connect(self):\n"
      "    self.sock = socket.socket(socket.AF_UNIX)\n"
      "    self.sock.settimeout(30)\n"
      "    self.sock.connect(sys.argv[1])\n"
      "c = C('kinescope')\n"
      "for i in range(50):\n"
      "  c.request('POST', '/e', body='{}')\n"
      "  r = c.getresponse(); assert (r.status, r.read()) == (201, b'{}')\n"
      "c.request('POST', '/e', body=iter([b'[1', b',2]']))\n"
      "r = c.getresponse(); assert r.read() == b'[1,2]'\n"
      "c.request('GET', '/f')\n"
      "r = c.getresponse(); assert len(r.read()) == 8 << 20\n"
      "c.request('GET', '/nothing')\n"
      "r = c.getresponse(); assert r.status == 404; r.read()\n"
      "c.request('GET', '/events')\n"
      "r = c.getresponse(); assert b'event: asked' in r.read()\n"
      "print('good', r.getheader('Kinescope-Instance'))\n"
      "END"));

  EXPECT_EQ(out.value_or("(failed)"), absl::StrCat("good ", kInstance, "\n"));
}

TEST_F(ServerRealTest, ManyTransfersAtOnceAreExactAndClientsMayLeave) {
  std::vector<UniqueFd> clients;
  for (int i = 0; i < 16; ++i) {
    clients.push_back(*ConnectUnix(dir_.socket(), absl::Seconds(2)));
    const std::string request = "GET /f HTTP/1.0\r\n\r\n";
    ASSERT_EQ(::send(clients.back().get(), request.data(), request.size(), 0),
              static_cast<ssize_t>(request.size()));
  }
  for (size_t i = 0; i < clients.size(); i += 2) clients[i].Reset();

  for (size_t i = 1; i < clients.size(); i += 2) {
    std::string got;
    std::array<char, 65536> buffer;
    ssize_t count = 0;
    while ((count = ::recv(clients[i].get(), buffer.data(), buffer.size(), 0)) >
           0)
      got.append(buffer.data(), static_cast<size_t>(count));
    EXPECT_EQ(StatusOf(got), 200);
    EXPECT_TRUE(BodyOf(got) == bytes_);
  }
}

}  // namespace
}  // namespace kine
