// What a self-test found: the recorder writes it, kinectl reads it.
//
// Values; any thread.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace kine {

// How far one device came, and what it is.
struct SelfTestDevice {
  enum class State {
    kPassed,
    // It encodes, or claims to, and is not to be trusted: see `reason`.
    kFailed,
    // Encoded, but what came out was not looked at: see `reason`.
    kUnchecked,
    // Nothing to test: no driver, no encoder, no permission.
    kUnusable,
  };
  // One way to encode that the driver offers.
  struct Offer {
    std::string profile;
    std::string entry_point;
    std::vector<std::string> rate_controls;
    std::vector<std::string> packed_headers;
    int64_t quality_levels = 0;  // 0: there is no choice.
    int64_t max_width = 0;       // 0: not known.
    int64_t max_height = 0;
  };
  struct Import {
    std::string format;
    std::vector<std::string> modifiers;
  };

  std::string device;  // "software", or a render node.
  State state = State::kFailed;
  // A stable word; "" when passed. not_usable, cannot_open, encode_failed,
  // not_playable, no_decoder, decode_failed, wrong_pictures, low_psnr, hung,
  // crashed, internal.
  std::string reason;
  std::string message;
  std::string stage;  // opening, encoding, decoding: where it is or ended.

  std::string kernel_driver;
  std::string driver;   // The VA driver's own name for itself.
  std::string encoder;  // "vaapi 1.17 ..., High"
  std::vector<Offer> offers;
  bool converts = false;  // On the GPU, from RGB.
  std::vector<Import> imports;

  double open_ms = 0;  // A trial included.
  uint64_t frames = 0;
  uint64_t bytes = 0;
  double frames_per_second = 0;  // By the clock.
  double cpu_ms_per_frame = 0;   // Of the whole process.
  // Decibels, of the worst picture and of the mean; kPsnrSame: not one sample
  // differs. 0: not measured.
  double luma_psnr_min = 0;
  double luma_psnr_mean = 0;
  double chroma_psnr_min = 0;
};

inline constexpr double kPsnrSame = 99;

struct SelfTestReport {
  int width = 0;
  int height = 0;
  int frames = 0;
  double luma_psnr_needed = 0;
  double chroma_psnr_needed = 0;
  std::vector<SelfTestDevice> devices;
};

const char* NameOf(SelfTestDevice::State state);

std::string ToJson(const SelfTestReport& report);
std::string ToJson(const SelfTestDevice& device);

// INVALID_ARGUMENT names the member.
absl::StatusOr<SelfTestReport> ParseSelfTestReport(absl::string_view json);
absl::StatusOr<SelfTestDevice> ParseSelfTestDevice(absl::string_view json);

}  // namespace kine
