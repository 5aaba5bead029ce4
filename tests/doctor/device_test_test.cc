// The self-test of one device, with everything that may go wrong.
#include "daemon/selftest/device_test.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "daemon/doctor/doctor_limits.h"
#include "daemon/selftest/test_pictures.h"
#include "encode/create_encoder.h"

namespace kine {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::StartsWith;
using State = SelfTestDevice::State;

constexpr int kFrames = limits::kSelfTestFrames;
constexpr size_t kLuma =
    size_t{limits::kSelfTestWidth} * limits::kSelfTestHeight;
constexpr size_t kPicture = kLuma * 3 / 2;

// The software encoder, until something is to go wrong.
class FaultyEncoder final : public Encoder {
 public:
  struct Faults {
    int fail_at = -1;       // The picture that fails,
    int unchanged_at = -1;  // is said to be the old one,
    int cannot_import_at = -1;
    bool lose_last = false;
    bool no_keyframe = false;
    bool fail_flush = false;
    bool no_parameter_sets = false;
  };
  FaultyEncoder(std::unique_ptr<Encoder> encoder, const Faults& faults)
      : encoder_(std::move(encoder)), faults_(faults) {}

  absl::StatusOr<Outcome> Encode(Frame& frame, const EncodeRequest& request,
                                 std::vector<Packet>& out) override {
    const int number = number_++;
    if (number == faults_.fail_at)
      return absl::UnavailableError("the GPU is lost");
    if (number == faults_.unchanged_at) return Outcome::kUnchanged;
    if (number == faults_.cannot_import_at) return Outcome::kCannotImport;
    EncodeRequest changed = request;
    if (faults_.no_keyframe) changed.keyframe = false;
    auto outcome = encoder_->Encode(frame, changed, out);
    if (faults_.no_parameter_sets && number == 0) out.back().data.resize(4);
    if (faults_.lose_last && number == kFrames - 1) out.pop_back();
    return outcome;
  }
  absl::StatusOr<Outcome> EncodeAgain(Again how, MonoTime time,
                                      const EncodeRequest& request,
                                      std::vector<Packet>& out) override {
    return encoder_->EncodeAgain(how, time, request, out);
  }
  absl::Status Flush(std::vector<Packet>& out) override {
    if (faults_.fail_flush) return absl::UnavailableError("no flush");
    return encoder_->Flush(out);
  }
  bool draws_pointer() const override { return true; }
  EncoderDescription description() const override {
    EncoderDescription description = encoder_->description();
    description.imports = {{0x34325258, {0}}};
    return description;
  }

 private:
  std::unique_ptr<Encoder> encoder_;
  const Faults faults_;
  int number_ = 0;
};

// All pictures as they were drawn: what a perfect decoder of a perfect encoder
// gives.
const std::string& Perfect() {
  static const std::string* const kAll = [] {
    auto* all = new std::string;
    for (int i = 0; i < kFrames; ++i) {
      const std::vector<uint8_t> picture = ReferenceI420(
          DrawTestPicture(limits::kSelfTestWidth, limits::kSelfTestHeight,
                          static_cast<uint64_t>(i)));
      all->append(picture.begin(), picture.end());
    }
    return all;
  }();
  return *kAll;
}

class DeviceTestTest : public testing::Test {
 protected:
  void SetUp() override {
    if (!CreateEncoder(EncoderChoice::kSoftware, {}, "").ok())
      GTEST_SKIP() << "built without x264";
    steps_.open = [this](const EncoderConfig& config)
        -> absl::StatusOr<std::unique_ptr<Encoder>> {
      auto created = CreateEncoder(EncoderChoice::kSoftware, config, "");
      if (!created.ok()) return created.status();
      return std::make_unique<FaultyEncoder>(std::move(created->encoder),
                                             faults_);
    };
    steps_.decode = [this](int) {
      return absl::StatusOr<std::string>(decoded_);
    };
    steps_.on_stage = [this](const SelfTestDevice& device) {
      stages_.push_back(device.stage);
    };
  }
  SelfTestDevice Run() {
    SelfTestDevice device;
    device.device = "software";
    TestDevice(steps_, device);
    return device;
  }
  // One picture takes the place of another.
  void Replace(int at, int by) {
    decoded_.replace(static_cast<size_t>(at) * kPicture, kPicture, Perfect(),
                     static_cast<size_t>(by) * kPicture, kPicture);
  }
  void ExpectFailed(const std::string& reason, const std::string& message) {
    const SelfTestDevice device = Run();
    EXPECT_EQ(device.state, State::kFailed);
    EXPECT_EQ(device.reason, reason);
    EXPECT_THAT(device.message, HasSubstr(message));
  }

  FaultyEncoder::Faults faults_;
  DeviceTestSteps steps_;
  std::string decoded_ = Perfect();
  std::vector<std::string> stages_;
};

TEST_F(DeviceTestTest, WhatComesBackAsItWentInPasses) {
  const SelfTestDevice device = Run();
  EXPECT_EQ(device.state, State::kPassed) << device.message;
  EXPECT_EQ(device.reason, "");
  EXPECT_THAT(stages_, ElementsAre("opening", "encoding", "decoding"));
  EXPECT_EQ(device.luma_psnr_min, kPsnrSame);
  EXPECT_EQ(device.luma_psnr_mean, kPsnrSame);
  EXPECT_EQ(device.chroma_psnr_min, kPsnrSame);
  EXPECT_EQ(device.frames, 30u);
  EXPECT_GT(device.bytes, 50'000u);
  EXPECT_GT(device.frames_per_second, 0);
  EXPECT_GT(device.cpu_ms_per_frame, 0);
  EXPECT_THAT(device.encoder, StartsWith("x264 "));
  ASSERT_EQ(device.imports.size(), 1u);
  EXPECT_EQ(device.imports[0].format, "BGRx");
  EXPECT_THAT(device.imports[0].modifiers, ElementsAre("linear"));
}

TEST_F(DeviceTestTest, OnePictureThatIsLateFails) {
  Replace(17, 16);
  const SelfTestDevice device = Run();
  EXPECT_EQ(device.state, State::kFailed);
  EXPECT_EQ(device.reason, "low_psnr");
  EXPECT_THAT(device.message, HasSubstr("picture 17 differs"));
  EXPECT_LT(device.luma_psnr_min, limits::kSelfTestLumaPsnr);
  EXPECT_GT(device.luma_psnr_mean, 90);
}

TEST_F(DeviceTestTest, OneWrongChromaPlaneFails) {
  // V as U, in one picture: luma is perfect.
  const size_t u = 5 * kPicture + kLuma;
  decoded_.replace(u, kLuma / 4, Perfect(), u + kLuma / 4, kLuma / 4);
  ExpectFailed("low_psnr", "the colours differ");
}

TEST_F(DeviceTestTest, APictureTooFewFails) {
  decoded_.resize(decoded_.size() - kPicture);
  ExpectFailed("wrong_pictures", "decodes to ");
}

TEST_F(DeviceTestTest, AnEncoderThatFailsIsQuoted) {
  faults_.fail_at = 7;
  ExpectFailed("encode_failed", "picture 7: the GPU is lost");
  faults_ = {.fail_flush = true};
  ExpectFailed("encode_failed", "flush: no flush");
  faults_ = {.unchanged_at = 3};
  ExpectFailed("encode_failed", "picture 3: took a new picture for the old");
  faults_ = {.cannot_import_at = 2};
  ExpectFailed("encode_failed", "picture 2: cannot read plain memory");
}

TEST_F(DeviceTestTest, PacketsThatAreNoMovieFail) {
  faults_.lose_last = true;
  ExpectFailed("wrong_pictures", "gave 29 packets for 30 pictures");
  faults_ = {.no_keyframe = true};
  ExpectFailed("wrong_pictures", "gave no keyframe");
  faults_ = {.no_parameter_sets = true};
  ExpectFailed("not_playable", "");
}

TEST_F(DeviceTestTest, ADecoderThatFailsOrIsMissingIsTold) {
  steps_.decode = [](int) -> absl::StatusOr<std::string> {
    return absl::DataLossError("no such NAL");
  };
  ExpectFailed("decode_failed", "no such NAL");
  steps_.decode = [](int) -> absl::StatusOr<std::string> {
    return absl::NotFoundError("not installed");
  };
  const SelfTestDevice device = Run();
  EXPECT_EQ(device.state, State::kUnchecked);
  EXPECT_EQ(device.reason, "no_decoder");
  EXPECT_GT(device.frames_per_second, 0);
}

TEST_F(DeviceTestTest, NoEncoderIsLessThanABrokenOne) {
  const auto none =
      [](const EncoderConfig&) -> absl::StatusOr<std::unique_ptr<Encoder>> {
    return absl::UnimplementedError("not compiled in");
  };
  steps_.open = none;
  SelfTestDevice device = Run();
  EXPECT_EQ(device.state, State::kUnusable);
  EXPECT_EQ(device.message, "not compiled in");
  // A node that says what it encodes must then do so.
  steps_.describe = [](SelfTestDevice& described) {
    described.driver = "a driver";
    return absl::OkStatus();
  };
  device = Run();
  EXPECT_EQ(device.state, State::kFailed);
  EXPECT_EQ(device.reason, "cannot_open");
  EXPECT_EQ(device.driver, "a driver");
  steps_.describe = [](SelfTestDevice&) {
    return absl::PermissionDeniedError("ask for the group");
  };
  device = Run();
  EXPECT_EQ(device.state, State::kUnusable);
  EXPECT_EQ(device.message, "ask for the group");
  steps_.describe = [](SelfTestDevice&) {
    return absl::InternalError("the query failed");
  };
  ExpectFailed("cannot_open", "the query failed");
}

}  // namespace
}  // namespace kine
