#include <gtest/gtest.h>

#include "ipc/http_parser.h"

namespace kine {
namespace {

constexpr char kTag[] = "\"id-1-compact\"";

std::string Resolve(absl::string_view range, uint64_t size,
                    absl::string_view if_range = "",
                    absl::string_view if_none_match = "",
                    Method method = Method::kGet) {
  Request request;
  request.method = method;
  request.range = std::string(range);
  request.if_range = std::string(if_range);
  request.if_none_match = std::string(if_none_match);
  const FilePart part = ResolveFilePart(request, kTag, size);
  return std::to_string(part.status) + " " + std::to_string(part.offset) + "+" +
         std::to_string(part.size);
}

TEST(HttpRangeTest, ASingleRangeIsThatPart) {
  EXPECT_EQ(Resolve("bytes=0-0", 100), "206 0+1");
  EXPECT_EQ(Resolve("bytes=0-99", 100), "206 0+100");
  EXPECT_EQ(Resolve("bytes=10-19", 100), "206 10+10");
  EXPECT_EQ(Resolve("bytes=99-99", 100), "206 99+1");
  EXPECT_EQ(Resolve("bytes=10-", 100), "206 10+90");
  EXPECT_EQ(Resolve("Bytes=10-", 100), "206 10+90");
}

TEST(HttpRangeTest, AnEndBehindTheFileIsTheFilesEnd) {
  EXPECT_EQ(Resolve("bytes=90-100", 100), "206 90+10");
  EXPECT_EQ(Resolve("bytes=0-99999999999999999999999", 100), "206 0+100");
}

TEST(HttpRangeTest, ASuffixIsCountedFromTheEnd) {
  EXPECT_EQ(Resolve("bytes=-1", 100), "206 99+1");
  EXPECT_EQ(Resolve("bytes=-100", 100), "206 0+100");
  EXPECT_EQ(Resolve("bytes=-101", 100), "206 0+100");
  EXPECT_EQ(Resolve("bytes=-0", 100), "416 0+0");
}

TEST(HttpRangeTest, AStartBehindTheFileCannotBeSatisfied) {
  EXPECT_EQ(Resolve("bytes=100-", 100), "416 0+0");
  EXPECT_EQ(Resolve("bytes=100-200", 100), "416 0+0");
  EXPECT_EQ(Resolve("bytes=99999999999999999999999-", 100), "416 0+0");
  EXPECT_EQ(Resolve("bytes=0-", 0), "416 0+0");
  EXPECT_EQ(Resolve("bytes=-1", 0), "416 0+0");
}

TEST(HttpRangeTest, FilesLargerThanFourGibibytesHaveAllTheirBytes) {
  const uint64_t size = (uint64_t{5} << 30) + 7;
  EXPECT_EQ(Resolve("bytes=4294967296-4294967297", size), "206 4294967296+2");
  EXPECT_EQ(Resolve("bytes=-1", size), "206 5368709126+1");
}

TEST(HttpRangeTest, SeveralMalformedOrForeignRangesGetTheWhole) {
  for (const char* range :
       {"bytes=0-1,3-4", "bytes=0-1, -1", "bytes=5-2", "bytes=", "bytes=-",
        "bytes=a-b", "bytes=0x1-2", "bytes=+1-2", "bytes= 1-2", "bytes=1-2 ",
        "bytes=--1", "bytes=1", "lines=0-1", "bytes", ""}) {
    EXPECT_EQ(Resolve(range, 100), "200 0+100") << range;
  }
}

TEST(HttpRangeTest, IfRangeNeedsTheSameStrongTag) {
  EXPECT_EQ(Resolve("bytes=1-2", 100, kTag), "206 1+2");
  for (const char* other :
       {"\"id-2-compact\"", "W/\"id-1-compact\"", "id-1-compact",
        "Sat, 29 Oct 1994 19:43:31 GMT", "*"}) {
    EXPECT_EQ(Resolve("bytes=1-2", 100, other), "200 0+100") << other;
  }
}

TEST(HttpRangeTest, IfNoneMatchComparesWeaklyAndComesFirst) {
  for (const char* match :
       {kTag, "W/\"id-1-compact\"", "*", "\"a\", \"id-1-compact\" ,\"b\""}) {
    EXPECT_EQ(Resolve("", 100, "", match), "304 0+0") << match;
    EXPECT_EQ(Resolve("bytes=0-1", 100, "", match), "304 0+0") << match;
  }
  EXPECT_EQ(Resolve("", 100, "", "\"a\", id-1-compact"), "200 0+100");
}

TEST(HttpRangeTest, WhatHasNoTagMatchesNone) {
  Request request;
  request.if_none_match = "*";
  request.range = "bytes=0-1";
  request.if_range = "";
  EXPECT_EQ(ResolveFilePart(request, "", 10).status, 206);
  request.if_range = "\"\"";
  EXPECT_EQ(ResolveFilePart(request, "", 10).status, 200);
}

TEST(HttpRangeTest, HeadDescribesTheWhole) {
  EXPECT_EQ(Resolve("bytes=1-2", 100, "", "", Method::kHead), "200 0+100");
  EXPECT_EQ(Resolve("", 100, "", kTag, Method::kHead), "304 0+0");
}

}  // namespace
}  // namespace kine
