// The one wait of the mount for coder's clients that runs out: its 5 minutes
// pass when the test says so.
#include <gmock/gmock.h>

#include "daemon/base/limits.h"
#include "daemon/control/commands/process_routes.h"
#include "daemon/output/output_pool.h"
#include "tests/control/control_rig.h"
#include "tests/fakes/impatient_loop.h"
#include "tests/process/process_rig.h"

namespace kine {
namespace {

using testing::AllOf;
using testing::HasSubstr;

class CompatWaitTest : public testing::Test {
 protected:
  CompatWaitTest() { table_.Load(); }
  ~CompatWaitTest() override {
    bool done = false;
    table_.Shutdown([&done] { done = true; });
    rig_.RunUntil([&done] { return done; });
    rig_.StopFileIo();
  }

  // The answer when it comes; empty until then.
  std::shared_ptr<std::string> Call(Method method, const std::string& path,
                                    const std::string& body,
                                    std::vector<NameValue> query = {}) {
    const RouteTable::Match match = routes_.Find(method, path);
    Request request;
    request.method = method;
    request.path = path;
    request.params = match.params;
    request.query = std::move(query);
    request.body = body;
    const auto answer = std::make_shared<std::string>();
    sinks_.push_back(std::make_shared<Reply::Sink>(
        [answer](uint64_t, std::optional<Response> response) {
          ASSERT_TRUE(response.has_value());
          EXPECT_EQ(response->status, 200);
          *answer = std::get<std::string>(response->body);
        }));
    match.route->handler(std::move(request), Reply(sinks_.back(), 1));
    return answer;
  }
  const std::string& After(const std::shared_ptr<std::string>& answer) {
    rig_.RunUntil([&] { return !answer->empty(); });
    return *answer;
  }

  ControlRig rig_;
  ImpatientLoop loop_{rig_.loop()};
  Spawner spawner_{loop_, rig_.spawn_loop()};
  SilentObserver observer_;
  Cgroups cgroups_ = Cgroups::FindIn("", "", "none");
  const UniqueFd directory_{
      ::open(rig_.path().c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)};
  OutputPool pool_{loop_, rig_.context().file_io, directory_.get()};
  ProcessContext context_{
      loop_,      spawner_,   cgroups_, observer_, directory_.get(),
      ExecPath(), "instance", "boot",   "",        1024};
  ProcessTable table_{context_,
                      [this](const ProcessRequest& request, ProcessFds fds,
                             ProcessOutput::Client& client) {
                        return pool_.Make(request, std::move(fds), client);
                      }};
  CompatProcesses compat_{loop_.clock(), table_, pool_};
  RouteTable routes_{compat_.Routes()};
  std::vector<std::shared_ptr<Reply::Sink>> sinks_;
};

TEST_F(CompatWaitTest, RunsOutAfterFiveMinutesWithWhatIsThere) {
  After(Call(Method::kPost, "/api/v0/processes/start",
             R"({"command":"echo begun; exec sleep 1000"})"));
  const std::string chapter = observer_.chapters.at(0);
  const std::string id = chapter.substr(0, chapter.find(' '));
  const std::string output = "/api/v0/processes/" + id + "/output";
  const auto still_runs =
      AllOf(HasSubstr(R"("output":"begun\n")"), HasSubstr(R"("running":true)"));
  std::string now;
  while (now.find("begun") == std::string::npos)
    now = After(Call(Method::kGet, output, ""));
  const auto wait = Call(Method::kGet, output, "", {{"wait", "true"}});
  const auto other = Call(Method::kGet, output, "", {{"wait", "true"}});
  EXPECT_EQ(*wait, "");
  ASSERT_TRUE(loop_.Expire(absl::Minutes(5)));
  EXPECT_THAT(After(wait), still_runs);
  EXPECT_EQ(*other, "");  // Its own five minutes.
  ASSERT_TRUE(loop_.Expire(absl::Minutes(5)));
  EXPECT_THAT(After(other), still_runs);
  EXPECT_FALSE(loop_.Expire(absl::Minutes(5)));
}

}  // namespace
}  // namespace kine
