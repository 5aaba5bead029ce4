// The parser's verdicts over all 318 cases of JSONTestSuite, and over the extra
// ones that matter to a daemon.
#include <set>
#include <string>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "ipc/json_in.h"

namespace kine {
namespace {

// Well formed: bound, or refused only for not being an object.
bool Accepted(absl::string_view text) {
  const absl::Status status =
      BindJson(text, {.bytes_max = 1 << 20, .unknown = JsonUnknown::kIgnore},
               [](JsonObject&) {});
  return status.ok() ||
         absl::EndsWith(status.message(), "; give one JSON object");
}

struct SuiteCase {
  const char* name;
  absl::string_view text;
};

#define CASE(name, text) {name, absl::string_view(text, sizeof text - 1)},
constexpr SuiteCase kCases[] = {
#include "tests/ipc/json_suite_cases.inc"
};
#undef CASE

std::string Repeated(absl::string_view text, int times) {
  std::string all;
  for (int i = 0; i < times; ++i) absl::StrAppend(&all, text);
  return all;
}

// Refused by choice: the last of two values is somebody's surprise, and a NUL
// ends a C string too early.
const std::set<std::string>& RefusedByChoice() {
  static const auto& names = *new std::set<std::string>{
      "y_object_duplicated_key", "y_object_duplicated_key_and_value",
      "y_object_escaped_null_in_key", "y_string_null_escape"};
  return names;
}

// Of the free ones these are taken; lone surrogates, invalid UTF-8, byte order
// marks, UTF-16 and numbers out of range are not.
const std::set<std::string>& AcceptedByChoice() {
  static const auto& names = *new std::set<std::string>{
      "i_number_double_huge_neg_exp", "i_number_real_underflow"};
  return names;
}

TEST(JsonSuite, EveryCaseHasTheVerdictItMustHave) {
  int must_accept = 0;
  int must_refuse = 0;
  int free = 0;
  for (const SuiteCase& one : kCases) {
    const std::string name = one.name;
    bool expected = false;
    if (name[0] == 'y') {
      ++must_accept;
      expected = RefusedByChoice().count(name) == 0;
    } else if (name[0] == 'n') {
      ++must_refuse;
    } else {
      ++free;
      expected = AcceptedByChoice().count(name) != 0;
    }
    EXPECT_EQ(Accepted(one.text), expected) << name;
  }
  EXPECT_EQ(must_accept, 95);
  EXPECT_EQ(must_refuse, 188 - 2);
  EXPECT_EQ(free, 35 - 1);
}

TEST(JsonSuite, DepthIsLimitedAndNeverCrashes) {
  EXPECT_TRUE(Accepted(Repeated("[", 500) + Repeated("]", 500)));
  EXPECT_TRUE(Accepted(Repeated("[", 2000) + Repeated("]", 2000)));
  EXPECT_FALSE(Accepted(Repeated("[", 2100) + Repeated("]", 2100)));
  EXPECT_FALSE(Accepted(Repeated("[", 100'000)));
  EXPECT_FALSE(Accepted(Repeated("[{\"\":", 50'000)));
  EXPECT_FALSE(Accepted(Repeated("[", 500'000) + Repeated("]", 500'000)));
}

TEST(JsonSuite, TheExtraCasesOfADaemon) {
  using absl::string_view;
  for (const string_view good :
       {string_view(R"({"a":-0})"), string_view("{\"a\":\"\x7f\"}"),
        string_view(R"({"a":9223372036854775807})"),
        string_view(R"({"a":-9223372036854775808})"),
        string_view("\r\n\t {} \n"), string_view(R"({"":1})")})
    EXPECT_TRUE(Accepted(good)) << good;
  for (const string_view bad : {string_view(R"({"a":1,"a":1})"),
                                string_view(R"({"a":1,"\u0061":2})"),
                                string_view(R"({"a":{"b":1,"b":2}})"),
                                string_view(R"({"a":18446744073709551616})"),
                                string_view(R"({"a":9223372036854775808})"),
                                string_view(R"({"a":1e400})"),
                                string_view("\xef\xbb\xbf{}"),
                                string_view(R"({"a":"\ud800"})"),
                                string_view(R"({"a":"\u0000"})"),
                                string_view("{}\0", 3),
                                string_view("{\"a\":\"\0\"}", 9),
                                string_view("{\"a\":\"\xc0\xaf\"}"),
                                string_view("{\"a\":\"\xed\xa0\x80\"}"),
                                string_view("{} {}"),
                                string_view("{}x"),
                                string_view("{\"a\":1,}"),
                                string_view("{a:1}"),
                                string_view("{'a':1}"),
                                string_view("{\"a\":NaN}"),
                                string_view("{\"a\":01}"),
                                string_view("{\"a\":\"\n\"}"),
                                string_view("// c\n{}"),
                                string_view("{\"a\":+1}"),
                                string_view(""),
                                string_view(" ")})
    EXPECT_FALSE(Accepted(bad)) << bad;
}

}  // namespace
}  // namespace kine
