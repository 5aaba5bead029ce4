// EncodePump: the encode thread's work. Takes the newest frame out of its
// mailbox, paces, encodes, hands out packets.
//
// Threads: Offer() on the source's thread; everything else, destruction
// included, on the encode loop, where the Client is called too, never inside a
// call of the pump's owner. It may be constructed on any thread.
//
// Order of calls: Start() -> Offer()* / RequestKeyframe() / ReturnCredits() ->
// Stop() -> Client::OnDrained. Offer() posts to the encode loop: destroy the
// pump there in a task that was posted after the last Offer() returned and,
// when Stop() was called, not before OnDrained (inside it is fine).
//
// Pacing: a frame after a pause goes at once; in a stream `fps_max` is kept on
// average, and no two are closer than 15/16 of its interval, so that a source
// of just that rate loses nothing to jitter. What comes too early waits in the
// mailbox, where a newer frame replaces it and inherits its damage.
//
// Credit: each packet costs itself and its bytes until the owner returns them
// (durable on disk). Without credit no frame is taken. No packet is ever lost.
//
// Keyframes: the first packet; `keyframe_every` after the last one when
// `keyframe_pictures` followed it, and after `keyframe_seldom`, while there is
// something to encode (a still screen gets none); on demand at most once in
// `keyframe_request_gap`, where two intervals bring no frame from the kept
// picture. Refinement: once per stillness, `refine_after` after the last frame.
//
// Watched: a still screen yields its picture again (a few bytes) every
// `still_every`, for players that would run dry.
//
// Crop: what of it is outside of the picture is left out, which is told. When
// nothing is left, the first picture fails the pump; a later one (of another
// size) is none, and the kept picture stands until there is one again.
//
// Pointer: drawn over the picture by the encoder. One that moves without a new
// frame gives a picture at the same pace, if it looks different.
//
// Failure: a failed call goes down the EncoderLadder with the same frame, each
// step told; at its foot OnFailed, and the pump only waits for Stop().
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "capture/frame.h"
#include "daemon/base/latest_mailbox.h"
#include "daemon/base/limits.h"
#include "daemon/base/limits/live.h"
#include "daemon/base/limits/recorders.h"
#include "daemon/base/loop.h"
#include "encode/create_encoder.h"
#include "encode/encode_pump_metrics.h"
#include "encode/encoder.h"
#include "encode/encoder_ladder.h"
#include "encode/picture/picture_crop.h"

namespace kine {

struct EncodePumpOptions {
  double fps_max = limits::kFpsDefault;
  int queue_packets = limits::kQueuePacketsDefault;
  uint64_t queue_bytes = limits::kQueueBytesMax;
  absl::Duration keyframe_every = absl::Milliseconds(limits::kKeyframeMs);
  int keyframe_pictures = limits::kKeyframePictures;
  absl::Duration keyframe_seldom =
      absl::Milliseconds(limits::kKeyframeSeldomMs);
  absl::Duration keyframe_request_gap =
      absl::Milliseconds(limits::kJoinKeyframeMs);
  absl::Duration still_every = absl::Milliseconds(limits::kLiveStillMs);
  absl::Duration refine_after = absl::Milliseconds(limits::kRefineAfterMs);
  EncoderChoice encoder = EncoderChoice::kAuto;
  // What is encoded, in pixels of the upright picture; none: all of it.
  std::optional<Rect> crop;
  // Whether what OfferPointer() says is drawn; else it is ignored.
  bool draws_pointer = false;
};

// A second best that is taken, openly.
struct EncodeFallback {
  // "encoder": a step down the ladder, from "vaapi" to "vaapi, keyframe",
  // "vaapi, opened anew" or "software". "crop": from what was asked for to what
  // there is of it, or "nothing". "cursor": from "embedded" to "metadata",
  // where the pointer cannot be drawn.
  std::string what;
  std::string from;
  std::string to;
  absl::Status reason;
  // Until the next one of that `what`: who joins later is told, too.
  bool lasts = false;
};

class EncodePump {
 public:
  class Client {
   public:
    virtual ~Client() = default;
    // There is an encoder: at the start and after each rebuild.
    virtual void OnEncoderReady(
        const EncoderDescription& description,
        const std::vector<EncoderRefusal>& refusals) = 0;
    // Of the encoder: before the OnEncoderReady of a new one.
    virtual void OnFallback(EncodeFallback fallback) = 0;
    // A frame of this format was refused (Encoder::Outcome::kCannotImport) and
    // is lost. The source should offer another layout; what still comes of this
    // one is refused again.
    virtual void OnCannotImport(const VideoFormat& format) = 0;
    // In encoding order; the times increase by at least one media tick.
    virtual void OnPacket(Packet packet) = 0;
    // Once, final. Stop() is still due. OUT_OF_RANGE: nothing of the crop is
    // in the first picture; else it is the encoder's.
    virtual void OnFailed(absl::Status reason) = 0;
    // After Stop(): every packet was handed out, every frame given back, the
    // encoder is gone; nothing follows.
    virtual void OnDrained() = 0;
  };

  // Makes an encoder; called again for a rebuild, with what may be made then.
  using EncoderFactory =
      absl::AnyInvocable<absl::StatusOr<CreatedEncoder>(EncoderChoice)>;

  // `loop`, `client` and `metrics` must outlive the pump.
  EncodePump(Loop& loop, Client& client, EncodePumpMetrics& metrics,
             EncoderFactory factory, const EncodePumpOptions& options);
  ~EncodePump();

  // Makes the encoder: OnEncoderReady or OnFailed follows.
  void Start();

  // Source thread. After Stop() or a failure the frame is just given back.
  // `pointer` (null: as it was) is where it is in that picture.
  void Offer(Frame frame, const Pointer* pointer = nullptr);
  // Source thread. It has moved, or looks different, over the same picture.
  void OfferPointer(Pointer pointer);

  // A keyframe for one who joins, soon.
  void RequestKeyframe();
  // The same at once, however young the last one is: for one whom it lacks.
  void RequestKeyframeNow();

  // Calls `done`, on the encode loop, when what was offered and asked for
  // before is encoded (without regard to the pace, if there is credit and no
  // pause) and handed out, what the encoder holds back included. The pump goes
  // on; after Stop(), a failure included, `done` comes before OnDrained. Not
  // after that.
  void CatchUp(absl::AnyInvocable<void()> done);

  // Nothing is encoded from Pause() until Resume(): the newest frame waits, and
  // Stop() gives it back instead. What comes first afterwards is a keyframe, of
  // that frame or of the kept picture. Repeating either changes nothing.
  void Pause();
  void Resume();

  // Whether somebody watches what comes out.
  void SetWatched(bool watched);

  // From now on packets are made to fit into `bytes` where a coarser picture
  // can do that; 0: no such limit.
  void SetPacketBytesMax(uint64_t bytes);

  // These packets need no memory any more.
  void ReturnCredits(int packets, uint64_t bytes);

  // Never waits for another frame: encodes the one in the mailbox (without
  // regard to the pace, if there is credit), flushes, OnDrained. Once.
  void Stop();

 private:
  enum class State { kIdle, kRunning, kFailed, kStopping, kDrained };

  void Kick();  // Posts Run(), once.
  void Run();   // Does what is due. Every call of the client is in here.
  void CatchUpNow();
  void TellCaughtUp();
  void FlushEncoder();
  void Finish();
  void GiveUpWaitingFrame();
  void CountUnused();  // Any thread.

  bool HasCredit() const;
  bool KeyframeIsDue(MonoTime now) const;
  // Not before what was handed out.
  MonoTime NoEarlier(MonoTime time) const;
  bool KeyframeMayFollow(MonoTime now) const;
  // Whether what is encoded now had better be one.
  bool MayBeKeyframe(MonoTime now) const;
  bool PaceAllows(MonoTime now);
  void EncodeWaiting();
  // False: nothing of the frame is to be encoded; it was given back.
  bool CropFrame(Frame& frame);
  void SkipFrame(Frame& frame);
  void TakePointer();
  void EncodePointer();
  void TellWhetherDrawn();
  absl::StatusOr<Encoder::Outcome> EncodeWithRetries(Frame& frame,
                                                     bool keyframe);
  // Takes the next step after `reason`; the error when there is none, or
  // no encoder to be had.
  absl::StatusOr<EncoderLadder::Step> StepDown(const absl::Status& reason);
  void EncodeKept(Encoder::Again how);
  void KeyframeOnDemand();
  void ArmStill();
  void ArmRefinement();
  absl::Status Rebuild();
  bool MakeEncoder();
  void Deliver(MonoTime start);
  void Fail(const absl::Status& reason);
  EncodeRequest Request(bool keyframe) const;

  Loop& loop_;
  Client& client_;
  EncodePumpMetrics& metrics_;
  EncoderFactory factory_;
  EncoderLadder ladder_;
  const EncodePumpOptions options_;
  const absl::Duration interval_;
  const absl::Duration tolerance_;
  LatestMailbox<Frame> mailbox_;      // The source thread touches this
  LatestMailbox<Pointer> pointers_;   // and this,
  std::atomic<bool> paused_ = false;  // and reads this, to count only.
  State state_ = State::kIdle;
  std::optional<PictureCrop> crop_;
  Rect cropped_to_;    // As the client knows it; at first what was asked for.
  int crop_left_ = 0;  // Where that is in the frames' own crop.
  int crop_top_ = 0;
  std::optional<Pointer> offered_pointer_;
  std::optional<Pointer> pointer_;  // The same in what is cropped.
  bool pointer_waiting_ = false;
  bool pointer_missing_ = false;  // As the client knows it.
  std::unique_ptr<Encoder> encoder_;
  std::vector<Packet> out_;
  std::vector<absl::AnyInvocable<void()>> catching_up_;
  bool failed_ = false;
  bool has_picture_ = false;  // The encoder has one that it can encode again.
  bool frame_waiting_ = false;
  std::optional<MonoTime> stalled_;  // The waiting frame found no credit.
  bool keyframe_wanted_ = false;
  bool keyframe_now_ = false;  // Whatever the gap to the last one.
  bool refine_due_ = false;
  bool watched_ = false;
  bool still_due_ = false;
  uint64_t packet_bytes_max_ = 0;
  int packets_out_ = 0;
  uint64_t bytes_out_ = 0;
  std::optional<MonoTime> slot_;  // When the next frame is due by the pace.
  std::optional<MonoTime> last_keyframe_;
  int since_keyframe_ = 0;             // Packets behind it.
  std::optional<MonoTime> last_time_;  // The last packet's media time.
  struct {
    std::optional<MonoTime> stalled;
    uint32_t replaced = 0;
    uint32_t unchanged = 0;
  } untold_;  // What the next packet says of the frames before it.
  absl::Duration source_delay_;  // Of the last frame: stamp to arrival.

  LoopHandle kick_;
  LoopHandle pace_timer_;
  LoopHandle refine_timer_;
  LoopHandle keyframe_timer_;
  LoopHandle still_timer_;
};

}  // namespace kine
