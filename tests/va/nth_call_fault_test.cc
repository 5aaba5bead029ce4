// Every entry point of the driver fails once: at its first call, its second,
// and so on to its last. What comes out is always a stream that decodes to its
// input, the driver finds no leak and nothing wrong, and nothing waits for
// ever.
#include <drm_fourcc.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <memory>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "tests/fakes/sanitizer.h"
#include "tests/va/va_rig.h"

namespace kine {
namespace {

using Way = VaRig::Way;

constexpr int kPictures = 3;
// Every call, but where all is ten times slower.
constexpr int kStep = kThreadSanitizer ? 5 : 1;

struct Scenario {
  const char* name;
  Way way;
  int depth;
  SoftVaEnv::Settings settings;
};

void PrintTo(const Scenario& scenario, std::ostream* os) {
  *os << scenario.name;
}

TestImage ImageOf(int number) {
  TestImage image = RandomImage(48, 36, 3);
  image.Fill({number * 4, number * 3, 9, 7},
             {static_cast<uint8_t>(40 * number), 200, 17});
  return image;
}

// What a client's life left behind.
struct Outcome {
  std::vector<Packet> packets;  // Their times say which picture they show.
  int made = 0;                 // Encoders, without those that were refused.
  int failures = 0;             // Calls that failed.
  int lost = 0;                 // Pictures that were given up.
  std::string complaints;
  std::string trace;
};

class Client {
 public:
  Client(const Scenario& scenario, SoftVaEnv::Settings more)
      : scenario_(scenario) {
    more.insert(more.end(), scenario.settings.begin(), scenario.settings.end());
    const SoftVaEnv env(more);
    Live();
    encoder_ = nullptr;
    outcome_.complaints = env.Complaints();
    outcome_.trace = env.Trace();
  }
  Outcome& outcome() { return outcome_; }

 private:
  // As the recorder does: after an error the picture once more, then with a new
  // encoder; one that cannot be made is asked for again with the next picture.
  void Live() {
    for (int i = 0; i < kPictures; ++i) {
      bool done = false;
      for (int attempt = 0; attempt < 3 && !done; ++attempt) {
        if (encoder_ == nullptr || attempt == 2) Make();
        done = encoder_ != nullptr && Encode(i);
      }
      if (!done) ++outcome_.lost;
    }
    if (encoder_ == nullptr) return;
    Count(encoder_
              ->EncodeAgain(Encoder::Again::kKeyframe, TimeOf(kPictures - 1),
                            {}, outcome_.packets)
              .status());
    Count(encoder_->Flush(outcome_.packets));
  }

  void Make() {
    encoder_ = nullptr;
    auto made = CreateVaEncoder(
        {}, {.render_node = kFakeRenderNode, .depth = scenario_.depth});
    if (Count(made.status())) encoder_ = *std::move(made);
    if (encoder_ != nullptr) ++outcome_.made;
  }

  bool Encode(int number) {
    const TestImage image = ImageOf(number);
    for (const Way way : {scenario_.way, Way::kUpload}) {
      auto whole = std::make_shared<const Frame>(
          way == Way::kUpload
              ? MakeFrame(image, {.fourcc = DRM_FORMAT_XRGB8888})
              : MemfdFrame(image, static_cast<uint64_t>(number)));
      const std::weak_ptr<const Frame> lent = whole;
      Frame frame = ShareFrame(std::move(whole));
      frame.time = TimeOf(number);
      const auto outcome =
          encoder_->Encode(frame, {.keyframe = number == 2}, outcome_.packets);
      if (!Count(outcome.status())) {
        EXPECT_FALSE(lent.expired()) << "it is to be tried again";
        return false;
      }
      if (*outcome != Encoder::Outcome::kCannotImport) return true;
    }
    return false;
  }

  static MonoTime TimeOf(int number) {
    return MonoTime::FromNanos(1'000'000'000) + absl::Seconds(number);
  }

  bool Count(const absl::Status& status) {
    if (!status.ok()) ++outcome_.failures;
    return status.ok();
  }

  const Scenario& scenario_;
  std::unique_ptr<Encoder> encoder_;
  Outcome outcome_;
};

// Calls of each entry point, as the driver counted them.
std::map<std::string, int> CallsIn(const std::string& trace) {
  std::map<std::string, int> calls;
  for (const auto line : absl::StrSplit(trace, '\n')) {
    const std::vector<std::string> words =
        absl::StrSplit(line, absl::ByAnyChar(" ="));
    int count = 0;
    if (words.size() == 3 && words[0] == "Calls" &&
        absl::SimpleAtoi(words[2], &count))
      calls[words[1]] = std::max(calls[words[1]], count);
  }
  return calls;
}

// What our own conversion makes of the pictures.
std::vector<Picture> WantedPictures() {
  std::vector<Picture> wanted(kPictures);
  for (int i = 0; i < kPictures; ++i) {
    Frame frame = MakeFrame(ImageOf(i), {.fourcc = DRM_FORMAT_XRGB8888});
    EXPECT_TRUE(wanted[static_cast<size_t>(i)].Take(frame).ok());
  }
  return wanted;
}

// Samples that differ by more than 1, as another rounding of the colours may.
int64_t SamplesBeyond(const DecodedPicture& got, const Picture& want) {
  int64_t beyond = 0;
  for (int y = 0; y < got.height; ++y) {
    for (int x = 0; x < got.width; ++x) {
      const auto at = static_cast<size_t>(y * got.width + x);
      if (std::abs(got.luma[at] - want.luma()[y * want.stride() + x]) > 1)
        ++beyond;
      if (y % 2 != 0) continue;
      const auto chroma = static_cast<size_t>(y / 2 * got.width + x);
      if (std::abs(got.chroma[chroma] -
                   want.chroma()[y / 2 * want.stride() + x]) > 1)
        ++beyond;
    }
  }
  return beyond;
}

class NthCallFaultTest : public testing::TestWithParam<Scenario> {
 protected:
  // All runs' packets: each run begins with a keyframe, so that one decoder
  // goes through them all.
  std::vector<Packet> packets_;

  void Add(Outcome& outcome) {
    for (Packet& packet : outcome.packets)
      packets_.push_back(std::move(packet));
  }

  void ExpectDecodesToItsInput() {
    const std::vector<Picture> wanted = WantedPictures();
    const std::vector<DecodedPicture> pictures = Decode(packets_);
    ASSERT_EQ(pictures.size(), packets_.size());
    for (size_t i = 0; i < pictures.size(); ++i) {
      const auto number =
          static_cast<size_t>(packets_[i].time.nanos() / 1'000'000'000 - 1);
      ASSERT_EQ(SamplesBeyond(pictures[i], wanted[number]), 0)
          << "packet " << i << ", picture " << number;
    }
  }
};

TEST_P(NthCallFaultTest, TheStreamIsAlwaysGood) {
  if (!HaveDecoder()) GTEST_SKIP() << "ffmpeg is not installed";
  Client undisturbed(GetParam(), {});
  ASSERT_EQ(undisturbed.outcome().failures, 0);
  ASSERT_EQ(undisturbed.outcome().complaints, "");
  ASSERT_EQ(undisturbed.outcome().packets.size(), kPictures + 1u);
  auto calls = CallsIn(undisturbed.outcome().trace);
  ASSERT_GT(calls.size(), 15u);
  Add(undisturbed.outcome());
  int runs = 0;
  int noticed = 0;
  for (const auto& [entry, count] : calls) {
    for (int n = 1; n <= count; n += kStep) {
      SCOPED_TRACE(absl::StrCat(entry, ":", n));
      // 1: OPERATION_FAILED. In one display: the next one works.
      Client client(GetParam(), {{"FAULT", absl::StrCat(entry, ":", n, "=1")},
                                 {"DISPLAYS", "1"}});
      Outcome& outcome = client.outcome();
      EXPECT_NE(outcome.trace.find("FAULT"), std::string::npos);
      EXPECT_EQ(outcome.lost, 0);
      EXPECT_GE(outcome.made, 1);
      EXPECT_FALSE(outcome.packets.empty() || !outcome.packets[0].keyframe);
      EXPECT_EQ(outcome.complaints, "");
      Add(outcome);
      noticed += outcome.failures > 0 ? 1 : 0;
      ++runs;
    }
  }
  EXPECT_GT(noticed, runs / 10);
  RecordProperty("runs", runs);
  RecordProperty("noticed", noticed);
  ExpectDecodesToItsInput();
}

INSTANTIATE_TEST_SUITE_P(
    All, NthCallFaultTest,
    testing::Values(Scenario{"Import", Way::kImport, 1, {}},
                    Scenario{"UploadPipelined", Way::kUpload, 2, {}},
                    Scenario{"PutNothingPacked",
                             Way::kUpload,
                             1,
                             {{"NO_DERIVE", "1"},
                              {"NO_SYNC_BUFFER", "1"},
                              {"PACKED", "0"}}}),
    [](const testing::TestParamInfo<Scenario>& tested) {
      return std::string(tested.param.name);
    });

}  // namespace
}  // namespace kine
