// kinectl doctor: what a bug report needs, with or without a daemon.
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "daemon/base/limits.h"
#include "daemon/base/status.h"
#include "daemon/doctor/checks.h"
#include "daemon/doctor/doctor_limits.h"
#include "daemon/doctor/facts.h"
#include "daemon/doctor/report.h"
#include "daemon/programs/run_to_end.h"
#include "tools/kinectl/values.h"
#include "tools/kinectl/verbs.h"

namespace kinectl {
namespace {

kine::DoctorFacts::Daemon AskDaemon(kine::Client& client) {
  kine::DoctorFacts::Daemon daemon;
  kine::ClientRequest request;
  request.target = "/v1/info";
  request.deadline = absl::Seconds(5);
  const auto reply = client.Call(request);
  daemon.reached = reply.ok() ? kine::ProblemOfReply(*reply) : reply.status();
  if (daemon.reached.ok()) daemon.reached = kine::BindInfo(reply->body, daemon);
  return daemon;
}

absl::StatusOr<kine::SelfTestReport> SelfTest(const Session& session,
                                              const kine::DoctorFacts& facts,
                                              const std::string& render_node,
                                              absl::Duration limit) {
  if (facts.recorder.empty())
    return absl::FailedPreconditionError(facts.recorder_error);
  kine::ProgramCommand command;
  command.path = facts.recorder;
  command.argv = {
      facts.recorder, "--self_test",
      absl::StrCat("--self_test_limit=", absl::FormatDuration(limit))};
  if (!render_node.empty())
    command.argv.push_back(absl::StrCat("--render_node=", render_node));
  KINE_ASSIGN_OR_RETURN(
      const kine::RunResult run,
      kine::RunToEnd(
          std::move(command),
          {.deadline = absl::Milliseconds(kine::limits::kSelfTestMs) +
                       limit * (kine::limits::kSelfTestNodesMax + 1),
           .output_bytes = kine::limits::kSelfTestBytesMax,
           .cancel_fd = session.signals()}));
  if (run.hung)
    return absl::DeadlineExceededError("hung: the self-test did not end");
  if (run.exit.signaled || run.exit.code != 0)
    return absl::InternalError(
        absl::StrCat("the self-test ended with ", kine::ExitText(run.exit),
                     ": ", absl::StripSuffix(run.errors, "\n")));
  auto report = kine::ParseSelfTestReport(run.output);
  if (!report.ok())
    return kine::WithContext("the self-test's answer", report.status());
  return report;
}

}  // namespace

int RunDoctor(Session& session, const Args& args) {
  absl::Duration limit = absl::Milliseconds(kine::limits::kSelfTestDeviceMs);
  if (args.Has("timeout")) {
    const auto parsed = ParseDuration(args.Get("timeout"));
    if (!parsed.ok())
      return session.Fail(kine::WithContext("--timeout", parsed.status()),
                          kUsage);
    limit = *parsed;
  }
  kine::DoctorReport report;
  report.facts = kine::GatherFacts(AskDaemon(session.client()));
  report.checks = kine::CheckFacts(report.facts);
  if (args.Has("self_test")) {
    session.Progress("testing the encoders...");
    // What the daemon was told to use is what it should be tested with.
    const std::string node = args.Has("render_node")
                                 ? args.Get("render_node")
                                 : report.facts.daemon.render_node;
    auto self_test = SelfTest(session, report.facts, node, limit);
    if (absl::IsCancelled(self_test.status()))
      return session.Fail(self_test.status(), kCancelled);
    for (kine::DoctorCheck& check : kine::CheckSelfTest(self_test))
      report.checks.push_back(std::move(check));
    if (self_test.ok()) report.self_test = *std::move(self_test);
  }
  session.Print(ToJson(report), ToText(report));
  return report.failed() ? kFailed : kDone;
}

}  // namespace kinectl
