#include "tests/recorder/sim_encoder.h"

#include <algorithm>
#include <utility>

namespace kine {
namespace {

// NAL headers and as much of an SPS and a PPS as encode/mp4 reads.
constexpr uint8_t kSps[] = {0x67, 0x64, 0x00, 0x1f, 0xac, 0xd9};
constexpr uint8_t kPps[] = {0x68, 0xeb, 0xe3};
constexpr uint8_t kIdr = 0x65;
constexpr uint8_t kSlice = 0x41;
constexpr size_t kSerialBytes = 5;

void AppendNal(std::span<const uint8_t> nal, std::vector<std::byte>& out) {
  const size_t size = nal.size();
  for (int shift = 24; shift >= 0; shift -= 8)
    out.push_back(static_cast<std::byte>(size >> shift));
  for (const uint8_t byte : nal) out.push_back(static_cast<std::byte>(byte));
}

}  // namespace

absl::StatusOr<CreatedEncoder> SimEncoder::Make(SimEncoderLog& log,
                                                EncoderChoice choice) {
  absl::StatusOr<CreatedEncoder> created = FakeEncoder::Make(log.fake, choice);
  if (created.ok())
    created->encoder = std::make_unique<SimEncoder>(log, created->kind);
  return created;
}

absl::StatusOr<Encoder::Outcome> SimEncoder::Encode(Frame& frame,
                                                    const EncodeRequest& asked,
                                                    std::vector<Packet>& out) {
  EncodeRequest request = asked;
  const int width = frame.crop.width;
  const size_t from = out.size();
  if (width != width_) {
    request.keyframe = true;
    if (width_ != 0) frame.damage = Damage::Full();
  }
  auto outcome = fake_.Encode(frame, request, out);
  if (outcome.ok() && *outcome == Outcome::kEncoded) width_ = width;
  Dress(out, from, request);
  return outcome;
}

absl::StatusOr<Encoder::Outcome> SimEncoder::EncodeAgain(
    Again how, MonoTime time, const EncodeRequest& request,
    std::vector<Packet>& out) {
  const size_t from = out.size();
  auto outcome = fake_.EncodeAgain(how, time, request, out);
  Dress(out, from, request);
  return outcome;
}

void SimEncoder::Dress(std::vector<Packet>& out, size_t from,
                       const EncodeRequest& request) {
  for (size_t i = from; i < out.size(); ++i) {
    Packet& packet = out[i];
    packet.width = packet.true_width = width_;
    size_t size = kSerialBytes + log_.random() % log_.packet_bytes_max;
    if (request.max_bytes > 0 && size > request.max_bytes)
      size = std::max<size_t>(kSerialBytes, request.max_bytes / 2);
    const uint32_t serial = log_.serials_apart == 0 ? log_.packets : serial_++;
    ++log_.packets;
    packet.data = MakeAccessUnit(packet.keyframe, serial, size);
  }
}

std::vector<std::byte> MakeAccessUnit(bool keyframe, uint32_t serial,
                                      size_t slice_bytes) {
  std::vector<std::byte> unit;
  if (keyframe) {
    AppendNal(kSps, unit);
    AppendNal(kPps, unit);
  }
  std::vector<uint8_t> nal(slice_bytes, 0xa5);
  nal[0] = keyframe ? kIdr : kSlice;
  for (size_t b = 0; b < 4; ++b)
    nal[1 + b] = static_cast<uint8_t>(serial >> (8 * b));
  AppendNal(nal, unit);
  return unit;
}

std::optional<uint32_t> SerialOf(std::span<const std::byte> sample) {
  while (sample.size() >= 4 + kSerialBytes - 1) {
    size_t size = 0;
    for (size_t i = 0; i < 4; ++i)
      size = size << 8 | std::to_integer<size_t>(sample[i]);
    if (size > sample.size() - 4) return std::nullopt;
    const auto nal = sample.subspan(4, size);
    const auto type = std::to_integer<uint8_t>(nal[0]);
    if ((type == kIdr || type == kSlice) && size >= kSerialBytes) {
      uint32_t serial = 0;
      for (size_t b = 0; b < 4; ++b)
        serial |= std::to_integer<uint32_t>(nal[1 + b]) << (8 * b);
      return serial;
    }
    sample = sample.subspan(4 + size);
  }
  return std::nullopt;
}

}  // namespace kine
