// Encoder: turns frames into H.264 packets. A seam: x264 today, VA-API next;
// tests/fakes/fake_encoder.h for tests.
//
// Threads: one encode thread creates, calls and destroys it.
//
// Order and delay: packets come out in the order of the calls, without
// reordering. An encoder may hold packets back; Flush() gives them all. No
// B-frames, infinite GOP: a keyframe comes first, when `keyframe` asks for it,
// and after a change of size.
//
// Errors: a failed call produced no packet for that frame; the encoder may be
// used again, and its next packet is a keyframe. The caller counts failures and
// gives up (see encode_pump.h).
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "capture/frame.h"
#include "daemon/base/clock.h"
#include "encode/picture/pointer.h"

namespace kine {

// One access unit, AVCC framed (each NAL unit behind its 4-byte big-endian
// length). SPS and PPS are in band in front of every keyframe's slices.
struct Packet {
  std::vector<std::byte> data;
  MonoTime time;  // The frame's.
  bool keyframe = false;
  // Macroblocks of the picture that were damaged: activity, for `compact`.
  uint32_t damaged_macroblocks = 0;
  // The coded size, which changes only at a keyframe. Even; the true size is
  // `true_width`x`true_height` (the padding is a replicated edge).
  int width = 0;
  int height = 0;
  int true_width = 0;
  int true_height = 0;
  bool refinement = false;  // Same picture again, at better quality.
  // Latency stamps. The encoder copies `arrival` from the frame (the time of
  // the call for EncodeAgain); the pump sets the other two.
  MonoTime arrival;  // The frame reached this process.
  MonoTime encode_start;
  MonoTime encode_end;
  // Of that, by the encoder: how long the picture took into its own format,
  // where a processor does it.
  absl::Duration convert;
  // Likewise by the pump. Since when the mailbox had waited for credit; frames
  // that came after the packet before and have none of their own: given up for
  // newer ones, or without a change.
  std::optional<MonoTime> stalled;
  uint32_t replaced = 0;
  uint32_t unchanged = 0;
};

// One that several hold at once; nobody changes it.
using SharedPacket = std::shared_ptr<const Packet>;

struct EncoderConfig {
  double fps_max = 30;
  enum class Profile { kInstant, kStudio };
  Profile profile = Profile::kInstant;
  // Exactly one of the two steers the size. quality: 0 (worst) .. 100.
  int quality = 60;
  uint64_t bitrate = 0;  // Bits a second; 0 = by quality.
  // Encoder threads; 0 = chosen for the machine.
  int threads = 0;

  friend bool operator==(const EncoderConfig&, const EncoderConfig&) = default;
};

struct EncodeRequest {
  // If there is something to encode, as a keyframe.
  bool keyframe = false;
  // Above this many bytes the picture is encoded again, coarser, in a few
  // tries; what the coarsest gives is handed out even so. 0 = no limit.
  uint64_t max_bytes = 0;
  // Drawn over the picture; null: none.
  const Pointer* pointer = nullptr;
};

// What is encoded with, for the status reply.
struct EncoderDescription {
  std::string name;     // "x264", "vaapi"
  std::string version;  // of the library or driver
  std::string profile;  // "High"
  std::string color;    // "bt709 limited"
  // The dmabufs that it reads; empty: mapped memory only. What is listed may
  // still be refused, frame by frame (Outcome::kCannotImport).
  std::vector<DmabufFormat> imports;
};

class Encoder {
 public:
  virtual ~Encoder() = default;

  enum class Outcome {
    kEncoded,
    // Not one macroblock differs from what was encoded last: no packet.
    kUnchanged,
    // The frame's memory cannot be read here (a dmabuf of a foreign device or
    // layout): no packet, and the next frame is taken as damaged all over. The
    // source should offer another layout than `frame.format`'s.
    kCannotImport,
  };

  // Encodes `frame` (whole size change included). Its pixels are read until
  // the call returns or, where an encoder reads them later, it moves the frame
  // out; a failed call leaves it as it was, to be tried again.
  // frame.damage says what differs from the frame of the call before (a source
  // that does not measure it is compared pixel by pixel); the first frame and
  // one after an error are taken as damaged all over.
  virtual absl::StatusOr<Outcome> Encode(Frame& frame,
                                         const EncodeRequest& request,
                                         std::vector<Packet>& out) = 0;

  // How the kept picture (that of the last Encode) is encoded once more.
  enum class Again {
    kRefine,    // The same picture at better quality, once it is still.
    kKeyframe,  // A keyframe for one who joins.
    kSkip,      // An all-skip frame: a few bytes, for players that stall.
    kPointer,   // As an Encode() of the same picture, with request.pointer.
  };
  // kUnchanged when kRefine finds every part of the picture fine already, or
  // kPointer that it looks the same. FAILED_PRECONDITION before the first
  // Encode. Of the others the kept picture has the pointer that it has, and
  // `request.keyframe` is ignored.
  virtual absl::StatusOr<Outcome> EncodeAgain(Again how, MonoTime time,
                                              const EncodeRequest& request,
                                              std::vector<Packet>& out) = 0;

  // Gives every packet that is still held back.
  virtual absl::Status Flush(std::vector<Packet>& out) = 0;

  // Whether the last picture could have the pointer drawn into it: not where
  // the GPU reads the frame's memory by itself.
  virtual bool draws_pointer() const = 0;

  virtual EncoderDescription description() const = 0;
};

}  // namespace kine
