// What the catalogue's sources share: its entries, by id.
//
// Control loop only; nobody else's business.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/functional/any_invocable.h"
#include "daemon/control/catalogue.h"

namespace kine {

// NOT_FOUND, the same for what does not exist and what belongs to another.
absl::Status NoSuchRecording(absl::string_view id);

struct Catalogue::Waiter {
  uint64_t number;
  WaitFor what;
  Answer answer;
  LoopHandle timer;
};

struct Catalogue::Entry {
  RecordingRecord record;
  std::string digest;                 // The canonical request.
  std::unique_ptr<RecordingRun> run;  // While active.
  std::vector<StartAnswer> starts;    // [0] asked first; the others attached.
  std::vector<Waiter> waiters;
  bool deleting = false;
  bool recovering = false;
  // What waits until no process and no open file is left of it.
  std::vector<absl::AnyInvocable<void()>> when_retired;
};

struct Catalogue::Table {
  // By pointer: runs and callbacks keep references to entries.
  absl::flat_hash_map<std::string, std::unique_ptr<Entry>> entries;
  // Those that have a run; few, where `entries` may be thousands.
  std::vector<Entry*> running;
  uint64_t next_waiter = 1;
};

}  // namespace kine
