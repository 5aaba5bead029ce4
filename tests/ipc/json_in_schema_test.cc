// What a binder reads, told as JSON Schema by the binder itself.
#include <gtest/gtest.h>

#include <optional>
#include <string>
#include <vector>

#include "ipc/json_in.h"

namespace kine {
namespace {

enum class Color { kRed, kBlue };
constexpr JsonName<Color> kColors[] = {{"red", Color::kRed},
                                       {"blue", Color::kBlue}};

void Bind(JsonObject& o) {
  std::string id;
  uint8_t level = 7;
  std::optional<int64_t> limit;
  Color color = Color::kBlue;
  bool on = true;
  std::vector<std::string> words;
  o.Text("id", id, {.min = 1, .max = 8, .charset = JsonTextRule::kId},
         JsonNeed::kRequired);
  o.Int("level", level);
  o.Int("limit", limit, -1, 10);
  o.Enum("color", color, kColors);
  o.Object("more", [&on](JsonObject& m) {
    m.Bool("on", on);
    if (!m.Has("on")) m.Refuse("on", "is missing");
  });
  o.Choice("source", {{"test", [](JsonObject&) {}}});
  o.Texts("words", words, 3, {.max = 5, .charset = JsonTextRule::kAny});
  o.Int("level", level);  // Again: told once.
}

TEST(JsonSchemaTest, TellsNamesTypesLimitsAndDefaults) {
  EXPECT_EQ(
      DescribeJson(&Bind),
      R"({"type":"object","properties":{)"
      R"("id":{"type":"string","minLength":1,"maxLength":8,)"
      R"("pattern":"^[A-Za-z0-9][A-Za-z0-9._-]*$"},)"
      R"("level":{"type":"integer","minimum":0,"maximum":255,"default":7},)"
      R"("limit":{"type":"integer","minimum":-1,"maximum":10},)"
      R"("color":{"type":"string","enum":["red","blue"],"default":"blue"},)"
      R"("more":{"type":"object","properties":)"
      R"({"on":{"type":"boolean","default":true}},)"
      R"("additionalProperties":false},)"
      R"("source":{"oneOf":[{"type":"string","enum":["test"]},)"
      R"({"type":"object","properties":{"test":{"type":"object",)"
      R"("properties":{},"additionalProperties":false}},)"
      R"("minProperties":1,"maxProperties":1,"additionalProperties":false}]},)"
      R"("words":{"type":"array","maxItems":3,)"
      R"("items":{"type":"string","maxLength":5}}},)"
      R"("required":["id"],"additionalProperties":false})");
}

}  // namespace
}  // namespace kine
