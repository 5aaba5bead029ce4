#include "daemon/base/clock.h"

#include <ctime>

#include "absl/time/clock.h"

namespace kine {
namespace {

class KernelClock final : public Clock {
 public:
  MonoTime Now() const override {
    timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return MonoTime::FromNanos(ts.tv_sec * int64_t{1'000'000'000} + ts.tv_nsec);
  }
  absl::Time Wall() const override {
    // Not absl::Now(): it extrapolates from the TSC and may lag a settimeofday.
    timespec ts;
    clock_gettime(CLOCK_REALTIME, &ts);
    return absl::TimeFromTimespec(ts);
  }
};

}  // namespace

const Clock& SystemClock() {
  static const KernelClock kClock;
  return kClock;
}

}  // namespace kine
