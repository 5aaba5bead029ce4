// The state of one display, and the way into it.
//
// Threads: any; every entry holds the driver's lock while it works and lets it
// go while it waits for the worker.
#pragma once

#include <va/va_backend.h>

#include <atomic>
#include <cstdio>
#include <map>
#include <memory>
#include <mutex>
#include <string>

#include "tests/softva/objects.h"
#include "tests/softva/settings.h"
#include "tests/softva/worker.h"

namespace kine::softva {

class Driver {
 public:
  Driver();
  // Complains about what the client left behind.
  ~Driver();
  Driver(const Driver&) = delete;
  Driver& operator=(const Driver&) = delete;

  static Driver& Of(VADriverContextP context) {
    return *static_cast<Driver*>(context->pDriverData);
  }

  // A line of the trace.
  void Log(const char* format, ...) __attribute__((format(printf, 2, 3)));
  // The client did something wrong: standard error, trace and complaint file.
  void Complain(const char* format, ...) __attribute__((format(printf, 2, 3)));
  bool refuses() const { return settings.strict && complaints_ > 0; }

  // Counts the call; the status it fails with by SOFTVA_FAULT or SOFTVA_RESET.
  VAStatus CountCall(const char* entry);
  // Whether the picture that is about to be submitted hangs.
  bool HangsNow();
  bool hung() const { return hung_; }
  bool hung_hard() const { return hung_ && settings.hang_ignores_timeouts; }

  // Ids of different kinds never meet.
  VAGenericID NewId(uint32_t kind) { return kind << 24 | next_id_++; }

  const Settings settings;
  std::mutex mutex;
  std::map<VAConfigID, Config> configs;
  std::map<VASurfaceID, SurfacePtr> surfaces;
  std::map<VABufferID, BufferPtr> buffers;
  std::map<VAContextID, ContextPtr> contexts;
  std::map<VAImageID, VAImage> images;
  uint64_t submissions = 0;  // Of coded buffers.
  std::unique_ptr<Worker> worker;

 private:
  void ReportLeaks();

  std::FILE* trace_ = nullptr;
  std::mutex trace_mutex_;
  std::atomic<int> complaints_ = 0;
  std::map<std::string, uint32_t> calls_;
  bool failures_apply_;
  bool lost_ = false;
  std::atomic<bool> hung_ = false;
  uint32_t pictures_ = 0;
  uint32_t next_id_ = 1;
};

enum IdKind : uint32_t {
  kConfigId = 1,
  kSurfaceId,
  kBufferId,
  kContextId,
  kImageId
};

// One call of an entry point: counted, and under the driver's lock.
class Entry {
 public:
  Entry(VADriverContextP context, const char* name)
      : driver(Driver::Of(context)), lock(driver.mutex) {
    status = driver.CountCall(name);
  }
  bool failed() const { return status != VA_STATUS_SUCCESS; }

  Driver& driver;
  std::unique_lock<std::mutex> lock;
  VAStatus status;
};

// The object of that id, or null.
template <typename Map>
typename Map::mapped_type* Find(Map& map, VAGenericID id) {
  const auto found = map.find(id);
  return found == map.end() ? nullptr : &found->second;
}

// Waits for `completion` (null: nothing to wait for) without the lock.
VAStatus WaitFor(Entry& entry, CompletionPtr completion, uint64_t timeout_ns);

}  // namespace kine::softva
