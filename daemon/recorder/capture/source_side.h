// SourceSide: the source thread's half of a Capture: the source, and the pumps
// that its frames are offered to.
//
// Threads: made and destroyed on control, when nothing runs on source for it;
// everything else on the source loop. Control hears of it through Capture.
//
// A frame goes to every pump as a loan of its own; the buffer goes back with
// the last of them. The newest is kept where the source can do without it
// (Frame::may_be_kept): a still screen sends no other to a pump that comes
// later, or to who wants to see it. That holds no more buffers at a time than
// are out in a stream, where one is being encoded while another one waits.
//
// A pointer that comes as data is offered with the frame that it came with: one
// picture, not two.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "daemon/recorder/capture/capture_sink.h"
#include "daemon/recorder/capture/counts.h"
#include "daemon/recorder/cursor/cursor_feed.h"
#include "encode/encode_pump.h"

namespace kine {

class Capture;
class CaptureTap;
class EncodeSide;
class Encoding;

class SourceSide final : private FrameSource::Client {
 public:
  SourceSide(const CaptureLoops& loops, Capture& capture,
             SourceCounters& counters, CaptureFactories& factories,
             SourceSpec spec, double fps_max);
  ~SourceSide() override;

  // -- Posted by an encode side -----------------------------------------------

  // It has an encoder, the first or another one. The first of all starts the
  // source: frames find a pump that can read them. A faster one makes the
  // source faster, too; it stays so when that one leaves, since every change is
  // a new negotiation, which the others would notice.
  void OnEncoder(EncodeSide& side, EncodePump& pump, double fps_max,
                 std::vector<DmabufFormat> imports);
  // It has none, and without one no source is started.
  void OnNoEncoder(EncodeSide& side, EncodePump& pump);
  void OnCannotImport(const VideoFormat& format);
  // It posts nothing more; passed on to control.
  void OnEncodeSideGone(EncodeSide& side, Encoding& encoding);

  // -- Posted by control ------------------------------------------------------

  // Any thread: a batch of Capture::OnCursor() was taken.
  void CursorTaken() { cursor_.Taken(); }
  // A barrier: passes EncodeSide::Leave() on behind the frames offered before.
  void Leave(EncodeSide& side, CaptureTap& tap, bool picture_known);
  // Offers nothing more to it and stops it, behind the frames offered before.
  // The last one of all stops the source too: Capture::OnSourceGone().
  void End(EncodeSide& side, bool last);
  // See Captures. Posted to control: the newest frame, or the next one, or
  // null.
  void TakePicture(FrameTaker taker);

 private:
  struct Reader {
    EncodeSide* side;
    EncodePump* pump = nullptr;
    // What its encoder takes; nothing: there is none.
    std::optional<std::vector<DmabufFormat>> imports;
    bool ended = false;
  };

  // FrameSource::Client:
  void OnFormat(const VideoFormat& format,
                const SourceDescription& description) override;
  void OnFrame(Frame frame) override;
  void OnNeverFinished(const VideoFormat& format) override;
  void OnCursor(const CursorUpdate& update) override;
  void OnLost(absl::Status reason) override;
  void OnFailed(absl::Status reason) override;
  void OnStopped() override;

  Reader& ReaderOf(EncodeSide& side);
  void StartSource();
  // What every encoder takes, without what was refused when it came.
  std::vector<DmabufFormat> Imports() const;
  // Tells the source, if it is another one (or `anyway`).
  void UpdateImports(bool anyway);
  void OfferNewest(EncodePump& pump);
  void OfferPointer();
  void GiveTakers(const std::shared_ptr<const Frame>& frame);
  void CopyCounters();

  const CaptureLoops loops_;
  Capture& capture_;
  SourceCounters& counters_;
  CaptureFactories& factories_;
  SourceOptions options_;
  std::vector<Reader> readers_;
  std::vector<DmabufFormat> imports_;  // As the source knows them.
  double fps_max_;                     // Likewise.
  std::vector<std::pair<uint32_t, uint64_t>> refused_;
  bool memory_only_ = false;  // Its dmabufs are never finished.
  std::unique_ptr<FrameSource> source_;
  std::shared_ptr<const Frame> newest_;
  std::optional<Pointer> pointer_;
  bool pointer_offered_ = true;     // As it is now.
  std::vector<FrameTaker> takers_;  // Who wait for a frame.
  CursorFeed cursor_;
  bool failed_ = false;
  bool stopping_ = false;

  // Last, so that it is cancelled first.
  LoopHandle takers_timer_;
};

}  // namespace kine
