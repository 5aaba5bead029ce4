// One client on a keep-alive connection: the whole round trip through two
// sockets and both threads; and what sending a file costs the daemon.
#include <benchmark/benchmark.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <future>
#include <vector>

#include "daemon/base/loop_thread.h"
#include "tests/ipc/http_world.h"

namespace kine {
namespace {

constexpr size_t kFileSize = 200u << 20;

class Bench {
 public:
  Bench() : table_(Routes()) {
    control_ = *LoopThread::Start("bench-control");
    file_loop_ = *LoopThread::Start("bench-file");
    auto listener = UnixListener::Listen(dir_.socket(), 0600, std::nullopt);
    KINE_CHECK(listener.ok());
    listener_.emplace(std::move(*listener));
    OnControl([this] {
      server_ = std::make_unique<Server>(control_->loop(), file_loop_->loop(),
                                         table_, ServerOptions{kInstance, {}});
      server_->Listen(listener_->TakeFd());
    });
    client_ = *ConnectUnix(dir_.socket(), absl::Seconds(2));
  }
  ~Bench() {
    OnControl([this] { server_.reset(); });
    file_loop_.reset();
  }

  void Send(absl::string_view request) {
    KINE_CHECK(::send(client_.get(), request.data(), request.size(), 0) ==
               static_cast<ssize_t>(request.size()));
  }
  size_t Receive() {
    const ssize_t count =
        ::recv(client_.get(), buffer_.data(), buffer_.size(), 0);
    KINE_CHECK(count > 0);
    return static_cast<size_t>(count);
  }
  // Receives until the end of a response's head has come. Returns its size;
  // received() says how much came, some of the body included.
  size_t ReceiveHead() {
    std::string got;
    size_t end = std::string::npos;
    while ((end = got.find("\r\n\r\n")) == std::string::npos) {
      const size_t count = Receive();
      got.append(buffer_.data(), count);
    }
    received_ = got.size();
    return end + 4;
  }
  size_t received() const { return received_; }
  // CPU of the daemon's two threads so far.
  absl::Duration Cpu() {
    absl::Duration sum;
    for (EpollLoop* loop : {&control_->loop(), &file_loop_->loop()}) {
      std::promise<absl::Duration> cpu;
      loop->Post([&cpu] {
        rusage usage{};
        ::getrusage(RUSAGE_THREAD, &usage);
        cpu.set_value(absl::DurationFromTimeval(usage.ru_utime) +
                      absl::DurationFromTimeval(usage.ru_stime));
      });
      sum += cpu.get_future().get();
    }
    return sum;
  }

 private:
  void OnControl(absl::AnyInvocable<void()> task) {
    std::promise<void> done;
    control_->loop().Post([&] {
      task();
      done.set_value();
    });
    done.get_future().wait();
  }
  std::vector<Route> Routes() {
    std::vector<Route> routes;
    routes.push_back({Method::kGet,
                      "/v1/recordings/{id}",
                      "",
                      "0.1.0",
                      {},
                      Route::Body::kNone,
                      false,
                      [](Request request, Reply reply) {
                        std::string json = "{\"id\":\"";
                        json.append(request.Param("id").data(),
                                    request.Param("id").size());
                        reply.Json(200, json + "\",\"state\":\"recording\"}");
                      }});
    routes.push_back({Method::kGet,
                      "/f",
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
    return routes;
  }

  const SocketDir dir_;
  const std::shared_ptr<const UniqueFd> file_ = FileOf(Pattern(kFileSize));
  const RouteTable table_;
  std::unique_ptr<LoopThread> control_;
  std::unique_ptr<LoopThread> file_loop_;
  std::optional<UnixListener> listener_;
  std::unique_ptr<Server> server_;
  UniqueFd client_;
  size_t received_ = 0;
  std::array<char, 256 << 10> buffer_;
};

void RoundTrip(benchmark::State& state) {
  Bench bench;
  const std::string request =
      "GET /v1/recordings/a HTTP/1.1\r\nHost: kinescope\r\nAccept: */*\r\n\r\n";
  std::vector<double> micros;
  for (auto step : state) {
    const MonoTime start = SystemClock().Now();
    bench.Send(request);
    bench.Receive();
    micros.push_back(absl::ToDoubleMicroseconds(SystemClock().Now() - start));
  }
  std::sort(micros.begin(), micros.end());
  state.counters["p50_us"] = micros[micros.size() / 2];
  state.counters["p99_us"] = micros[micros.size() * 99 / 100];
}
BENCHMARK(RoundTrip)->UseRealTime()->MinTime(2);

void Sendfile200MiB(benchmark::State& state) {
  Bench bench;
  double cpu_ms = 0;
  for (auto step : state) {
    const absl::Duration before = bench.Cpu();
    bench.Send("GET /f HTTP/1.1\r\nHost: k\r\n\r\n");
    const size_t want = bench.ReceiveHead() + kFileSize;
    for (size_t got = bench.received(); got < want;) got += bench.Receive();
    cpu_ms += absl::ToDoubleMilliseconds(bench.Cpu() - before);
  }
  state.SetBytesProcessed(static_cast<int64_t>(state.iterations()) *
                          static_cast<int64_t>(kFileSize));
  state.counters["daemon_cpu_ms"] =
      cpu_ms / static_cast<double>(state.iterations());
}
BENCHMARK(Sendfile200MiB)->UseRealTime()->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace kine

BENCHMARK_MAIN();
