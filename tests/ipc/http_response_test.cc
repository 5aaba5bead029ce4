#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "ipc/client.h"

namespace kine {
namespace {

struct Read {
  absl::Status status;
  bool done = false;
  std::string body;
  int code = 0;
  size_t used = 0;
};

// Feeds `text` in pieces of `step` bytes and then the end of the connection.
Read ReadIn(absl::string_view text, size_t step, bool bodyless = false) {
  HttpResponseReader reader(bodyless);
  Read read;
  const auto body = [&read](absl::string_view piece) {
    read.body.append(piece.data(), piece.size());
    return absl::OkStatus();
  };
  for (size_t at = 0; at < text.size() && !reader.done();) {
    const auto used = reader.Feed(text.substr(at, step), body);
    if (!used.ok()) {
      read.status = used.status();
      return read;
    }
    at += *used;
    read.used = at;
  }
  read.status = reader.done() ? absl::OkStatus() : reader.Eof();
  read.done = reader.done();
  read.code = reader.head().status;
  return read;
}

const struct {
  const char* name;
  absl::string_view text;
  const char* body;
} kGood[] = {
    {"length", "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc", "abc"},
    {"empty", "HTTP/1.1 201 Created\r\ncontent-length:0\r\n\r\n", ""},
    {"no phrase", "HTTP/1.1 204 \r\n\r\n", ""},
    {"until the end", "HTTP/1.1 200 OK\r\nX: y\r\n\r\nabcd", "abcd"},
    {"chunks",
     "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
     "1\r\na\r\n00A\r\n0123456789\r\n0\r\n\r\n",
     "a0123456789"},
    {"chunk with line ends inside",
     "HTTP/1.1 200 OK\r\nTransfer-Encoding: CHUNKED\r\n\r\n"
     "4\r\n\r\n\r\n\r\n0\r\n\r\n",
     "\r\n\r\n"},
};

TEST(HttpResponse, GoodOnesAreReadAlikeHoweverTheyAreCut) {
  for (const auto& good : kGood) {
    for (size_t step = 1; step <= good.text.size(); ++step) {
      const Read read = ReadIn(good.text, step);
      ASSERT_TRUE(read.status.ok()) << good.name << " " << read.status;
      ASSERT_TRUE(read.done) << good.name;
      ASSERT_EQ(read.body, good.body) << good.name << " step " << step;
    }
  }
}

TEST(HttpResponse, BytesBehindTheEndAreLeftAlone) {
  const std::string two =
      "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\naHTTP/1.1";
  const Read read = ReadIn(two, two.size());
  EXPECT_EQ(read.used, two.size() - 8);
  EXPECT_EQ(read.body, "a");
}

TEST(HttpResponse, HeadHasNoBodyWhateverItsLength) {
  const Read read =
      ReadIn("HTTP/1.1 200 OK\r\nContent-Length: 300\r\n\r\n", 7, true);
  EXPECT_TRUE(read.status.ok()) << read.status;
  EXPECT_TRUE(read.done);
}

TEST(HttpResponse, EveryPrefixOfACountedOneIsReportedAsCut) {
  for (const auto& good : kGood) {
    if (std::string(good.name) == "until the end") continue;
    for (size_t cut = 1; cut < good.text.size(); ++cut) {
      const Read read = ReadIn(good.text.substr(0, cut), 1);
      EXPECT_EQ(read.status.code(), absl::StatusCode::kDataLoss)
          << good.name << " cut at " << cut;
    }
  }
}

TEST(HttpResponse, BadOnesAreRefusedHoweverTheyAreCut) {
  const std::string chunked =
      "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
  const std::string bad[] = {
      "HTTP/1.0 200 OK\r\n\r\n",
      "HTTP/1.1 100 Continue\r\n\r\n",
      "HTTP/1.1 99 X\r\n\r\n",
      "HTTP/1.1 600 X\r\n\r\n",
      "HTTP/1.1 2x0 X\r\n\r\n",
      "HTTP/1.1 200\r\n\r\n",
      "\r\nHTTP/1.1 200 OK\r\n\r\n",
      "HTTP/1.1 200 OK\n\n",
      "HTTP/1.1 200 OK\r\nA b: c\r\n\r\n",
      "HTTP/1.1 200 OK\r\n: c\r\n\r\n",
      "HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
      "HTTP/1.1 200 OK\r\nA: b\r\n folded\r\n\r\n",
      "HTTP/1.1 200 OK\r\nA: b\x01\r\n\r\n",
      "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\na",
      "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
      "HTTP/1.1 200 OK\r\nContent-Length: +1\r\n\r\na",
      "HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\n",
      "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n",
      "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 1"
      "\r\n\r\n0\r\n\r\n",
      "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n"
      "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
      chunked + "1;ext=1\r\na\r\n0\r\n\r\n",
      chunked + "g\r\n",
      chunked + "\r\n",
      chunked + "1\r\nab\r\n0\r\n\r\n",
      chunked + "1\r\na\n0\r\n\r\n",
      chunked + "0\r\nTrailer: x\r\n\r\n",
      chunked + "11111111111111111\r\n",
      "HTTP/1.1 200 OK\r\nA: " + std::string(17'000, 'x') + "\r\n\r\n",
  };
  for (const std::string& text : bad) {
    for (const size_t step : {size_t{1}, size_t{2}, size_t{7}, text.size()}) {
      const Read read = ReadIn(text, step);
      EXPECT_EQ(read.status.code(), absl::StatusCode::kDataLoss)
          << text.substr(0, 120) << " step " << step;
      EXPECT_FALSE(read.done) << text.substr(0, 120);
    }
  }
}

}  // namespace
}  // namespace kine
