#include "ipc/http_parser.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "daemon/base/limits.h"
#include "tests/ipc/http_requests.h"

namespace kine {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::Pair;

// Everything that a stream of bytes means, in one text that can be compared.
class Verdicts {
 public:
  void Feed(absl::string_view bytes) {
    if (refused_) return;
    parser_.Append(bytes);
    while (true) {
      switch (parser_.Next()) {
        case RequestParser::Verdict::kMore:
          return;
        case RequestParser::Verdict::kContinue:
          text_ += "continue\n";
          break;
        case RequestParser::Verdict::kRequest: {
          const ParsedHead head = parser_.Take();
          text_ += "request " + head.request.path + " " + head.request.body +
                   (head.keep_alive ? "\n" : " close\n");
          bodies_.push_back(head.request.body);
          break;
        }
        case RequestParser::Verdict::kRefused:
          refused_ = true;
          text_ += "refused " + std::to_string(parser_.problem().status) + " " +
                   parser_.problem().code + " " + parser_.problem().message;
          return;
      }
    }
  }
  bool refused() const { return refused_; }
  const std::string& text() const { return text_; }
  const std::vector<std::string>& bodies() const { return bodies_; }
  const RequestParser& parser() const { return parser_; }

 private:
  RequestParser parser_;
  bool refused_ = false;
  std::string text_;
  std::vector<std::string> bodies_;
};

// Every place where cutting may matter: all of them, but in the sizeable cases
// only those near an end and near a limit.
std::set<size_t> CutsOf(size_t size) {
  std::set<size_t> cuts;
  for (size_t i = 0; i <= size; ++i) {
    bool near = size <= 4096 || i < 300 || i + 300 > size;
    for (const size_t limit : {2048u, 16384u, 65536u})
      near = near || (i + 40 > limit && i < limit + 60);
    if (near) cuts.insert(i);
  }
  return cuts;
}

void ExpectTheSameHoweverCut(const std::string& bytes,
                             const std::string& expected) {
  for (const size_t cut : CutsOf(bytes.size())) {
    Verdicts verdicts;
    verdicts.Feed(absl::string_view(bytes).substr(0, cut));
    verdicts.Feed(absl::string_view(bytes).substr(cut));
    ASSERT_EQ(verdicts.text(), expected) << "cut at " << cut;
  }
  Verdicts bytewise;
  for (const char byte : bytes) {
    bytewise.Feed(absl::string_view(&byte, 1));
    if (bytewise.refused()) break;
  }
  ASSERT_EQ(bytewise.text(), expected) << "byte by byte";
}

TEST(HttpParserTest, RefusesEveryHostileRequestHoweverItIsCut) {
  const std::vector<HttpCase> cases = HostileRequests();
  ASSERT_GE(cases.size(), 53u);
  for (const HttpCase& hostile : cases) {
    SCOPED_TRACE(hostile.name);
    Verdicts whole;
    whole.Feed(hostile.bytes);
    EXPECT_TRUE(whole.refused());
    EXPECT_THAT(whole.bodies(), IsEmpty());
    EXPECT_EQ(whole.parser().problem().status, hostile.status)
        << whole.parser().problem().message;
    ExpectTheSameHoweverCut(hostile.bytes, whole.text());
  }
}

TEST(HttpParserTest, TakesEveryLegalRequestHoweverItIsCut) {
  for (const LegalCase& legal : LegalRequests()) {
    SCOPED_TRACE(legal.name);
    Verdicts whole;
    whole.Feed(legal.bytes);
    EXPECT_FALSE(whole.refused()) << whole.text();
    EXPECT_EQ(whole.bodies(), legal.bodies);
    ExpectTheSameHoweverCut(legal.bytes, whole.text());
  }
}

TEST(HttpParserTest, RefusalsStayRefusalsWhateverFollows) {
  RequestParser parser;
  parser.Append("GET /e HTTP/1.1\r\n\r\n");
  EXPECT_EQ(parser.Next(), RequestParser::Verdict::kRefused);

  parser.Append("GET /e HTTP/1.1\r\nHost: k\r\n\r\n");

  EXPECT_EQ(parser.Next(), RequestParser::Verdict::kRefused);
}

TEST(HttpParserTest, TellsWhichDeadlineRuns) {
  RequestParser parser;
  EXPECT_FALSE(parser.in_head());
  EXPECT_FALSE(parser.in_body());

  parser.Append("P");
  EXPECT_EQ(parser.Next(), RequestParser::Verdict::kMore);
  EXPECT_TRUE(parser.in_head());

  parser.Append("OST /e HTTP/1.1\r\nHost: k\r\nContent-Length: 2\r\n\r\nh");
  EXPECT_EQ(parser.Next(), RequestParser::Verdict::kMore);
  EXPECT_FALSE(parser.in_head());
  EXPECT_TRUE(parser.in_body());

  parser.Append("i");
  EXPECT_EQ(parser.Next(), RequestParser::Verdict::kRequest);
  (void)parser.Take();
  EXPECT_FALSE(parser.in_head());
  EXPECT_FALSE(parser.in_body());
}

ParsedHead Parsed(const std::string& head) {
  auto parsed = ParseHead(head);
  if (const auto* problem = std::get_if<Problem>(&parsed)) {
    ADD_FAILURE() << problem->message;
    return ParsedHead();
  }
  return std::get<ParsedHead>(std::move(parsed));
}

TEST(HttpParserTest, ReadsTheFieldsThatMeanSomething) {
  const ParsedHead head = Parsed(
      "DELETE /v1/a%20b?since=x-1&q=a+b%2B%26 HTTP/1.1\r\nhost: k\r\n"
      "RANGE:  bytes=0-1 \r\nIf-Range: \"a\"\r\nIf-None-Match: \"b\"\r\n"
      "Accept: text/plain\r\nLast-Event-ID: i-7\r\nCoder-Chat-Id: me\r\n"
      "Idempotency-Key: k1\r\nContent-Length: 3\r\n"
      "Connection: keep-alive, Close\r\n\r\n");

  EXPECT_EQ(head.request.method, Method::kDelete);
  EXPECT_EQ(head.request.path, "/v1/a b");
  EXPECT_THAT(head.request.query,
              ElementsAre(Pair("since", "x-1"), Pair("q", "a b+&")));
  EXPECT_EQ(head.request.range, "bytes=0-1");
  EXPECT_EQ(head.request.if_range, "\"a\"");
  EXPECT_EQ(head.request.if_none_match, "\"b\"");
  EXPECT_EQ(head.request.accept, "text/plain");
  EXPECT_EQ(head.request.last_event_id, "i-7");
  EXPECT_EQ(head.request.owner, "me");
  EXPECT_EQ(head.request.idempotency_key, "k1");
  EXPECT_EQ(head.content_length, 3u);
  EXPECT_FALSE(head.keep_alive);
  EXPECT_FALSE(head.chunked);
}

TEST(HttpParserTest, AnOldClientIsNeverKeptAlive) {
  const ParsedHead head =
      Parsed("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");

  EXPECT_FALSE(head.http11);
  EXPECT_FALSE(head.keep_alive);
}

TEST(HttpParserTest, NobodyIsToldToContinueWithoutABodyOrOnHttp10) {
  EXPECT_FALSE(
      Parsed("GET / HTTP/1.1\r\nHost: k\r\nExpect: 100-continue\r\n\r\n")
          .expects_continue);
  EXPECT_FALSE(Parsed("POST / HTTP/1.0\r\nContent-Length: 1\r\n"
                      "Expect: 100-continue\r\n\r\n")
                   .expects_continue);
}

TEST(HttpParserTest, NamesTheParameterThatIsThereTwice) {
  Request request;
  const absl::Status status = ParseTarget("/x?wait=a&wait=b", request);

  EXPECT_EQ(FieldOf(status), "wait");
  EXPECT_EQ(ProblemOf(status).status, 400);
}

}  // namespace
}  // namespace kine
