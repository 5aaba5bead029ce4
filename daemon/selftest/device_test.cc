#include "daemon/selftest/device_test.h"

#include <sys/mman.h>

#include <algorithm>
#include <cerrno>
#include <ctime>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "capture/pixel_format.h"
#include "daemon/base/clock.h"
#include "daemon/base/fd.h"
#include "daemon/base/status.h"
#include "daemon/doctor/doctor_limits.h"
#include "daemon/selftest/test_movie.h"
#include "daemon/selftest/test_pictures.h"

namespace kine {
namespace {

using limits::kSelfTestFrames;
using limits::kSelfTestHeight;
using limits::kSelfTestWidth;
using State = SelfTestDevice::State;

// A second keyframe in the middle: what a viewer who joins is given.
constexpr int kSecondKeyframe = kSelfTestFrames / 2;
constexpr size_t kLumaBytes = size_t{kSelfTestWidth} * kSelfTestHeight;
constexpr size_t kPictureBytes = kLumaBytes * 3 / 2;

// Of every thread: encoders have some.
absl::Duration ProcessCpuTime() {
  timespec time{};
  ::clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
  return absl::DurationFromTimespec(time);
}

bool MeansThereIsNone(const absl::Status& status) {
  return absl::IsUnimplemented(status) || absl::IsNotFound(status) ||
         absl::IsPermissionDenied(status);
}

class Test {
 public:
  Test(const DeviceTestSteps& steps, SelfTestDevice& device)
      : steps_(steps), device_(device) {}

  void Run() {
    if (!Open() || !Encode()) return;
    encoder_.reset();  // Ends the driver's part before the decoder's.
    Enter("decoding");
    const UniqueFd movie(::memfd_create("kinescope-self-test", MFD_CLOEXEC));
    if (!movie.valid()) {
      Fail("internal", ErrnoStatus(errno, "memfd_create"));
      return;
    }
    const auto bytes = WriteTestMovie(std::move(packets_), movie.get());
    if (!bytes.ok()) {
      Fail("not_playable", bytes.status());
      return;
    }
    device_.bytes = *bytes;
    const auto decoded = steps_.decode(movie.get());
    if (decoded.ok()) {
      Compare(*decoded);
    } else if (absl::IsNotFound(decoded.status())) {
      End(State::kUnchecked, "no_decoder", decoded.status().message());
    } else {
      Fail("decode_failed", decoded.status());
    }
  }

 private:
  void Enter(const char* stage) {
    device_.stage = stage;
    if (steps_.on_stage) steps_.on_stage(device_);
  }
  bool End(State state, const char* reason, absl::string_view message) {
    device_.state = state;
    device_.reason = reason;
    device_.message = std::string(message);
    return false;
  }
  bool Fail(const char* reason, const absl::Status& status) {
    return End(State::kFailed, reason, status.message());
  }

  bool Open() {
    Enter("opening");
    if (steps_.describe) {
      const absl::Status described = steps_.describe(device_);
      if (MeansThereIsNone(described))
        return End(State::kUnusable, "not_usable", described.message());
      if (!described.ok()) return Fail("cannot_open", described);
      Enter("opening");  // Now with the driver's name.
    }
    const MonoTime start = SystemClock().Now();
    auto encoder = steps_.open(EncoderConfig{});
    device_.open_ms = absl::ToDoubleMilliseconds(SystemClock().Now() - start);
    if (!encoder.ok()) {
      // What described itself as an encoder must be one.
      if (!steps_.describe && MeansThereIsNone(encoder.status()))
        return End(State::kUnusable, "not_usable", encoder.status().message());
      return Fail("cannot_open", encoder.status());
    }
    encoder_ = *std::move(encoder);
    const EncoderDescription description = encoder_->description();
    device_.encoder = absl::StrCat(description.name, " ", description.version,
                                   ", ", description.profile);
    for (const DmabufFormat& format : description.imports) {
      SelfTestDevice::Import& import = device_.imports.emplace_back();
      import.format = PixelFormatName(format.fourcc);
      for (const uint64_t modifier : format.modifiers)
        import.modifiers.push_back(ModifierName(modifier));
    }
    return true;
  }

  // One picture, or why not.
  absl::Status EncodeOne(const TestPicture& picture, int number) {
    Frame frame = picture.ToFrame(MonoTime::FromNanos(1'000'000'000) +
                                  number * absl::Seconds(1) / kSelfTestFrames);
    EncodeRequest request;
    request.keyframe = number == kSecondKeyframe;
    KINE_ASSIGN_OR_RETURN(const Encoder::Outcome outcome,
                          encoder_->Encode(frame, request, packets_));
    if (outcome == Encoder::Outcome::kEncoded) return absl::OkStatus();
    return absl::InternalError(outcome == Encoder::Outcome::kUnchanged
                                   ? "took a new picture for the old one"
                                   : "cannot read plain memory");
  }

  bool Encode() {
    for (int i = 0; i < kSelfTestFrames; ++i)
      pictures_.push_back(DrawTestPicture(kSelfTestWidth, kSelfTestHeight,
                                          static_cast<uint64_t>(i)));
    Enter("encoding");
    const MonoTime start = SystemClock().Now();
    const absl::Duration cpu_start = ProcessCpuTime();
    for (int i = 0; i < kSelfTestFrames; ++i) {
      const absl::Status encoded =
          EncodeOne(pictures_[static_cast<size_t>(i)], i);
      if (!encoded.ok())
        return Fail("encode_failed",
                    WithContext(absl::StrCat("picture ", i), encoded));
    }
    if (const absl::Status flushed = encoder_->Flush(packets_); !flushed.ok())
      return Fail("encode_failed", WithContext("flush", flushed));
    const absl::Duration took = SystemClock().Now() - start;
    const absl::Duration cpu = ProcessCpuTime() - cpu_start;
    device_.frames = packets_.size();
    device_.frames_per_second =
        kSelfTestFrames / std::max(absl::ToDoubleSeconds(took), 1e-6);
    device_.cpu_ms_per_frame =
        absl::ToDoubleMilliseconds(cpu) / kSelfTestFrames;
    return CheckPackets();
  }

  bool CheckPackets() {
    if (packets_.size() != kSelfTestFrames)
      return End(State::kFailed, "wrong_pictures",
                 absl::StrCat("gave ", packets_.size(), " packets for ",
                              kSelfTestFrames, " pictures"));
    if (!packets_[kSecondKeyframe].keyframe)
      return End(State::kFailed, "wrong_pictures",
                 "gave no keyframe when one was asked for");
    return true;
  }

  void Compare(absl::string_view decoded) {
    if (decoded.size() != kPictureBytes * kSelfTestFrames) {
      End(State::kFailed, "wrong_pictures",
          absl::StrCat("decodes to ", decoded.size(), " bytes, ",
                       kSelfTestFrames, " pictures of ", kSelfTestWidth, "x",
                       kSelfTestHeight, " are ",
                       kPictureBytes * kSelfTestFrames));
      return;
    }
    const std::span<const uint8_t> bytes(
        reinterpret_cast<const uint8_t*>(decoded.data()), decoded.size());
    double luma_min = kPsnrSame;
    double luma_sum = 0;
    double chroma_min = kPsnrSame;
    size_t worst = 0;
    for (size_t i = 0; i < kSelfTestFrames; ++i) {
      const std::vector<uint8_t> wanted = ReferenceI420(pictures_[i]);
      const std::span<const uint8_t> all(wanted);
      const auto got = bytes.subspan(i * kPictureBytes, kPictureBytes);
      const double luma = Psnr(got.first(kLumaBytes), all.first(kLumaBytes));
      if (luma < luma_min) worst = i;
      luma_min = std::min(luma_min, luma);
      luma_sum += luma;
      // Each plane for itself: a good one must not hide a bad one.
      for (const size_t plane : {kLumaBytes, kLumaBytes * 5 / 4})
        chroma_min =
            std::min(chroma_min, Psnr(got.subspan(plane, kLumaBytes / 4),
                                      all.subspan(plane, kLumaBytes / 4)));
    }
    device_.luma_psnr_min = luma_min;
    device_.luma_psnr_mean = luma_sum / kSelfTestFrames;
    device_.chroma_psnr_min = chroma_min;
    Judge(worst);
  }

  void Judge(size_t worst) {
    const bool luma = device_.luma_psnr_min < limits::kSelfTestLumaPsnr;
    if (luma || device_.chroma_psnr_min < limits::kSelfTestChromaPsnr) {
      End(State::kFailed, "low_psnr",
          luma ? absl::StrFormat(
                     "picture %d differs from its original: luma %.1f dB, "
                     "needed are %.0f",
                     worst, device_.luma_psnr_min, limits::kSelfTestLumaPsnr)
               : absl::StrFormat(
                     "the colours differ from the original: chroma %.1f dB, "
                     "needed are %.0f",
                     device_.chroma_psnr_min, limits::kSelfTestChromaPsnr));
      return;
    }
    End(State::kPassed, "", "");
    device_.stage.clear();
  }

  const DeviceTestSteps& steps_;
  SelfTestDevice& device_;
  std::unique_ptr<Encoder> encoder_;
  std::vector<TestPicture> pictures_;
  std::vector<Packet> packets_;
};

}  // namespace

void TestDevice(const DeviceTestSteps& steps, SelfTestDevice& device) {
  Test(steps, device).Run();
}

}  // namespace kine
