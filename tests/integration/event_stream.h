// GET /v1/events of a daemon, as server-sent events over a connection of its
// own.
//
// Thread: one at a time; what waits does so for kPatience at most.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/time/time.h"
#include "daemon/base/fd.h"
#include "ipc/client.h"
#include "tests/integration/json_value.h"

namespace kine {

class EventStream {
 public:
  // Follows when this returns: what happens from then on is not missed. Resumes
  // behind `last_event_id` unless that is "".
  explicit EventStream(const std::string& socket,
                       const std::string& last_event_id = "");

  struct Event {
    std::string id;
    std::string type;
    Json body;  // Its "data" is what happened.

    bool Is(const std::string& wanted_type, const std::string& recording) const;
  };
  // The next event for which `wanted` is true; those before it are kept in
  // seen(). None after kPatience or at the end of the stream.
  std::optional<Event> Next(absl::FunctionRef<bool(const Event&)> wanted);
  std::optional<Event> NextOfType(const std::string& type,
                                  const std::string& id);
  // The event that says that the recording is in that state now.
  std::optional<Event> NextState(const std::string& id,
                                 const std::string& state);
  const std::vector<Event>& seen() const { return seen_; }
  const HttpResponseHead& head() const { return reader_.head(); }

 private:
  // False at the end of the stream, and after `deadline`.
  bool Receive(absl::Time deadline);
  // One SSE block out of text_.
  std::optional<Event> Parse();

  UniqueFd socket_;
  HttpResponseReader reader_{/*bodyless=*/false};
  std::string text_;
  std::vector<Event> seen_;
};

}  // namespace kine
