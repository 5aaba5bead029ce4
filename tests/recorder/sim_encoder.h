// SimEncoder: a FakeEncoder whose packets are access units that a file can be
// made of, of random sizes, each with a serial number, so that a test can say
// of every sample in a file which packet it was.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <random>
#include <span>
#include <vector>

#include "tests/fakes/fake_encoder.h"

namespace kine {

struct SimEncoderLog {
  FakeEncoderLog fake;
  std::mt19937_64 random;
  size_t packet_bytes_max = 400;
  uint32_t packets = 0;  // Handed out: serials 0 .. packets - 1.
  // Not 0: each encoder counts by itself, so far behind the one before.
  uint32_t serials_apart = 0;
};

class SimEncoder final : public Encoder {
 public:
  SimEncoder(SimEncoderLog& log, EncoderChoice kind)
      : log_(log),
        fake_(log.fake, kind),
        serial_(log.serials_apart *
                static_cast<uint32_t>(log.fake.encoders_made)) {}

  static absl::StatusOr<CreatedEncoder> Make(SimEncoderLog& log,
                                             EncoderChoice choice);

  absl::StatusOr<Outcome> Encode(Frame& frame, const EncodeRequest& request,
                                 std::vector<Packet>& out) override;
  absl::StatusOr<Outcome> EncodeAgain(Again how, MonoTime time,
                                      const EncodeRequest& request,
                                      std::vector<Packet>& out) override;
  absl::Status Flush(std::vector<Packet>& out) override {
    return fake_.Flush(out);
  }
  bool draws_pointer() const override { return fake_.draws_pointer(); }
  EncoderDescription description() const override {
    return fake_.description();
  }

 private:
  // Fills in what the fake leaves empty.
  void Dress(std::vector<Packet>& out, size_t from,
             const EncodeRequest& request);

  SimEncoderLog& log_;
  FakeEncoder fake_;
  uint32_t serial_;  // Of its next packet, if it counts by itself.
  int width_ = 0;
};

// An access unit with `slice_bytes` (at least 5) of slice.
std::vector<std::byte> MakeAccessUnit(bool keyframe, uint32_t serial,
                                      size_t slice_bytes);

// The serial in a sample of a file; nothing when it is no packet of ours.
std::optional<uint32_t> SerialOf(std::span<const std::byte> sample);

}  // namespace kine
