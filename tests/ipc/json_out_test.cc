#include "ipc/json_out.h"

#include <cmath>
#include <limits>

#include "absl/strings/string_view.h"
#include "gtest/gtest.h"
#include "ipc/json_in.h"

namespace kine {
namespace {

std::string Quoted(absl::string_view text) {
  std::string json;
  JsonOut out(json);
  out.Value(text);
  return json;
}

TEST(JsonOut, CommasStandBetweenMembersAndItemsOnly) {
  std::string text;
  JsonOut out(text);
  out.BeginObject();
  out.Field("a", 1);
  out.BeginList("b");
  out.Value(true);
  out.BeginObject();
  out.End();
  out.BeginList();
  out.Value("x");
  out.Null();
  out.End();
  out.End();
  out.BeginObject("c");
  out.Field("d", std::optional<int>());
  out.Field("e", std::optional<int>(5));
  out.FieldIfAny("f", "");
  out.FieldIfAny("g", "h");
  out.End();
  out.FieldRaw("i", "[1,2]");
  out.Field("j", std::map<std::string, std::string>());
  out.Field("k", std::map<std::string, std::string>{{"l", "m"}, {"n", "o"}});
  out.End();
  EXPECT_EQ(text, R"({"a":1,"b":[true,{},["x",null]],"c":{"e":5,"g":"h"},)"
                  R"("i":[1,2],"k":{"l":"m","n":"o"}})");
}

TEST(JsonOut, NumbersKeepEveryDigit) {
  std::string text;
  JsonOut out(text);
  out.BeginList();
  out.Value(std::numeric_limits<int64_t>::min());
  out.Value(std::numeric_limits<uint64_t>::max());
  out.Value(uint8_t{7});
  out.Value(0.1);
  out.Value(-2.5);
  out.Value(30.0);
  out.Value(std::numeric_limits<double>::infinity());
  out.Value(std::nan(""));
  out.End();
  EXPECT_EQ(text,
            "[-9223372036854775808,18446744073709551615,7,0.1,-2.5,30,null,"
            "null]");
}

TEST(JsonOut, EverythingThatMustBeEscapedIs) {
  EXPECT_EQ(Quoted("a\"b\\c\n\t\x01\x7f/"),
            "\"a\\\"b\\\\c\\n\\u0009\\u0001\\u007f/\"");
  EXPECT_EQ(Quoted(absl::string_view("a\0b", 3)), "\"a\\u0000b\"");
}

TEST(JsonOut, WellFormedUtf8StaysAndTheRestIsReplaced) {
  for (const char* good :
       {"\xc2\x80", "\xdf\xbf", "\xe0\xa0\x80", "\xed\x9f\xbf", "\xee\x80\x80",
        "\xef\xbf\xbf", "\xf0\x90\x80\x80", "\xf4\x8f\xbf\xbf"})
    EXPECT_EQ(Quoted(good), std::string("\"") + good + "\"");
  const std::string one = "\xef\xbf\xbd";
  const struct {
    absl::string_view bytes;
    int replaced;
  } bad[] = {{"\x80", 1},
             {"\xff", 1},
             {"\xc0\xaf", 2},
             {"\xc1\xbf", 2},
             {"\xe0\x9f\xbf", 3},
             {"\xed\xa0\x80", 3},
             {"\xc3", 1},
             {"\xe2\x82", 2},
             {"\xf0\x8f\xbf\xbf", 4},
             {"\xf4\x90\x80\x80", 4},
             {"\xf5\x80\x80\x80", 4},
             {"\xf0\x90\x80", 3}};
  for (const auto& row : bad) {
    std::string expected = "\"a";
    for (int i = 0; i < row.replaced; ++i) expected += one;
    expected += "b\"";
    EXPECT_EQ(Quoted("a" + std::string(row.bytes) + "b"), expected);
  }
}

// Whatever the bytes are, what comes out is JSON that our own parser takes, and
// what it reads is what was meant.
TEST(JsonOut, AnyTwoBytesComeBackThroughTheParser) {
  for (int i = 0; i < 65536; ++i) {
    const std::string bytes = {static_cast<char>(i >> 8),
                               static_cast<char>(i & 255)};
    std::string json;
    JsonOut out(json);
    out.BeginObject();
    out.Field("t", bytes);
    out.End();
    std::string back;
    const absl::Status status = BindJson(json, {}, [&back](JsonObject& o) {
      o.Text("t", back, {.charset = JsonTextRule::kAny});
    });
    const bool has_nul = bytes[0] == 0 || bytes[1] == 0;
    ASSERT_EQ(status.ok(), !has_nul) << json << status;
    const bool ascii = (i & 0x8080) == 0;
    if (ascii && !has_nul) {
      ASSERT_EQ(back, bytes);
    }
  }
}

TEST(JsonOutDeathTest, MisuseStopsTheProgram) {
  std::string text;
  JsonOut out(text);
  EXPECT_DEATH(out.End(), "depth_");
  EXPECT_DEATH(out.Field("a", 1), "depth_");
  out.BeginList();
  EXPECT_DEATH(out.Field("a", 1), "close_");
  EXPECT_DEATH(
      {
        for (int i = 0; i < 32; ++i) out.BeginList();
      },
      "kDepthMax");
}

}  // namespace
}  // namespace kine
