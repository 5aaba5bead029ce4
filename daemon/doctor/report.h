// The report of `kinectl doctor`: as text to be pasted into a bug, and as JSON.
// Pure; any thread.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "daemon/doctor/checks.h"
#include "daemon/doctor/facts.h"

namespace kine {

struct DoctorReport {
  DoctorFacts facts;
  std::vector<DoctorCheck> checks;
  // As the recorder gave it, when it was asked for and came.
  std::optional<SelfTestReport> self_test;

  bool failed() const;
};

std::string ToText(const DoctorReport& report);
std::string ToJson(const DoctorReport& report);

}  // namespace kine
