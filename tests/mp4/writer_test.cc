// Init segment, fragments and what they promise about the finished size.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <random>

#include "daemon/base/crc32c.h"
#include "daemon/base/limits.h"
#include "encode/mp4/box_reader.h"
#include "encode/mp4/finalise.h"
#include "encode/mp4/fragment_layout.h"
#include "encode/mp4/fragment_writer.h"
#include "encode/mp4/init_segment.h"
#include "tests/mp4/test_recording.h"

namespace kine::mp4 {
namespace {

using testing::HasSubstr;

constexpr size_t kMemory = 1u << 20;

Sample MakeSample(uint64_t time, size_t bytes, bool keyframe) {
  return {Share(ByteVector(bytes, std::byte{7})), time, keyframe, 0};
}

InitOptions ValidOptions(const ByteVector& keyframe) {
  InitOptions options;
  options.width = 640;
  options.height = 480;
  options.keyframe = keyframe;
  options.reserve_bytes = 8192;
  return options;
}

ByteVector Keyframe() {
  std::mt19937 random(1);
  return FakeAccessUnit(true, 30, random);
}

TEST(InitSegmentTest, HasAnAlignedReserveInFrontOfTheMoov) {
  const ByteVector keyframe = Keyframe();
  const auto init = BuildInitSegment(ValidOptions(keyframe));
  ASSERT_TRUE(init.ok()) << init.status();

  ByteVector file;
  AppendInit(*init, file);
  BoxCursor boxes(file);
  const auto ftyp = boxes.Next();
  const auto reserve = boxes.Next();
  const auto moov = boxes.Next();
  ASSERT_TRUE(ftyp && reserve && moov && boxes.at_end());
  EXPECT_EQ(ftyp->type, FourCc("ftyp"));
  EXPECT_EQ(ftyp->whole.size(), init->header.reserve_offset);
  EXPECT_EQ(init->header.reserve_offset % 8, 0u);
  EXPECT_EQ(reserve->type, FourCc("free"));
  EXPECT_EQ(reserve->whole.size(), 8192u);
  EXPECT_EQ(moov->type, FourCc("moov"));
  EXPECT_TRUE(FindBox(moov->payload, FourCc("mvex")));
  EXPECT_EQ(init->header.fragments_offset(), file.size());
}

TEST(InitSegmentTest, SaysProfileColourAndInBandParameterSets) {
  const ByteVector keyframe = Keyframe();
  const auto init = BuildInitSegment(ValidOptions(keyframe));
  ASSERT_TRUE(init.ok());

  ByteReader stsd(init->header.stsd);
  stsd.Skip(8 + 4);
  EXPECT_EQ(stsd.U32(), 1u);  // Entries.
  ByteReader entry = stsd;
  entry.U32();
  EXPECT_EQ(entry.U32(), FourCc("avc3"));
  stsd.Skip(8 + 78);
  const auto children = stsd.Bytes(stsd.left());
  const auto avcc = FindBox(children, FourCc("avcC"));
  const auto colr = FindBox(children, FourCc("colr"));
  ASSERT_TRUE(avcc && colr && FindBox(children, FourCc("pasp")));
  ByteReader config(avcc->payload);
  EXPECT_EQ(config.U32(), 0x0164'001fu);  // High, level 3.1.
  EXPECT_EQ(config.U8() & 3, 3);          // 4-byte lengths.
  EXPECT_EQ(config.U8() & 31, 0);         // SPS.
  EXPECT_EQ(config.U8(), 0);              // PPS.
  ByteReader colour(colr->payload);
  EXPECT_EQ(colour.U32(), FourCc("nclx"));
  EXPECT_EQ(colour.U16(), 1);
  EXPECT_EQ(colour.U16(), 1);
  EXPECT_EQ(colour.U16(), 1);
  EXPECT_EQ(colour.U8(), 0);  // Limited.
}

TEST(InitSegmentTest, RefusesWhatItCannotDescribe) {
  const ByteVector keyframe = Keyframe();
  const auto refusal = [&](auto change) {
    InitOptions options = ValidOptions(keyframe);
    change(options);
    const auto init = BuildInitSegment(options);
    EXPECT_EQ(init.status().code(), absl::StatusCode::kInvalidArgument);
    return std::string(init.status().message());
  };
  EXPECT_THAT(refusal([](auto& o) { o.width = 641; }), HasSubstr("641x480"));
  EXPECT_THAT(refusal([](auto& o) { o.height = 8194; }), HasSubstr("8194"));
  EXPECT_THAT(refusal([](auto& o) { o.width = 0; }), HasSubstr("0x480"));
  EXPECT_THAT(refusal([](auto& o) { o.reserve_bytes = 8191; }),
              HasSubstr("8191"));
  EXPECT_THAT(refusal([](auto& o) { o.reserve_bytes = 512; }),
              HasSubstr("512"));
  EXPECT_THAT(refusal([](auto& o) { o.reserve_bytes = 1ull << 32; }),
              HasSubstr("4294967296"));
  EXPECT_THAT(refusal([](auto& o) { o.keyframe = {}; }), HasSubstr("SPS"));
  EXPECT_THAT(refusal([](auto& o) { o.keyframe = o.keyframe.first(9); }),
              HasSubstr("framing"));
  // Up to and with the SPS only.
  EXPECT_THAT(refusal([](auto& o) { o.keyframe = o.keyframe.first(10); }),
              HasSubstr("PPS"));
  ByteVector high444 = keyframe;
  high444[5] = std::byte{244};
  EXPECT_THAT(refusal([&](auto& o) { o.keyframe = high444; }),
              HasSubstr("profile 244"));
}

TEST(ReserveTest, HoldsTheIndexOfARecordingThatKeepsToItsLimits) {
  // Twenty minutes at 30 fps with jitter, of small samples.
  const uint64_t reserve = ReserveBytes(1'200'000, 30, 100u << 20);
  EXPECT_LT(reserve, 600'000u);
  const ByteVector keyframe = Keyframe();
  InitOptions options = ValidOptions(keyframe);
  options.reserve_bytes = reserve;
  const auto init = BuildInitSegment(options);
  ASSERT_TRUE(init.ok());
  FragmentWriter writer(init->header, kMemory);
  for (uint64_t i = 0; i < 36'000; ++i) {
    // Fragments of 14 and of 16: no two chunks in a run.
    if (i > 0 && (i % 30 == 0 || i % 30 == 14)) (void)writer.Close(i * 3000);
    writer.Add(MakeSample(i * 3000 + i * i % 17, 20, i % 150 == 0));
  }
  (void)writer.Close(36'000 * 3000);
  const auto plan = PlanFinalise(std::move(writer).TakeFile(), 36'000 * 3000);

  ASSERT_TRUE(plan.ok());
  EXPECT_TRUE(plan->index_in_front);
}

TEST(ReserveTest, StaysBetweenItsBounds) {
  EXPECT_EQ(ReserveBytes(1000, 30, 100u << 20), limits::kReserveMinBytes);
  EXPECT_EQ(ReserveBytes(limits::kMaxDurationMaxMs, 120, 4u << 20),
            (4u << 20) * 3 / 100 / 8 * 8);
  // The default: 4 hours, but 100 MiB hold no more than 205,000 samples.
  const uint64_t usual =
      ReserveBytes(limits::kMaxDurationDefaultMs, 30, limits::kMaxBytesDefault);
  EXPECT_GT(usual, 2'800'000u);
  EXPECT_LE(usual, limits::kMaxBytesDefault * 3 / 100);
  for (uint64_t mib = 4; mib < 1 << 20; mib *= 3) {
    EXPECT_EQ(ReserveBytes(3'600'000, 60, mib << 20) % 8, 0u);
    EXPECT_GE(ReserveBytes(3'600'000, 60, mib << 20), limits::kReserveMinBytes);
  }
}

TEST(PriorityTest, SaturatesTheDamageAndKeepsTheAgentApart) {
  EXPECT_EQ(Priority(0, false), 0);
  EXPECT_EQ(Priority(8160, false), 8160);
  EXPECT_EQ(Priority(8160, true), 0x8000 | 8160);
  EXPECT_EQ(Priority(40'000, false), 0x7fff);
  EXPECT_EQ(Priority(UINT32_MAX, true), 0xffff);
}

class FragmentWriterTest : public testing::Test {
 protected:
  FragmentWriterTest() {
    const ByteVector keyframe = Keyframe();
    const auto init = BuildInitSegment(ValidOptions(keyframe));
    EXPECT_TRUE(init.ok());
    header_ = init->header;
  }
  static ParsedMoof Parse(const Fragment& fragment, size_t samples) {
    const auto moof =
        ParseMoof(std::span(fragment.bytes)
                      .first(static_cast<size_t>(MoofBytes(samples))));
    EXPECT_TRUE(moof.ok()) << moof.status();
    return moof.value_or(ParsedMoof{});
  }
  FileHeader header_;
};

TEST_F(FragmentWriterTest, WritesTimesSizesAndFlagsOfEachSample) {
  FragmentWriter writer(header_, kMemory);
  writer.Add({Share(ByteVector(10)), 500, true, Priority(9, true)});
  writer.Add({Share(ByteVector(20)), 3500, false, 3});
  const Fragment fragment = writer.Close(45'500);

  EXPECT_EQ(fragment.offset, header_.fragments_offset());
  EXPECT_EQ(fragment.first_time, 500u);
  EXPECT_EQ(fragment.until, 45'500u);
  EXPECT_EQ(fragment.samples, 2u);
  EXPECT_TRUE(fragment.starts_with_keyframe);
  EXPECT_EQ(fragment.end(), writer.end());
  const ParsedMoof moof = Parse(fragment, 2);
  EXPECT_EQ(moof.decode_time, 500u);
  EXPECT_EQ(moof.payload_bytes, 30u);
  EXPECT_TRUE(moof.crc_good);
  EXPECT_EQ(moof.payload_crc, Crc32c(0, ByteVector(30)));
  ASSERT_EQ(moof.samples.size(), 2u);
  EXPECT_EQ(moof.samples[0].duration, 3000u);
  EXPECT_EQ(moof.samples[0].size, 10u);
  EXPECT_TRUE(moof.samples[0].keyframe);
  EXPECT_EQ(moof.samples[0].priority, 0x8009);
  EXPECT_EQ(moof.samples[1].duration, 42'000u);
  EXPECT_FALSE(moof.samples[1].keyframe);
  EXPECT_EQ(moof.samples[1].priority, 3);
}

TEST_F(FragmentWriterTest, TheNextFragmentFollowsAndItsTimeMayJump) {
  FragmentWriter writer(header_, kMemory);
  writer.Add(MakeSample(0, 10, true));
  const Fragment first = writer.Close(45'000);
  EXPECT_TRUE(writer.empty());
  writer.Add(MakeSample(900'000, 10, false));
  EXPECT_EQ(writer.open_since(), 900'000u);
  EXPECT_EQ(writer.open_bytes(), 10u);
  const Fragment second = writer.Close(945'000);

  EXPECT_EQ(second.offset, first.end());
  EXPECT_FALSE(second.starts_with_keyframe);
  EXPECT_EQ(Parse(second, 1).decode_time, 900'000u);
}

TEST_F(FragmentWriterTest, TimeAlwaysGoesForward) {
  FragmentWriter writer(header_, kMemory);
  writer.Add(MakeSample(100, 5, true));
  writer.Add(MakeSample(100, 5, false));
  writer.Add(MakeSample(40, 5, false));
  const Fragment fragment = writer.Close(0);
  EXPECT_EQ(fragment.until, 103u);
  for (const ParsedMoof::Entry& sample : Parse(fragment, 3).samples)
    EXPECT_EQ(sample.duration, 1u);
  writer.Add(MakeSample(50, 5, false));
  EXPECT_EQ(writer.Close(60).first_time, 103u);
}

TEST_F(FragmentWriterTest, ALongStillScreenHasADurationThatPlayersRead) {
  FragmentWriter writer(header_, kMemory);
  writer.Add(MakeSample(0, 5, true));
  EXPECT_EQ(Parse(writer.Close(uint64_t{1} << 40), 1).samples[0].duration,
            kSampleTicksMax);
}

TEST_F(FragmentWriterTest, AMoofCanBeMovedInTime) {
  FragmentWriter writer(header_, kMemory);
  writer.Add(MakeSample(900'000, 5, true));
  writer.Add(MakeSample(903'000, 5, false));
  Fragment fragment = writer.Close(904'000);
  const std::span moof(fragment.bytes.data(), MoofBytes(2));

  ASSERT_TRUE(RetimeMoof(moof, 42, 45'000));

  const ParsedMoof parsed = Parse(fragment, 2);
  EXPECT_EQ(parsed.decode_time, 42u);
  EXPECT_TRUE(parsed.crc_good);
  EXPECT_EQ(parsed.samples[0].duration, 3'000u);
  EXPECT_EQ(parsed.samples[1].duration, 45'000u);
  EXPECT_EQ(parsed.samples[1].size, 5u);
  for (const size_t bytes : {size_t{0}, size_t{120}, moof.size() - 1})
    EXPECT_FALSE(RetimeMoof(moof.first(bytes), 1, 1)) << bytes;
  EXPECT_FALSE(RetimeMoof(moof, 1, kSampleTicksMax + 1));
  EXPECT_EQ(Parse(fragment, 2).decode_time, 42u);
}

TEST_F(FragmentWriterTest, RefusesWhatNoPlayerCouldStartWith) {
  EXPECT_DEATH(FragmentWriter(header_, kMemory).Add(MakeSample(0, 5, false)),
               "keyframe");
  EXPECT_DEATH(FragmentWriter(header_, kMemory).Add(MakeSample(0, 0, true)),
               "empty");
  EXPECT_DEATH((void)FragmentWriter(header_, kMemory).Close(1), "empty");
}

// What max_bytes rests on: the promise is never too small, and too large only
// by what the last duration may save and padding.
TEST(FinishedBytesTest, ThePromiseHoldsWhereverARecordingStops) {
  std::mt19937 random(4);
  int in_front = 0;
  int at_end = 0;
  for (int round = 0; round < 400; ++round) {
    SCOPED_TRACE(round);
    const ByteVector keyframe = Keyframe();
    InitOptions options = ValidOptions(keyframe);
    options.reserve_bytes = 1024 + random() % 300 * 8;
    const auto init = BuildInitSegment(options);
    ASSERT_TRUE(init.ok());
    FragmentWriter writer(init->header, kMemory);
    uint64_t time = 0;
    uint64_t promised = 0;
    const auto samples = 1 + random() % 120;
    for (uint32_t i = 0; i < samples; ++i) {
      if (!writer.empty() && random() % 6 == 0) (void)writer.Close(time);
      Sample sample =
          MakeSample(time, 1 + random() % 50, i == 0 || random() % 9 == 0);
      promised = writer.FinishedBytesWith(sample);
      writer.Add(std::move(sample));
      ASSERT_EQ(writer.FinishedBytes(), promised);
      time += random() % 3 == 0 ? 3000 : 1 + random() % 5000;
    }
    (void)writer.Close(time);
    ASSERT_EQ(writer.FinishedBytes(), promised);
    const auto plan = PlanFinalise(std::move(writer).TakeFile(), time + 99);
    ASSERT_TRUE(plan.ok());
    ASSERT_LE(plan->file_bytes, promised);
    ++(plan->index_in_front ? in_front : at_end);
    if (!plan->index_in_front) {
      ASSERT_LE(promised - plan->file_bytes, 16u);
    }
  }
  EXPECT_GT(in_front, 50);
  EXPECT_GT(at_end, 50);
}

}  // namespace
}  // namespace kine::mp4
