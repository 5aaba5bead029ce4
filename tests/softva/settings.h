// How the driver behaves: read from the environment when a display is opened.
// README.md beside this file explains every variable.
#pragma once

#include <va/va.h>

#include <cstdint>
#include <string>
#include <vector>

namespace kine::softva {

struct Settings {
  std::string trace_path;
  std::string complaints_path;
  bool strict = false;

  // What is offered.
  std::string vendor = "softva test driver (no hardware)";
  bool encode = true;
  bool slice = true;  // Entry points.
  bool low_power = false;
  bool video_processing = true;
  bool scaling = true;
  bool derive_image = true;
  bool sync_buffer = true;
  uint32_t packed_headers = 0x1f;
  uint32_t rate_control = VA_RC_CQP | VA_RC_CBR | VA_RC_VBR;
  uint32_t quality_range = 7;
  uint32_t dirty_rects = 0;
  uint32_t roi_regions = 0;
  uint32_t max_size = 8192;
  std::vector<uint64_t> modifiers;  // Taken in imports.

  // How it behaves.
  bool needs_packed = false;
  bool needs_coded_size = false;
  bool segment_per_nal = false;
  uint32_t filler_bytes = 0;
  enum class Overflow { kSync, kStatus, kMap } overflow = Overflow::kSync;
  uint32_t latency_us = 0;

  // What fails, in the displays of a process from `first_display` to
  // `last_display`.
  struct Fault {
    std::string entry;
    uint32_t call = 0;
    bool from_then_on = false;
    bool reset = false;  // Everything fails from then on.
    VAStatus status = VA_STATUS_ERROR_OPERATION_FAILED;
  };
  std::vector<Fault> faults;
  uint32_t hang_at_picture = 0;  // 0: never.
  bool hang_ignores_timeouts = false;
  uint32_t first_display = 1;
  uint32_t last_display = UINT32_MAX;
};

// Of the environment. What it does not understand is said on standard error
// and ends the process: a mistyped variable must not pass a test.
Settings ReadSettings();

// 1 for the first display that this process opens with an environment, 2 for
// the next with the same one.
uint32_t NextDisplayNumber();

}  // namespace kine::softva
