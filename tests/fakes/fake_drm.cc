// Makes any descriptor pass for a DRM render node, so that libva and GStreamer
// take the null device where no GPU is. They import these functions from libdrm
// dynamically: a definition in the program, or in a library that is preloaded,
// comes first.
#include <sys/stat.h>
#include <xf86drm.h>

#include <cstdlib>
#include <cstring>

#define EXPORTED extern "C" __attribute__((visibility("default")))

EXPORTED int drmGetNodeTypeFromFd(int fd) {
  struct stat status {};
  return fstat(fd, &status) == 0 ? DRM_NODE_RENDER : -1;
}

// drmFreeVersion() frees it with free().
EXPORTED drmVersionPtr drmGetVersion(int /*fd*/) {
  auto* const version =
      static_cast<drmVersionPtr>(std::calloc(1, sizeof(drmVersion)));
  if (version == nullptr) return nullptr;
  const char* const name = std::getenv("FAKE_DRM_DRIVER");
  version->name = strdup(name != nullptr ? name : "softva");
  version->name_len = static_cast<int>(std::strlen(version->name));
  version->date = strdup("0");
  version->date_len = 1;
  version->desc = strdup("test");
  version->desc_len = 4;
  return version;
}
