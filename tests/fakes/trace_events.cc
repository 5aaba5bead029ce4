#include "tests/fakes/trace_events.h"

#include <gtest/gtest.h>
#include <jansson.h>

#include <cmath>
#include <memory>

#include "absl/strings/str_cat.h"

namespace kine {
namespace {

int64_t NanosOf(const json_t* micros) {
  return std::llround(json_number_value(micros) * 1'000);
}

std::string TextOf(const json_t* object, const char* key) {
  const char* text = json_string_value(json_object_get(object, key));
  return text == nullptr ? "" : text;
}

TraceEvent EventOf(json_t* object) {
  TraceEvent event;
  event.name = TextOf(object, "name");
  event.phase = TextOf(object, "ph");
  event.category = TextOf(object, "cat");
  event.id = TextOf(object, "id");
  event.pid = json_integer_value(json_object_get(object, "pid"));
  event.tid = json_integer_value(json_object_get(object, "tid"));
  event.at_ns = NanosOf(json_object_get(object, "ts"));
  event.length_ns = NanosOf(json_object_get(object, "dur"));
  const char* key;
  json_t* value;
  json_object_foreach(json_object_get(object, "args"), key, value) {
    if (json_is_integer(value)) event.numbers[key] = json_integer_value(value);
    if (json_is_string(value)) event.texts[key] = json_string_value(value);
  }
  EXPECT_FALSE(event.name.empty());
  EXPECT_TRUE(json_is_number(json_object_get(object, "ts"))) << event.name;
  EXPECT_TRUE(json_is_integer(json_object_get(object, "pid"))) << event.name;
  EXPECT_TRUE(json_is_integer(json_object_get(object, "tid"))) << event.name;
  return event;
}

}  // namespace

std::vector<TraceEvent> ParseTrace(const std::string& json) {
  json_error_t error{};
  const std::unique_ptr<json_t, decltype(&json_decref)> root(
      json_loads(json.c_str(), JSON_REJECT_DUPLICATES, &error), &json_decref);
  std::vector<TraceEvent> events;
  json_t* list = json_object_get(root.get(), "traceEvents");
  EXPECT_TRUE(json_is_array(list)) << error.text << json.substr(0, 300);
  size_t i;
  json_t* object;
  json_array_foreach(list, i, object) events.push_back(EventOf(object));
  return events;
}

std::map<std::string, std::vector<TraceSpan>> LanesOf(
    const std::vector<TraceEvent>& events, const std::string& category) {
  std::map<std::string, std::vector<TraceSpan>> lanes;
  std::map<std::string, std::vector<size_t>> open;
  std::map<std::string, int64_t> newest;
  for (const TraceEvent& event : events) {
    if (event.category != category) continue;
    SCOPED_TRACE(absl::StrCat(event.name, " ", event.phase, " of ", event.id));
    EXPECT_GE(event.at_ns, newest[event.id]);
    newest[event.id] = event.at_ns;
    std::vector<TraceSpan>& lane = lanes[event.id];
    std::vector<size_t>& stack = open[event.id];
    if (event.phase == "b") {
      stack.push_back(lane.size());
      lane.push_back({event.name, event.at_ns, {}});
      continue;
    }
    EXPECT_EQ(event.phase, "e");
    EXPECT_FALSE(stack.empty()) << "ends what never began";
    if (stack.empty()) continue;
    EXPECT_EQ(lane[stack.back()].name, event.name);
    lane[stack.back()].to_ns = event.at_ns;
    stack.pop_back();
  }
  return lanes;
}

int CountOf(const std::vector<TraceEvent>& events, const std::string& name,
            const std::string& phase) {
  int count = 0;
  for (const TraceEvent& event : events)
    count += event.name == name && event.phase == phase ? 1 : 0;
  return count;
}

int CheckFrameLanes(const std::vector<TraceEvent>& events) {
  int durable = 0;
  for (const auto& [id, lane] : LanesOf(events, "frame")) {
    const TraceSpan& whole = lane.front();
    EXPECT_EQ(whole.name, "frame");
    if (!whole.to_ns.has_value() || lane.back().name != "to disk") continue;
    ++durable;
    std::string steps;
    int64_t at = whole.from_ns;
    for (size_t i = 1; i < lane.size(); ++i) {
      if (lane[i].name == "no credit") continue;  // Inside the mailbox.
      absl::StrAppend(&steps, lane[i].name, ", ");
      EXPECT_EQ(lane[i].from_ns, at) << lane[i].name << " of " << id;
      at = lane[i].to_ns.value_or(0);
    }
    if (absl::string_view(steps).substr(0, 7) == "to us, ")
      steps = steps.substr(7);
    EXPECT_EQ(steps, "mailbox, encode, to control, collect, to disk, ");
    EXPECT_EQ(at, *whole.to_ns) << id;
  }
  return durable;
}

}  // namespace kine
