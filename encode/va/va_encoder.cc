#include "encode/va/va_encoder.h"

#include <algorithm>
#include <cstdint>
#include <deque>
#include <optional>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "daemon/base/status.h"
#include "encode/picture/macroblock_map.h"
#include "encode/rate_control.h"
#include "encode/va/va_device.h"
#include "encode/va/va_input.h"
#include "encode/va/va_session.h"

namespace kine {
namespace {

using Kind = RateControl::Kind;

// A picture on its way through the driver.
struct Job : RateControl::Job {
  size_t input = 0;
  Frame held;  // Read until the picture is encoded.
  uint32_t damaged = 0;
  int true_width = 0;
  int true_height = 0;
};

class VaEncoder final : public Encoder {
 public:
  VaEncoder(const EncoderConfig& config, VaDevice device)
      : device_(std::move(device)),
        rate_(config),
        input_(device_.display->get(), device_.converts,
               device_.writes_in_parts) {}
  ~VaEncoder() override { Abandon(); }

  absl::StatusOr<Outcome> Encode(Frame& frame, const EncodeRequest& request,
                                 std::vector<Packet>& out) override;
  absl::StatusOr<Outcome> EncodeAgain(Again how, MonoTime time,
                                      const EncodeRequest& request,
                                      std::vector<Packet>& out) override;
  absl::Status Flush(std::vector<Packet>& out) override {
    return Settle(DrainTo(0, out));
  }
  bool draws_pointer() const override { return input_.draws_pointer(); }
  EncoderDescription description() const override;

 private:
  absl::StatusOr<Outcome> TryEncode(Frame& frame, const EncodeRequest& request,
                                    std::vector<Packet>& out);
  // What the input has taken, which `frame` was.
  absl::StatusOr<Outcome> EncodeTaken(Frame& frame,
                                      const EncodeRequest& request,
                                      std::vector<Packet>& out);
  absl::StatusOr<Outcome> TryEncodeAgain(Again how, MonoTime time,
                                         const EncodeRequest& request,
                                         std::vector<Packet>& out);
  // Makes the session fit what the input has taken.
  absl::Status Prepare(std::vector<Packet>& out);
  absl::Status Submit(const Job& job);
  // Hands out what is done until `left` pictures are under way.
  absl::Status DrainTo(size_t left, std::vector<Packet>& out);
  // Encodes the oldest picture again, as a keyframe, and what follows it.
  absl::Status Redo(bool overflow);
  void HandOut(VaSession::Coded coded, std::vector<Packet>& out);
  // The error, after which everything begins anew; OK stays OK.
  absl::Status Settle(absl::Status status);
  void Abandon();
  uint32_t all() const { return static_cast<uint32_t>(coarse_.size()); }
  bool steers() const { return device_.rate.mode != VA_RC_CQP; }

  VaDevice device_;
  RateControl rate_;
  std::unique_ptr<VaSession> session_;
  VaInput input_;
  std::deque<Job> jobs_;
  // Coded with a higher QP than a refinement has, since the last one.
  MacroblockMap coarse_;
  size_t kept_ = 0;  // The input that shows the last picture.
  bool has_kept_ = false;
  bool keyframe_next_ = true;
};

EncoderDescription VaEncoder::description() const {
  return {"vaapi", device_.display->vendor() + ", " + device_.display->node(),
          NameOf(device_.codec), "bt709 limited", device_.imports};
}

void VaEncoder::Abandon() {
  // The session waits for the GPU; then nothing reads from imports or frames.
  session_.reset();
  jobs_.clear();
  input_.Close();
  has_kept_ = false;
  keyframe_next_ = true;
}

absl::Status VaEncoder::Settle(absl::Status status) {
  if (!status.ok()) Abandon();
  return status;
}

absl::Status VaEncoder::Prepare(std::vector<Packet>& out) {
  const int width = input_.width();
  const int height = input_.height();
  if (session_ == nullptr || session_->width() != width ||
      session_->height() != height) {
    KINE_RETURN_IF_ERROR(DrainTo(0, out));
    session_.reset();
    keyframe_next_ = true;
    has_kept_ = false;
    KINE_ASSIGN_OR_RETURN(session_,
                          VaSession::Open(device_.display->get(),
                                          device_.SettingsFor(width, height)));
    coarse_ = MacroblockMap(width, height);
    coarse_.SetAll();
    KINE_RETURN_IF_ERROR(input_.Open(
        session_->inputs(), session_->coded_width(), session_->coded_height()));
  } else if (!input_.open()) {
    KINE_RETURN_IF_ERROR(input_.Open(
        session_->inputs(), session_->coded_width(), session_->coded_height()));
  }
  return absl::OkStatus();
}

absl::StatusOr<Encoder::Outcome> VaEncoder::Encode(Frame& frame,
                                                   const EncodeRequest& request,
                                                   std::vector<Packet>& out) {
  auto outcome = TryEncode(frame, request, out);
  if (outcome.ok()) return outcome;
  return Settle(outcome.status());
}

absl::StatusOr<Encoder::Outcome> VaEncoder::TryEncode(
    Frame& frame, const EncodeRequest& request, std::vector<Packet>& out) {
  if (input_.WouldDrop(frame)) KINE_RETURN_IF_ERROR(DrainTo(0, out));
  KINE_ASSIGN_OR_RETURN(const bool readable,
                        input_.Take(frame, request.pointer));
  if (!readable) return Outcome::kCannotImport;
  return EncodeTaken(frame, request, out);
}

absl::StatusOr<Encoder::Outcome> VaEncoder::EncodeTaken(
    Frame& frame, const EncodeRequest& request, std::vector<Packet>& out) {
  KINE_RETURN_IF_ERROR(Prepare(out));
  const MacroblockMap& changed = input_.changed();
  const uint32_t count = changed.count();
  if (count == 0 && has_kept_ && !keyframe_next_) return Outcome::kUnchanged;
  const bool keyframe = request.keyframe || keyframe_next_;

  Job job;
  job.input = has_kept_ ? (kept_ + 1) % session_->inputs().size() : 0;
  bool reads_later = false;
  KINE_ASSIGN_OR_RETURN(const bool written,
                        input_.Write(frame, job.input, reads_later));
  if (!written) {
    KINE_RETURN_IF_ERROR(DrainTo(0, out));
    keyframe_next_ = true;
    return Outcome::kCannotImport;
  }
  job.kind = keyframe ? Kind::kKeyframe : Kind::kChange;
  job.macroblocks = keyframe ? all() : count;
  job.max_bytes = request.max_bytes;
  job.time = frame.time;
  job.arrival = frame.arrival;
  job.damaged = count;
  job.true_width = input_.true_width();
  job.true_height = input_.true_height();
  job.qp = rate_.QpFor(job.kind, job.time, job.macroblocks);
  KINE_RETURN_IF_ERROR(Submit(job));
  kept_ = job.input;
  has_kept_ = true;
  keyframe_next_ = false;
  if (keyframe) {
    coarse_.SetAll();
  } else {
    coarse_.SetAllOf(changed);
  }
  // Also what nobody reads any more: a call that fails is tried again.
  job.held = std::move(frame);
  jobs_.push_back(std::move(job));
  // A picture that must fit may have to be encoded again, and then none may
  // refer to it.
  const size_t left =
      request.max_bytes != 0 ? 0 : static_cast<size_t>(device_.depth - 1);
  if (const absl::Status drained = DrainTo(left, out); !drained.ok()) {
    // As it was, to be tried again.
    frame = std::move(jobs_.back().held);
    return drained;
  }
  if (!reads_later && !jobs_.empty()) jobs_.back().held.GiveBack();
  return Outcome::kEncoded;
}

absl::StatusOr<Encoder::Outcome> VaEncoder::EncodeAgain(
    Again how, MonoTime time, const EncodeRequest& request,
    std::vector<Packet>& out) {
  if (!has_kept_) {
    return absl::FailedPreconditionError("no picture was encoded yet");
  }
  auto outcome = TryEncodeAgain(how, time, request, out);
  if (outcome.ok()) return outcome;
  return Settle(outcome.status());
}

absl::StatusOr<Encoder::Outcome> VaEncoder::TryEncodeAgain(
    Again how, MonoTime time, const EncodeRequest& request,
    std::vector<Packet>& out) {
  if (how == Again::kPointer) {
    if (!input_.MovePointer(request.pointer)) return Outcome::kUnchanged;
    Frame none;
    none.time = none.arrival = time;
    return EncodeTaken(none, request, out);
  }
  const size_t before = out.size();
  KINE_RETURN_IF_ERROR(DrainTo(0, out));
  // What was held back has to be handed out even if nothing is added.
  const Outcome nothing =
      out.size() > before ? Outcome::kEncoded : Outcome::kUnchanged;
  if (keyframe_next_) how = Again::kKeyframe;
  const auto plan =
      rate_.PlanAgain(how, time, coarse_.count(), all(), request.max_bytes);
  if (!plan.has_value()) return nothing;
  Job job{*plan};
  job.input = kept_;
  job.true_width = input_.true_width();
  job.true_height = input_.true_height();
  KINE_RETURN_IF_ERROR(Submit(job));
  keyframe_next_ = false;
  if (job.kind == Kind::kRefinement) coarse_.ClearAll();
  if (job.kind == Kind::kKeyframe && !job.fine) coarse_.SetAll();
  jobs_.push_back(std::move(job));
  KINE_RETURN_IF_ERROR(DrainTo(0, out));
  return Outcome::kEncoded;
}

absl::Status VaEncoder::Submit(const Job& job) {
  // Where the driver steers, only a picture that came out too large is told how
  // coarse it must be at least.
  const int qp = steers() && !job.coarser ? 0 : job.qp;
  return session_->Submit(job.input, job.kind == Kind::kKeyframe, qp);
}

absl::Status VaEncoder::DrainTo(size_t left, std::vector<Packet>& out) {
  while (jobs_.size() > left) {
    KINE_ASSIGN_OR_RETURN(VaSession::Coded coded, session_->Collect());
    Job& job = jobs_.front();
    if (!coded.overflow &&
        RateControl::Fits(job, coded.data.size(), coded.qp)) {
      HandOut(std::move(coded), out);
      continue;
    }
    KINE_RETURN_IF_ERROR(Redo(coded.overflow));
  }
  return absl::OkStatus();
}

absl::Status VaEncoder::Redo(bool overflow) {
  // Those behind it refer to what will never be handed out.
  while (session_->in_flight() > 0) {
    KINE_RETURN_IF_ERROR(session_->Collect().status());
  }
  if (overflow) KINE_RETURN_IF_ERROR(session_->GrowCoded());
  RateControl::AgainAsKeyframe(jobs_.front(), all());
  coarse_.SetAll();
  for (const Job& job : jobs_) KINE_RETURN_IF_ERROR(Submit(job));
  return absl::OkStatus();
}

void VaEncoder::HandOut(VaSession::Coded coded, std::vector<Packet>& out) {
  Job job = std::move(jobs_.front());
  jobs_.pop_front();
  rate_.Coded(job, steers() ? coded.qp : job.qp, coded.data.size());
  Packet packet;
  packet.data = std::move(coded.data);
  packet.time = job.time;
  packet.arrival = job.arrival;
  packet.keyframe = coded.keyframe;
  packet.damaged_macroblocks = job.damaged;
  packet.true_width = job.true_width;
  packet.true_height = job.true_height;
  packet.width = (job.true_width + 1) & ~1;
  packet.height = (job.true_height + 1) & ~1;
  packet.refinement = job.kind == Kind::kRefinement;
  out.push_back(std::move(packet));
}

}  // namespace

absl::StatusOr<std::unique_ptr<Encoder>> CreateVaEncoder(
    const EncoderConfig& config, const VaOptions& options) {
  if (!(config.fps_max >= limits::kFpsMin &&
        config.fps_max <= limits::kFpsMax)) {
    return absl::InvalidArgumentError("fps_max is out of range");
  }
  if (config.quality < 0 || config.quality > 100) {
    return absl::InvalidArgumentError("quality is out of range");
  }
  KINE_ASSIGN_OR_RETURN(VaDevice device, OpenVaDevice(config, options));
  return std::make_unique<VaEncoder>(config, std::move(device));
}

}  // namespace kine
