#include "tests/integration/exchange.h"

#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "daemon/base/fd.h"

namespace kine {

Exchange Send(const std::string& socket_path, const std::string& method,
              const std::string& target, const std::string& body,
              const std::string& owner) {
  const UniqueFd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  socket_path.copy(address.sun_path, sizeof address.sun_path - 1);
  const timeval patience{30, 0};
  ::setsockopt(fd.get(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  if (::connect(fd.get(), reinterpret_cast<sockaddr*>(&address),
                sizeof address) != 0)
    return {};
  std::string bytes = absl::StrCat(
      method, " ", target, " HTTP/1.1\r\nHost: k\r\nConnection: close\r\n",
      owner.empty() ? "" : absl::StrCat("Kinescope-Owner: ", owner, "\r\n"),
      body.empty() && method == "GET"
          ? ""
          : absl::StrCat("Content-Type: application/json\r\nContent-Length: ",
                         body.size(), "\r\n"),
      "\r\n", body);
  // What is refused early is not read to its end.
  for (size_t sent = 0; sent < bytes.size();) {
    const ssize_t n = ::send(fd.get(), bytes.data() + sent, bytes.size() - sent,
                             MSG_NOSIGNAL);
    if (n <= 0) break;
    sent += static_cast<size_t>(n);
  }
  std::string got;
  Exchange exchange;
  char buffer[65'536];
  for (size_t end = got.npos;;) {
    const ssize_t n = ::recv(fd.get(), buffer, sizeof buffer, 0);
    if (n > 0) got.append(buffer, static_cast<size_t>(n));
    if (end == got.npos) {
      end = got.find("\r\n\r\n");
      if (end == got.npos && n > 0) continue;
      if (end == got.npos) return {};
      const std::string head = got.substr(0, end);
      (void)absl::SimpleAtoi(head.substr(9, 3), &exchange.status);
      for (absl::string_view line : absl::StrSplit(head, "\r\n"))
        if (absl::ConsumePrefix(&line, "Content-Type: "))
          exchange.media_type = std::string(line.substr(0, line.find(';')));
      // What may have no end.
      if (absl::StrContains(head, "Transfer-Encoding: chunked"))
        return exchange;
    }
    if (n > 0) continue;
    exchange.body = got.substr(end + 4);
    return exchange;
  }
}

}  // namespace kine
