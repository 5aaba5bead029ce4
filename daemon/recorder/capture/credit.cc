#include "daemon/recorder/capture/credit.h"

#include <algorithm>

#include "daemon/base/check.h"

namespace kine {

SharedCredit::Held* SharedCredit::Find(Holder holder) {
  const auto held = std::ranges::find(held_, holder, &Held::holder);
  return held == held_.end() ? nullptr : &*held;
}

void SharedCredit::Join(Holder holder) {
  KINE_CHECK(Find(holder) == nullptr);
  held_.push_back({holder, {}});
}

void SharedCredit::Leave(Holder holder) {
  std::erase_if(held_, [&](const Held& h) { return h.holder == holder; });
}

void SharedCredit::Hand(Holder holder, uint64_t bytes) {
  Held* const held = Find(holder);
  KINE_CHECK(held != nullptr);
  ++held->amount.packets;
  held->amount.bytes += bytes;
}

void SharedCredit::Return(Holder holder, int packets, uint64_t bytes) {
  Held* const held = Find(holder);
  if (held == nullptr) return;
  KINE_CHECK(packets <= held->amount.packets && bytes <= held->amount.bytes);
  held->amount.packets -= packets;
  held->amount.bytes -= bytes;
}

void SharedCredit::Count(uint64_t bytes) {
  ++counted_.packets;
  counted_.bytes += bytes;
}

SharedCredit::Amount SharedCredit::TakeFreed() {
  Amount most;
  for (const Held& held : held_) {
    most.packets = std::max(most.packets, held.amount.packets);
    most.bytes = std::max(most.bytes, held.amount.bytes);
  }
  const Amount freed{counted_.packets - most.packets,
                     counted_.bytes - most.bytes};
  counted_ = most;
  return freed;
}

}  // namespace kine
