// OutputStore against a recorded truth, and the text made from it.
#include "daemon/output/output_store.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>

#include "absl/strings/str_cat.h"
#include "daemon/output/line_pattern.h"
#include "daemon/output/output_text.h"

namespace kine {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

constexpr uint64_t kBlock = OutputStore::kBlockBytes;

// The byte at an offset, so that a misplaced one shows.
char ByteAt(uint64_t offset) {
  return static_cast<char>((offset * 2'654'435'761u) >> 13);
}
std::string Truth(uint64_t from, uint64_t size) {
  std::string bytes(size, '\0');
  for (uint64_t i = 0; i < size; ++i) bytes[i] = ByteAt(from + i);
  return bytes;
}

class StoreAndFile {
 public:
  explicit StoreAndFile(const OutputStore::Options& options) : store(options) {}
  void Append(uint64_t size) { store.Append(Truth(store.total(), size)); }
  // What the owner does. False: nothing to do.
  bool SpoolOne() {
    const auto piece = store.NextToSpool();
    if (!piece.has_value()) return false;
    EXPECT_EQ(piece->file_offset, file.size());
    file.append(piece->bytes.data(), piece->bytes.size());
    store.OnSpooled();
    return true;
  }
  // Every byte from 0 on is right or within a gap; the bytes in gaps.
  uint64_t CheckAll() const {
    uint64_t at = 0;
    uint64_t gaps = 0;
    while (at < store.total()) {
      const OutputStore::Place place = store.Locate(at, 1 << 30);
      EXPECT_GE(place.at, at);
      gaps += place.at - at;
      if (place.kind == OutputStore::Place::Kind::kEnd) break;
      const std::string bytes = place.kind == OutputStore::Place::Kind::kFile
                                    ? file.substr(place.file_offset, place.size)
                                    : std::string(place.bytes);
      EXPECT_EQ(bytes.size(), place.size);
      EXPECT_TRUE(bytes == Truth(place.at, place.size)) << "at " << place.at;
      at = place.at + place.size;
      if (testing::Test::HasFailure()) break;
    }
    return gaps;
  }

  OutputStore store;
  std::string file;
};

TEST(OutputStoreTest, KeepsHeadAndTailAndTellsTheGapBetweenThem) {
  StoreAndFile kept({.head_bytes = kBlock, .tail_bytes = 2 * kBlock});
  kept.Append(10 * kBlock + 100);

  EXPECT_EQ(kept.store.total(), 10 * kBlock + 100);
  EXPECT_EQ(kept.store.dropped(), 7 * kBlock);
  EXPECT_EQ(kept.CheckAll(), 7 * kBlock);
  EXPECT_EQ(kept.store.Locate(kBlock, 10).at, 8 * kBlock);
  EXPECT_EQ(kept.store.tail_begin(), 8 * kBlock);
  EXPECT_LE(kept.store.memory(), 4 * kBlock);
}

TEST(OutputStoreTest, SaysLittleAndCostsLittle) {
  StoreAndFile kept(
      {.head_bytes = kBlock, .tail_bytes = kBlock, .spool = true});
  kept.Append(100);
  EXPECT_LE(kept.store.memory(), 256u);
  EXPECT_FALSE(kept.SpoolOne());  // No file for that.
}

TEST(OutputStoreTest, WhatIsOnTheWayToTheFileIsNotLost) {
  StoreAndFile kept(
      {.head_bytes = kBlock, .tail_bytes = kBlock, .spool = true});
  kept.Append(20 * kBlock);
  EXPECT_TRUE(kept.store.backlogged());
  EXPECT_EQ(kept.CheckAll(), 0u);
  while (kept.SpoolOne()) EXPECT_EQ(kept.CheckAll(), 0u);
  EXPECT_FALSE(kept.store.backlogged());
  EXPECT_EQ(kept.store.spooled_bytes(), 18 * kBlock);
  kept.store.EndSpool();
  kept.Append(5 * kBlock);
  EXPECT_EQ(kept.CheckAll(), 5 * kBlock);
  EXPECT_EQ(kept.store.dropped(), 5 * kBlock);
}

TEST(OutputStoreTest, EveryByteIsRightOrInAToldGapWhateverHappens) {
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    SCOPED_TRACE(seed);
    std::mt19937_64 random(seed);
    StoreAndFile kept({.head_bytes = random() % (3 * kBlock),
                       .tail_bytes = random() % (4 * kBlock),
                       .spool = random() % 2 == 0});
    for (int step = 0; step < 60; ++step) {
      switch (random() % 8) {
        case 0:
          if (random() % 8 == 0) kept.store.EndSpool();
          break;
        case 1:
          if (random() % 8 == 0) kept.store.Squeeze();
          break;
        case 2:
        case 3:
          kept.SpoolOne();
          break;
        default:
          kept.Append(random() % (2 * kBlock));
      }
    }
    ASSERT_EQ(kept.CheckAll(), kept.store.dropped());
    ASSERT_FALSE(HasFailure());
  }
}

TEST(OutputStoreTest, KeepsWhatNobodyHasReadUntilItIsAskedPast) {
  StoreAndFile kept(
      {.head_bytes = kBlock, .tail_bytes = 2 * kBlock, .keep_unread = true});
  while (!kept.store.full()) kept.Append(1000);
  EXPECT_EQ(kept.CheckAll(), 0u);
  EXPECT_EQ(kept.store.dropped(), 0u);

  kept.store.Release(2 * kBlock);

  EXPECT_FALSE(kept.store.full());
  EXPECT_EQ(kept.store.dropped(), kBlock);
}

TEST(OutputStoreTest, ForgottenBytesAreAGapUpToTheEnd) {
  StoreAndFile kept({.head_bytes = kBlock, .tail_bytes = kBlock});
  kept.Append(1000);
  kept.store.Forget();
  const auto place = kept.store.Locate(10, 100);
  EXPECT_EQ(place.kind, OutputStore::Place::Kind::kEnd);
  EXPECT_EQ(place.at, 1000u);
  EXPECT_EQ(kept.store.memory(), 0u);
}

TEST(OutputTextTest, NeverSplitsACharacter) {
  const std::string text = "a\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80z";
  for (size_t cut = 0; cut <= text.size(); ++cut) {
    const size_t whole =
        WholeCharacters(absl::string_view(text).substr(0, cut));
    EXPECT_LE(cut - whole, 3u);
    EXPECT_TRUE(whole == 0 || whole == 1 || whole == 3 || whole == 6 ||
                whole == 10 || whole == 11)
        << cut;
  }
  EXPECT_EQ(WholeCharacters("a\xFF"), 2u);  // Never becomes a character.
  EXPECT_EQ(WholeCharacters("\x80\x80\x80\x80"), 4u);
  EXPECT_EQ(BrokenStart("\x82\xAC!"), 2u);
  EXPECT_EQ(BrokenStart("abc"), 0u);
}

// seeds: the buffer's cases, with the faults mended where nobody can tell.
TEST(AgentViewTest, WhatFitsIsGivenAsItIs) {
  for (const size_t size : {0, 1, 10, 19, 20}) {
    OutputStore store({.head_bytes = kBlock, .tail_bytes = kBlock});
    const std::string text(size, 'x');
    store.Append(text);
    const AgentView view = MakeAgentView(store, 10, 10, 2048);
    EXPECT_EQ(view.text, text);
    EXPECT_EQ(view.omitted_bytes, 0u);
    EXPECT_EQ(view.original_bytes, size);
  }
}

TEST(AgentViewTest, TheMiddleIsOmittedAndCounted) {
  OutputStore store({.head_bytes = kBlock, .tail_bytes = kBlock});
  store.Append(std::string(10, 'h') + std::string(80, 'm') +
               std::string(10, 't'));
  const AgentView view = MakeAgentView(store, 10, 10, 2048);
  EXPECT_EQ(view.omitted_bytes, 80u);
  EXPECT_EQ(view.text,
            "hhhhhhhhhh\n\n... [omitted 80 bytes] ...\n\ntttttttttt");
}

TEST(AgentViewTest, FiveMegabytesBecomeAView) {
  OutputStore store({.head_bytes = kBlock, .tail_bytes = kBlock});
  for (int i = 0; i < 5000; ++i) store.Append(std::string(1048, 'a') + "\n");
  const AgentView view = MakeAgentView(store, 16384, 16384, 2048);
  EXPECT_EQ(view.original_bytes, 5000u * 1049);
  EXPECT_LT(view.text.size(), 33'000u);
  EXPECT_EQ(view.omitted_bytes, view.original_bytes - 32768);
}

TEST(AgentViewTest, OmittedBytesCountOnlyWhatIsNotShown) {
  std::string text;
  while (text.size() < 1000) text += "\xE2\x82\xAC";  // Cuts fall inside.
  OutputStore store({.head_bytes = kBlock, .tail_bytes = kBlock});
  store.Append(text);
  const AgentView view = MakeAgentView(store, 100, 100, 2048);
  EXPECT_EQ(view.omitted_bytes, text.size() - 99 - 99);
  EXPECT_THAT(view.text, StartsWith("\xE2\x82\xAC"));
  EXPECT_THAT(view.text, HasSubstr("\n\n\xE2\x82\xAC"));
}

TEST(AgentViewTest, LongLinesAreCutWithTheSuffixWithinTheLimit) {
  EXPECT_EQ(CutLines("short\n", 20), "short\n");
  EXPECT_EQ(CutLines(std::string(30, 'x') + "\nok", 20),
            "xxxx ... [truncated]\nok");
  EXPECT_EQ(CutLines(std::string(20, 'x'), 20), std::string(20, 'x'));
  EXPECT_EQ(CutLines(std::string(30, 'x') + "\n" + std::string(30, 'y'), 20),
            "xxxx ... [truncated]\nyyyy ... [truncated]");
}

TEST(LinePatternTest, MatchesALineHoweverItIsCut) {
  const std::string text = "booting\nlistening on port 80\r\n";
  for (size_t cut = 0; cut < text.size(); ++cut) {
    auto pattern = LinePattern::Create("^listening on port \\d+$").value();
    pattern->Feed(text.substr(0, cut));
    EXPECT_TRUE(pattern->Feed(text.substr(cut))) << cut;
  }
  auto pattern = LinePattern::Create("^listening$").value();
  EXPECT_FALSE(pattern->Feed(text));
}

TEST(LinePatternTest, APromptHasNoEndOfLine) {
  auto pattern = LinePattern::Create("ready> $").value();
  EXPECT_FALSE(pattern->Feed("read"));
  EXPECT_TRUE(pattern->Feed("y> "));
}

TEST(LinePatternTest, RefusesWhatItCannotDoInLinearTime) {
  const auto pattern = LinePattern::Create("(a)\\1");
  ASSERT_FALSE(pattern.ok());
  EXPECT_THAT(std::string(pattern.status().message()),
              HasSubstr("ready.regex"));
  EXPECT_FALSE(LinePattern::Create("((a{1,1000}){1,1000}){1,1000}").ok());
}

}  // namespace
}  // namespace kine
