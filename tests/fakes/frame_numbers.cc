#include "tests/fakes/frame_numbers.h"

#include "absl/functional/function_ref.h"
#include "capture/pattern.h"

namespace kine {
namespace {

// The mean of the block without its outer quarter, where a lossy encoder
// smears the neighbours in.
bool IsWhite(const GrayPicture& picture, const Rect& block) {
  const int margin = block.width / 4;
  int sum = 0;
  int count = 0;
  for (int y = block.y + margin; y < block.y + block.height - margin; ++y) {
    for (int x = block.x + margin; x < block.x + block.width - margin; ++x) {
      sum += static_cast<int>(
          picture.data[static_cast<size_t>(y) * picture.stride +
                       static_cast<size_t>(x)]);
      ++count;
    }
  }
  return sum > 127 * count;
}

std::optional<uint64_t> ReadBits(
    const GrayPicture& picture, int bits,
    absl::FunctionRef<Rect(int bit, bool inverted)> block) {
  uint64_t value = 0;
  for (int i = 0; i < bits; ++i) {
    const bool bit = IsWhite(picture, block(i, false));
    if (bit == IsWhite(picture, block(i, true))) return std::nullopt;
    value = value << 1 | (bit ? 1 : 0);
  }
  return value;
}

}  // namespace

std::optional<uint32_t> ReadFrameNumber(const GrayPicture& picture) {
  const PatternCode code(picture.width, picture.height);
  const auto bits = ReadBits(
      picture, PatternCode::kNumberBits,
      [&](int bit, bool inverted) { return code.NumberBlock(bit, inverted); });
  if (!bits) return std::nullopt;
  return static_cast<uint32_t>(*bits);
}

std::optional<MonoTime> ReadFrameTime(const GrayPicture& picture) {
  const PatternCode code(picture.width, picture.height);
  if (!code.has_time()) return std::nullopt;
  const auto bits = ReadBits(
      picture, PatternCode::kTimeBits,
      [&](int bit, bool inverted) { return code.TimeBlock(bit, inverted); });
  if (!bits) return std::nullopt;
  return MonoTime::FromNanos(static_cast<int64_t>(*bits) * 1000);
}

}  // namespace kine
