// A VaEncoder on the test driver: what it is given, what must come out of a
// decoder, and what the driver has to say about it.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "encode/picture/picture.h"
#include "encode/va/va_encoder.h"
#include "tests/encode/decode.h"
#include "tests/encode/test_frames.h"
#include "tests/va/softva_env.h"

namespace kine {

// A dmabuf's stand-in: `image` as XRGB8888 in memory that a driver imports,
// behind an offset, with a stride of its own. Lives until the frame goes.
Frame MemfdFrame(const TestImage& image, uint64_t buffer_id,
                 uint32_t fourcc = 0,                   // 0: XRGB8888.
                 std::shared_ptr<int> lent = nullptr);  // Counts it.

// HaveFfmpeg(), asked once: it starts two programs.
bool HaveDecoder();

class VaRig {
 public:
  enum class Way { kUpload, kImport };

  explicit VaRig(const SoftVaEnv::Settings& settings);
  // Ends the encoder, so that the driver reports what leaked.
  ~VaRig();

  absl::Status Make(const EncoderConfig& config = {},
                    const VaOptions& options = {});
  Encoder& encoder() { return *encoder_; }
  void Reset() { encoder_.reset(); }

  // Encodes `image`, as frame of buffer `buffer_id`, damaged all over unless
  // `damage` is given.
  absl::StatusOr<Encoder::Outcome> Encode(const TestImage& image, Way way,
                                          const EncodeRequest& request = {},
                                          const Damage* damage = nullptr,
                                          uint64_t buffer_id = 0);
  // The same with a frame that shows `image` (upright).
  absl::StatusOr<Encoder::Outcome> EncodeFrame(
      const TestImage& image, Frame frame, const EncodeRequest& request = {});
  absl::StatusOr<Encoder::Outcome> Again(Encoder::Again how,
                                         const EncodeRequest& request = {});

  // Decodes all packets and compares each with what our own conversion gives
  // for its frame: "" when every sample is within `tolerance`. Flushes first.
  std::string Difference(int tolerance);

  SoftVaEnv& env() { return env_; }
  std::vector<Packet>& packets() { return packets_; }
  // As the last call left it.
  const Frame& last_frame() const { return last_frame_; }
  // Of Encode(): frames that were not given back.
  int frames_lent() const { return *lent_; }

 private:
  MonoTime NextTime();

  SoftVaEnv env_;
  std::unique_ptr<Encoder> encoder_;
  std::vector<Packet> packets_;
  std::shared_ptr<int> lent_ = std::make_shared<int>(0);
  Frame last_frame_;
  std::optional<Picture> picture_;        // Of the last frame.
  std::vector<DecodedPicture> expected_;  // One for each packet.
  MonoTime time_ = MonoTime::FromNanos(1'000'000'000);
};

}  // namespace kine
