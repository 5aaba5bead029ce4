#include "tests/softva/driver.h"

#include <unistd.h>

#include <cstdarg>
#include <cstdlib>

namespace kine::softva {

Driver::Driver() : settings(ReadSettings()) {
  const uint32_t display = NextDisplayNumber();
  failures_apply_ =
      display >= settings.first_display && display <= settings.last_display;
  if (!settings.trace_path.empty())
    trace_ = std::fopen(settings.trace_path.c_str(), "ae");
  worker = std::make_unique<Worker>(settings.latency_us);
  Log("Display %u", display);
}

Driver::~Driver() {
  if (hung_hard()) {
    for (;;) pause();
  }
  worker.reset();
  ReportLeaks();
  for (const auto& [entry, count] : calls_)
    Log("Calls %s=%u", entry.c_str(), count);
  Log("Terminate complaints=%d", complaints_.load());
  if (trace_ != nullptr) std::fclose(trace_);
}

void Driver::ReportLeaks() {
  if (contexts.empty() && surfaces.empty() && buffers.empty() &&
      configs.empty() && images.empty())
    return;
  Complain(
      "leak at vaTerminate: %zu configs, %zu contexts, %zu surfaces, %zu "
      "buffers, %zu images",
      configs.size(), contexts.size(), surfaces.size(), buffers.size(),
      images.size());
}

void Driver::Log(const char* format, ...) {
  if (trace_ == nullptr) return;
  const std::lock_guard<std::mutex> lock(trace_mutex_);
  va_list arguments;
  va_start(arguments, format);
  std::vfprintf(trace_, format, arguments);
  va_end(arguments);
  std::fputc('\n', trace_);
  std::fflush(trace_);
}

void Driver::Complain(const char* format, ...) {
  char text[512];
  va_list arguments;
  va_start(arguments, format);
  std::vsnprintf(text, sizeof(text), format, arguments);
  va_end(arguments);
  ++complaints_;
  std::fprintf(stderr, "softva CHECK: %s\n", text);
  Log("CHECK %s", text);
  if (settings.complaints_path.empty()) return;
  std::FILE* const file = std::fopen(settings.complaints_path.c_str(), "ae");
  // A complaint that is lost would let a test pass.
  if (file == nullptr) std::abort();
  std::fprintf(file, "%s\n", text);
  std::fclose(file);
}

VAStatus Driver::CountCall(const char* entry) {
  const uint32_t call = ++calls_[entry];
  if (!failures_apply_) return VA_STATUS_SUCCESS;
  for (const Settings::Fault& fault : settings.faults) {
    if (fault.entry != entry) continue;
    if (fault.call != call && !(fault.from_then_on && call > fault.call))
      continue;
    Log("FAULT %s #%u -> 0x%x", entry, call,
        static_cast<unsigned>(fault.status));
    if (!fault.reset) return fault.status;
    lost_ = true;
  }
  return lost_ ? VA_STATUS_ERROR_OPERATION_FAILED : VA_STATUS_SUCCESS;
}

bool Driver::HangsNow() {
  ++pictures_;
  if (!failures_apply_ || pictures_ != settings.hang_at_picture) return false;
  Log("HANG at picture %u", pictures_);
  hung_ = true;
  return true;
}

VAStatus WaitFor(Entry& entry, CompletionPtr completion, uint64_t timeout_ns) {
  if (completion == nullptr) return VA_STATUS_SUCCESS;
  if (entry.driver.hung_hard()) timeout_ns = VA_TIMEOUT_INFINITE;
  entry.lock.unlock();
  const std::optional<VAStatus> status = completion->Wait(timeout_ns);
  entry.lock.lock();
  return status.value_or(VA_STATUS_ERROR_TIMEDOUT);
}

}  // namespace kine::softva
