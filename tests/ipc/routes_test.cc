#include "ipc/routes.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "daemon/base/status.h"

namespace kine {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Pair;

Route Make(Method method, absl::string_view path) {
  Route route;
  route.method = method;
  route.path = path;
  return route;
}

RouteTable Table() {
  std::vector<Route> routes;
  routes.push_back(Make(Method::kGet, "/v1/r"));
  routes.push_back(Make(Method::kPost, "/v1/r"));
  routes.push_back(Make(Method::kGet, "/v1/r/{id}"));
  routes.push_back(Make(Method::kDelete, "/v1/r/{id}"));
  routes.push_back(Make(Method::kGet, "/v1/r/latest"));
  routes.push_back(Make(Method::kPost, "/v1/r/{id}/stop/{why}"));
  return RouteTable(std::move(routes));
}

TEST(RoutesTest, FindsTheRouteAndTheNamesInItsPath) {
  const RouteTable table = Table();

  const RouteTable::Match match = table.Find(Method::kPost, "/v1/r/a b/stop/x");

  ASSERT_NE(match.route, nullptr);
  EXPECT_EQ(match.route->path, "/v1/r/{id}/stop/{why}");
  EXPECT_THAT(match.params, ElementsAre(Pair("id", "a b"), Pair("why", "x")));
}

TEST(RoutesTest, ALiteralWinsOverAName) {
  const RouteTable table = Table();

  EXPECT_EQ(table.Find(Method::kGet, "/v1/r/latest").route->path,
            "/v1/r/latest");
  EXPECT_EQ(table.Find(Method::kGet, "/v1/r/late").route->path, "/v1/r/{id}");
  EXPECT_EQ(table.Find(Method::kDelete, "/v1/r/latest").route->path,
            "/v1/r/{id}");
}

TEST(RoutesTest, HeadIsAnsweredByGet) {
  const RouteTable table = Table();

  EXPECT_EQ(table.Find(Method::kHead, "/v1/r").route->method, Method::kGet);
}

TEST(RoutesTest, AnUnknownMethodIsToldTheKnownOnes) {
  const RouteTable table = Table();

  EXPECT_EQ(table.Find(Method::kPut, "/v1/r").route, nullptr);
  EXPECT_EQ(table.Find(Method::kPut, "/v1/r").allow, "GET, HEAD, POST");
  EXPECT_EQ(table.Find(Method::kHead, "/v1/r/a/stop/b").allow, "POST");
}

TEST(RoutesTest, WhatIsNotThereIsNotFound) {
  const RouteTable table = Table();

  for (const char* path : {"/", "", "/v1", "/v1/r/", "/v1/r//stop/x", "//v1/r",
                           "/v1/r/a/b", "/v1/R", "/v1/r/a/stop/b/c"}) {
    const RouteTable::Match match = table.Find(Method::kGet, path);
    EXPECT_EQ(match.route, nullptr) << path;
    EXPECT_EQ(match.allow, "") << path;
  }
}

TEST(RoutesDeathTest, TwoRoutesThatLookTheSameAreABug) {
  std::vector<Route> routes;
  routes.push_back(Make(Method::kGet, "/v1/{a}"));
  routes.push_back(Make(Method::kGet, "/v1/{b}"));
  EXPECT_DEATH(RouteTable table(std::move(routes)), "check failed");
}

Request WithQuery(std::vector<NameValue> query) {
  Request request;
  request.query = std::move(query);
  return request;
}

TEST(RoutesTest, AWaitIsWhatWasAskedForAndNoLongerThanTheCap) {
  const absl::string_view allowed[] = {"first_frame", "ready"};

  EXPECT_EQ(ParseWait(WithQuery({}), allowed)->what, "");
  const auto wait = ParseWait(
      WithQuery({{"wait", "ready"}, {"timeout_ms", "1500"}}), allowed);
  EXPECT_EQ(wait->what, "ready");
  EXPECT_EQ(wait->timeout, absl::Milliseconds(1500));
  EXPECT_EQ(ParseWait(WithQuery({{"wait", "ready"}}), allowed)->timeout,
            absl::Minutes(5));
  EXPECT_TRUE(ParseWait(WithQuery({{"timeout_ms", "300000"}}), allowed).ok());
}

TEST(RoutesTest, ABadWaitIsRefusedByName) {
  const absl::string_view allowed[] = {"first_frame", "ready"};

  for (const char* bad : {"300001", "-1", "", "1s", "1.5"}) {
    const absl::Status status =
        ParseWait(WithQuery({{"timeout_ms", bad}}), allowed).status();
    EXPECT_EQ(FieldOf(status), "timeout_ms") << bad;
  }
  const absl::Status status =
      ParseWait(WithQuery({{"wait", "end"}}), allowed).status();
  EXPECT_EQ(FieldOf(status), "wait");
  EXPECT_THAT(std::string(status.message()), HasSubstr("first_frame, ready"));
}

TEST(RoutesTest, AcceptsReadsTheListAndItsWeights) {
  EXPECT_TRUE(Accepts("text/html, Application/X-NDJSON ;q=0.5",
                      "application/"
                      "x-ndjson"));
  EXPECT_FALSE(Accepts("application/x-ndjson;q=0", "application/x-ndjson"));
  EXPECT_FALSE(Accepts("application/x-ndjson;q=a", "application/x-ndjson"));
  EXPECT_FALSE(Accepts("*/*", "application/x-ndjson"));
  EXPECT_FALSE(Accepts("", "application/x-ndjson"));
}

// What was answered to one Reply.
struct Answers {
  std::vector<std::optional<Response>> all;
  std::shared_ptr<Reply::Sink> sink = std::make_shared<Reply::Sink>(
      [this](uint64_t, std::optional<Response> response) {
        all.push_back(std::move(response));
      });
};

TEST(ReplyTest, IsAnsweredOnceByWhoeverHasItLast) {
  Answers answers;
  {
    Reply first(answers.sink, 1);
    Reply second = std::move(first);
    second.Json(201, "{}");
    EXPECT_TRUE(second.answered());
  }

  ASSERT_EQ(answers.all.size(), 1u);
  EXPECT_EQ(answers.all[0]->status, 201);
}

TEST(ReplyTest, DroppedOrOverwrittenItSaysSo) {
  Answers answers;
  {
    Reply reply(answers.sink, 1);
    reply = Reply(answers.sink, 2);
    EXPECT_EQ(answers.all.size(), 1u);
  }

  ASSERT_EQ(answers.all.size(), 2u);
  EXPECT_FALSE(answers.all[0].has_value());
  EXPECT_FALSE(answers.all[1].has_value());
}

TEST(ReplyDeathTest, AnsweringTwiceIsABug) {
  Answers answers;
  Reply reply(answers.sink, 1);
  reply.Json(200, "{}");
  EXPECT_DEATH(reply.Json(200, "{}"), "check failed");
}

TEST(ReplyTest, WithoutItsServerItIsDropped) {
  Answers answers;
  Reply reply(answers.sink, 1);
  answers.sink.reset();

  reply.Fail(absl::NotFoundError("no such recording"));

  EXPECT_TRUE(answers.all.empty());
}

TEST(ProblemTest, EveryCodeHasItsHttpStatus) {
  const auto brief = [](const absl::Status& status) {
    const Problem problem = ProblemOf(status);
    return std::to_string(problem.status) + " " + problem.code;
  };
  EXPECT_EQ(brief(absl::InvalidArgumentError("")), "400 invalid_argument");
  EXPECT_EQ(brief(absl::PermissionDeniedError("")), "403 forbidden");
  EXPECT_EQ(brief(absl::NotFoundError("")), "404 not_found");
  EXPECT_EQ(brief(absl::AlreadyExistsError("")), "409 conflict");
  EXPECT_EQ(brief(absl::FailedPreconditionError("")), "409 wrong_state");
  EXPECT_EQ(brief(absl::ResourceExhaustedError("")), "429 limit");
  EXPECT_EQ(brief(absl::UnimplementedError("")), "501 not_supported");
  EXPECT_EQ(brief(absl::UnavailableError("")), "503 unavailable");
  EXPECT_EQ(brief(absl::DataLossError("")), "500 data_loss");
  EXPECT_EQ(brief(absl::InternalError("")), "500 internal");
  EXPECT_EQ(brief(ErrnoStatus(ENOSPC, "write")), "507 no_space");
  EXPECT_EQ(brief(ErrnoStatus(EDQUOT, "write")), "507 no_space");
}

TEST(ProblemTest, WhatOnlyHttpKnowsSurvivesTheLayersBetween) {
  const absl::Status status = WithContext(
      "recording 'a'",
      WithProblem(FieldError("idle.after", "is negative"), 410, "expired"));

  const Problem problem = ProblemOf(status);

  EXPECT_EQ(problem.status, 410);
  EXPECT_EQ(problem.code, "expired");
  EXPECT_EQ(problem.field, "idle.after");
  EXPECT_EQ(problem.message, "recording 'a': idle.after: is negative");
}

TEST(ProblemTest, IsWrittenWithTitleAndEscapes) {
  EXPECT_EQ(ProblemJson(Problem{404, "not_found", "no \"x\"\n", "d", ""}),
            "{\"type\":\"about:blank\",\"title\":\"Not Found\",\"status\":404,"
            "\"code\":\"not_found\",\"message\":\"no \\\"x\\\"\\n\","
            "\"detail\":\"d\"}");
  EXPECT_THAT(ProblemJson(Problem{400, "c", "m", "", "f"}),
              HasSubstr("\"field\":\"f\"}"));
}

}  // namespace
}  // namespace kine
