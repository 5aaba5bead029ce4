// Files by sendfile(), with ranges, from a file loop of its own.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "daemon/base/limits.h"
#include "tests/ipc/http_world.h"

namespace kine {
namespace {

using ::testing::EndsWith;

constexpr size_t kSize = (3 << 20) + 17;
constexpr char kTag[] = "\"a-1\"";

class ServerFileTest : public ::testing::TestWithParam<uint64_t> {
 protected:
  ServerFileTest() : http_(Routes(), GetParam()) {}

  std::vector<Route> Routes() {
    std::vector<Route> routes;
    routes.push_back(
        {Method::kGet,
         "/f",
         "",
         "0.1.0",
         {},
         Route::Body::kNone,
         false,
         [this](Request, Reply reply) {
           Response response;
           response.content_type = "video/mp4";
           response.body = FileBody{file_, offset_, size_, kTag, before_};
           reply.Send(std::move(response));
         }});
    routes.push_back({Method::kGet,
                      "/s",
                      "",
                      "0.1.0",
                      {},
                      Route::Body::kNone,
                      false,
                      [this](Request, Reply reply) { reply.Send(Stream()); }});
    return routes;
  }
  // Of pieces: a word, or a range of the file, or both.
  Response Stream() {
    Response response;
    response.content_type = "video/mp4";
    StreamBody body;
    auto at = std::make_shared<size_t>(0);
    body.start = [this](StreamBody::Wake wake) { wake_ = std::move(wake); };
    body.read = [this, at](size_t, std::string& out) {
      if (*at == pieces_.size())
        return more_ ? StreamBody::State::kWait : StreamBody::State::kEnd;
      out = pieces_[(*at)++].first;
      return StreamBody::State::kMore;
    };
    body.files = [this, at] {
      std::vector<FileRange> files;
      if (const size_t size = pieces_[*at - 1].second; size > 0)
        files.push_back({file_, *at, size});
      return files;
    };
    response.body = std::move(body);
    return response;
  }
  std::string Ask(RawClient& client, absl::string_view fields,
                  absl::string_view method = "GET") {
    return client.Ask(
        absl::StrCat(method, " /f HTTP/1.1\r\nHost: k\r\n", fields, "\r\n"));
  }

  const std::string bytes_ = Pattern(kSize);
  std::shared_ptr<const UniqueFd> file_ = FileOf(bytes_);
  uint64_t offset_ = 0;
  uint64_t size_ = kSize;
  std::vector<FileRange> before_;
  std::vector<std::pair<std::string, size_t>> pieces_;
  bool more_ = false;
  StreamBody::Wake wake_;
  HttpWorld http_;
};

// Under several schedules of the two loops.
INSTANTIATE_TEST_SUITE_P(Seeds, ServerFileTest,
                         ::testing::Range<uint64_t>(1, 9));

TEST_P(ServerFileTest, SendsTheWholeFileExactly) {
  RawClient client(http_);

  const std::string answer = Ask(client, "");

  EXPECT_EQ(StatusOf(answer), 200);
  EXPECT_EQ(FieldOfResponse(answer, "Content-Length"), absl::StrCat(kSize));
  EXPECT_EQ(FieldOfResponse(answer, "Accept-Ranges"), "bytes");
  EXPECT_EQ(FieldOfResponse(answer, "ETag"), kTag);
  EXPECT_TRUE(BodyOf(answer) == bytes_);
  EXPECT_EQ(http_.server->metrics().bytes_out.value(), answer.size());
}

TEST_P(ServerFileTest, SendsRangesExactlyOneAfterTheOther) {
  RawClient client(http_);
  for (const auto& [first, last] : {std::pair<size_t, size_t>{0, 0},
                                    {1, 1 << 20},
                                    {4095, 4096},
                                    {(2 << 20) - 1, kSize - 1}}) {
    const std::string answer =
        Ask(client, absl::StrCat("Range: bytes=", first, "-", last, "\r\n"));

    EXPECT_EQ(StatusOf(answer), 206);
    EXPECT_EQ(FieldOfResponse(answer, "Content-Range"),
              absl::StrCat("bytes ", first, "-", last, "/", kSize));
    EXPECT_TRUE(BodyOf(answer) == bytes_.substr(first, last - first + 1));
  }
}

TEST_P(ServerFileTest, ABodyThatBeginsInsideItsFileIsCountedFromThere) {
  offset_ = 1'000;
  size_ = 500;
  RawClient client(http_);

  const std::string answer = Ask(client, "Range: bytes=-10\r\n");

  EXPECT_EQ(FieldOfResponse(answer, "Content-Range"), "bytes 490-499/500");
  EXPECT_EQ(BodyOf(answer), bytes_.substr(1'490, 10));
}

TEST_P(ServerFileTest, WhatComesBeforeARangeIsPartOfTheWhole) {
  const std::string head = "the head of a view";
  before_ = {{FileOf(head), 4, head.size() - 4}, {file_, 7, 3}};
  offset_ = 1'000;
  size_ = 2'000'000;
  const std::string whole =
      head.substr(4) + bytes_.substr(7, 3) + bytes_.substr(offset_, size_);
  RawClient client(http_);

  const std::string all = Ask(client, "");
  EXPECT_EQ(FieldOfResponse(all, "Content-Length"), absl::StrCat(whole.size()));
  EXPECT_TRUE(BodyOf(all) == whole);
  // Within the first, across all, from within the second, the last bytes.
  for (const auto& [first, last] : {std::pair<size_t, size_t>{1, 3},
                                    {13, 18},
                                    {2, whole.size() - 1},
                                    {15, 15},
                                    {whole.size() - 1, whole.size() - 1}}) {
    const std::string part =
        Ask(client, absl::StrCat("Range: bytes=", first, "-", last, "\r\n"));
    EXPECT_EQ(FieldOfResponse(part, "Content-Range"),
              absl::StrCat("bytes ", first, "-", last, "/", whole.size()));
    EXPECT_TRUE(BodyOf(part) == whole.substr(first, last - first + 1)) << first;
  }
}

TEST_P(ServerFileTest, AStreamGoesOnInFilesWithinItsChunks) {
  pieces_ = {{"head ", 0}, {"", 1'000'000}, {"text ", 3}};
  more_ = true;
  RawClient client(http_);

  std::string answer = client.Ask(Get("/s"));
  const std::string so_far = "5\r\nhead \r\nf4240\r\n" +
                             bytes_.substr(2, 1'000'000) + "\r\n8\r\ntext " +
                             bytes_.substr(3, 3) + "\r\n";
  EXPECT_TRUE(BodyOf(answer) == so_far);

  pieces_.emplace_back("", 1);
  more_ = false;
  wake_();
  answer += client.Read();

  EXPECT_TRUE(BodyOf(answer) ==
              so_far + "1\r\n" + bytes_.substr(4, 1) + "\r\n0\r\n\r\n");
}

TEST_P(ServerFileTest, AStoppingServerEndsAStreamBehindItsOpenChunk) {
  pieces_ = {{"", 3'000'000}, {"never", 0}};
  RawClient client(http_);
  client.Send(Get("/s"));  // Is not read: the chunk waits for room.
  http_.server->Drain([] {});

  const std::string answer = client.Read();

  EXPECT_TRUE(BodyOf(answer) ==
              "2dc6c0\r\n" + bytes_.substr(1, 3'000'000) + "\r\n0\r\n\r\n");
  EXPECT_TRUE(client.ended());
}

TEST_P(ServerFileTest, AStreamWhoseClientDoesNotReadIsCutInTime) {
  pieces_ = {{"", 3'000'000}};
  RawClient client(http_);
  client.Send(Get("/s"));

  http_.world.Advance(absl::Milliseconds(limits::kWriteStallMs + 1'000));

  EXPECT_EQ(http_.server->metrics().streams.value(), 0);
  EXPECT_EQ(http_.server->metrics().timeouts.value(), 1u);
}

TEST_P(ServerFileTest, WhatCannotBeSatisfiedOrIsKnownIsToldWithoutTheFile) {
  RawClient client(http_);

  const std::string beyond =
      Ask(client, absl::StrCat("Range: bytes=", kSize, "-\r\n"));
  EXPECT_EQ(StatusOf(beyond), 416);
  EXPECT_EQ(FieldOfResponse(beyond, "Content-Range"),
            absl::StrCat("bytes */", kSize));
  EXPECT_EQ(FieldOfResponse(beyond, "Content-Type"),
            "application/problem+json");

  const std::string known =
      Ask(client, absl::StrCat("If-None-Match: ", kTag, "\r\n"));
  EXPECT_EQ(StatusOf(known), 304);
  EXPECT_EQ(FieldOfResponse(known, "ETag"), kTag);
  EXPECT_EQ(FieldOfResponse(known, "Content-Length"), "");
  EXPECT_THAT(known, EndsWith("\r\n\r\n"));

  const std::string head = Ask(client, "", "HEAD");
  EXPECT_EQ(FieldOfResponse(head, "Content-Length"), absl::StrCat(kSize));
  EXPECT_THAT(head, EndsWith("\r\n\r\n"));
  EXPECT_EQ(StatusOf(Ask(client, "Range: bytes=0-0\r\n")), 206);
}

TEST_P(ServerFileTest, AnEmptyFileIsAnEmptyBody) {
  size_ = 0;
  RawClient client(http_);

  const std::string answer = Ask(client, "");

  EXPECT_EQ(FieldOfResponse(answer, "Content-Length"), "0");
  EXPECT_EQ(BodyOf(answer), "");
  EXPECT_FALSE(client.ended());
}

TEST_P(ServerFileTest, AFileShorterThanPromisedCutsTheConnection) {
  size_ = kSize + 1;
  RawClient client(http_);

  const std::string answer = Ask(client, "");

  EXPECT_EQ(BodyOf(answer).size(), kSize);
  EXPECT_TRUE(client.ended());
}

TEST_P(ServerFileTest, AClientThatLeavesEndsItsTransferAndNoOther) {
  auto leaver = std::make_unique<RawClient>(http_);
  RawClient stayer(http_);
  const std::string request = "GET /f HTTP/1.1\r\nHost: k\r\n\r\n";
  leaver->Send(request);
  stayer.Send(request);

  leaver->Leave();

  EXPECT_TRUE(BodyOf(stayer.Read()) == bytes_);
  EXPECT_EQ(http_.server->metrics().connections.value(), 1);
  EXPECT_EQ(http_.file_loop.watch_count(), 0u);
  EXPECT_EQ(file_.use_count(), 1);
}

TEST_P(ServerFileTest, AServerThatGoesInMidTransferLeavesNothingBehind) {
  RawClient client(http_);
  client.Send("GET /f HTTP/1.1\r\nHost: k\r\n\r\n");
  EXPECT_GT(file_.use_count(), 1);

  http_.server.reset();
  http_.world.Settle();

  EXPECT_EQ(file_.use_count(), 1);
  EXPECT_EQ(http_.file_loop.watch_count(), 0u);
  EXPECT_EQ(http_.loop.watch_count(), 0u);
  EXPECT_EQ(http_.loop.timer_count(), 0u);
}

}  // namespace
}  // namespace kine
