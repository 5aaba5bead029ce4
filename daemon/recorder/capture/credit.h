// SharedCredit: what the sinks of one pump still hold of its packets, as the
// pump's credit has to know it.
//
// A packet is held by each sink that it was handed to until that one returns
// it. What counts is the sink that holds most: the others hold the same packets
// or fewer. (Sinks hold different ones only where one of them was paused or
// left out; then the sum of their memory may exceed the pump's bound, and each
// sink stays within it. Counted otherwise, two sinks of which neither is full
// could hold up the pump for ever.)
//
// Pure. Encode thread only.
#pragma once

#include <cstdint>
#include <vector>

namespace kine {

class SharedCredit {
 public:
  struct Amount {
    int packets = 0;
    uint64_t bytes = 0;
    friend bool operator==(const Amount&, const Amount&) = default;
  };
  // Names a sink.
  using Holder = const void*;

  void Join(Holder holder);
  // What it still holds is returned.
  void Leave(Holder holder);
  // One packet more for `holder`.
  void Hand(Holder holder, uint64_t bytes);
  // Not more than it holds. One that has left is ignored.
  void Return(Holder holder, int packets, uint64_t bytes);

  // The pump has counted one packet more.
  void Count(uint64_t bytes);
  // What the pump counts too much by now; from then on it does not.
  Amount TakeFreed();

 private:
  struct Held {
    Holder holder;
    Amount amount;
  };
  Held* Find(Holder holder);

  std::vector<Held> held_;
  Amount counted_;  // By the pump.
};

}  // namespace kine
