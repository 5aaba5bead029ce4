// LiveFeed: one recording's newest fragments, and readers that follow them.
// Readers are cursors into what is known of the fragments; their bytes are sent
// from the recording's own growing file. So a reader costs a few hundred bytes,
// whatever it has not taken yet.
//
// Control loop only. Readers may outlive the feed, as its End().
//
// A reader gets the init segment (ftyp and moov), then whole fragments from a
// keyframe on, on a time line of its own: from 0, without holes. One that falls
// limits::kLiveLagMs behind goes on with the newest keyframe, as if nothing had
// been in between; nobody waits for it. It ends when the recording does, with
// what it has not got yet of what is known. While nothing comes (a pause) it
// gets an empty `free` box every limits::kEventHeartbeatMs.
#pragma once

#include <cstdint>
#include <memory>

#include "absl/functional/any_invocable.h"
#include "daemon/base/fd.h"
#include "daemon/base/loop.h"
#include "ipc/link_messages.h"
#include "ipc/reply.h"

namespace kine {

class LiveFeed {
 public:
  // `watch(true)`: somebody joins or has fallen behind; the recorder shall make
  // a keyframe and tell its fragments. `watch(false)`: nobody is left. Called
  // on the loop, also inside of calls of this; not after End().
  using Watch = absl::AnyInvocable<void(bool)>;

  LiveFeed(Loop& loop, Watch watch);
  ~LiveFeed();
  LiveFeed(const LiveFeed&) = delete;
  LiveFeed& operator=(const LiveFeed&) = delete;

  void OnHead(const link::Head& head);
  void OnFragment(link::Fragment fragment);
  // No more will come. Repeatable.
  void End();

  // A new reader, of the recording's video. With a `pad` of 8 or more, what is
  // there fills whole blocks of so many bytes, by `free` boxes, before it waits
  // for more.
  StreamBody Follow(std::shared_ptr<const UniqueFd> video, uint64_t pad = 0);

  int readers() const;
  // Times that a reader went on with a later keyframe.
  uint64_t skips() const;

 private:
  class State;
  class Reader;

  const std::shared_ptr<State> state_;
};

}  // namespace kine
