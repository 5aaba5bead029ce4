#include "daemon/control/recovery/recovery_report.h"

#include <utility>

#include "daemon/base/limits/recovery.h"

namespace kine {
namespace {

// Texts of ours.
constexpr JsonTextRule kText{0, 1'024, JsonTextRule::kAny};

}  // namespace

void WriteRecoveryMembers(JsonOut& out, const RecoveryReport& report) {
  out.Field("found", report.found);
  out.Field("reason", report.reason);
  out.Field("frames", report.frames);
  out.Field("bytes", report.bytes);
  out.Field("durable_us", report.durable_us);
  out.Field("duration_us", report.duration_us);
  out.Field("lost_us", report.lost_us);
  out.Field("took_us", report.took_us);
  out.BeginList("damaged");
  for (const SideFileDamage& damage : report.damaged) {
    out.BeginObject();
    out.Field("file", damage.file);
    out.Field("what", damage.what);
    out.End();
  }
  out.End();
}

void WriteRecovery(JsonOut& out, const RecoveryReport& report) {
  out.BeginObject("recovery");
  WriteRecoveryMembers(out, report);
  out.End();
}

RecoveryReport BindRecovery(JsonObject& o) {
  RecoveryReport report;
  o.Text("found", report.found, kText);
  o.Text("reason", report.reason, kText);
  o.Int("frames", report.frames);
  o.Int("bytes", report.bytes);
  o.Int("durable_us", report.durable_us);
  o.Int("duration_us", report.duration_us);
  o.Int("lost_us", report.lost_us);
  o.Int("took_us", report.took_us);
  o.List("damaged", limits::kSideFilesDamagedMax, [&report](JsonObject& item) {
    SideFileDamage damage;
    item.Text("file", damage.file, kText);
    item.Text("what", damage.what, kText);
    report.damaged.push_back(std::move(damage));
  });
  return report;
}

}  // namespace kine
