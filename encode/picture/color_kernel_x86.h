// The kernels for x86-64; none on other machines.
#pragma once

#include <vector>

#include "encode/picture/color_kernel.h"

namespace kine {

// Appends those that this processor can run, best first.
void AddX86Kernels(std::vector<ColorKernel>& list);

}  // namespace kine
