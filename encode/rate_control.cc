#include "encode/rate_control.h"

#include <algorithm>
#include <cmath>

namespace kine {
namespace {

// Quality 60 is QP 24, where 9-pixel text has no visible fringes; every 10 of
// quality are 3 of QP, a factor 1.4 in size.
constexpr double kQpAtQuality0 = 42;
constexpr double kQpPerQuality = 0.3;
constexpr int kStudioFiner = 2;
constexpr int kRefinementFiner = 8;

// 6 of QP halve the size.
constexpr double kReferenceQp = 24;
constexpr double kQpPerHalf = 6;

// A page of text at the reference QP, measured: a keyframe, and a page change.
constexpr double kTextBits = 430;
// The same page's refinement, from 24 to 16, is half of that.
constexpr double kRefinementBits = 60;
constexpr int kTriesStep = 2;
constexpr int kHoldRelaxes = 3;

double SizeFactor(int qp) {
  return std::exp2((kReferenceQp - qp) / kQpPerHalf);
}

}  // namespace

RateControl::RateControl(const EncoderConfig& config)
    : base_qp_(BaseQp(config)),
      bits_per_second_(static_cast<double>(config.bitrate)),
      last_qp_(base_qp_),
      change_bits_(kTextBits),
      keyframe_bits_(kTextBits),
      refinement_bits_(kRefinementBits) {}

int RateControl::BaseQp(const EncoderConfig& config) {
  const double quality = std::clamp(config.quality, 0, 100);
  const int qp =
      static_cast<int>(std::lround(kQpAtQuality0 - kQpPerQuality * quality));
  const int finer =
      config.profile == EncoderConfig::Profile::kStudio ? kStudioFiner : 0;
  return std::max(qp - finer, kQpMin);
}

double RateControl::Level(MonoTime time) const {
  if (!level_time_.has_value()) return 0;
  const double seconds = absl::ToDoubleSeconds(time - *level_time_);
  return std::max(0.0, level_ - std::max(0.0, seconds) * bits_per_second_);
}

double& RateControl::BitsPerMacroblock(Kind kind) {
  switch (kind) {
    case Kind::kKeyframe:
      return keyframe_bits_;
    case Kind::kRefinement:
      return refinement_bits_;
    case Kind::kChange:
      break;
  }
  return change_bits_;
}

int RateControl::QpFor(Kind kind, MonoTime time, uint32_t macroblocks) {
  int qp = std::max(base_qp_, held_qp_);
  if (bits_per_second_ > 0) {
    const double bucket = bits_per_second_ * absl::ToDoubleSeconds(kWindow);
    // A change may take half of what is free, so that the next finds room; a
    // keyframe all of it and half a bucket more.
    double room = bucket - Level(time);
    room =
        kind == Kind::kKeyframe ? std::max(room, 0.0) + bucket / 2 : room / 2;
    room = std::max(room, bucket / 1000);
    const double expected = BitsPerMacroblock(kind) * macroblocks;
    if (expected > 0) {
      const double needed =
          kReferenceQp + kQpPerHalf * std::log2(expected / room);
      qp = std::max(qp, static_cast<int>(std::ceil(
                            std::min(needed, static_cast<double>(kQpMax)))));
    }
    qp = std::max(qp, last_qp_ - 1);
  }
  return std::min(qp, kQpMax);
}

std::optional<int> RateControl::RefinementQp(MonoTime time,
                                             uint32_t macroblocks,
                                             uint64_t max_bytes) {
  const int qp = std::max({base_qp_ - kRefinementFiner, kQpMin, held_qp_});
  const double expected = refinement_bits_ * macroblocks * SizeFactor(qp);
  if (max_bytes != 0 && expected > static_cast<double>(max_bytes) * 8) {
    return std::nullopt;
  }
  if (bits_per_second_ > 0) {
    const double bucket = bits_per_second_ * absl::ToDoubleSeconds(kWindow);
    if (expected > (bucket - Level(time)) / 2) return std::nullopt;
  }
  return qp;
}

std::optional<RateControl::Job> RateControl::PlanAgain(Encoder::Again how,
                                                       MonoTime time,
                                                       uint32_t coarse,
                                                       uint32_t all,
                                                       uint64_t max_bytes) {
  Job job;
  job.max_bytes = max_bytes;
  job.time = job.arrival = time;
  switch (how) {
    case Encoder::Again::kSkip:
    case Encoder::Again::kPointer:  // A change as any other, not planned here.
      break;
    case Encoder::Again::kRefine: {
      if (coarse == 0) return std::nullopt;
      const auto qp = RefinementQp(time, coarse, max_bytes);
      if (!qp.has_value()) return std::nullopt;
      job.kind = Kind::kRefinement;
      job.macroblocks = coarse;
      job.qp = *qp;
      break;
    }
    case Encoder::Again::kKeyframe: {
      job.kind = Kind::kKeyframe;
      job.macroblocks = all;
      job.qp = QpFor(job.kind, time, all);
      // What has been refined must not get worse in front of everybody.
      const auto qp = RefinementQp(time, all, max_bytes);
      job.fine = coarse == 0 && qp.has_value();
      if (job.fine) job.qp = *qp;
      break;
    }
  }
  return job;
}

bool RateControl::Fits(Job& job, uint64_t bytes, int coded_qp) {
  if (job.max_bytes == 0 || bytes <= job.max_bytes || job.qp >= kQpMax)
    return true;
  job.qp = job.tries < kTriesMax
               ? CoarserQp(std::max(job.qp, coded_qp), bytes, job.max_bytes)
               : kQpMax;
  job.coarser = true;
  job.fine = false;
  return false;
}

void RateControl::AgainAsKeyframe(Job& job, uint32_t all) {
  ++job.tries;
  job.kind = Kind::kKeyframe;
  job.macroblocks = all;
}

void RateControl::Coded(const Job& job, int qp, uint64_t bytes) {
  Coded(job.kind, job.time, job.macroblocks, qp, bytes);
  if (job.coarser) HoldAtLeast(job.qp);
}

void RateControl::Coded(Kind kind, MonoTime time, uint32_t macroblocks, int qp,
                        uint64_t bytes) {
  const double bits = static_cast<double>(bytes) * 8;
  level_ = Level(time) + bits;
  if (!level_time_.has_value() || time > *level_time_) level_time_ = time;
  if (kind != Kind::kRefinement) last_qp_ = qp;
  if (kind == Kind::kKeyframe) {
    held_qp_ -= kHoldRelaxes;
    if (held_qp_ <= base_qp_) held_qp_ = 0;
  }
  // Few macroblocks say more about headers than about the content.
  if (macroblocks < 16) return;
  double& known = BitsPerMacroblock(kind);
  const double seen = bits / SizeFactor(qp) / macroblocks;
  // Up at once: a surprise must not be repeated. Down slowly.
  known = seen > known ? seen : known * 0.75 + seen * 0.25;
}

int RateControl::CoarserQp(int qp, uint64_t bytes, uint64_t max_bytes) {
  const double excess = static_cast<double>(bytes) /
                        static_cast<double>(std::max<uint64_t>(max_bytes, 1));
  const int step =
      static_cast<int>(std::ceil(kQpPerHalf * std::log2(excess))) + 1;
  return std::min(qp + std::max(step, kTriesStep), kQpMax);
}

}  // namespace kine
