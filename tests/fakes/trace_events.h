// A trace (daemon/timeline/trace_ring.h) as a viewer reads it: the events of
// its JSON, and the lanes that begin and end events make.
//
// Pure functions; any thread. What no viewer could read is a failure of the
// test.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace kine {

struct TraceEvent {
  std::string name;
  std::string phase;  // "X", "i", "b"...
  std::string category;
  std::string id;
  int64_t pid = 0;
  int64_t tid = 0;
  int64_t at_ns = 0;
  int64_t length_ns = 0;  // Of an X.
  std::map<std::string, int64_t> numbers;
  std::map<std::string, std::string> texts;
};

std::vector<TraceEvent> ParseTrace(const std::string& json);

// One that begins inside another ends there, too.
struct TraceSpan {
  std::string name;
  int64_t from_ns = 0;
  std::optional<int64_t> to_ns;  // Nothing: has not ended.
};

// By id; the first span is the lane's own.
std::map<std::string, std::vector<TraceSpan>> LanesOf(
    const std::vector<TraceEvent>& events, const std::string& category);

int CountOf(const std::vector<TraceEvent>& events, const std::string& name,
            const std::string& phase = "i");

// That each picture that reached the disk has its steps one after another,
// without a gap. How many those are.
int CheckFrameLanes(const std::vector<TraceEvent>& events);

}  // namespace kine
