// An Encoder that records its calls and fails when told. It codes nothing: a
// packet is `packet_bytes` zero bytes. An undamaged frame is unchanged.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "encode/create_encoder.h"
#include "encode/encoder.h"

namespace kine {

// What a test looks at; outlives the encoders it was given to.
struct FakeEncoderLog {
  struct Call {
    enum class Kind { kEncode, kRefine, kKeyframe, kSkip, kPointer } kind;
    MonoTime time;
    bool keyframe = false;  // Asked for.
    uint64_t max_bytes = 0;
    Damage damage;
    uint64_t buffer_id = 0;
    Rect crop;  // The frame's.
    std::optional<Pointer> pointer = {};
    bool failed = false;
  };
  std::vector<Call> calls;
  int encoders_made = 0;
  int encoders_alive = 0;
  int flushes = 0;

  // Numbers of calls (from 0, over all encoders) and of encoders that fail.
  std::set<size_t> fail_calls;
  std::set<int> fail_encoders;
  size_t packet_bytes = 100;
  // There is hardware, unless software is asked for; with such calls failing.
  bool has_hardware = false;
  std::set<size_t> fail_hardware_calls;
  // What is said to be imported; of that, what is refused when it comes.
  std::vector<DmabufFormat> imports;
  std::set<uint64_t> refused_modifiers;
  bool draws_pointer = true;
  // Runs inside each call: time passes, frames arrive.
  std::function<void()> during_call;
};

class FakeEncoder final : public Encoder {
 public:
  explicit FakeEncoder(FakeEncoderLog& log,
                       EncoderChoice kind = EncoderChoice::kSoftware)
      : log_(log), kind_(kind) {
    ++log_.encoders_alive;
  }
  ~FakeEncoder() override { --log_.encoders_alive; }

  // What an EncodePump takes.
  static absl::StatusOr<CreatedEncoder> Make(
      FakeEncoderLog& log, EncoderChoice choice = EncoderChoice::kSoftware) {
    if (log.fail_encoders.count(log.encoders_made++) != 0) {
      return absl::InternalError("the fake cannot be made");
    }
    CreatedEncoder created;
    created.kind = log.has_hardware && choice != EncoderChoice::kSoftware
                       ? EncoderChoice::kVaapi
                       : EncoderChoice::kSoftware;
    created.encoder = std::make_unique<FakeEncoder>(log, created.kind);
    return created;
  }

  absl::StatusOr<Outcome> Encode(Frame& frame, const EncodeRequest& request,
                                 std::vector<Packet>& out) override {
    if (!Record({FakeEncoderLog::Call::Kind::kEncode, frame.time,
                 request.keyframe, request.max_bytes, frame.damage,
                 frame.buffer_id, frame.crop, Seen(request)})) {
      keyframe_next_ = true;
      return absl::InternalError("the fake failed");
    }
    if (frame.planes[0].fd >= 0 &&
        log_.refused_modifiers.contains(frame.format.modifier))
      return Outcome::kCannotImport;
    const bool first = keyframe_next_;
    const bool moved = Moves(request);
    if (frame.damage.empty() && !first && !moved) return Outcome::kUnchanged;
    Packet& packet = Emit(frame.time, first || request.keyframe, out);
    packet.arrival = frame.arrival;
    packet.damaged_macroblocks = 1;
    frame.GiveBack();
    coarse_ = true;
    return Outcome::kEncoded;
  }

  absl::StatusOr<Outcome> EncodeAgain(Again how, MonoTime time,
                                      const EncodeRequest& request,
                                      std::vector<Packet>& out) override {
    const auto kind =
        how == Again::kRefine     ? FakeEncoderLog::Call::Kind::kRefine
        : how == Again::kKeyframe ? FakeEncoderLog::Call::Kind::kKeyframe
        : how == Again::kPointer  ? FakeEncoderLog::Call::Kind::kPointer
                                  : FakeEncoderLog::Call::Kind::kSkip;
    const bool keyframe =
        how == Again::kPointer ? request.keyframe : how == Again::kKeyframe;
    const bool recorded = Record(
        {kind, time, keyframe, request.max_bytes, {}, 0, {}, Seen(request)});
    if (!recorded) {
      keyframe_next_ = true;
      return absl::InternalError("the fake failed");
    }
    if (!encoded_) return absl::FailedPreconditionError("no picture");
    if (how == Again::kRefine && !coarse_) return Outcome::kUnchanged;
    if (how == Again::kPointer && !Moves(request)) return Outcome::kUnchanged;
    Packet& packet = Emit(time, keyframe || keyframe_next_, out);
    packet.refinement = how == Again::kRefine;
    if (how == Again::kRefine) coarse_ = false;
    if (how == Again::kPointer) coarse_ = true;
    return Outcome::kEncoded;
  }

  absl::Status Flush(std::vector<Packet>&) override {
    ++log_.flushes;
    return absl::OkStatus();
  }
  bool draws_pointer() const override { return log_.draws_pointer; }
  EncoderDescription description() const override {
    return {kind_ == EncoderChoice::kVaapi ? "fake hardware" : "fake", "1",
            "High", "bt709 limited", log_.imports};
  }

 private:
  // What of the pointer can be seen.
  static std::optional<Pointer> Seen(const EncodeRequest& request) {
    if (request.pointer == nullptr || request.pointer->shape == nullptr)
      return std::nullopt;
    return *request.pointer;
  }
  // Whether it looks other than in the picture before.
  bool Moves(const EncodeRequest& request) {
    const std::optional<Pointer> before = std::exchange(drawn_, Seen(request));
    if (!before || !drawn_) return before.has_value() != drawn_.has_value();
    return before->shape != drawn_->shape || before->x != drawn_->x ||
           before->y != drawn_->y;
  }

  // False when this call is to fail.
  bool Record(FakeEncoderLog::Call call) {
    call.failed = log_.fail_calls.count(log_.calls.size()) != 0 ||
                  (kind_ == EncoderChoice::kVaapi &&
                   log_.fail_hardware_calls.count(log_.calls.size()) != 0);
    log_.calls.push_back(call);
    if (log_.during_call) log_.during_call();
    return !call.failed;
  }

  Packet& Emit(MonoTime time, bool keyframe, std::vector<Packet>& out) {
    keyframe_next_ = false;
    encoded_ = true;
    Packet packet;
    packet.data.resize(log_.packet_bytes);
    packet.time = packet.arrival = time;
    packet.keyframe = keyframe;
    packet.width = packet.true_width = 64;
    packet.height = packet.true_height = 48;
    out.push_back(std::move(packet));
    return out.back();
  }

  FakeEncoderLog& log_;
  const EncoderChoice kind_;
  bool keyframe_next_ = true;
  bool encoded_ = false;
  bool coarse_ = false;
  std::optional<Pointer> drawn_;
};

}  // namespace kine
