// Time, injectable. Two kinds that never mix: MonoTime is CLOCK_MONOTONIC (what
// media time, timers and deadlines use; the clock of PipeWire's header
// stamps), absl::Time is the wall clock (what people read; it may jump).
#pragma once

#include <compare>
#include <cstdint>
#include <limits>

#include "absl/time/time.h"

namespace kine {

// A point on CLOCK_MONOTONIC, in nanoseconds. Zero-initialised means "the
// clock's start", not "unset": use std::optional where a time can be missing.
class MonoTime {
 public:
  constexpr MonoTime() = default;
  static constexpr MonoTime FromNanos(int64_t nanos) { return MonoTime(nanos); }
  constexpr int64_t nanos() const { return nanos_; }
  constexpr int64_t micros() const { return nanos_ / 1000; }

  friend constexpr auto operator<=>(MonoTime, MonoTime) = default;
  // An infinite duration gives the last time there is, 292 years on.
  friend MonoTime operator+(MonoTime t, absl::Duration d) {
    int64_t nanos = 0;
    if (__builtin_add_overflow(t.nanos_, absl::ToInt64Nanoseconds(d), &nanos))
      nanos = d > absl::ZeroDuration() ? std::numeric_limits<int64_t>::max()
                                       : std::numeric_limits<int64_t>::min();
    return MonoTime(nanos);
  }
  friend MonoTime operator-(MonoTime t, absl::Duration d) {
    return MonoTime(t.nanos_ - absl::ToInt64Nanoseconds(d));
  }
  friend absl::Duration operator-(MonoTime a, MonoTime b) {
    return absl::Nanoseconds(a.nanos_ - b.nanos_);
  }

 private:
  explicit constexpr MonoTime(int64_t nanos) : nanos_(nanos) {}
  int64_t nanos_ = 0;
};

// Any thread may call a Clock at any time.
class Clock {
 public:
  virtual ~Clock() = default;
  virtual MonoTime Now() const = 0;
  virtual absl::Time Wall() const = 0;
};

// The kernel's clocks. Lives for the whole process.
const Clock& SystemClock();

}  // namespace kine
