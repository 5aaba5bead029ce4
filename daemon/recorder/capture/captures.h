// Captures: every capture of this process, by its key.
//
// Control loop only. Destroy when none is left (or when all loops are dead).
#pragma once

#include <memory>
#include <vector>

#include "absl/status/status.h"
#include "daemon/recorder/capture/capture.h"
#include "daemon/recorder/capture/capture_sink.h"
#include "daemon/recorder/capture/capture_tap.h"

namespace kine {

class Captures {
 public:
  Captures(const CaptureLoops& loops, CaptureFactories factories);
  ~Captures();

  // RESOURCE_EXHAUSTED, in words for people: the source has as many encoders as
  // it may have.
  absl::Status MayJoin(const CaptureRequest& request) const;
  // Feeds `sink` from then on, from the capture of that source, or a new one
  // when there is none or it is just ending. `packet_bytes_max`: what a packet
  // may measure for it (0: anything). Where MayJoin() allows it.
  std::unique_ptr<CaptureTap> Join(const CaptureRequest& request,
                                   CaptureSink& sink,
                                   uint64_t packet_bytes_max);

  // What the capture of `source` shows, to be read and given back soon. `taker`
  // is called on the control loop, never inside this, within about
  // limits::kShotWaitMs. False, and it is not: there is no such capture.
  bool TakePicture(const SourceRequest& source, FrameTaker taker);

  // Ending ones count.
  size_t size() const { return captures_.size(); }

 private:
  Capture* Find(const CaptureKey& key) const;

  const CaptureLoops loops_;
  CaptureFactories factories_;
  std::vector<std::unique_ptr<Capture>> captures_;
};

}  // namespace kine
