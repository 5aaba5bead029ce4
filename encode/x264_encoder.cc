#include "encode/x264_encoder.h"

#include <algorithm>
#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "daemon/base/clock.h"
#include "daemon/base/limits.h"
#include "daemon/base/status.h"
#include "encode/picture/macroblock_map.h"
#include "encode/picture/picture.h"
#include "encode/rate_control.h"
#include "encode/x264_session.h"

namespace kine {
namespace {

using Kind = RateControl::Kind;

using Job = RateControl::Job;

class X264Encoder final : public Encoder {
 public:
  explicit X264Encoder(const EncoderConfig& config)
      : config_(config), rate_(config) {}

  absl::StatusOr<Outcome> Encode(Frame& frame, const EncodeRequest& request,
                                 std::vector<Packet>& out) override;
  absl::StatusOr<Outcome> EncodeAgain(Again how, MonoTime time,
                                      const EncodeRequest& request,
                                      std::vector<Packet>& out) override;
  absl::Status Flush(std::vector<Packet>&) override {
    return absl::OkStatus();  // Nothing is ever held back.
  }
  bool draws_pointer() const override { return true; }
  EncoderDescription description() const override {
    // Frames are read by the CPU, which maps no dmabuf: it imports none.
    return {"x264", X264Version(), "High", "bt709 limited", {}};
  }

 private:
  // Encodes what of the picture has changed.
  absl::StatusOr<Outcome> EncodeChanged(MonoTime time, MonoTime arrival,
                                        const EncodeRequest& request,
                                        std::vector<Packet>& out);
  // Makes the session fit the picture.
  absl::Status Prepare();
  // The session's macroblocks as x264 wants them, from what changed.
  void MarkUnchanged(const MacroblockMap& changed);
  absl::StatusOr<Packet> Run(Job& job);
  uint32_t all() const {
    return static_cast<uint32_t>(picture_.changed().size());
  }

  const EncoderConfig config_;
  RateControl rate_;
  Picture picture_;
  // Coded with a higher QP than a refinement has, since the last one.
  MacroblockMap coarse_;
  std::vector<uint8_t> unchanged_;
  std::unique_ptr<X264Session> session_;
  bool keyframe_next_ = true;
  // Of the last packet, when that was a keyframe.
  std::optional<uint32_t> last_idr_id_;
};

absl::Status X264Encoder::Prepare() {
  if (session_ != nullptr && session_->width() == picture_.width() &&
      session_->height() == picture_.height()) {
    return absl::OkStatus();
  }
  keyframe_next_ = true;
  session_.reset();
  KINE_ASSIGN_OR_RETURN(session_, X264Session::Open(picture_, config_));
  coarse_ = picture_.changed();
  coarse_.SetAll();
  unchanged_.assign(coarse_.size(), 0);
  return absl::OkStatus();
}

void X264Encoder::MarkUnchanged(const MacroblockMap& changed) {
  std::transform(changed.data(), changed.data() + changed.size(),
                 unchanged_.begin(),
                 [](uint8_t bit) { return static_cast<uint8_t>(bit ^ 1); });
}

absl::StatusOr<Encoder::Outcome> X264Encoder::Encode(
    Frame& frame, const EncodeRequest& request, std::vector<Packet>& out) {
  const MonoTime begun = SystemClock().Now();
  if (absl::Status taken = picture_.Take(frame, request.pointer); !taken.ok()) {
    // A GPU's memory is slow to read from here, and its owner copies it into
    // ours faster than we could: so it is not mapped, the source is asked.
    if (absl::IsUnimplemented(taken) && frame.planes[0].fd >= 0)
      return Outcome::kCannotImport;
    keyframe_next_ = true;
    return taken;
  }
  const absl::Duration convert = SystemClock().Now() - begun;
  auto outcome = EncodeChanged(frame.time, frame.arrival, request, out);
  if (outcome.ok() && *outcome == Outcome::kEncoded) {
    out.back().convert = convert;
    frame.GiveBack();
  }
  return outcome;
}

absl::StatusOr<Encoder::Outcome> X264Encoder::EncodeChanged(
    MonoTime time, MonoTime arrival, const EncodeRequest& request,
    std::vector<Packet>& out) {
  KINE_RETURN_IF_ERROR(Prepare());
  const MacroblockMap& changed = picture_.changed();
  const uint32_t count = changed.count();
  if (count == 0 && !keyframe_next_) return Outcome::kUnchanged;
  const bool keyframe = request.keyframe || keyframe_next_;

  Job job;
  job.kind = keyframe ? Kind::kKeyframe : Kind::kChange;
  job.macroblocks = keyframe ? all() : count;
  job.max_bytes = request.max_bytes;
  job.time = time;
  job.arrival = arrival;
  job.qp = rate_.QpFor(job.kind, job.time, job.macroblocks);
  MarkUnchanged(changed);
  KINE_ASSIGN_OR_RETURN(Packet packet, Run(job));
  packet.damaged_macroblocks = count;
  if (packet.keyframe) {
    coarse_.SetAll();
  } else {
    coarse_.SetAllOf(changed);
  }
  out.push_back(std::move(packet));
  return Outcome::kEncoded;
}

absl::StatusOr<Encoder::Outcome> X264Encoder::EncodeAgain(
    Again how, MonoTime time, const EncodeRequest& request,
    std::vector<Packet>& out) {
  if (picture_.empty()) {
    return absl::FailedPreconditionError("no picture was encoded yet");
  }
  if (how == Again::kPointer) {
    picture_.MovePointer(request.pointer);
    return EncodeChanged(time, time, request, out);
  }
  KINE_RETURN_IF_ERROR(Prepare());
  if (keyframe_next_) how = Again::kKeyframe;
  auto job =
      rate_.PlanAgain(how, time, coarse_.count(), all(), request.max_bytes);
  if (!job.has_value()) return Outcome::kUnchanged;
  // x264 codes an unchanged macroblock again where its last QP was higher than
  // the picture's is now: a lower one refines what is coarse and nothing else.
  std::fill(unchanged_.begin(), unchanged_.end(), uint8_t{1});
  KINE_ASSIGN_OR_RETURN(Packet packet, Run(*job));
  if (packet.keyframe && !job->fine) coarse_.SetAll();
  if (job->kind == Kind::kRefinement) coarse_.ClearAll();
  packet.refinement = job->kind == Kind::kRefinement;
  out.push_back(std::move(packet));
  return Outcome::kEncoded;
}

absl::StatusOr<Packet> X264Encoder::Run(Job& job) {
  for (;;) {
    auto coded = session_->Encode(picture_, unchanged_,
                                  job.kind == Kind::kKeyframe, job.qp);
    if (!coded.ok()) {
      session_.reset();
      keyframe_next_ = true;
      return coded.status();
    }
    const bool fits = RateControl::Fits(job, coded->data.size(), job.qp);
    // Dropped tries can make two neighbours alike to a decoder.
    const bool distinct = !coded->keyframe || coded->idr_id != last_idr_id_;
    // What x264 made is its reference now, and will never be handed out: only
    // a keyframe can follow.
    if (!fits) RateControl::AgainAsKeyframe(job, all());
    if (!fits || !distinct) continue;

    rate_.Coded(job, job.qp, coded->data.size());
    keyframe_next_ = false;
    last_idr_id_.reset();
    if (coded->keyframe) last_idr_id_ = coded->idr_id;
    Packet packet;
    packet.data = std::move(coded->data);
    packet.time = job.time;
    packet.arrival = job.arrival;
    packet.keyframe = coded->keyframe;
    packet.width = picture_.width();
    packet.height = picture_.height();
    packet.true_width = picture_.true_width();
    packet.true_height = picture_.true_height();
    return packet;
  }
}

}  // namespace

absl::StatusOr<std::unique_ptr<Encoder>> CreateX264Encoder(
    const EncoderConfig& config) {
  if (!(config.fps_max >= limits::kFpsMin &&
        config.fps_max <= limits::kFpsMax)) {
    return absl::InvalidArgumentError("fps_max is out of range");
  }
  if (config.quality < 0 || config.quality > 100 || config.threads < 0) {
    return absl::InvalidArgumentError("quality or threads are out of range");
  }
  return std::make_unique<X264Encoder>(config);
}

}  // namespace kine
