// Everything that reads JSON: whatever comes in, nothing crashes; what is
// accepted, written and read again is the same.
#include <cstddef>
#include <cstdint>
#include <string>

#include "absl/strings/string_view.h"
#include "daemon/base/check.h"
#include "ipc/json_in.h"
#include "ipc/json_out.h"
#include "ipc/link_messages.h"
#include "ipc/recording_request.h"

namespace {

template <typename Parsed>
void CheckLink(const Parsed& parsed, Parsed (*parse)(absl::string_view)) {
  if (!parsed.ok()) return;
  const std::string text = ToJson(*parsed);
  const Parsed again = parse(text);
  KINE_CHECK(again.ok());
  KINE_CHECK(again->index() == parsed->index());
  KINE_CHECK(ToJson(*again) == text);
}

void CheckRequest(absl::string_view text) {
  const auto request = kine::ParseRecordingRequest(text);
  if (!request.ok()) return;
  const auto again = kine::ParseRecordingRequest(kine::ToJson(*request));
  KINE_CHECK(again.ok());
  KINE_CHECK(*again == *request);
  KINE_CHECK(kine::ToJson(*again) == kine::ToJson(*request));
}

// An object given back as text is the same object.
void CheckAsText(absl::string_view text) {
  std::string first;
  const auto bind = [](std::string& out) {
    return [&out](kine::JsonObject& o) { out = o.AsText(); };
  };
  if (!kine::BindJson(text, {}, bind(first)).ok()) return;
  // Numbers may grow when written in full: only the text is bounded.
  if (first.size() > kine::limits::kBodyBytesMax) return;
  std::string second;
  KINE_CHECK(kine::BindJson(first, {}, bind(second)).ok());
  KINE_CHECK(first == second);
}

// Any bytes become a JSON text, and none without a NUL are lost on the way.
void CheckWriter(absl::string_view bytes) {
  std::string json;
  kine::JsonOut out(json);
  out.BeginObject();
  out.Field("t", bytes);
  out.End();
  std::string back;
  const absl::Status bound = kine::BindJson(
      json, {.bytes_max = json.size()}, [&](kine::JsonObject& o) {
        o.Text("t", back,
               {.max = json.size(), .charset = kine::JsonTextRule::kAny});
      });
  if (bytes.find('\0') != absl::string_view::npos) return;
  KINE_CHECK(bound.ok());
  KINE_CHECK(back.size() >= bytes.size());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const absl::string_view text(reinterpret_cast<const char*>(data), size);
  CheckRequest(text);
  CheckLink(kine::link::ParseToDaemon(text), kine::link::ParseToDaemon);
  CheckLink(kine::link::ParseToRecorder(text), kine::link::ParseToRecorder);
  CheckAsText(text);
  CheckWriter(text);
  return 0;
}
