#include "daemon/recorder/source_spec.h"

#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <variant>

namespace kine {
namespace {

TEST(SourceSpecTest, TheKeptTokenServesAutoAndThePortalThatNamesNone) {
  EXPECT_EQ(
      std::get<AutoSpec>(ToSourceSpec({AutoRequest{}}, "kept")).restore_token,
      "kept");
  EXPECT_EQ(std::get<PortalSpec>(ToSourceSpec({PortalRequest{}}, "kept"))
                .restore_token,
            "kept");
  EXPECT_EQ(std::get<PortalSpec>(
                ToSourceSpec({PortalRequest{.restore_token = "given"}}, "kept"))
                .restore_token,
            "given");
}

TEST(SourceSpecTest, OnlyAPortalIsAskedForThePointerAsData) {
  const auto as_data = [](SourceRequest source) {
    const SourceSpec spec = ToSourceSpec(
        {std::move(source), RecordingSettings::Cursor::kMetadata}, "");
    if (const auto* any = std::get_if<AutoSpec>(&spec))
      return any->cursor_as_data;
    return std::get<PortalSpec>(spec).cursor_as_data;
  };
  EXPECT_TRUE(as_data(AutoRequest{}));
  EXPECT_TRUE(as_data(PortalRequest{}));
  EXPECT_FALSE(
      std::get<PortalSpec>(ToSourceSpec({PortalRequest{}}, "")).cursor_as_data);
}

TEST(SourceSpecTest, ThePipeWireNodeIsNamedAsItWasAsked) {
  const auto by_name = std::get<PipeWireSpec>(
      ToSourceSpec({PipeWireRequest{.name = "desk", .remote = "pw-1"}}, ""));
  EXPECT_EQ(by_name.node_name, "desk");
  EXPECT_EQ(by_name.remote, "pw-1");
  EXPECT_FALSE(by_name.node_id.has_value());
  const auto by_serial =
      std::get<PipeWireSpec>(ToSourceSpec({PipeWireRequest{.serial = 77}}, ""));
  EXPECT_EQ(by_serial.serial, 77u);
}

TEST(SourceSpecTest, TheProfileDecidesTheQualityThatNobodyAskedFor) {
  RecordingSettings settings;
  const int instant = ToEncoderConfig(settings).quality;
  settings.profile = RecordingSettings::Profile::kStudio;
  EXPECT_GT(ToEncoderConfig(settings).quality, instant);
  settings.quality = 5;
  EXPECT_EQ(ToEncoderConfig(settings).quality, 5);
}

}  // namespace
}  // namespace kine
