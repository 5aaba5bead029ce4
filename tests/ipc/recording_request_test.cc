#include "ipc/recording_request.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "ipc/problem.h"

namespace kine {
namespace {

using ::testing::HasSubstr;

std::string FieldAtFault(absl::string_view text) {
  return FieldOf(ParseRecordingRequest(text).status());
}

TEST(RecordingRequest, NothingAtAllIsARequestWithEveryDefault) {
  for (const char* text : {"", "{}"}) {
    const auto request = ParseRecordingRequest(text);
    ASSERT_TRUE(request.ok()) << request.status();
    EXPECT_EQ(*request, RecordingRequest());
    EXPECT_STREQ(SourceKind(request->settings.source), "auto");
  }
}

TEST(RecordingRequest, EverySourceComesBackAsItWas) {
  const SourceRequest sources[] = {
      AutoRequest{},
      TestRequest{640, 360, 12.5, TestRequest::Pattern::kStill},
      PipeWireRequest{7, std::nullopt, "", ""},
      PipeWireRequest{std::nullopt, 8, "", "other"},
      PipeWireRequest{std::nullopt, std::nullopt, "my \"node\"", ""},
      PipeWireRequest{},
      PortalRequest{3, "token", false}};
  for (const SourceRequest& source : sources) {
    RecordingRequest request;
    request.id = "a.b-c_1";
    request.settings.source = source;
    request.settings.quality = 80;
    request.settings.cursor = RecordingSettings::Cursor::kMetadata;
    request.settings.idle = {5'000, 1'500, 30};
    request.settings.crop = {1, 2, 16, 8192};
    request.labels = {{"task", "42"}, {"who", "me \xc3\xa9"}};
    request.on_existing = RecordingRequest::OnExisting::kRestart;
    request.expect_instance = "abc";
    const std::string text = ToJson(request);
    const auto back = ParseRecordingRequest(text);
    ASSERT_TRUE(back.ok()) << text << back.status();
    EXPECT_EQ(*back, request) << text;
  }
}

TEST(RecordingRequest, TheProfileSaysWhereThePointerIsUnlessItIsSaid) {
  using Cursor = RecordingSettings::Cursor;
  const auto cursor = [](const char* text) {
    const auto request = ParseRecordingRequest(text);
    EXPECT_TRUE(request.ok()) << request.status();
    return CursorOf(request->settings);
  };
  EXPECT_EQ(cursor("{}"), Cursor::kEmbedded);
  EXPECT_EQ(cursor(R"({"profile":"studio"})"), Cursor::kMetadata);
  EXPECT_EQ(cursor(R"({"profile":"studio","cursor":"embedded"})"),
            Cursor::kEmbedded);
  EXPECT_EQ(cursor(R"({"cursor":"metadata"})"), Cursor::kMetadata);
}

TEST(RecordingRequest, ThePointerNamesACaptureThatMayBeThePortalsOnly) {
  const auto keys_differ = [](SourceRequest source) {
    RecordingSettings embedded{.source = std::move(source)};
    RecordingSettings metadata = embedded;
    metadata.cursor = RecordingSettings::Cursor::kMetadata;
    return CaptureKeyOf(embedded) != CaptureKeyOf(metadata);
  };
  EXPECT_TRUE(keys_differ(PortalRequest{}));
  EXPECT_TRUE(keys_differ(AutoRequest{}));
  EXPECT_FALSE(keys_differ(PipeWireRequest{}));
  EXPECT_FALSE(keys_differ(TestRequest{}));
}

TEST(RecordingRequest, SourcesByNameAloneHaveTheirDefaults) {
  const auto request = ParseRecordingRequest(R"({"source":"test"})");
  ASSERT_TRUE(request.ok()) << request.status();
  EXPECT_EQ(request->settings.source, SourceRequest(TestRequest{}));
}

TEST(RecordingRequest, TheDigestSeesWhatIsRecordedOnly) {
  RecordingRequest a;
  a.id = "x";
  RecordingRequest b = a;
  b.on_existing = RecordingRequest::OnExisting::kRestart;
  b.expect_instance = "i";
  EXPECT_EQ(ToJson(a, true), ToJson(b, true));
  EXPECT_NE(ToJson(a), ToJson(b));
  b.settings.fps_max = 29;
  EXPECT_NE(ToJson(a, true), ToJson(b, true));
  b = a;
  b.settings.crop = {0, 0, 640, 480};
  EXPECT_NE(ToJson(a, true), ToJson(b, true));
}

TEST(RecordingRequest, TheMemberAtFaultIsNamed) {
  EXPECT_EQ(FieldAtFault(R"({"id":"../etc"})"), "id");
  EXPECT_EQ(FieldAtFault(R"({"id":""})"), "id");
  EXPECT_EQ(FieldAtFault(R"({"cursor":"hidden"})"), "cursor");
  EXPECT_EQ(FieldAtFault(R"({"fps_max":0.5})"), "fps_max");
  EXPECT_EQ(FieldAtFault(R"({"max_bytes":1000})"), "max_bytes");
  EXPECT_EQ(FieldAtFault(R"({"max_duration_ms":0})"), "max_duration_ms");
  EXPECT_EQ(FieldAtFault(R"({"idle":{"compact_after_ms":499}})"),
            "idle.compact_after_ms");
  EXPECT_EQ(FieldAtFault(R"({"idle":{"compact_speed":1}})"),
            "idle.compact_speed");
  EXPECT_EQ(FieldAtFault(R"({"crop":{"width":640}})"), "crop.height");
  EXPECT_EQ(FieldAtFault(R"({"crop":{"width":15,"height":16}})"), "crop.width");
  EXPECT_EQ(FieldAtFault(R"({"crop":{"width":16,"height":8193}})"),
            "crop.height");
  EXPECT_EQ(FieldAtFault(R"({"crop":{"x":-1,"width":16,"height":16}})"),
            "crop.x");
  EXPECT_EQ(FieldAtFault(R"({"crop":{"y":8177,"width":16,"height":16}})"),
            "crop.y");
  EXPECT_EQ(FieldAtFault(R"({"crop":[0,0,16,16]})"), "crop");
  EXPECT_EQ(FieldAtFault(R"({"source":{"test":{"width":8}}})"),
            "source.test.width");
  EXPECT_EQ(FieldAtFault(R"({"source":{"test":{"pattern":"snow"}}})"),
            "source.test.pattern");
  EXPECT_EQ(FieldAtFault(R"({"source":{"pipewire":{"node":-1}}})"),
            "source.pipewire.node");
  EXPECT_EQ(FieldAtFault(R"({"source":{"portal":{"types":0}}})"),
            "source.portal.types");
  EXPECT_EQ(FieldAtFault(R"({"source":"x11"})"), "source");
  EXPECT_EQ(FieldAtFault(R"({"audio":true})"), "audio");
  EXPECT_EQ(FieldAtFault(R"({"labels":{"a b":"c"}})"), "labels");
}

TEST(RecordingRequest, WhatExcludesEachOtherIsRefused) {
  EXPECT_EQ(FieldAtFault(R"({"quality":50,"bitrate":1000000})"), "bitrate");
  EXPECT_EQ(FieldAtFault(R"({"source":{"pipewire":{"node":1,"name":"n"}}})"),
            "source.pipewire.name");
  EXPECT_EQ(FieldAtFault(R"({"source":{"pipewire":{"node":1,"serial":2}}})"),
            "source.pipewire.serial");
}

TEST(RecordingRequest, IdsAreSafeFileNames) {
  for (const char* good : {"a", "9", "A.b-c_d", "2026-01-02T03.04"})
    EXPECT_TRUE(IsRecordingId(good)) << good;
  EXPECT_TRUE(IsRecordingId(std::string(64, 'a')));
  for (const char* bad : {"", ".", "..", ".a", "-a", "_a", "a/b", "a b", "a\n"})
    EXPECT_FALSE(IsRecordingId(bad)) << bad;
  EXPECT_FALSE(IsRecordingId(std::string(65, 'a')));
}

}  // namespace
}  // namespace kine
