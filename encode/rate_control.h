// RateControl: the quantiser (QP) of each picture, by quality or by bit rate.
//
// By quality the QP is fixed: text looks the same in every frame and
// macroblocks that do not change keep costing nothing (a lower QP makes x264
// code them again). By bit rate a leaky bucket of kWindow holds what was coded
// and leaks at the rate; the QP rises at once as far as the expected size asks,
// and comes back one step a picture. Keyframes may overfill the bucket once.
//
// Pure: time comes with the calls. Encode thread only.
#pragma once

#include <cstdint>
#include <optional>

#include "absl/time/time.h"
#include "daemon/base/clock.h"
#include "encode/encoder.h"

namespace kine {

class RateControl {
 public:
  static constexpr int kQpMin = 10;
  static constexpr int kQpMax = 51;
  // Encodes of one picture, until it is below the wanted size.
  static constexpr int kTriesMax = 4;
  static constexpr absl::Duration kWindow = absl::Seconds(2);

  enum class Kind { kChange, kKeyframe, kRefinement };

  // One picture on its way through an encoder.
  struct Job {
    Kind kind = Kind::kChange;
    int qp = kQpMax;
    uint32_t macroblocks = 0;  // That will be coded.
    uint64_t max_bytes = 0;    // 0: no limit.
    MonoTime time;
    MonoTime arrival;
    // A keyframe as fine as a refinement: nothing of it is coarse.
    bool fine = false;
    int tries = 1;
    bool coarser = false;  // Than planned, to fit.
  };

  explicit RateControl(const EncoderConfig& config);

  // The QP that the quality stands for.
  static int BaseQp(const EncoderConfig& config);

  // The QP for a picture of which `macroblocks` are to be coded.
  int QpFor(Kind kind, MonoTime time, uint32_t macroblocks);

  // Nothing when refining so much would not fit: below `max_bytes` (0: no
  // limit) or into the bucket.
  std::optional<int> RefinementQp(MonoTime time, uint32_t macroblocks,
                                  uint64_t max_bytes);

  // The kept picture once more; `coarse` of its `all` macroblocks were coded
  // coarser than a refinement is. Nothing when a refinement would code nothing
  // or would not fit. kSkip: a kChange that codes no macroblock.
  std::optional<Job> PlanAgain(Encoder::Again how, MonoTime time,
                               uint32_t coarse, uint32_t all,
                               uint64_t max_bytes);

  // Whether a picture that came to `bytes` (at `coded_qp`, where the driver
  // steers) is handed out. Else the job has a coarser QP now and is to be
  // encoded again, within kTriesMax tries: see AgainAsKeyframe().
  static bool Fits(Job& job, uint64_t bytes, int coded_qp);
  // What was coded is dropped, so nothing may refer to it.
  static void AgainAsKeyframe(Job& job, uint32_t all);

  // What a job came to; `bytes` were handed out, coded with `qp`.
  void Coded(const Job& job, int qp, uint64_t bytes);
  // What a picture came to; `bytes` were handed out.
  void Coded(Kind kind, MonoTime time, uint32_t macroblocks, int qp,
             uint64_t bytes);

  // The next try for a picture that came to `bytes` at `qp` and may have
  // `max_bytes`; kQpMax when nothing else is left.
  static int CoarserQp(int qp, uint64_t bytes, uint64_t max_bytes);

  // The picture just coded had to be so coarse to fit: finer ones of the same
  // would only send what was saved. Each keyframe after it relaxes the hold.
  void HoldAtLeast(int qp) { held_qp_ = qp; }

 private:
  // Bits that the bucket holds at `time`.
  double Level(MonoTime time) const;
  double& BitsPerMacroblock(Kind kind);

  const int base_qp_;
  const double bits_per_second_;  // 0: by quality.
  int held_qp_ = 0;
  int last_qp_;
  double level_ = 0;
  std::optional<MonoTime> level_time_;
  // What a macroblock costs at QP kReferenceQp, from what was seen.
  double change_bits_;
  double keyframe_bits_;
  double refinement_bits_;
};

}  // namespace kine
