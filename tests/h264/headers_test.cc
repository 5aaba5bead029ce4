// What we write, our reader reads back.
#include <gtest/gtest.h>

#include <array>

#include "encode/h264/picture_headers.h"
#include "encode/h264/sps.h"
#include "encode/h264/stream_shape.h"
#include "tests/h264/random_headers.h"

namespace kine::h264 {
namespace {

constexpr uint32_t kSeeds = 500;

TEST(HeadersTest, AnySpsReadsBack) {
  for (uint32_t seed = 0; seed < kSeeds; ++seed) {
    const Sps sps = RandomHeaders(seed).AnySps();
    const auto read = ReadSps(WriteSps(sps).bytes);
    ASSERT_TRUE(read.ok()) << seed << ": " << read.status();
    ASSERT_TRUE(*read == sps) << seed;
  }
}

TEST(HeadersTest, AnyForeignSpsIsRead) {
  for (uint32_t seed = 0; seed < kSeeds; ++seed) {
    Sps sps;
    const RawNal nal = RandomHeaders(seed).AnyForeignSps(&sps);
    const auto read = ReadSps(nal.bytes);
    ASSERT_TRUE(read.ok()) << seed << ": " << read.status();
    ASSERT_TRUE(*read == sps) << seed;
  }
}

TEST(HeadersTest, AnyPpsReadsBack) {
  for (uint32_t seed = 0; seed < kSeeds; ++seed) {
    const Pps pps = RandomHeaders(seed).AnyPps();
    const auto read = ReadPps(WritePps(pps).bytes, Sps{});
    ASSERT_TRUE(read.ok()) << seed << ": " << read.status();
    ASSERT_TRUE(*read == pps) << seed;
  }
}

TEST(HeadersTest, AnySliceHeaderReadsBackToItsLastBit) {
  for (uint32_t seed = 0; seed < kSeeds; ++seed) {
    RandomHeaders random(seed);
    const Sps sps = random.AnySps();
    const Pps pps = random.AnyPps();
    const SliceHeader slice = random.AnySlice(sps, pps);
    RawNal nal = WriteSliceHeader(slice, sps, pps);
    const uint64_t bits = nal.bit_length;
    nal.bytes.push_back(std::byte{0xa5});  // Slice data.
    const auto read = ReadSliceHeader(nal.bytes, sps, pps);
    ASSERT_TRUE(read.ok()) << seed << ": " << read.status();
    ASSERT_TRUE(read->header == slice) << seed;
    ASSERT_EQ(read->bit_length, bits) << seed;
  }
}

TEST(HeadersTest, CutHeadersAreRefused) {
  for (uint32_t seed = 0; seed < 100; ++seed) {
    RandomHeaders random(seed);
    const Sps sps = random.AnySps();
    const Pps pps = random.AnyPps();
    const RawNal written[] = {
        WriteSps(sps), WritePps(pps),
        WriteSliceHeader(random.AnySlice(sps, pps), sps, pps)};
    for (const RawNal& nal : written) {
      const std::span<const std::byte> bytes(nal.bytes);
      for (size_t size = 0; size + 1 < bytes.size(); ++size) {
        const auto cut = bytes.first(size);
        // A parameter set may happen to end in a one and zeros.
        const auto cut_sps = ReadSps(cut);
        EXPECT_FALSE(cut_sps.ok() && *cut_sps == sps);
        const auto cut_pps = ReadPps(cut, sps);
        EXPECT_FALSE(cut_pps.ok() && *cut_pps == pps);
        EXPECT_FALSE(ReadSliceHeader(cut, sps, pps).ok());
      }
    }
  }
}

TEST(HeadersTest, WhatWeCannotReadIsNamed) {
  const Sps sps = SpsFor({.width = 64, .height = 48});
  const Pps pps;
  BitWriter b;
  b.Bits(0x41, 8);
  b.Ue(0);
  b.Ue(6);  // slice_type B.
  b.Ue(0);
  const auto read = ReadSliceHeader(b.bytes(), sps, pps);
  EXPECT_EQ(read.status().message(), "slice: slice_type 6, not P or I");
  Pps other;
  other.id = 3;
  const auto foreign =
      ReadSliceHeader(WriteSliceHeader({}, sps, other).bytes, sps, pps);
  EXPECT_EQ(foreign.status().message(), "slice: of PPS 3, not 0");
  EXPECT_EQ(ReadSps(WritePps(pps).bytes).status().message(),
            "SPS: not one, by its type");
}

TEST(HeadersTest, TheCroppingMustLeaveAPicture) {
  Sps sps = SpsFor({.width = 64, .height = 48});
  sps.cropping = Cropping{.left = 16, .right = 16};
  EXPECT_EQ(ReadSps(WriteSps(sps).bytes).status().message(),
            "SPS: the cropping leaves no picture");
  sps.cropping = Cropping{.left = 16, .right = 15};
  EXPECT_TRUE(ReadSps(WriteSps(sps).bytes).ok());
}

TEST(HeadersTest, SeiMessagesReadBack) {
  std::array<std::byte, 16> uuid{};
  uuid[3] = std::byte{9};
  const SeiMessage messages[] = {UserData(uuid, std::string(700, 'x')),
                                 RecoveryPoint(59, true), UserData(uuid, "")};
  const auto read = ReadSei(WriteSei(messages).bytes);
  ASSERT_TRUE(read.ok()) << read.status();
  ASSERT_EQ(read->size(), 3u);
  for (size_t i = 0; i < 3; ++i) EXPECT_TRUE((*read)[i] == messages[i]);
  RawNal nal = WriteSei(messages);
  nal.bytes.resize(100);
  EXPECT_FALSE(ReadSei(nal.bytes).ok());
}

}  // namespace
}  // namespace kine::h264
