#include "ipc/json_in.h"

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "ipc/problem.h"

namespace kine {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Pair;

enum class Fruit { kApple, kPear };
constexpr JsonName<Fruit> kFruits[] = {{"apple", Fruit::kApple},
                                       {"pear", Fruit::kPear}};

// What `bind` says to `text`: the message, or "" when it is fine.
std::string Verdict(absl::string_view text,
                    absl::FunctionRef<void(JsonObject&)> bind) {
  return std::string(BindJson(text, {}, bind).message());
}

TEST(JsonIn, EveryTypeLandsInItsField) {
  bool flag = false;
  int8_t small = 0;
  uint64_t large = 0;
  double number = 0;
  std::string text;
  Fruit fruit = Fruit::kApple;
  std::optional<int> maybe;
  std::optional<int> never;
  std::vector<std::string> texts;
  std::map<std::string, std::string> labels;
  const absl::Status status = BindJson(
      R"({"flag":true,"small":-128,"large":9223372036854775807,"number":1.5,
          "text":"\u00e9\"","fruit":"pear","maybe":7,"texts":["a","b"],
          "labels":{"k":"v","l":"w"}})",
      {}, [&](JsonObject& o) {
        o.Bool("flag", flag);
        o.Int("small", small);
        o.Int("large", large);
        o.Number("number", number, 0, 2);
        o.Text("text", text, {});
        o.Enum("fruit", fruit, kFruits);
        o.Int("maybe", maybe);
        o.Int("never", never);
        o.Texts("texts", texts, 2, {});
        o.TextMap("labels", labels, 2, {}, {});
      });
  ASSERT_TRUE(status.ok()) << status;
  EXPECT_TRUE(flag);
  EXPECT_EQ(small, -128);
  EXPECT_EQ(large, 9223372036854775807u);
  EXPECT_EQ(number, 1.5);
  EXPECT_EQ(text, "\xc3\xa9\"");
  EXPECT_EQ(fruit, Fruit::kPear);
  EXPECT_EQ(maybe, 7);
  EXPECT_FALSE(never.has_value());
  EXPECT_THAT(texts, ElementsAre("a", "b"));
  EXPECT_THAT(labels, ElementsAre(Pair("k", "v"), Pair("l", "w")));
}

TEST(JsonIn, AbsentMembersKeepTheirDefault) {
  int kept = 42;
  std::string text = "as it was";
  EXPECT_EQ(Verdict("{}",
                    [&](JsonObject& o) {
                      o.Int("kept", kept);
                      o.Text("text", text, {});
                    }),
            "");
  EXPECT_EQ(kept, 42);
  EXPECT_EQ(text, "as it was");
}

TEST(JsonIn, AMissingRequiredMemberIsNamed) {
  int value = 0;
  EXPECT_EQ(Verdict("{}",
                    [&](JsonObject& o) {
                      o.Int("value", value, JsonNeed::kRequired);
                    }),
            "value: is missing; it must be given");
}

TEST(JsonIn, NumbersOutsideTheirRangeAreRefusedWithBothLimits) {
  int value = 5;
  const auto bind = [&](JsonObject& o) { o.Int("value", value, 1, 10); };
  EXPECT_EQ(Verdict(R"({"value":0})", bind),
            "value: 0 is out of range; give a whole number from 1 to 10");
  EXPECT_EQ(Verdict(R"({"value":11})", bind),
            "value: 11 is out of range; give a whole number from 1 to 10");
  EXPECT_EQ(value, 5);
  EXPECT_EQ(Verdict(R"({"value":1})", bind), "");
  EXPECT_EQ(value, 1);
  EXPECT_EQ(Verdict(R"({"value":10})", bind), "");
  EXPECT_EQ(value, 10);
}

TEST(JsonIn, TheTypeOfTheFieldLimitsTheRangeToo) {
  uint8_t byte = 0;
  const auto bind = [&](JsonObject& o) { o.Int("byte", byte, -5, 1000); };
  EXPECT_EQ(Verdict(R"({"byte":255})", bind), "");
  EXPECT_EQ(byte, 255);
  EXPECT_THAT(Verdict(R"({"byte":256})", bind), HasSubstr("from 0 to 255"));
  EXPECT_THAT(Verdict(R"({"byte":-1})", bind), HasSubstr("from 0 to 255"));
}

TEST(JsonIn, AFractionIsNoWholeNumberEvenWhenItIsZero) {
  int value = 0;
  const auto bind = [&](JsonObject& o) { o.Int("value", value); };
  EXPECT_THAT(Verdict(R"({"value":3.0})", bind), HasSubstr("whole number"));
  EXPECT_THAT(Verdict(R"({"value":1e2})", bind), HasSubstr("whole number"));
  EXPECT_THAT(Verdict(R"({"value":"3"})", bind), HasSubstr("is a text"));
  EXPECT_THAT(Verdict(R"({"value":null})", bind), HasSubstr("is null"));
}

TEST(JsonIn, AWholeNumberIsANumber) {
  double number = 0;
  const auto bind = [&](JsonObject& o) { o.Number("n", number, 1, 120); };
  EXPECT_EQ(Verdict(R"({"n":30})", bind), "");
  EXPECT_EQ(number, 30);
  EXPECT_THAT(Verdict(R"({"n":0.999})", bind), HasSubstr("from 1 to 120"));
  EXPECT_THAT(Verdict(R"({"n":120.5})", bind), HasSubstr("from 1 to 120"));
  EXPECT_THAT(Verdict(R"({"n":true})", bind), HasSubstr("true or false"));
}

TEST(JsonIn, TextsKeepTheirRules) {
  std::string text;
  const auto id = [&](JsonObject& o) {
    o.Text("id", text, {.min = 1, .max = 4, .charset = JsonTextRule::kId});
  };
  EXPECT_EQ(Verdict(R"({"id":"a.-_"})", id), "");
  EXPECT_EQ(text, "a.-_");
  EXPECT_THAT(Verdict(R"({"id":""})", id), HasSubstr("give 1 to 4"));
  EXPECT_THAT(Verdict(R"({"id":"abcde"})", id), HasSubstr("5 bytes long"));
  for (const char* bad : {".a", "-a", "_a", "a/b", "a b", "\xc3\xa9", "..\""}) {
    std::string json;
    json = absl::StrCat("{\"id\":\"", bad[2] == '"' ? ".." : bad, "\"}");
    EXPECT_THAT(Verdict(json, id), HasSubstr("begins with a letter")) << bad;
  }
  const auto line = [&](JsonObject& o) { o.Text("line", text, {}); };
  EXPECT_THAT(Verdict(R"({"line":"a\nb"})", line), HasSubstr("one line"));
  EXPECT_EQ(text, "a.-_");
  const auto any = [&](JsonObject& o) {
    o.Text("line", text, {.charset = JsonTextRule::kAny});
  };
  EXPECT_EQ(Verdict(R"({"line":"a\nb"})", any), "");
  EXPECT_EQ(text, "a\nb");
}

TEST(JsonIn, UnknownMembersAreRefusedAndTheKnownOnesListed) {
  int a = 0;
  int b = 0;
  const auto bind = [&](JsonObject& o) {
    o.Int("a", a);
    o.Int("b", b);
  };
  const absl::Status status = BindJson(R"({"a":1,"c":2})", {}, bind);
  EXPECT_EQ(status.message(), "c: is not known here; known are a, b");
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(FieldOf(status), "c");
  EXPECT_TRUE(
      BindJson(R"({"a":1,"c":2})", {.unknown = JsonUnknown::kIgnore}, bind)
          .ok());
}

TEST(JsonIn, ErrorsInsideAreNamedByTheirWholePath) {
  int width = 0;
  const auto inner = [&](JsonObject& o) { o.Int("width", width, 1, 9); };
  const auto bind = [&](JsonObject& o) {
    o.Object("size", inner);
    o.List("sizes", 2, inner);
    std::vector<std::string> texts;
    o.Texts("texts", texts, 2, {});
  };
  EXPECT_EQ(FieldOf(BindJson(R"({"size":{"width":0}})", {}, bind)),
            "size.width");
  EXPECT_EQ(FieldOf(BindJson(R"({"size":{"height":0}})", {}, bind)),
            "size.height");
  EXPECT_EQ(
      FieldOf(BindJson(R"({"sizes":[{"width":1},{"width":0}]})", {}, bind)),
      "sizes[1].width");
  EXPECT_EQ(FieldOf(BindJson(R"({"sizes":[{},3]})", {}, bind)), "sizes[1]");
  EXPECT_EQ(FieldOf(BindJson(R"({"texts":["a",1]})", {}, bind)), "texts[1]");
  EXPECT_THAT(Verdict(R"({"sizes":[{},{},{}]})", bind),
              HasSubstr("give at most 2"));
  EXPECT_THAT(Verdict(R"({"size":[]})", bind), HasSubstr("give an object"));
  EXPECT_THAT(Verdict(R"({"sizes":{}})", bind), HasSubstr("give a list"));
}

TEST(JsonIn, TheFirstErrorWinsAndNothingAfterItIsStored) {
  int a = 1;
  int b = 2;
  const absl::Status status =
      BindJson(R"({"a":"x","b":9,"c":3})", {}, [&](JsonObject& o) {
        o.Int("a", a);
        o.Int("b", b);
        o.Refuse("b", "never said");
      });
  EXPECT_EQ(FieldOf(status), "a");
  EXPECT_EQ(a, 1);
  EXPECT_EQ(b, 2);
}

TEST(JsonIn, AChoiceIsANameOrAnObjectOfOneMember) {
  std::string chosen;
  int width = 0;
  const auto bind = [&](JsonObject& o) {
    o.Choice("source", {{"auto", [&](JsonObject&) { chosen = "auto"; }},
                        {"test", [&](JsonObject& t) {
                           chosen = "test";
                           t.Int("width", width);
                         }}});
  };
  EXPECT_EQ(Verdict(R"({"source":"auto"})", bind), "");
  EXPECT_EQ(chosen, "auto");
  EXPECT_EQ(Verdict(R"({"source":{"test":{"width":5}}})", bind), "");
  EXPECT_EQ(chosen, "test");
  EXPECT_EQ(width, 5);
  EXPECT_EQ(Verdict(R"({"source":"test"})", bind), "");
  EXPECT_THAT(Verdict(R"({"source":"drm"})", bind),
              HasSubstr("'drm' is not known; give one name, or an object with "
                        "it as the only member: auto, test"));
  EXPECT_THAT(Verdict(R"({"source":{"auto":{},"test":{}}})", bind),
              HasSubstr("an object of 2 members"));
  EXPECT_THAT(Verdict(R"({"source":{}})", bind), HasSubstr("of 0 members"));
  EXPECT_THAT(Verdict(R"({"source":3})", bind), HasSubstr("a whole number"));
  EXPECT_EQ(FieldOf(BindJson(R"({"source":{"test":{"hight":5}}})", {}, bind)),
            "source.test.hight");
  EXPECT_THAT(Verdict(R"({"source":{"test":7}})", bind),
              HasSubstr("source.test: is a whole number; give an object"));
}

TEST(JsonIn, LabelsAreBoundedInNumberNameAndValue) {
  const auto bind = [](JsonObject& o) {
    std::map<std::string, std::string> labels;
    o.TextMap("labels", labels, 2,
              {.min = 1, .max = 3, .charset = JsonTextRule::kId}, {.max = 4});
  };
  EXPECT_EQ(Verdict(R"({"labels":{"a":"","b":"1234"}})", bind), "");
  EXPECT_THAT(Verdict(R"({"labels":{"a":"","b":"","c":""}})", bind),
              HasSubstr("give at most 2"));
  EXPECT_THAT(Verdict(R"({"labels":{"abcd":""}})", bind),
              HasSubstr("a member's name is 4 bytes long"));
  EXPECT_THAT(Verdict(R"({"labels":{"a":"12345"}})", bind),
              HasSubstr("labels.a: is 5 bytes long"));
  EXPECT_THAT(Verdict(R"({"labels":{"a":5}})", bind), HasSubstr("give a text"));
  EXPECT_THAT(Verdict(R"({"labels":[]})", bind), HasSubstr("give an object"));
}

TEST(JsonIn, TheSizeLimitIsExact) {
  const std::string text = R"({"a":"0123456789"})";
  const auto bind = [](JsonObject& o) {
    std::string a;
    o.Text("a", a, {});
  };
  EXPECT_TRUE(BindJson(text, {.bytes_max = text.size()}, bind).ok());
  const absl::Status over =
      BindJson(text, {.bytes_max = text.size() - 1}, bind);
  EXPECT_THAT(over.message(), HasSubstr("the limit is 17"));
}

TEST(JsonIn, SyntaxErrorsSayWhereAndWhat) {
  const auto bind = [](JsonObject&) {};
  EXPECT_THAT(Verdict("{\n\"a\":1,\"a\":2}", bind),
              HasSubstr("has the same member twice"));
  EXPECT_THAT(Verdict("{\n\"a\":1,\"a\":2}", bind), HasSubstr("line 2"));
  EXPECT_THAT(Verdict("{", bind), HasSubstr("ends too early"));
  EXPECT_THAT(Verdict("{}{}", bind), HasSubstr("goes on after its end"));
  EXPECT_THAT(Verdict("[1]", bind), HasSubstr("is a list"));
  EXPECT_THAT(Verdict(absl::string_view("{}\0", 3), bind),
              HasSubstr("a NUL byte, at byte 2"));
}

TEST(JsonIn, AsTextGivesTheObjectBackInItsOrder) {
  std::string text;
  EXPECT_EQ(Verdict(R"({ "o": {"z": 1, "a": [true, null, "\u00e9"]} })",
                    [&](JsonObject& o) {
                      o.Object("o",
                               [&](JsonObject& in) { text = in.AsText(); });
                    }),
            "");
  EXPECT_EQ(text, "{\"z\":1,\"a\":[true,null,\"\xc3\xa9\"]}");
}

}  // namespace
}  // namespace kine
