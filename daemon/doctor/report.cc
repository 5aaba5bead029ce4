#include "daemon/doctor/report.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "ipc/json_out.h"

namespace kine {
namespace {

using Level = DoctorCheck::Level;

int Count(const DoctorReport& report, Level level) {
  return static_cast<int>(std::count_if(
      report.checks.begin(), report.checks.end(),
      [level](const auto& check) { return check.level == level; }));
}

// What others said goes into one line of its own and cannot fake another.
std::string OneLine(absl::string_view text) {
  std::string line(text);
  for (char& c : line)
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) c = ' ';
  return line;
}

void WriteCheck(JsonOut& out, const DoctorCheck& check) {
  out.BeginObject();
  out.Field("name", check.name);
  out.Field("level", NameOf(check.level));
  out.Field("summary", check.summary);
  out.FieldIfAny("remedy", check.remedy);
  out.End();
}

}  // namespace

bool DoctorReport::failed() const { return Count(*this, Level::kFail) > 0; }

std::string ToText(const DoctorReport& report) {
  const DoctorFacts& facts = report.facts;
  std::string text = absl::StrFormat(
      "kinescope %s; %s %s; %s; %d CPUs; user %s\n", facts.version,
      facts.kernel, facts.machine, facts.distribution, facts.cpus, facts.user);
  for (const auto& [name, value] : facts.environment)
    absl::StrAppend(&text, OneLine(absl::StrCat(name, "=", value)), "\n");
  absl::StrAppend(&text, "\n");
  for (const DoctorCheck& check : report.checks) {
    absl::StrAppendFormat(&text, "%-4s  %s: %s\n", NameOf(check.level),
                          OneLine(check.name), OneLine(check.summary));
    if (!check.remedy.empty())
      absl::StrAppend(&text, "      -> ", OneLine(check.remedy), "\n");
    for (const std::string& line : check.details)
      absl::StrAppend(&text, "      ", OneLine(line), "\n");
  }
  absl::StrAppendFormat(&text, "\n%d ok, %d warnings, %d failures\n",
                        Count(report, Level::kOk), Count(report, Level::kWarn),
                        Count(report, Level::kFail));
  return text;
}

std::string ToJson(const DoctorReport& report) {
  const DoctorFacts& facts = report.facts;
  std::string text;
  JsonOut out(text);
  out.BeginObject();
  out.Field("version", facts.version);
  out.Field("kernel", facts.kernel);
  out.Field("machine", facts.machine);
  out.Field("distribution", facts.distribution);
  out.Field("cpus", facts.cpus);
  out.Field("user", facts.user);
  out.BeginObject("environment");
  for (const auto& [name, value] : facts.environment) out.Field(name, value);
  out.End();
  out.BeginList("checks");
  for (const DoctorCheck& check : report.checks) WriteCheck(out, check);
  out.End();
  if (report.self_test.has_value())
    out.FieldRaw("self_test", ToJson(*report.self_test));
  out.Field("ok", Count(report, Level::kOk));
  out.Field("warnings", Count(report, Level::kWarn));
  out.Field("failures", Count(report, Level::kFail));
  out.End();
  return text;
}

}  // namespace kine
