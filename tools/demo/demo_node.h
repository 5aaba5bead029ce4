// What our PipeWire sources have in common: the demo source and the one of the
// tests that offers DMA-BUFs.
#pragma once

#include <pipewire/pipewire.h>
#include <spa/param/buffers.h>
#include <spa/pod/builder.h>

#include <cstdint>

#include "capture/frame.h"
#include "daemon/base/clock.h"
#include "tools/demo/demo_formats.h"

#ifdef __clang__
// PipeWire's method macros.
#pragma clang diagnostic ignored "-Wgnu-statement-expression"
#endif

namespace kine {

inline constexpr size_t kDemoDamageRects = 16;

// A video source of that name, not connected yet.
inline pw_stream* NewVideoNode(pw_loop* loop, const char* node,
                               const char* description,
                               const pw_stream_events& events, void* data) {
  return pw_stream_new_simple(
      loop, node,
      pw_properties_new(PW_KEY_MEDIA_CLASS, "Video/Source", PW_KEY_NODE_NAME,
                        node, PW_KEY_NODE_DESCRIPTION, description, nullptr),
      &events, data);
}

// That buffers carry so much of this.
inline const spa_pod* MetaPod(spa_pod_builder& builder, spa_meta_type type,
                              size_t bytes) {
  return static_cast<const spa_pod*>(spa_pod_builder_add_object(
      &builder, SPA_TYPE_OBJECT_ParamMeta, SPA_PARAM_Meta, SPA_PARAM_META_type,
      SPA_POD_Id(type), SPA_PARAM_META_size,
      SPA_POD_Int(static_cast<int>(bytes))));
}
inline const spa_pod* HeaderMetaPod(spa_pod_builder& builder) {
  return MetaPod(builder, SPA_META_Header, sizeof(spa_meta_header));
}
inline const spa_pod* DamageMetaPod(spa_pod_builder& builder) {
  return MetaPod(builder, SPA_META_VideoDamage,
                 sizeof(spa_meta_region) * kDemoDamageRects);
}

// A buffer to draw into. None: the picture is not shown.
inline pw_buffer* DequeueToDraw(pw_stream* stream) {
  pw_buffer* const buffer = pw_stream_dequeue_buffer(stream);
  // A consumer that left may have left a buffer in the port, which only the
  // graph's next turn gives back; and we are who turns it.
  if (buffer == nullptr) pw_stream_trigger_process(stream);
  return buffer;
}

// Of picture `number`, where the buffer has room for it.
inline void WriteHeader(spa_buffer& buffer, MonoTime now, uint64_t number) {
  auto* const header = static_cast<spa_meta_header*>(spa_buffer_find_meta_data(
      &buffer, SPA_META_Header, sizeof(spa_meta_header)));
  if (header == nullptr) return;
  *header = {};
  header->pts = now.nanos();
  header->seq = number;
}

inline void WriteDamage(spa_buffer& buffer, const Damage& damage,
                        const Size& size) {
  spa_meta* const meta = spa_buffer_find_meta(&buffer, SPA_META_VideoDamage);
  if (meta == nullptr) return;
  auto* const regions = static_cast<spa_meta_region*>(meta->data);
  const size_t room = meta->size / sizeof(spa_meta_region);
  const size_t count =
      damage.full() ? 1 : static_cast<size_t>(damage.end() - damage.begin());
  // More than there is room for: everything. An empty one ends the list.
  const bool all = damage.full() || count > room;
  for (size_t i = 0; i < room; ++i) {
    Rect r;
    if (all && i == 0) r = {0, 0, size.width, size.height};
    if (!all && i < count) r = damage.begin()[i];
    regions[i].region = spa_region{
        {r.x, r.y},
        {static_cast<uint32_t>(r.width), static_cast<uint32_t>(r.height)}};
  }
}

}  // namespace kine
