#include "encode/h264/nal.h"

#include <gtest/gtest.h>

#include <random>
#include <vector>

namespace kine::h264 {
namespace {

std::vector<std::byte> Bytes(std::initializer_list<int> values) {
  std::vector<std::byte> bytes;
  for (const int value : values) bytes.push_back(static_cast<std::byte>(value));
  return bytes;
}

std::vector<std::byte> Copy(NalView view) { return {view.begin(), view.end()}; }

TEST(NalTest, ZerosAreEscaped) {
  EXPECT_EQ(Escape(Bytes({0x67, 0, 0, 0, 0, 0, 1, 0, 0, 3, 0, 0, 4})),
            Bytes({0x67, 0, 0, 3, 0, 0, 3, 0, 1, 0, 0, 3, 3, 0, 0, 4}));
}

// Many zeros and small bytes, so that something happens.
std::vector<std::byte> Zeroish(std::mt19937& random, size_t size) {
  std::vector<std::byte> bytes = Bytes({0x65});
  while (bytes.size() < size)
    bytes.push_back(static_cast<std::byte>(
        random() % 3 != 0 ? 0 : static_cast<unsigned>(random() % 6)));
  return bytes;
}

TEST(NalTest, WhatWasEscapedComesBackAndHoldsNoStartCode) {
  for (uint32_t seed = 0; seed < 300; ++seed) {
    std::mt19937 random(seed);
    const auto raw = Zeroish(random, 1 + random() % 60);
    const auto escaped = Escape(raw);
    EXPECT_EQ(Unescape(escaped), raw) << seed;
    for (size_t i = 2; i < escaped.size(); ++i) {
      ASSERT_FALSE(escaped[i - 2] == std::byte{0} &&
                   escaped[i - 1] == std::byte{0} && escaped[i] < std::byte{3})
          << seed;
    }
  }
}

TEST(NalTest, APackedHeaderCountsItsStartCodeAndItsBits) {
  const RawNal nal{Bytes({0x41, 0x9a, 0xa0}), 19};
  const PackedNal raw = Pack(nal, Emulation::kByDriver);
  EXPECT_EQ(raw.bytes, Bytes({0, 0, 0, 1, 0x41, 0x9a, 0xa0}));
  EXPECT_EQ(raw.bit_length, 32u + 19u);
  EXPECT_FALSE(raw.has_emulation_bytes);
  const PackedNal escaped = Pack(nal, Emulation::kInTheBytes);
  EXPECT_EQ(escaped.bytes, raw.bytes);
  EXPECT_EQ(escaped.bit_length, 32u + 19u);
  EXPECT_TRUE(escaped.has_emulation_bytes);
}

TEST(NalTest, InsertedBytesCountInAPackedHeader) {
  const RawNal nal{Bytes({0x67, 0, 0, 1, 0x80}), 40};
  const PackedNal raw = Pack(nal, Emulation::kByDriver);
  EXPECT_EQ(raw.bytes, Bytes({0, 0, 0, 1, 0x67, 0, 0, 1, 0x80}));
  EXPECT_EQ(raw.bit_length, 72u);
  const PackedNal escaped = Pack(nal, Emulation::kInTheBytes);
  EXPECT_EQ(escaped.bytes, Bytes({0, 0, 0, 1, 0x67, 0, 0, 3, 1, 0x80}));
  EXPECT_EQ(escaped.bit_length, 80u);
  EXPECT_TRUE(escaped.has_emulation_bytes);
}

TEST(NalTest, AnOpenByteBehindZerosIsLeftToTheDriver) {
  const RawNal open{Bytes({0x41, 0, 0, 0}), 30};
  EXPECT_FALSE(Pack(open, Emulation::kInTheBytes).has_emulation_bytes);
  EXPECT_EQ(Pack(open, Emulation::kInTheBytes).bytes,
            Pack(open, Emulation::kByDriver).bytes);
  const RawNal closed{Bytes({0x41, 0, 0, 0}), 32};
  EXPECT_TRUE(Pack(closed, Emulation::kInTheBytes).has_emulation_bytes);
}

TEST(NalTest, AnAnnexBStreamIsSplit) {
  const auto stream = Bytes({9, 9, 0, 0, 0, 1, 0x67, 1, 0, 0,    0, 0, 1, 0x68,
                             0, 0, 3, 0, 0, 1, 0,    0, 1, 0x65, 7, 0, 0});
  const auto nals = SplitAnnexB(stream);
  ASSERT_EQ(nals.size(), 3u);
  EXPECT_EQ(Copy(nals[0]), Bytes({0x67, 1}));
  EXPECT_EQ(Copy(nals[1]), Bytes({0x68, 0, 0, 3}));
  EXPECT_EQ(Copy(nals[2]), Bytes({0x65, 7}));
  EXPECT_EQ(TypeOf(nals[0]), NalType::kSps);
  EXPECT_TRUE(SplitAnnexB(Bytes({1, 2, 3})).empty());
  EXPECT_TRUE(SplitAnnexB(Bytes({0, 0, 1})).empty());
}

TEST(NalTest, BothFramingsHoldTheSameUnits) {
  for (uint32_t seed = 0; seed < 200; ++seed) {
    std::mt19937 random(seed);
    std::vector<std::byte> annex_b;
    std::vector<std::byte> avcc;
    std::vector<std::vector<std::byte>> units;
    for (int i = 0; i < 5; ++i) {
      auto raw = Zeroish(random, 1 + random() % 20);
      raw.push_back(std::byte{0x80});
      units.push_back(Escape(raw));
      const auto code =
          random() % 2 != 0 ? Bytes({0, 0, 0, 1}) : Bytes({0, 0, 1});
      annex_b.insert(annex_b.end(), code.begin(), code.end());
      annex_b.insert(annex_b.end(), units.back().begin(), units.back().end());
      AppendAvcc(units.back(), avcc);
    }
    const auto split = SplitAnnexB(annex_b);
    const auto framed = SplitAvcc(avcc);
    ASSERT_TRUE(framed.ok());
    ASSERT_EQ(split.size(), units.size()) << seed;
    ASSERT_EQ(framed->size(), units.size());
    for (size_t i = 0; i < units.size(); ++i) {
      EXPECT_EQ(Copy(split[i]), units[i]) << seed;
      EXPECT_EQ(Copy((*framed)[i]), units[i]);
    }
  }
}

TEST(NalTest, BrokenLengthsAreRefused) {
  EXPECT_TRUE(SplitAvcc(Bytes({0, 0, 0, 1, 0x65})).ok());
  EXPECT_EQ(SplitAvcc(Bytes({0, 0, 0, 2, 0x65})).status().code(),
            absl::StatusCode::kInvalidArgument);
  EXPECT_FALSE(SplitAvcc(Bytes({0, 0, 0, 1, 0x65, 0, 0})).ok());
  EXPECT_FALSE(SplitAvcc(Bytes({0xff, 0xff, 0xff, 0xff, 0x65})).ok());
}

}  // namespace
}  // namespace kine::h264
