// Preloaded into a recorder: DMA-BUFs whose pictures are never finished. The
// kernel is asked for a buffer's fences by an ioctl; this answers with one that
// does not signal.
#include <dlfcn.h>
#include <linux/dma-buf.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>

#include <cstdarg>

extern "C" __attribute__((visibility("default"))) int ioctl(
    int fd, unsigned long request, ...) {
  va_list arguments;
  va_start(arguments, request);
  void* const argument = va_arg(arguments, void*);
  va_end(arguments);
  if (request == DMA_BUF_IOCTL_EXPORT_SYNC_FILE) {
    static_cast<dma_buf_export_sync_file*>(argument)->fd =
        eventfd(0, EFD_CLOEXEC);
    return 0;
  }
  static const auto real = reinterpret_cast<int (*)(int, unsigned long, ...)>(
      dlsym(RTLD_NEXT, "ioctl"));
  return real(fd, request, argument);
}
