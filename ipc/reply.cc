#include "ipc/reply.h"

#include "daemon/base/check.h"
#include "daemon/base/loop.h"

namespace kine {

uint64_t FileBody::total() const {
  uint64_t sum = size;
  for (const FileRange& range : before) sum += range.size;
  return sum;
}

WakeList::Place WakeList::Add(StreamBody::Wake wake) {
  auto place = std::make_shared<StreamBody::Wake>(std::move(wake));
  places_->all.push_back(place);
  return place;
}

void WakeList::WakeAll() {
  if (places_->posted || places_->all.empty()) return;
  places_->posted = true;
  loop_.Post([weak = std::weak_ptr<Places>(places_)] {
    const std::shared_ptr<Places> places = weak.lock();
    if (places == nullptr) return;
    places->posted = false;
    // A copy: a reader whose client has gone dies when it is woken.
    const auto all = places->all;
    for (const std::weak_ptr<StreamBody::Wake>& place : all)
      if (const Place alive = place.lock()) (*alive)();
    std::erase_if(places->all,
                  [](const auto& place) { return place.expired(); });
  });
}

Response JsonResponse(int status, std::string json) {
  Response response;
  response.status = status;
  response.content_type = "application/json";
  response.body = std::move(json);
  return response;
}

Response ProblemResponse(const Problem& problem) {
  Response response;
  response.status = problem.status;
  response.content_type = "application/problem+json";
  response.body = ProblemJson(problem);
  return response;
}

Reply::~Reply() {
  if (answered()) return;
  const uint64_t id = std::exchange(id_, 0);
  if (const std::shared_ptr<Sink> sink = sink_.lock())
    (*sink)(id, std::nullopt);
}

Reply& Reply::operator=(Reply&& other) noexcept {
  if (this != &other) {
    Reply old(std::move(*this));  // Answers for what is overwritten.
    sink_ = std::move(other.sink_);
    id_ = std::exchange(other.id_, 0);
  }
  return *this;
}

void Reply::Send(Response response) {
  KINE_CHECK(!answered());  // Twice is a bug.
  const uint64_t id = std::exchange(id_, 0);
  if (const std::shared_ptr<Sink> sink = sink_.lock())
    (*sink)(id, std::move(response));
}

void Reply::Json(int status, std::string json) {
  Send(JsonResponse(status, std::move(json)));
}

void Reply::Fail(const absl::Status& error) { Fail(ProblemOf(error)); }

void Reply::Fail(const Problem& problem) { Send(ProblemResponse(problem)); }

}  // namespace kine
