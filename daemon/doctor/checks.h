// Facts -> findings: what is in order, what costs something, what does not
// work, and what to do about it. Pure; any thread.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "daemon/doctor/facts.h"
#include "daemon/doctor/self_test_report.h"

namespace kine {

struct DoctorCheck {
  enum class Level {
    kOk,
    kWarn,  // It works without, or it may be meant so.
    kFail,
  };
  std::string name;
  Level level = Level::kOk;
  std::string summary;  // One line.
  std::string remedy;   // "" = none is needed, or known.
  // More lines, for people who compare.
  std::vector<std::string> details;
};
const char* NameOf(DoctorCheck::Level level);

std::vector<DoctorCheck> CheckFacts(const DoctorFacts& facts);

// One a device. An error: the self-test could not be run.
std::vector<DoctorCheck> CheckSelfTest(
    const absl::StatusOr<SelfTestReport>& report);

}  // namespace kine
