// How output is told over HTTP: one piece of it, or a stream that follows.
//
// Control loop only.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "daemon/output/output_streams.h"
#include "ipc/reply.h"

namespace kine {

const char* StreamName(const OutputStreams& streams, Stream stream);

enum class OutputEncoding { kUtf8, kBase64 };

// How many bytes of a piece to show so that no character is split: all of them
// where no more follow on directly.
size_t Showable(const OutputStreams& streams, Stream stream, uint64_t at,
                absl::string_view bytes);

// "data" (and "encoding":"base64") of an object that is being written.
void WriteData(class JsonOut& out, absl::string_view bytes,
               OutputEncoding encoding);

// One client that follows, as NDJSON or SSE:
//   {"type":"output","stream":S,"from":N,"next":M,"data":D}
//   {"type":"gap","stream":S,"from":N,"to":M}   those bytes are gone
//   {"type":"expired"}                          so is everything
//   {"type":"end","stdout":N,...}               once: with what `ending` says
//   {"type":"heartbeat"}                        15 s without any of these
// In SSE each has the id "<next of the first>.<next of the second stream>",
// which resumes. The reader is a cursor: a slow one costs nothing and finds a
// gap.
struct FollowOptions {
  bool ndjson = false;
  OutputEncoding encoding = OutputEncoding::kUtf8;
  std::optional<uint64_t> from[2];  // By Stream; absent: not followed.
  // Members for "end", with a comma in front; none yet: ask again when woken.
  std::function<std::optional<std::string>()> ending;
};
Response FollowOutput(std::shared_ptr<OutputStreams> streams,
                      FollowOptions options);

}  // namespace kine
