// Any bytes as a SPA_PARAM_Format: no read outside, and what is accepted is
// what we offered.
#include <spa/pod/pod.h>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <vector>

#include "capture/pipewire_params.h"
#include "capture/pixel_format.h"
#include "daemon/base/check.h"
#include "daemon/base/limits.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < sizeof(spa_pod) || size > 65'536) return 0;
  // The library hands pods on in aligned memory of at least their own size.
  size -= size % 8;
  std::vector<uint64_t> memory(size / 8);
  std::memcpy(memory.data(), data, size);
  auto* pod = reinterpret_cast<spa_pod*>(memory.data());
  pod->size = static_cast<uint32_t>(size - sizeof(spa_pod));
  const absl::StatusOr<kine::StreamFormat> format =
      kine::ParseStreamFormat(pod);
  if (!format.ok()) return 0;
  KINE_CHECK(kine::FindPixelFormat(format->video.fourcc) != nullptr);
  KINE_CHECK(format->video.width >= 1 && format->video.height >= 1);
  KINE_CHECK(format->video.width <= kine::limits::kPictureSideMax);
  KINE_CHECK(format->video.height <= kine::limits::kPictureSideMax);
  KINE_CHECK(format->video.max_fps >= 0);
  return 0;
}
