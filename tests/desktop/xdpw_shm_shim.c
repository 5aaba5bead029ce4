// LD_PRELOAD for xdg-desktop-portal-wlr 0.7: lets it cast a compositor that
// renders without a GPU.
//
// That version refuses to start a cast when zwlr_screencopy announces no dmabuf
// format ("unable to receive a valid format from wlr_screencopy", its issue
// 289), although it would use wl_shm. This adds the missing announcement in
// front of the one for wl_shm. No dmabuf modifier is offered to PipeWire, so
// the pixels go through shared memory as they would have.
//
//   cc -shared -fPIC -O1 -o xdpw_shm_shim.so xdpw_shm_shim.c -ldl
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdint.h>
#include <string.h>

struct wl_proxy;
const char* wl_proxy_get_class(struct wl_proxy*);

typedef void (*Function)(void);
typedef void (*BufferEvent)(void*, struct wl_proxy*, uint32_t format,
                            uint32_t width, uint32_t height, uint32_t stride);
typedef void (*DmabufEvent)(void*, struct wl_proxy*, uint32_t fourcc,
                            uint32_t width, uint32_t height);

// The events of zwlr_screencopy_frame_v1, in the order of its listener.
enum { kBuffer, kFlags, kReady, kFailed, kDamage, kLinuxDmabuf, kBufferDone };
static Function g_original[kBufferDone + 1];
static Function g_replaced[kBufferDone + 1];

static uint32_t FourccOfShmFormat(uint32_t format) {
  if (format == 0) return 0x34325241;  // AR24
  if (format == 1) return 0x34325258;  // XR24
  return format;                       // All others are the same.
}

static void OnBuffer(void* data, struct wl_proxy* frame, uint32_t format,
                     uint32_t width, uint32_t height, uint32_t stride) {
  ((DmabufEvent)g_original[kLinuxDmabuf])(
      data, frame, FourccOfShmFormat(format), width, height);
  ((BufferEvent)g_original[kBuffer])(data, frame, format, width, height,
                                     stride);
}

int wl_proxy_add_listener(struct wl_proxy* proxy, Function* listener,
                          void* data) {
  typedef int (*AddListener)(struct wl_proxy*, Function*, void*);
  static AddListener next;
  if (next == NULL)
    next = (AddListener)dlsym(RTLD_NEXT, "wl_proxy_add_listener");
  const char* name = wl_proxy_get_class(proxy);
  if (name != NULL && strcmp(name, "zwlr_screencopy_frame_v1") == 0) {
    memcpy(g_original, listener, sizeof(g_original));
    memcpy(g_replaced, listener, sizeof(g_replaced));
    g_replaced[kBuffer] = (Function)OnBuffer;
    listener = g_replaced;
  }
  return next(proxy, listener, data);
}
