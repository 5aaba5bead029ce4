// The memory of a surface: the driver's own, or a client's.
#pragma once

#include <va/va_drmcommon.h>

#include "tests/softva/driver.h"

namespace kine::softva {

// What the attributes of vaCreateSurfaces say.
struct Wish {
  uint32_t fourcc = 0;
  uint32_t memory_type = VA_SURFACE_ATTRIB_MEM_TYPE_VA;
  void* descriptor = nullptr;
  const VADRMFormatModifierList* modifiers = nullptr;
};

// Gives `surface`, number `index` of a call, its memory.
VAStatus Fill(Driver& driver, const Wish& wish, uint32_t index,
              Surface& surface);

}  // namespace kine::softva
