#include "encode/h264/bits.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <random>
#include <vector>

namespace kine::h264 {
namespace {

std::vector<std::byte> Bytes(std::initializer_list<int> values) {
  std::vector<std::byte> bytes;
  for (const int value : values) bytes.push_back(static_cast<std::byte>(value));
  return bytes;
}

TEST(BitsTest, CodesAreThoseOfTheStandard) {
  BitWriter w;  // Table 9-2 and 9-3.
  for (const uint32_t value : {0u, 1u, 2u, 3u, 7u}) w.Ue(value);
  w.Trailing();
  // 1 010 011 00100 0001000, 1.
  EXPECT_EQ(w.bytes(), Bytes({0b1010'0110, 0b0100'0001, 0b0001'0000}));
  EXPECT_EQ(w.bit_length(), 24u);
  BitWriter s;
  for (const int32_t value : {0, 1, -1, 2}) s.Se(value);
  EXPECT_EQ(s.bytes(), Bytes({0b1010'0110, 0b0100'0000}));
  EXPECT_EQ(s.bit_length(), 12u);
}

TEST(BitsTest, WhatWasWrittenReadsBack) {
  for (uint32_t seed = 0; seed < 200; ++seed) {
    std::mt19937_64 random(seed);
    struct Item {
      int kind;
      uint64_t value;
      int count;
    };
    std::vector<Item> items;
    BitWriter w;
    for (int i = 0; i < 100; ++i) {
      Item item{static_cast<int>(random() % 3), random() >> (random() % 64),
                static_cast<int>(random() % 33)};
      if (item.kind == 0) {
        item.value &= (uint64_t{1} << item.count) - 1;
        w.Bits(item.value, item.count);
      } else if (item.kind == 1) {
        item.value %= UINT32_MAX;
        w.Ue(static_cast<uint32_t>(item.value));
      } else {
        item.value %= INT32_MAX;
        w.Se(item.count % 2 != 0 ? -static_cast<int32_t>(item.value)
                                 : static_cast<int32_t>(item.value));
      }
      items.push_back(item);
    }
    BitReader r(w.bytes(), w.bit_length());
    for (const Item& item : items) {
      if (item.kind == 0) {
        ASSERT_EQ(r.Bits(item.count), item.value) << seed;
      } else if (item.kind == 1) {
        ASSERT_EQ(r.Ue(), item.value) << seed;
      } else {
        const auto value = static_cast<int32_t>(item.value);
        ASSERT_EQ(r.Se(), item.count % 2 != 0 ? -value : value) << seed;
      }
    }
    EXPECT_TRUE(r.ok());
    EXPECT_EQ(r.left(), 0u);
  }
}

TEST(BitsTest, TheExtremesAreWritten) {
  BitWriter w;
  w.Ue(UINT32_MAX - 1);
  w.Se(INT32_MAX);
  w.Se(-INT32_MAX);
  BitReader r(w.bytes(), w.bit_length());
  EXPECT_EQ(r.Ue(), UINT32_MAX - 1);
  EXPECT_EQ(r.Se(), INT32_MAX);
  EXPECT_EQ(r.Se(), -INT32_MAX);
  EXPECT_TRUE(r.ok());
}

TEST(BitsTest, NothingIsReadBeyondTheEnd) {
  const auto bytes = Bytes({0xff, 0xff});
  BitReader r(bytes, 13);
  EXPECT_EQ(r.Bits(12), 0xfffu);
  EXPECT_EQ(r.Bits(2), 0u);
  EXPECT_FALSE(r.ok());
  EXPECT_EQ(r.Bits(1), 0u) << "a failed reader gives nothing more";
}

TEST(BitsTest, ACodeOfTooManyZerosIsRefused) {
  const std::vector<std::byte> zeros(64);
  BitReader r(zeros);
  EXPECT_EQ(r.Ue(), 0u);
  EXPECT_FALSE(r.ok());
}

TEST(BitsTest, TrailingBitsAreSeen) {
  const auto bytes = Bytes({0b0110'0000, 0});
  BitReader r(bytes);
  EXPECT_TRUE(r.MoreData());
  EXPECT_FALSE(r.AtTrailing());
  r.Skip(2);
  EXPECT_FALSE(r.MoreData());
  EXPECT_TRUE(r.AtTrailing());
  r.Skip(1);
  EXPECT_FALSE(r.AtTrailing());
}

TEST(BitsTest, CopiedBitsAreTheSame) {
  std::mt19937 random(7);
  std::vector<std::byte> source(40);
  for (std::byte& byte : source) byte = static_cast<std::byte>(random());
  for (uint64_t from = 0; from < 20; ++from) {
    BitWriter w;
    w.Bits(5, 3);
    w.Copy(source, from, 300);
    BitReader a(w.bytes(), w.bit_length());
    BitReader b(source, 300);
    a.Skip(3);
    b.Skip(from);
    ASSERT_EQ(a.left(), b.left());
    while (b.left() > 0) ASSERT_EQ(a.Bits(1), b.Bits(1));
  }
}

}  // namespace
}  // namespace kine::h264
