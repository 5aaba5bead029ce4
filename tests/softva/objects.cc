#include "tests/softva/objects.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstring>

namespace kine::softva {

Memory::Memory(int fd, size_t size, int protection) : fd_(fd), size_(size) {
  void* const mapped =
      mmap(nullptr, size, protection, MAP_SHARED, fd, /*offset=*/0);
  if (mapped != MAP_FAILED) data_ = static_cast<uint8_t*>(mapped);
}

Memory::~Memory() {
  if (data_ != nullptr) munmap(data_, size_);
  close(fd_);
}

std::shared_ptr<Memory> Memory::Allocate(size_t size) {
  const int fd = memfd_create("softva", MFD_CLOEXEC);
  if (fd < 0) return nullptr;
  const bool sized = ftruncate(fd, static_cast<off_t>(size)) == 0;
  std::shared_ptr<Memory> memory(new Memory(fd, size, PROT_READ | PROT_WRITE));
  if (!sized || memory->data_ == nullptr) return nullptr;
  // Poison: who reads what nobody wrote sees it. Not in large ones, for speed.
  constexpr size_t kPoisonedUpTo = 4 << 20;
  if (size <= kPoisonedUpTo) std::memset(memory->data_, 0x55, size);
  return memory;
}

std::shared_ptr<Memory> Memory::Import(int fd, size_t size) {
  const int own = fcntl(fd, F_DUPFD_CLOEXEC, 0);
  if (own < 0) return nullptr;
  const off_t end = lseek(own, 0, SEEK_END);
  const size_t real = end > 0 ? static_cast<size_t>(end) : size;
  std::shared_ptr<Memory> memory(new Memory(own, real, PROT_READ | PROT_WRITE));
  if (memory->data_ == nullptr)
    memory.reset(new Memory(fcntl(fd, F_DUPFD_CLOEXEC, 0), real, PROT_READ));
  return memory->data_ == nullptr || real < size ? nullptr : memory;
}

const std::vector<Format>& Formats() {
  static const std::vector<Format> formats = {
      {VA_FOURCC_NV12, 2, 1, VA_RT_FORMAT_YUV420, VA_FOURCC('N', 'V', '1', '2'),
       0, false},
      {VA_FOURCC_BGRX, 1, 4, VA_RT_FORMAT_RGB32, VA_FOURCC('X', 'R', '2', '4'),
       2, false},
      {VA_FOURCC_BGRA, 1, 4, VA_RT_FORMAT_RGB32, VA_FOURCC('A', 'R', '2', '4'),
       2, true},
      {VA_FOURCC_RGBX, 1, 4, VA_RT_FORMAT_RGB32, VA_FOURCC('X', 'B', '2', '4'),
       0, false},
      {VA_FOURCC_RGBA, 1, 4, VA_RT_FORMAT_RGB32, VA_FOURCC('A', 'B', '2', '4'),
       0, true},
  };
  return formats;
}

const Format* FindFormat(uint32_t fourcc) {
  for (const Format& format : Formats())
    if (format.fourcc == fourcc) return &format;
  return nullptr;
}

const Format* FindDrmFormat(uint32_t drm_format) {
  for (const Format& format : Formats())
    if (format.drm_format == drm_format) return &format;
  return nullptr;
}

VAImageFormat ImageFormat(const Format& format) {
  VAImageFormat image{};
  image.fourcc = format.fourcc;
  image.byte_order = VA_LSB_FIRST;
  image.bits_per_pixel = format.rgb() ? 32 : 12;
  if (!format.rgb()) return image;
  image.depth = format.alpha ? 32 : 24;
  image.red_mask = 0xffu << (8 * format.red_at);
  image.green_mask = 0xff00;
  image.blue_mask = 0xffu << (8 * (2 - format.red_at));
  image.alpha_mask = format.alpha ? 0xff000000 : 0;
  return image;
}

uint32_t PitchOf(const Format& format, uint32_t width) {
  return (RoundUp(width, 64) + 64) * format.bytes_per_pixel;
}

}  // namespace kine::softva
