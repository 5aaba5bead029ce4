// A Server on fake loops with fake time and real sockets, and raw clients.
// Everything happens in the test's thread: Settle() lets the server do all it
// can without time passing.
#pragma once

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/string_view.h"
#include "daemon/base/check.h"
#include "daemon/base/limits.h"
#include "ipc/server.h"
#include "ipc/unix_socket.h"
#include "tests/fakes/fake_loop.h"

namespace kine {

inline constexpr char kInstance[] = "0b5b6d0c-7a0e-4f5d-9a39-0d1f6b7a1c11";

// Removes the directory and the plain files and sockets in it.
class SocketDir {
 public:
  SocketDir() {
    char name[] = "/tmp/kine_ipc_XXXXXX";
    KINE_CHECK(::mkdtemp(name) != nullptr);
    path_ = name;
  }
  ~SocketDir() {
    for (const char* name : {"/s", "/s.lock", "/d/s", "/d/s.lock", "/d"})
      ::remove((path_ + name).c_str());
    ::rmdir(path_.c_str());
  }
  std::string socket() const { return path_ + "/s"; }
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

// A file in memory with bytes that differ from place to place.
inline std::shared_ptr<const UniqueFd> FileOf(absl::string_view bytes) {
  UniqueFd fd(::memfd_create("kine_test", MFD_CLOEXEC));
  KINE_CHECK(fd.valid());
  KINE_CHECK(::write(fd.get(), bytes.data(), bytes.size()) ==
             static_cast<ssize_t>(bytes.size()));
  return std::make_shared<const UniqueFd>(std::move(fd));
}

inline std::string Pattern(size_t size) {
  std::string bytes(size, '\0');
  uint32_t state = 12345;
  for (char& byte : bytes) {
    state = state * 1664525 + 1013904223;
    byte = static_cast<char>(state >> 24);
  }
  return bytes;
}

class HttpWorld {
 public:
  explicit HttpWorld(std::vector<Route> routes, uint64_t seed = 1)
      : world(seed),
        loop(world.AddLoop("control")),
        file_loop(world.AddLoop("file")),
        table(std::move(routes)) {
    auto made = UnixListener::Listen(dir.socket(), 0600, std::nullopt);
    KINE_CHECK(made.ok());
    listener.emplace(std::move(*made));
    server = std::make_unique<Server>(loop, file_loop, table,
                                      ServerOptions{kInstance, {}});
    server->Listen(listener->TakeFd());
  }

  SocketDir dir;
  FakeWorld world;
  FakeLoop& loop;
  FakeLoop& file_loop;
  RouteTable table;
  std::optional<UnixListener> listener;
  std::unique_ptr<Server> server;
};

// A client that sends bytes and looks at what has come back.
class RawClient {
 public:
  explicit RawClient(HttpWorld& http) : http_(http) {
    absl::StatusOr<UniqueFd> fd =
        ConnectUnix(http.dir.socket(), absl::Seconds(2));
    KINE_CHECK(fd.ok());
    fd_ = *std::move(fd);
    ::fcntl(fd_.get(), F_SETFL, O_NONBLOCK);
    http_.world.Settle();
  }

  // Sends all of `bytes`, letting the server read when it must; what the server
  // no longer takes is dropped.
  void Send(absl::string_view bytes) {
    while (!bytes.empty()) {
      const ssize_t count =
          ::send(fd_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (count < 0 && errno != EAGAIN) break;
      if (count > 0) bytes.remove_prefix(static_cast<size_t>(count));
      http_.world.Settle();
      if (count < 0 && !Writable()) break;
    }
    http_.world.Settle();
  }

  // What is there now, without letting the server run.
  std::string ReadNow() {
    std::string out;
    char buffer[65536];
    while (true) {
      const ssize_t count = ::recv(fd_.get(), buffer, sizeof buffer, 0);
      if (count == 0) ended_ = true;
      if (count < 0 && errno != EAGAIN) ended_ = true;
      if (count <= 0) return out;
      out.append(buffer, static_cast<size_t>(count));
    }
  }

  // Reads until nothing more comes without time passing.
  std::string Read() {
    std::string out;
    while (true) {
      http_.world.Settle();
      const std::string piece = ReadNow();
      if (piece.empty()) return out;
      out += piece;
    }
  }

  std::string Ask(absl::string_view bytes) {
    Send(bytes);
    return Read();
  }

  // The server has closed, or shut down its side (seen by a Read()).
  bool ended() const { return ended_; }
  void Leave() {
    fd_.Reset();
    http_.world.Settle();
  }
  int fd() const { return fd_.get(); }

 private:
  bool Writable() const {
    const ssize_t count = ::send(fd_.get(), "", 0, MSG_NOSIGNAL);
    return count >= 0;
  }

  HttpWorld& http_;
  UniqueFd fd_;
  bool ended_ = false;
};

// The status of the first response in `bytes`, 0 when there is none.
inline int StatusOf(absl::string_view bytes) {
  if (bytes.substr(0, 9) != "HTTP/1.1 ") return 0;
  return std::atoi(std::string(bytes.substr(9, 3)).c_str());
}

// The value of a field of the first response, or "".
inline std::string FieldOfResponse(absl::string_view bytes,
                                   absl::string_view name) {
  const absl::string_view head = bytes.substr(0, bytes.find("\r\n\r\n"));
  const std::string key = "\r\n" + std::string(name) + ": ";
  const size_t at = head.find(key);
  if (at == absl::string_view::npos) return "";
  const size_t end = head.find("\r\n", at + 2);
  return std::string(head.substr(at + key.size(), end - at - key.size()));
}

inline std::string BodyOf(absl::string_view bytes) {
  const size_t at = bytes.find("\r\n\r\n");
  return at == absl::string_view::npos ? "" : std::string(bytes.substr(at + 4));
}

inline std::string Get(absl::string_view target) {
  return "GET " + std::string(target) + " HTTP/1.1\r\nHost: k\r\n\r\n";
}

}  // namespace kine
