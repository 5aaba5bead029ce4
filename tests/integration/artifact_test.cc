// The finished file over HTTP: whole, in parts, conditionally, and gone.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "absl/strings/str_cat.h"
#include "tests/integration/daemon_rig.h"

namespace kine {
namespace {

using ::testing::HasSubstr;

class ArtifactTest : public testing::Test {
 protected:
  void SetUp() override {
    if (!HaveProgram("curl")) GTEST_SKIP() << "no curl here";
    rig_ = std::make_unique<DaemonRig>();
    rig_->StartRecording("a", TestSource(320, 240));
    rig_->WaitDurable("a", absl::Milliseconds(400));
    const Json state = rig_->StopRecording("a");
    bytes_ = ReadWholeFile(rig_->VideoPath("a"));
    ASSERT_EQ(bytes_.size(), static_cast<size_t>(state.Int("bytes")));
    ASSERT_GT(bytes_.size(), 10'000u);
    etag_ = Field(Curl({"-I"}), "ETag");
    ASSERT_GE(etag_.size(), 3u);
  }

  // curl's standard output: the body; with -I the head.
  std::string Curl(std::vector<std::string> arguments) {
    std::vector<std::string> argv = {"curl", "-sS", "--unix-socket",
                                     rig_->socket()};
    argv.insert(argv.end(), arguments.begin(), arguments.end());
    argv.push_back("http://kinescope/v1/recordings/a/artifact");
    const ProgramResult result = RunProgram(std::move(argv));
    EXPECT_EQ(result.code, 0) << result.err;
    return result.out;
  }
  // The head of a GET; its body goes to body_.
  std::string Head(std::vector<std::string> arguments) {
    const std::string body = rig_->directory() + "/body";
    arguments.insert(arguments.end(), {"-D", "-", "-o", body});
    const std::string head = Curl(std::move(arguments));
    body_ = ReadWholeFile(body);
    return head;
  }
  static std::string Field(const std::string& head, const std::string& name) {
    const size_t at = head.find("\r\n" + name + ": ");
    if (at == std::string::npos) return "";
    const size_t begin = at + name.size() + 4;
    return head.substr(begin, head.find("\r\n", begin) - begin);
  }

  std::unique_ptr<DaemonRig> rig_;
  std::string bytes_;
  std::string body_;
  std::string etag_;
};

TEST_F(ArtifactTest, IsTheFileByteForByteWholeAndInParts) {
  const size_t size = bytes_.size();
  std::string head = Head({});
  EXPECT_THAT(head, HasSubstr("HTTP/1.1 200 "));
  EXPECT_EQ(Field(head, "Content-Type"), "video/mp4");
  EXPECT_EQ(Field(head, "Accept-Ranges"), "bytes");
  EXPECT_EQ(Field(head, "ETag"), etag_);
  EXPECT_TRUE(body_ == bytes_);

  const std::pair<std::string, std::pair<size_t, size_t>> ranges[] = {
      {"0-0", {0, 1}},
      {"5-4999", {5, 5000}},
      {"9000-", {9000, size}},
      {"-700", {size - 700, size}},
      {absl::StrCat(size - 1, "-", size + 1000), {size - 1, size}},
  };
  for (const auto& [range, part] : ranges) {
    SCOPED_TRACE(range);
    head = Head({"-r", range});
    EXPECT_THAT(head, HasSubstr("HTTP/1.1 206 "));
    EXPECT_EQ(
        Field(head, "Content-Range"),
        absl::StrCat("bytes ", part.first, "-", part.second - 1, "/", size));
    EXPECT_TRUE(body_ == bytes_.substr(part.first, part.second - part.first));
  }
}

TEST_F(ArtifactTest, ARangeBehindTheEndIs416AndSaysTheSize) {
  const std::string head = Head({"-r", absl::StrCat(bytes_.size(), "-")});

  EXPECT_THAT(head, HasSubstr("HTTP/1.1 416 "));
  EXPECT_EQ(Field(head, "Content-Range"),
            absl::StrCat("bytes */", bytes_.size()));
  EXPECT_EQ(Json(body_).Text("code"), "range_not_satisfiable");
}

TEST_F(ArtifactTest, ARangeOfAnotherGenerationIsTheWholeFile) {
  std::string head = Head({"-r", "0-99", "-H", "If-Range: " + etag_});
  EXPECT_THAT(head, HasSubstr("HTTP/1.1 206 "));
  EXPECT_TRUE(body_ == bytes_.substr(0, 100));

  head = Head({"-r", "0-99", "-H", "If-Range: \"another\""});
  EXPECT_THAT(head, HasSubstr("HTTP/1.1 200 "));
  EXPECT_TRUE(body_ == bytes_);
}

TEST_F(ArtifactTest, AHeadRequestSaysTheSizeAndSendsNothing) {
  const std::string head = Curl({"-I"});

  EXPECT_THAT(head, HasSubstr("HTTP/1.1 200 "));
  EXPECT_EQ(Field(head, "Content-Length"), absl::StrCat(bytes_.size()));
  EXPECT_EQ(head.find("\r\n\r\n") + 4, head.size());
}

TEST_F(ArtifactTest, WhatIsDeletedIsGoneAndItsIdIsFreeAgain) {
  EXPECT_EQ(rig_->Call("DELETE", "/v1/recordings/a").status, 204);

  EXPECT_EQ(rig_->Call("GET", "/v1/recordings/a").status, 404);
  EXPECT_EQ(rig_->Call("GET", "/v1/recordings/a/artifact").status, 404);
  EXPECT_EQ(rig_->Call("DELETE", "/v1/recordings/a").status, 404);
  EXPECT_FALSE(std::filesystem::exists(rig_->state_dir() + "/recordings/a"));
  // The id is free again, and another file is another generation.
  rig_->StartRecording("a", TestSource(320, 240));
  rig_->WaitFor("a", "first_frame");
  rig_->StopRecording("a");
  EXPECT_NE(Field(Curl({"-I"}), "ETag"), etag_);
}

}  // namespace
}  // namespace kine
