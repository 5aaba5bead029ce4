// An EncodePump on a fake loop with a fake encoder, its client, and frames that
// are counted until they are given back.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "encode/encode_pump.h"
#include "tests/fakes/fake_encoder.h"
#include "tests/fakes/fake_loop.h"

namespace kine {

class EncodePumpTest : public testing::Test, public EncodePump::Client {
 protected:
  void StartPump(uint64_t seed = 1, const EncodePumpOptions& options = {}) {
    world_ = std::make_unique<FakeWorld>(seed);
    source_ = &world_->AddLoop("source");
    loop_ = &world_->AddLoop("encode");
    MakePump(options);
    loop_->Post([this] { pump_->Start(); });
  }
  void MakePump(const EncodePumpOptions& options) {
    pump_ = std::make_unique<EncodePump>(
        *loop_, *this, metrics_,
        [this](EncoderChoice choice) {
          return FakeEncoder::Make(log_, choice);
        },
        options);
  }

  ~EncodePumpTest() override {
    EXPECT_EQ(lent_, 0) << "frames that were never given back";
    // Encoders die with the pump.
    pump_.reset();
    EXPECT_EQ(log_.encoders_alive, 0);
  }

  // Client.
  void OnEncoderReady(const EncoderDescription& description,
                      const std::vector<EncoderRefusal>&) override {
    EXPECT_FALSE(in_owner_call_);
    names_.push_back(description.name);
    ++ready_;
  }
  void OnFallback(EncodeFallback fallback) override {
    EXPECT_FALSE(in_owner_call_);
    fallbacks_.push_back(std::move(fallback));
  }
  void OnCannotImport(const VideoFormat& format) override {
    EXPECT_FALSE(in_owner_call_);
    refused_.push_back(format.modifier);
  }
  void OnPacket(Packet packet) override {
    EXPECT_FALSE(in_owner_call_);
    EXPECT_FALSE(drained_);
    packets_.push_back(std::move(packet));
    if (return_credits_) {
      pump_->ReturnCredits(1, packets_.back().data.size());
    }
  }
  void OnFailed(absl::Status reason) override {
    EXPECT_FALSE(in_owner_call_);
    EXPECT_FALSE(failed_.has_value());
    failed_ = reason;
  }
  void OnDrained() override {
    EXPECT_FALSE(in_owner_call_);
    EXPECT_FALSE(drained_);
    drained_ = true;
  }

  MonoTime Now() const { return world_->Now(); }

  Frame NewFrame() {
    ++lent_;
    Frame frame([this] { --lent_; });
    frame.format.width = 64;
    frame.format.height = 48;
    frame.crop = Rect{0, 0, 64, 48};
    frame.arrival = Now();
    frame.time = Now() - absl::Milliseconds(5);
    frame.damage = Damage();
    frame.damage.Add(Rect{0, 0, 8, 8});
    frame.damage_is_source = true;
    frame.buffer_id = ++frames_;
    return frame;
  }
  void Offer(Frame frame) {
    auto held = std::make_shared<Frame>(std::move(frame));
    source_->Post([this, held] { pump_->Offer(std::move(*held)); });
  }
  // On the encode loop, as an owner does.
  void OnLoop(void (EncodePump::*method)()) {
    loop_->Post([this, method] {
      in_owner_call_ = true;
      (pump_.get()->*method)();
      in_owner_call_ = false;
    });
  }
  void Return(int packets, uint64_t bytes) {
    loop_->Post([this, packets, bytes] {
      in_owner_call_ = true;
      pump_->ReturnCredits(packets, bytes);
      in_owner_call_ = false;
    });
  }
  // A frame every `interval` for `duration`.
  void Stream(absl::Duration duration, absl::Duration interval) {
    for (absl::Duration at; at < duration; at += interval) {
      Offer(NewFrame());
      world_->Advance(interval);
    }
  }
  void StopAndDrain() {
    OnLoop(&EncodePump::Stop);
    world_->Settle();
    EXPECT_TRUE(drained_);
    EXPECT_EQ(log_.encoders_alive, 0);
    EXPECT_EQ(loop_->timer_count(), 0u);
  }

  std::unique_ptr<FakeWorld> world_;
  FakeLoop* source_ = nullptr;
  FakeLoop* loop_ = nullptr;
  FakeEncoderLog log_;
  EncodePumpMetrics metrics_;
  std::unique_ptr<EncodePump> pump_;
  bool return_credits_ = true;
  bool in_owner_call_ = false;
  int lent_ = 0;
  uint64_t frames_ = 0;
  int ready_ = 0;
  std::vector<std::string> names_;  // Of the encoders.
  std::vector<EncodeFallback> fallbacks_;
  std::vector<uint64_t> refused_;  // Modifiers.
  std::vector<Packet> packets_;
  std::optional<absl::Status> failed_;
  bool drained_ = false;
};

}  // namespace kine
