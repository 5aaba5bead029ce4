#include "tests/softva/settings.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <mutex>

extern "C" char** environ;

namespace kine::softva {
namespace {

constexpr uint64_t kLinear = 0;
constexpr uint64_t kNoModifier = 0x00ffffffffffffff;
constexpr char kPrefix[] = "SOFTVA_";

[[noreturn]] void Reject(const std::string& name, const std::string& value) {
  std::fprintf(stderr, "softva: %s=%s is not understood\n", name.c_str(),
               value.c_str());
  std::_Exit(99);
}

// The variables of the environment that are ours, taken out one by one.
class Environment {
 public:
  Environment() {
    for (char** entry = environ; *entry != nullptr; ++entry) {
      if (std::strncmp(*entry, kPrefix, sizeof(kPrefix) - 1) != 0) continue;
      const char* const equals = std::strchr(*entry, '=');
      if (equals == nullptr) continue;
      const char* const name = *entry;
      values_[std::string(name, equals)] = equals + 1;
    }
  }
  bool Take(const char* name, std::string& out) {
    const auto found = values_.find(std::string(kPrefix) + name);
    if (found == values_.end()) return false;
    out = found->second;
    values_.erase(found);
    return true;
  }
  template <typename Number>
  void Take(const char* name, Number& out) {
    std::string text;
    if (!Take(name, text)) return;
    char* end = nullptr;
    out = static_cast<Number>(std::strtoull(text.c_str(), &end, 0));
    if (text.empty() || *end != '\0') Reject(name, text);
  }
  void Flag(const char* name, bool& out, bool value) {
    uint32_t set = 0;
    Take(name, set);
    if (set != 0) out = value;
  }
  void RejectTheRest() const {
    for (const auto& [name, value] : values_) Reject(name, value);
  }

 private:
  std::map<std::string, std::string> values_;
};

std::vector<std::string> Split(const std::string& text) {
  std::vector<std::string> parts;
  for (size_t from = 0; from <= text.size();) {
    const size_t comma = std::min(text.find(',', from), text.size());
    if (comma > from) parts.push_back(text.substr(from, comma - from));
    from = comma + 1;
  }
  return parts;
}

// Entry:n=status or Entry:n+=status (from the n-th on).
Settings::Fault ParseFault(const std::string& text) {
  char entry[64];
  char plus[2] = "";
  unsigned call = 0;
  int status = 0;
  int end = 0;
  Settings::Fault fault;
  if (std::sscanf(text.c_str(), "%63[A-Za-z0-9]:%u=%i%n", entry, &call, &status,
                  &end) != 3 &&
      std::sscanf(text.c_str(), "%63[A-Za-z0-9]:%u%1[+]=%i%n", entry, &call,
                  plus, &status, &end) != 4)
    Reject("SOFTVA_FAULT", text);
  if (text[static_cast<size_t>(end)] != '\0' || call == 0 || status == 0)
    Reject("SOFTVA_FAULT", text);
  fault.entry = entry;
  fault.call = call;
  fault.from_then_on = plus[0] == '+';
  fault.status = status;
  return fault;
}

// Entry:n
Settings::Fault ParseReset(const std::string& text) {
  char entry[64];
  unsigned call = 0;
  int end = 0;
  if (std::sscanf(text.c_str(), "%63[A-Za-z0-9]:%u%n", entry, &call, &end) !=
          2 ||
      text[static_cast<size_t>(end)] != '\0' || call == 0)
    Reject("SOFTVA_RESET", text);
  Settings::Fault fault;
  fault.entry = entry;
  fault.call = call;
  fault.reset = true;
  return fault;
}

void ReadOffers(Environment& environment, Settings& settings) {
  environment.Take("VENDOR", settings.vendor);
  std::string text;
  if (environment.Take("EP", text)) {
    settings.encode = text != "none";
    settings.slice = text == "slice" || text == "both";
    settings.low_power = text == "lp" || text == "both";
    if (settings.encode && !settings.slice && !settings.low_power)
      Reject("SOFTVA_EP", text);
  }
  environment.Take("PACKED", settings.packed_headers);
  environment.Take("RC", settings.rate_control);
  environment.Take("QUALITY", settings.quality_range);
  environment.Take("DIRTY_RECTS", settings.dirty_rects);
  environment.Take("ROI", settings.roi_regions);
  environment.Take("MAX_SIZE", settings.max_size);
  environment.Flag("NO_VPP", settings.video_processing, false);
  environment.Flag("NO_SCALING", settings.scaling, false);
  environment.Flag("NO_DERIVE", settings.derive_image, false);
  environment.Flag("NO_SYNC_BUFFER", settings.sync_buffer, false);
  settings.modifiers = {kLinear, kNoModifier};
  if (environment.Take("MODIFIERS", text)) {
    settings.modifiers.clear();
    for (const std::string& one : Split(text)) {
      char* end = nullptr;
      settings.modifiers.push_back(std::strtoull(one.c_str(), &end, 0));
      if (*end != '\0') Reject("SOFTVA_MODIFIERS", text);
    }
  }
}

void ReadFailures(Environment& environment, Settings& settings) {
  std::string text;
  if (environment.Take("FAULT", text)) {
    for (const std::string& one : Split(text))
      settings.faults.push_back(ParseFault(one));
  }
  if (environment.Take("RESET", text))
    settings.faults.push_back(ParseReset(text));
  environment.Take("HANG", settings.hang_at_picture);
  environment.Flag("HANG_HARD", settings.hang_ignores_timeouts, true);
  if (environment.Take("DISPLAYS", text)) {
    unsigned first = 0;
    unsigned last = 0;
    int end = 0;
    const int found =
        std::sscanf(text.c_str(), "%u%n-%u%n", &first, &end, &last, &end);
    if (found < 1 || text[static_cast<size_t>(end)] != '\0')
      Reject("SOFTVA_DISPLAYS", text);
    settings.first_display = found == 1 ? 1 : first;
    settings.last_display = found == 1 ? first : last;
  }
}

}  // namespace

Settings ReadSettings() {
  Environment environment;
  Settings settings;
  environment.Take("TRACE", settings.trace_path);
  environment.Take("COMPLAINTS", settings.complaints_path);
  environment.Flag("STRICT", settings.strict, true);
  ReadOffers(environment, settings);
  environment.Flag("NEED_PACKED", settings.needs_packed, true);
  environment.Flag("NEED_CODED_SIZE", settings.needs_coded_size, true);
  std::string text;
  if (environment.Take("SEGMENTS", text)) {
    settings.segment_per_nal = text == "nal";
    if (text != "nal" && text != "one") Reject("SOFTVA_SEGMENTS", text);
  }
  environment.Take("FILLER", settings.filler_bytes);
  if (environment.Take("OVERFLOW", text)) {
    if (text == "sync") {
      settings.overflow = Settings::Overflow::kSync;
    } else if (text == "status") {
      settings.overflow = Settings::Overflow::kStatus;
    } else if (text == "map") {
      settings.overflow = Settings::Overflow::kMap;
    } else {
      Reject("SOFTVA_OVERFLOW", text);
    }
  }
  environment.Take("LATENCY_US", settings.latency_us);
  ReadFailures(environment, settings);
  environment.RejectTheRest();
  return settings;
}

uint32_t NextDisplayNumber() {
  // The driver stays loaded when a display is closed: this counts on.
  static std::mutex mutex;
  static std::map<std::string, uint32_t> displays;
  std::string all;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    if (std::strncmp(*entry, kPrefix, sizeof(kPrefix) - 1) != 0) continue;
    all += *entry;
    all += '\n';
  }
  const std::lock_guard<std::mutex> lock(mutex);
  return ++displays[all];
}

}  // namespace kine::softva
