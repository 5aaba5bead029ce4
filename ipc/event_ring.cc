#include "ipc/event_ring.h"

#include <algorithm>
#include <optional>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "daemon/base/check.h"
#include "daemon/base/limits.h"
#include "daemon/base/status.h"
#include "ipc/json_out.h"

namespace kine {
namespace {

bool IsTypeByte(char c) {
  const auto byte = static_cast<unsigned char>(c);
  return absl::ascii_islower(byte) || absl::ascii_isdigit(byte) || c == '_' ||
         c == '.';
}

// "<instance>-<n>"
struct EventId {
  std::string instance;
  uint64_t number = 0;
};

std::optional<EventId> ParseEventId(absl::string_view text) {
  const size_t dash = text.rfind('-');
  if (dash == absl::string_view::npos || dash == 0) return std::nullopt;
  const absl::string_view digits = text.substr(dash + 1);
  EventId id;
  if (digits.empty() ||
      !std::all_of(digits.begin(), digits.end(), absl::ascii_isdigit) ||
      !absl::SimpleAtoi(digits, &id.number))
    return std::nullopt;
  id.instance = std::string(text.substr(0, dash));
  return id;
}

}  // namespace

// Shared by the ring and its readers; the ring's end marks it closed.
class EventRing::State {
 public:
  State(Loop& loop, std::string instance)
      : loop_(loop), instance_(std::move(instance)), wakes_(loop) {}

  struct Event {
    std::string type;
    std::string owner;
    std::string json;  // The whole object.
  };

  uint64_t Publish(absl::string_view type, absl::string_view data,
                   absl::string_view owner);
  // The object that stands for event `number`; `data` is an object.
  std::string Json(uint64_t number, absl::string_view type,
                   absl::string_view data) const;
  void Heartbeat();
  void Close();

  std::string Id(uint64_t number) const {
    return absl::StrCat(instance_, "-", number);
  }
  const Event& at(uint64_t number) const {
    return slots_[number % limits::kEventRing];
  }
  uint64_t newest() const { return newest_; }
  // The oldest that is still there; newest() + 1 when there is none.
  uint64_t oldest() const {
    return newest_ <= limits::kEventRing ? 1 : newest_ - limits::kEventRing + 1;
  }
  uint64_t beats() const { return beats_; }
  bool closed() const { return closed_; }
  const std::string& instance() const { return instance_; }

  WakeList& wakes() { return wakes_; }

 private:
  Loop& loop_;
  const std::string instance_;
  std::vector<Event> slots_;
  uint64_t newest_ = 0;
  uint64_t beats_ = 0;
  bool closed_ = false;
  WakeList wakes_;
};

// One client's place in the ring.
class EventRing::Reader {
 public:
  Reader(std::shared_ptr<State> state, EventFilter filter, bool ndjson)
      : state_(std::move(state)), filter_(std::move(filter)), ndjson_(ndjson) {
    next_ = state_->newest() + 1;
    beats_ = state_->beats();
  }
  Reader(const Reader&) = delete;
  Reader& operator=(const Reader&) = delete;

  absl::Status ResumeAfter(absl::string_view field, absl::string_view id);
  void Start(StreamBody::Wake wake) {
    place_ = state_->wakes().Add(std::move(wake));
  }
  StreamBody::State Read(size_t room, std::string& out);

 private:
  bool Sees(const State::Event& event) const {
    return filter_.all || event.owner.empty() || event.owner == filter_.owner;
  }
  void AppendEvent(uint64_t number, absl::string_view type,
                   absl::string_view json, std::string& out) const;
  void AppendGap(absl::string_view reason, std::optional<uint64_t> from,
                 std::string& out) const;

  const std::shared_ptr<State> state_;
  const EventFilter filter_;
  const bool ndjson_;
  WakeList::Place place_;
  uint64_t next_;
  uint64_t beats_;
  bool foreign_ = false;  // Resumed from another run's id: a gap is due.
};

uint64_t EventRing::State::Publish(absl::string_view type,
                                   absl::string_view data,
                                   absl::string_view owner) {
  KINE_CHECK(!type.empty() &&
             std::all_of(type.begin(), type.end(), IsTypeByte));
  ++newest_;
  const std::string omitted =
      absl::StrCat("{\"omitted_bytes\":", data.size(), "}");
  if (data.size() > limits::kEventBytesMax) data = omitted;
  Event event{std::string(type), std::string(owner), Json(newest_, type, data)};
  // Grown as it fills: a short run does not pay for a long one.
  const size_t slot = newest_ % limits::kEventRing;
  if (slot >= slots_.size())
    slots_.resize(std::min(limits::kEventRing, 2 * slot + 64));
  slots_[slot] = std::move(event);
  wakes_.WakeAll();
  return newest_;
}

std::string EventRing::State::Json(uint64_t number, absl::string_view type,
                                   absl::string_view data) const {
  std::string text;
  JsonOut out(text);
  out.BeginObject();
  out.Field("id", Id(number));
  out.Field("type", type);
  out.Field("at", absl::FormatTime("%Y-%m-%dT%H:%M:%E6SZ", loop_.clock().Wall(),
                                   absl::UTCTimeZone()));
  out.Field("at_us", loop_.clock().Now().micros());
  out.FieldRaw("data", data);
  out.End();
  return text;
}

void EventRing::State::Heartbeat() {
  ++beats_;
  wakes_.WakeAll();
}

void EventRing::State::Close() {
  closed_ = true;
  wakes_.WakeAll();
}

absl::Status EventRing::Reader::ResumeAfter(absl::string_view field,
                                            absl::string_view text) {
  const std::optional<EventId> id = ParseEventId(text);
  if (!id.has_value())
    return FieldError(field, "must be an event's id, <instance>-<n>");
  foreign_ = id->instance != state_->instance();
  if (foreign_) {
    next_ = state_->oldest();
    return absl::OkStatus();
  }
  if (id->number > state_->newest())
    return FieldError(field, absl::StrCat("is newer than the newest event, ",
                                          state_->Id(state_->newest())));
  next_ = id->number + 1;
  return absl::OkStatus();
}

StreamBody::State EventRing::Reader::Read(size_t room, std::string& out) {
  if (std::exchange(foreign_, false)) {
    next_ = state_->oldest();
    AppendGap("instance", std::nullopt, out);
  }
  if (next_ < state_->oldest()) {
    const uint64_t from = std::exchange(next_, state_->oldest());
    AppendGap("overflow", from, out);
  }
  while (next_ <= state_->newest() && out.size() < room) {
    const State::Event& event = state_->at(next_);
    if (Sees(event)) AppendEvent(next_, event.type, event.json, out);
    ++next_;
  }
  if (next_ <= state_->newest()) return StreamBody::State::kMore;
  if (state_->closed()) return StreamBody::State::kEnd;
  if (std::exchange(beats_, state_->beats()) != state_->beats() && out.empty())
    out = ndjson_ ? "{\"type\":\"heartbeat\"}\n" : ": heartbeat\n\n";
  return StreamBody::State::kWait;
}

void EventRing::Reader::AppendEvent(uint64_t number, absl::string_view type,
                                    absl::string_view json,
                                    std::string& out) const {
  if (ndjson_) {
    absl::StrAppend(&out, json, "\n");
  } else {
    absl::StrAppend(&out, "id: ", state_->Id(number), "\nevent: ", type,
                    "\ndata: ", json, "\n\n");
  }
}

// Everything from `from` up to next_ is gone.
void EventRing::Reader::AppendGap(absl::string_view reason,
                                  std::optional<uint64_t> from,
                                  std::string& out) const {
  std::string data;
  JsonOut json(data);
  json.BeginObject();
  json.Field("reason", reason);
  if (from.has_value()) {
    json.Field("from", *from);
  } else {
    json.FieldRaw("from", "null");
  }
  json.Field("to", next_ - 1);
  json.End();
  // With the id of the last lost event: who resumes from it loses no more.
  AppendEvent(next_ - 1, "gap", state_->Json(next_ - 1, "gap", data), out);
}

EventRing::EventRing(Loop& loop, std::string instance)
    : loop_(loop), state_(std::make_shared<State>(loop, std::move(instance))) {
  Beat();
}

EventRing::~EventRing() { state_->Close(); }

void EventRing::Beat() {
  heartbeat_ = LoopHandle(
      loop_,
      loop_.PostAfter(absl::Milliseconds(limits::kEventHeartbeatMs), [this] {
        state_->Heartbeat();
        Beat();
      }));
}

uint64_t EventRing::Publish(absl::string_view type, absl::string_view data,
                            absl::string_view owner) {
  return state_->Publish(type, data, owner);
}

absl::StatusOr<Response> EventRing::Follow(const Request& request,
                                           EventFilter filter) {
  const bool ndjson = Accepts(request.accept, "application/x-ndjson");
  auto reader = std::make_shared<Reader>(state_, std::move(filter), ndjson);
  if (const auto since = request.Query("since")) {
    KINE_RETURN_IF_ERROR(reader->ResumeAfter("since", *since));
  } else if (!request.last_event_id.empty()) {
    KINE_RETURN_IF_ERROR(
        reader->ResumeAfter("Last-Event-ID", request.last_event_id));
  }
  Response response;
  response.content_type = ndjson ? "application/x-ndjson" : "text/event-stream";
  response.fields.emplace_back("Cache-Control", "no-store");
  StreamBody body;
  body.start = [reader](StreamBody::Wake wake) {
    reader->Start(std::move(wake));
  };
  body.read = [reader](size_t room, std::string& out) {
    return reader->Read(room, out);
  };
  response.body = std::move(body);
  return response;
}

void EventRing::Close() { state_->Close(); }

std::string EventRing::newest_id() const {
  return state_->Id(state_->newest());
}

}  // namespace kine
