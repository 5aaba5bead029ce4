#include "tests/va/va_rig.h"

#include <drm_fourcc.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "daemon/base/check.h"
#include "daemon/base/fd.h"
#include "daemon/base/status.h"

namespace kine {
Frame MemfdFrame(const TestImage &image, uint64_t buffer_id, uint32_t fourcc,
                 std::shared_ptr<int> lent) {
  constexpr uint32_t kOffset = 4096;
  const auto stride = static_cast<uint32_t>(image.width * 4 + 192);
  const size_t size = kOffset + size_t{stride} * size_t(image.height);
  auto fd = std::make_shared<UniqueFd>(memfd_create("frame", MFD_CLOEXEC));
  KINE_CHECK(fd->valid() && ftruncate(fd->get(), off_t(size)) == 0);
  void *const memory =
      mmap(nullptr, size, PROT_WRITE, MAP_SHARED, fd->get(), 0);
  KINE_CHECK(memory != MAP_FAILED);
  auto *const rows = static_cast<uint8_t *>(memory) + kOffset;
  const bool bgr = fourcc == 0 || fourcc == DRM_FORMAT_XRGB8888 ||
                   fourcc == DRM_FORMAT_ARGB8888;
  for (int y = 0; y < image.height; ++y) {
    for (int x = 0; x < image.width; ++x) {
      const Rgb &pixel = image.at(x, y);
      uint8_t *const to = rows + size_t(y) * stride + size_t(x) * 4;
      to[0] = bgr ? pixel.b : pixel.r;
      to[1] = pixel.g;
      to[2] = bgr ? pixel.r : pixel.b;
      to[3] = 0xff;
    }
  }
  munmap(memory, size);
  if (lent != nullptr) ++*lent;
  Frame frame([fd, lent] {
    if (lent != nullptr) --*lent;
  });
  frame.format.fourcc = fourcc == 0 ? DRM_FORMAT_XRGB8888 : fourcc;
  frame.format.modifier = DRM_FORMAT_MOD_LINEAR;
  frame.format.width = image.width;
  frame.format.height = image.height;
  frame.crop = {0, 0, image.width, image.height};
  frame.plane_count = 1;
  frame.planes[0].fd = fd->get();
  frame.planes[0].offset = kOffset;
  frame.planes[0].stride = stride;
  frame.buffer_id = buffer_id;
  return frame;
}

bool HaveDecoder() {
  static const bool have = HaveFfmpeg();
  return have;
}

VaRig::VaRig(const SoftVaEnv::Settings &settings) : env_(settings) {}
VaRig::~VaRig() = default;

absl::Status VaRig::Make(const EncoderConfig &config,
                         const VaOptions &options) {
  VaOptions with_node = options;
  if (with_node.render_node.empty()) with_node.render_node = kFakeRenderNode;
  KINE_ASSIGN_OR_RETURN(encoder_, CreateVaEncoder(config, with_node));
  return absl::OkStatus();
}

MonoTime VaRig::NextTime() {
  time_ = time_ + absl::Milliseconds(33);
  return time_;
}

absl::StatusOr<Encoder::Outcome> VaRig::Encode(const TestImage &image, Way way,
                                               const EncodeRequest &request,
                                               const Damage *damage,
                                               uint64_t buffer_id) {
  Frame frame = way == Way::kUpload
                    ? MakeFrame(image, {.fourcc = DRM_FORMAT_XRGB8888})
                    : MemfdFrame(image, buffer_id, 0, lent_);
  if (damage != nullptr) {
    frame.damage = *damage;
    frame.damage_is_source = true;
  }
  return EncodeFrame(image, std::move(frame), request);
}

absl::StatusOr<Encoder::Outcome> VaRig::EncodeFrame(
    const TestImage &image, Frame frame, const EncodeRequest &request) {
  frame.time = NextTime();
  frame.arrival = frame.time + absl::Milliseconds(1);
  last_frame_ = std::move(frame);
  auto outcome = encoder_->Encode(last_frame_, request, packets_);
  picture_.emplace();
  KINE_RETURN_IF_ERROR(
      picture_->Take(MakeFrame(image, {.fourcc = DRM_FORMAT_XRGB8888}),
                     encoder_->draws_pointer() ? request.pointer : nullptr));
  if (outcome.ok() && *outcome == Encoder::Outcome::kEncoded) {
    expected_.push_back(Visible(*picture_));
  }
  return outcome;
}

absl::StatusOr<Encoder::Outcome> VaRig::Again(Encoder::Again how,
                                              const EncodeRequest &request) {
  const DecodedPicture last =
      expected_.empty() ? DecodedPicture{} : expected_.back();
  const size_t before = packets_.size();
  auto outcome = encoder_->EncodeAgain(how, NextTime(), request, packets_);
  if (how == Encoder::Again::kPointer) {
    if (outcome.ok() && *outcome == Encoder::Outcome::kEncoded) {
      picture_->MovePointer(request.pointer);
      expected_.push_back(Visible(*picture_));
    }
    return outcome;
  }
  while (packets_.size() > before && expected_.size() < packets_.size()) {
    expected_.push_back(last);
  }
  return outcome;
}

std::string VaRig::Difference(int tolerance) {
  if (!encoder_->Flush(packets_).ok()) return "Flush failed";
  if (packets_.size() != expected_.size()) {
    return absl::StrCat(packets_.size(), " packets for ", expected_.size(),
                        " frames");
  }
  size_t at = 0;
  while (at < packets_.size()) {
    // ffmpeg's raw output has one size.
    size_t end = at + 1;
    while (end < packets_.size() && packets_[end].width == packets_[at].width &&
           packets_[end].height == packets_[at].height) {
      ++end;
    }
    const auto pictures =
        Decode(absl::MakeSpan(packets_).subspan(at, end - at));
    if (pictures.size() != end - at) {
      return absl::StrCat(pictures.size(), " pictures of ", end - at,
                          " packets from ", at);
    }
    for (size_t i = 0; i < pictures.size(); ++i) {
      const DecodedPicture &want = expected_[at + i];
      const std::string bad = kine::Difference(pictures[i], want, tolerance);
      if (!bad.empty()) return absl::StrCat("picture ", at + i, ": ", bad);
    }
    at = end;
  }
  return "";
}

}  // namespace kine
