#include "daemon/recorder/alive_file.h"

#include <cstring>
#include <utility>
#include <vector>

#include "daemon/base/crc32c.h"
#include "daemon/base/limits.h"

namespace kine {
namespace {

constexpr char kMagic[4] = {'k', 'a', 'l', 'i'};
constexpr uint32_t kVersion = 1;
constexpr size_t kCrcOffset = kAliveSlotBytes - 4;

template <typename T>
void Put(std::byte* to, T value) {
  for (size_t i = 0; i < sizeof value; ++i)
    to[i] = static_cast<std::byte>(value >> (8 * i));
}

template <typename T>
T Get(const std::byte* from) {
  T value = 0;
  for (size_t i = 0; i < sizeof value; ++i)
    value = static_cast<T>(value | static_cast<T>(from[i]) << (8 * i));
  return value;
}

struct Slot {
  uint64_t sequence;
  uint64_t ticks;
};

std::optional<Slot> DecodeSlot(std::span<const std::byte> slot) {
  if (std::memcmp(slot.data(), kMagic, sizeof kMagic) != 0) return std::nullopt;
  if (Get<uint32_t>(slot.data() + 4) != kVersion) return std::nullopt;
  if (Get<uint32_t>(slot.data() + kCrcOffset) !=
      Crc32c(0, slot.first(kCrcOffset)))
    return std::nullopt;
  return Slot{Get<uint64_t>(slot.data() + 8), Get<uint64_t>(slot.data() + 16)};
}

}  // namespace

std::array<std::byte, kAliveSlotBytes> EncodeAliveSlot(uint64_t sequence,
                                                       uint64_t ticks) {
  std::array<std::byte, kAliveSlotBytes> slot{};
  std::memcpy(slot.data(), kMagic, sizeof kMagic);
  Put(slot.data() + 4, kVersion);
  Put(slot.data() + 8, sequence);
  Put(slot.data() + 16, ticks);
  Put(slot.data() + kCrcOffset,
      Crc32c(0, std::span<const std::byte>(slot).first(kCrcOffset)));
  return slot;
}

std::optional<uint64_t> DecodeAlive(std::span<const std::byte> file) {
  std::optional<Slot> newest;
  while (file.size() >= kAliveSlotBytes) {
    const std::optional<Slot> slot = DecodeSlot(file.first(kAliveSlotBytes));
    if (slot.has_value() &&
        (!newest.has_value() || slot->sequence > newest->sequence))
      newest = slot;
    file = file.subspan(kAliveSlotBytes);
  }
  if (!newest.has_value()) return std::nullopt;
  return newest->ticks;
}

AliveWriter::AliveWriter(Loop& loop, FileIo& file_io, int fd,
                         absl::AnyInvocable<uint64_t()> ticks)
    : loop_(loop), file_io_(file_io), fd_(fd), ticks_(std::move(ticks)) {}

void AliveWriter::Run() {
  timer_ =
      LoopHandle(loop_, loop_.PostAfter(absl::Milliseconds(limits::kAliveMs),
                                        [this] { Write(); }));
}

void AliveWriter::Write() {
  Run();
  // The disk is slow: the next note says more.
  if (busy_) return;
  busy_ = true;
  const uint64_t offset = (sequence_ & 1) * kAliveSlotBytes;
  const auto slot = EncodeAliveSlot(++sequence_, ticks_());
  file_io_.WriteAt(fd_, offset,
                   std::vector<std::byte>(slot.begin(), slot.end()),
                   [this](absl::Status) {
                     busy_ = false;
                     if (stopped_) std::exchange(stopped_, nullptr)();
                   });
}

void AliveWriter::Stop(absl::AnyInvocable<void()> stopped) {
  Pause();
  if (!busy_) return stopped();
  stopped_ = std::move(stopped);
}

}  // namespace kine
