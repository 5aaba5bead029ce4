// What replies look like, told as JSON Schema from replies.
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "ipc/json_out.h"
#include "ipc/routes.h"

namespace kine {
namespace {

std::string SchemaOf(const std::vector<std::string>& samples) {
  return SchemaOfSamples(samples);
}

TEST(ReplySchemaTest, TellsTypesMembersAndWhatIsAlwaysThere) {
  EXPECT_EQ(
      SchemaOf({R"({"id":"a\"}b","fps":30,"at":null,"on":true,"in":{"x":1}})",
                R"({"id":"","fps":29.97,"at":"now","more":[]})"}),
      R"({"type":"object","properties":{)"
      R"("id":{"type":"string"},"fps":{"type":"number"},)"
      R"("at":{"type":["null","string"]},"on":{"type":"boolean"},)"
      R"("in":{"type":"object","properties":{"x":{"type":"integer"}},)"
      R"("required":["x"]},"more":{"type":"array"}},)"
      R"("required":["id","fps","at"]})");
}

TEST(ReplySchemaTest, ItemsAndNamesThatAreAnyAreOneKind) {
  EXPECT_EQ(
      SchemaOf({R"({"items":[{"a":1},{"a":2,"b":[[1,2.5]]}],)"
                R"("labels":{"<name>":"value"}})"}),
      R"({"type":"object","properties":{)"
      R"("items":{"type":"array","items":{"type":"object","properties":{)"
      R"("a":{"type":"integer"},"b":{"type":"array","items":)"
      R"({"type":"array","items":{"type":"number"}}}},"required":["a"]}},)"
      R"("labels":{"type":"object","additionalProperties":)"
      R"({"type":"string"}}},"required":["items","labels"]})");
}

TEST(ReplySchemaTest, WhatMayBeOneOrAnotherIsBoth) {
  EXPECT_EQ(SchemaOf({R"("auto")", R"({"test":{}})"}),
            R"({"type":["string","object"],"properties":)"
            R"({"test":{"type":"object"}},"required":["test"]})");
}

}  // namespace
}  // namespace kine
