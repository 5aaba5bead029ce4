#include "daemon/recorder/capture/captures.h"

#include <algorithm>
#include <utility>

namespace kine {

Captures::Captures(const CaptureLoops& loops, CaptureFactories factories)
    : loops_(loops), factories_(std::move(factories)) {}

Captures::~Captures() = default;

Capture* Captures::Find(const CaptureKey& key) const {
  const auto capture = std::ranges::find_if(
      captures_, [&](const auto& c) { return c->Takes(key); });
  return capture == captures_.end() ? nullptr : capture->get();
}

absl::Status Captures::MayJoin(const CaptureRequest& request) const {
  const Capture* const capture = Find(request.key);
  return capture == nullptr ? absl::OkStatus()
                            : capture->MayJoin(request.encoding);
}

std::unique_ptr<CaptureTap> Captures::Join(const CaptureRequest& request,
                                           CaptureSink& sink,
                                           uint64_t packet_bytes_max) {
  Capture* capture = Find(request.key);
  if (capture == nullptr) {
    captures_.push_back(std::make_unique<Capture>(
        loops_, factories_, request, [this](Capture& gone) {
          std::erase_if(captures_,
                        [&](const auto& c) { return c.get() == &gone; });
        }));
    capture = captures_.back().get();
  }
  return capture->Join(request.encoding, sink, packet_bytes_max);
}

bool Captures::TakePicture(const SourceRequest& source, FrameTaker taker) {
  const auto capture = std::ranges::find_if(
      captures_, [&](const auto& c) { return c->Shows(source); });
  if (capture == captures_.end()) return false;
  (*capture)->TakePicture(std::move(taker));
  return true;
}

}  // namespace kine
