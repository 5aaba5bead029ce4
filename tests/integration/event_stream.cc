#include "tests/integration/event_stream.h"

#include <gtest/gtest.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <sstream>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "ipc/unix_socket.h"
#include "tests/integration/process.h"

namespace kine {

bool EventStream::Event::Is(const std::string& wanted_type,
                            const std::string& recording) const {
  return type == wanted_type && body.Text("data.id") == recording;
}

std::optional<EventStream::Event> EventStream::NextOfType(
    const std::string& type, const std::string& id) {
  return Next([&](const Event& event) { return event.Is(type, id); });
}

std::optional<EventStream::Event> EventStream::NextState(
    const std::string& id, const std::string& state) {
  return Next([&](const Event& event) {
    return event.Is("recording.state", id) &&
           event.body.Text("data.state") == state;
  });
}

EventStream::EventStream(const std::string& socket,
                         const std::string& last_event_id) {
  absl::StatusOr<UniqueFd> connected = ConnectUnix(socket, kPatience);
  EXPECT_TRUE(connected.ok()) << connected.status();
  if (!connected.ok()) return;
  socket_ = *std::move(connected);
  const std::string resume =
      last_event_id.empty() ? "" : "Last-Event-ID: " + last_event_id + "\r\n";
  const std::string request =
      "GET /v1/events HTTP/1.1\r\nHost: kinescope\r\n"
      "Accept: text/event-stream\r\n" +
      resume + "\r\n";
  EXPECT_EQ(::send(socket_.get(), request.data(), request.size(), MSG_NOSIGNAL),
            static_cast<ssize_t>(request.size()));
  const absl::Time deadline = absl::Now() + kPatience;
  while (!reader_.head_done() && Receive(deadline)) {
  }
  EXPECT_EQ(reader_.head().status, 200);
}

bool EventStream::Receive(absl::Time deadline) {
  pollfd ready{socket_.get(), POLLIN, 0};
  const int64_t left = absl::ToInt64Milliseconds(deadline - absl::Now());
  if (::poll(&ready, 1, static_cast<int>(std::max<int64_t>(0, left))) != 1)
    return false;
  char bytes[4096];
  const ssize_t got = ::recv(socket_.get(), bytes, sizeof bytes, 0);
  if (got <= 0) return false;
  const auto fed =
      reader_.Feed(absl::string_view(bytes, static_cast<size_t>(got)),
                   [this](absl::string_view body) {
                     absl::StrAppend(&text_, body);
                     return absl::OkStatus();
                   });
  EXPECT_TRUE(fed.ok()) << fed.status();
  return fed.ok();
}

std::optional<EventStream::Event> EventStream::Parse() {
  for (;;) {
    const size_t end = text_.find("\n\n");
    if (end == std::string::npos) return std::nullopt;
    std::istringstream block(text_.substr(0, end));
    text_.erase(0, end + 2);
    Event event;
    for (std::string line; std::getline(block, line);) {
      if (absl::StartsWith(line, "id: ")) event.id = line.substr(4);
      if (absl::StartsWith(line, "event: ")) event.type = line.substr(7);
      if (absl::StartsWith(line, "data: ")) event.body = Json(line.substr(6));
    }
    if (!event.type.empty()) return event;  // Else a heartbeat's comment.
  }
}

std::optional<EventStream::Event> EventStream::Next(
    absl::FunctionRef<bool(const Event&)> wanted) {
  const absl::Time deadline = absl::Now() + kPatience;
  do {
    while (std::optional<Event> event = Parse()) {
      seen_.push_back(*event);
      if (wanted(*event)) return event;
    }
  } while (Receive(deadline));
  std::string all;
  for (const Event& event : seen_)
    absl::StrAppend(&all, " ", event.type, " ", event.body.text());
  ADD_FAILURE() << "the event did not come; seen:" << all;
  return std::nullopt;
}

}  // namespace kine
