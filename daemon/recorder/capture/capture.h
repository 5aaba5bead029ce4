// Capture: one source and the encodings on it, as control sees them.
//
// Control loop only; its half on the source thread is SourceSide, which calls
// the On...() below by posted tasks. It begins with its first sink and ends
// with its last: then `on_gone`, which destroys it.
//
// A sink that leaves while others go on passes a barrier through source and
// encode thread, so that it has what was offered before. The last one of an
// encoding stops the pump, the last one of all stops the source.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "daemon/recorder/capture/capture_sink.h"
#include "daemon/recorder/capture/counts.h"

namespace kine {

class CaptureTap;
class Encoding;
class SourceSide;

class Capture {
 public:
  Capture(const CaptureLoops& loops, CaptureFactories& factories,
          const CaptureRequest& first,
          absl::AnyInvocable<void(Capture& capture)> on_gone);
  ~Capture();
  Capture(const Capture&) = delete;
  Capture& operator=(const Capture&) = delete;

  // A sink of that key; a picture of that source. Not once it ends or its
  // source has failed.
  bool Takes(const CaptureKey& key) const;
  bool Shows(const SourceRequest& source) const;
  // RESOURCE_EXHAUSTED: it would be an encoder too many.
  absl::Status MayJoin(const EncodingSettings& settings) const;
  // Where both allow it.
  std::unique_ptr<CaptureTap> Join(const EncodingSettings& settings,
                                   CaptureSink& sink,
                                   uint64_t packet_bytes_max);
  // From CaptureTap::Stop().
  void Stop(Encoding& encoding, CaptureTap& tap);

  // See Captures.
  void TakePicture(FrameTaker taker);

  SourceCounts source_counts() const { return SourceCounts(source_counters_); }
  void TellKnown(CaptureSink& sink) const;

  // -- From SourceSide --------------------------------------------------------

  void OnFormat(const VideoFormat& format,
                const SourceDescription& description);
  void OnCursor(CursorBatch batch);
  void OnImportRefused(const std::string& layout, const std::string& next);
  void OnNeverFinished(const std::string& layout);
  void OnLost(const absl::Status& reason, MonoTime when);
  void OnSourceFailed(const absl::Status& reason);
  void OnNeedsConsent();
  void OnRestoreToken(const std::string& token);
  void OnSourceGone();

  // -- From Encoding ----------------------------------------------------------

  void OnEncodingGone(Encoding& encoding);

 private:
  Encoding* Find(const EncodingSettings& settings) const;
  template <typename Call>
  void ForEachSink(Call call);
  void RetireIfDone();

  const CaptureLoops loops_;
  CaptureFactories& factories_;
  const CaptureKey key_;
  absl::AnyInvocable<void(Capture& capture)> on_gone_;
  std::optional<std::pair<VideoFormat, SourceDescription>> format_;
  std::optional<CursorState> cursor_;  // The newest; none while it is lost.
  absl::Status lost_;                  // OK: it is there, or was not yet.
  absl::Status failed_;
  bool asks_for_consent_ = false;
  bool ending_ = false;
  bool source_gone_ = false;
  SourceCounters source_counters_;
  std::unique_ptr<SourceSide> source_side_;
  std::vector<std::unique_ptr<Encoding>> encodings_;
  std::vector<std::unique_ptr<Encoding>> gone_;  // Ended with the capture.
};

}  // namespace kine
