// Runs a real loop until something has come true.
#pragma once

#include <gtest/gtest.h>

#include <functional>

#include "absl/time/time.h"
#include "daemon/base/epoll_loop.h"

namespace kine {

// Looks every millisecond, between the loop's turns. Fails the test after a
// minute, which is only ever reached by a hang.
inline void RunUntil(EpollLoop& loop, const std::function<bool()>& done) {
  bool hung = false;
  LoopHandle again;
  LoopHandle deadline(loop,
                      loop.PostAfter(absl::Minutes(1), [&] { hung = true; }));
  std::function<void()> look = [&] {
    if (done() || hung)
      loop.Quit();
    else
      again = LoopHandle(
          loop, loop.PostAfter(absl::Milliseconds(1), [&look] { look(); }));
  };
  look();
  loop.Run();
  ASSERT_FALSE(hung) << "waited for a minute";
}

}  // namespace kine
