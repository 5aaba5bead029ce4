// EventRing: the last 4,096 events, and readers that follow them as SSE or
// NDJSON. Readers are cursors into the ring: one that is slower than the events
// is told which it lost, and costs nothing.
//
// One loop only. Readers may outlive the ring: they end after what is in it.
//
// An event is one JSON object, the same in both forms:
//   {"id":"<instance>-<n>","type":T,"at":"2026-01-02T03:04:05.000006Z",
//    "at_us":N,"data":{...}}
// In NDJSON it is a line; in SSE `data:`, with `id:` and `event:` before it.
// Lost events are announced by one of type "gap", with data {"reason":R,
// "from":A,"to":B}: R is "overflow" (A..B, counted as n, were dropped) or
// "instance" (the id resumed from is another run's: A is null). Every 15 s
// without an event there is a heartbeat: an SSE comment, or the line
// {"type":"heartbeat"}.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "daemon/base/loop.h"
#include "ipc/routes.h"

namespace kine {

// Whose events a reader sees: those without owner always, and those of `owner`,
// or of everybody with `all`.
struct EventFilter {
  bool all = false;
  std::string owner;
};

class EventRing {
 public:
  // `instance` is the UUID of this run.
  EventRing(Loop& loop, std::string instance);
  ~EventRing();
  EventRing(const EventRing&) = delete;
  EventRing& operator=(const EventRing&) = delete;

  // `type` is a word of [a-z0-9_.], `data` a JSON object of at most
  // limits::kEventBytesMax bytes (a larger one is replaced by
  // {"omitted_bytes":N}). Wakes the readers. Returns the event's number.
  uint64_t Publish(absl::string_view type, absl::string_view data,
                   absl::string_view owner = "");

  // The answer to GET /v1/events: from the event after `since=` (or else
  // Last-Event-ID) on, or from now on. NDJSON when the request accepts
  // application/x-ndjson. A malformed id is an INVALID_ARGUMENT naming it.
  absl::StatusOr<Response> Follow(const Request& request, EventFilter filter);

  // Ends every reader after what it has not read yet.
  void Close();

  // "<instance>-<n>" of the newest event; n is 0 before the first.
  std::string newest_id() const;

 private:
  class State;
  class Reader;
  void Beat();

  Loop& loop_;
  const std::shared_ptr<State> state_;
  LoopHandle heartbeat_;
};

}  // namespace kine
