// GET /v1/processes/{id}/output: a piece, a wait for one, a view, a stream.
#include <algorithm>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "daemon/base/limits/output.h"
#include "daemon/base/status.h"
#include "daemon/control/commands/process_replies.h"
#include "daemon/control/commands/process_routes.h"
#include "daemon/output/output_text.h"

namespace kine {

struct ProcessRoutes::OutputQuery {
  std::string id;
  Stream stream = Stream::kOut;
  bool both = false;
  uint64_t from = 0;
  uint64_t from_stderr = 0;
  uint64_t max = limits::kOutputReplyBytes;
  bool follow = false;
  bool agent = false;
  OutputEncoding encoding = OutputEncoding::kUtf8;
  Wait wait;
};

namespace {

absl::Status ParseNumber(const Request& request, absl::string_view name,
                         uint64_t min, uint64_t max, uint64_t& out) {
  const auto text = request.Query(name);
  if (!text.has_value()) return absl::OkStatus();
  if (absl::SimpleAtoi(*text, &out) && out >= min && out <= max)
    return absl::OkStatus();
  return FieldError(
      name, absl::StrCat("must be a whole number from ", min, " to ", max));
}

// One of two words; the first when absent.
absl::Status ParseWord(const Request& request, absl::string_view name,
                       absl::string_view first, absl::string_view second,
                       bool& is_second) {
  const absl::string_view word = request.Query(name).value_or(first);
  is_second = word == second;
  if (is_second || word == first) return absl::OkStatus();
  return FieldError(name, absl::StrCat("must be ", first, " or ", second));
}

absl::Status ParseStream(const Request& request, bool merged, bool follow,
                         Stream& stream, bool& both) {
  const absl::string_view name =
      request.Query("stream").value_or(merged ? "merged" : "stdout");
  if (name != "stdout" && name != "stderr" && name != "merged" &&
      name != "both")
    return FieldError("stream", "must be stdout, stderr, merged or both");
  if ((name == "merged") != merged)
    return WithProblem(
        FieldError("stream",
                   merged ? "its two streams are one; ask for stream=merged"
                          : "its streams are separate; `merged` needs "
                            "\"merge_stderr\":true or a pty at the start"),
        409, merged ? "merged" : "not_merged");
  if (name == "both" && !follow)
    return FieldError("stream", "both exists only with follow=1");
  stream = name == "stderr" ? Stream::kErr : Stream::kOut;
  both = name == "both";
  return absl::OkStatus();
}

// Resumes an SSE reader: "<stdout>.<stderr>".
absl::Status ParseLastId(const std::string& id, uint64_t& out, uint64_t& err) {
  const size_t dot = id.find('.');
  if (dot != id.npos && absl::SimpleAtoi(id.substr(0, dot), &out) &&
      absl::SimpleAtoi(id.substr(dot + 1), &err))
    return absl::OkStatus();
  return FieldError("Last-Event-ID", "is none that this stream gave");
}

}  // namespace

bool ProcessRoutes::HasEnded(const std::string& id) const {
  const auto record = table_.Find(id, ProcessViewer{"", true});
  return !record.ok() || (*record)->ended();
}

std::string ProcessRoutes::EndingOf(const std::string& id) const {
  const auto record = table_.Find(id, ProcessViewer{"", true});
  if (!record.ok()) return "";
  return EndingMembers(**record);
}

absl::Status ProcessRoutes::Expired(const std::string& id) const {
  return WithProblem(
      absl::NotFoundError(absl::StrCat(
          "the output of ", id,
          " has expired: newer commands needed its room. It is known still: ",
          EndingOf(id).substr(1))),
      410, "output_expired");
}

void ProcessRoutes::GetOutput(const Request& request, Reply reply) {
  OutputQuery query;
  query.id = std::string(request.Param("id"));
  const auto record = table_.Find(query.id, ViewerOf(request));
  if (!record.ok()) {
    reply.Fail(record.status());
    return;
  }
  constexpr absl::string_view kWaits[] = {"output"};
  bool base64 = false;
  absl::Status status = ParseWord(request, "follow", "0", "1", query.follow);
  status.Update(ParseWord(request, "view", "raw", "agent", query.agent));
  status.Update(ParseWord(request, "encoding", "utf8", "base64", base64));
  status.Update(ParseStream(request, (*record)->request.merged(), query.follow,
                            query.stream, query.both));
  status.Update(ParseNumber(request, "from", 0, INT64_MAX, query.from));
  status.Update(
      ParseNumber(request, "from_stderr", 0, INT64_MAX, query.from_stderr));
  status.Update(
      ParseNumber(request, "max", 4, limits::kOutputReplyBytesMax, query.max));
  absl::StatusOr<Wait> wait = ParseWait(request, kWaits);
  status.Update(wait.status());
  if (query.follow && !request.last_event_id.empty())
    status.Update(ParseLastId(request.last_event_id, query.from,
                              query.stream == Stream::kErr && !query.both
                                  ? query.from
                                  : query.from_stderr));
  if (query.follow && query.agent)
    status.Update(FieldError("view", "agent cannot be followed"));
  if (!status.ok()) {
    reply.Fail(status);
    return;
  }
  query.encoding = base64 ? OutputEncoding::kBase64 : OutputEncoding::kUtf8;
  query.wait = *std::move(wait);
  const auto streams = StreamsOf(table_, **record);
  if (streams == nullptr || streams->forgotten()) {
    reply.Fail(Expired(query.id));
  } else if (query.follow) {
    Follow(streams, query, Accepts(request.accept, "application/x-ndjson"),
           std::move(reply));
  } else if (!query.wait.what.empty()) {
    WaitForOutput(streams, std::move(query), std::move(reply));
  } else if (query.agent) {
    AnswerAgentView(*streams, query, std::move(reply));
  } else {
    AnswerPiece(streams, std::move(query), std::move(reply));
  }
}

void ProcessRoutes::WaitForOutput(std::shared_ptr<OutputStreams> streams,
                                  OutputQuery query, Reply reply) {
  // Ends itself: by what is seen, by the time, or with the streams.
  struct Waiting {
    std::shared_ptr<OutputStreams> streams;
    OutputQuery query;
    Reply reply;
    uint64_t watcher = 0;
    LoopHandle timer;
  };
  auto waiting = std::make_shared<Waiting>(
      Waiting{streams, std::move(query), std::move(reply), 0, LoopHandle()});
  // An end without the exit is none: the stream's is known before the exit is
  // told, and "eof" says both.
  const auto there = [this](const Waiting& w) {
    return w.streams->forgotten() ||
           w.streams->store(w.query.stream).total() > w.query.from ||
           (w.streams->ended(w.query.stream) && HasEnded(w.query.id));
  };
  const auto finish = [routes = this](std::shared_ptr<Waiting> w) {
    // What follows may destroy the function that this is called from.
    ProcessRoutes& self = *routes;
    w->streams->RemoveWatcher(std::exchange(w->watcher, 0));
    w->timer.Cancel();
    if (w->streams->forgotten())
      w->reply.Fail(self.Expired(w->query.id));
    else if (w->query.agent)
      self.AnswerAgentView(*w->streams, w->query, std::move(w->reply));
    else
      self.AnswerPiece(w->streams, w->query, std::move(w->reply));
  };
  if (there(*waiting)) {
    finish(waiting);
    return;
  }
  waiting->timer = LoopHandle(
      loop_, loop_.PostAfter(waiting->query.wait.timeout,
                             [waiting, finish] { finish(waiting); }));
  waiting->watcher = streams->AddWatcher([waiting, there, finish] {
    if (waiting->watcher != 0 && there(*waiting)) finish(waiting);
  });
}

void ProcessRoutes::AnswerPiece(std::shared_ptr<OutputStreams> streams,
                                OutputQuery query, Reply reply) const {
  OutputStreams& from = *streams;
  const uint64_t at = query.from;
  const uint64_t max = query.max;
  const Stream stream = query.stream;
  from.Read(stream, at, max,
            [this, streams = std::move(streams), query = std::move(query),
             reply = std::move(reply)](
                absl::StatusOr<OutputStreams::Chunk> chunk) mutable {
              if (!chunk.ok()) {
                reply.Fail(chunk.status());
                return;
              }
              absl::string_view bytes = chunk->bytes;
              if (query.encoding == OutputEncoding::kUtf8)
                bytes = bytes.substr(
                    0, Showable(*streams, query.stream, chunk->at, bytes));
              OutputPiece piece;
              piece.id = query.id;
              piece.stream = StreamName(*streams, query.stream);
              piece.from = query.from;
              piece.begin = std::max(query.from, chunk->at);
              piece.bytes = bytes;
              piece.encoding = query.encoding;
              piece.total = streams->store(query.stream).total();
              piece.eof = piece.begin + bytes.size() >= piece.total &&
                          streams->ended(query.stream) && HasEnded(query.id);
              // The state of the same moment.
              reply.Json(200, OutputReply(piece, EndingOf(query.id)));
            });
}

void ProcessRoutes::AnswerAgentView(const OutputStreams& streams,
                                    const OutputQuery& query,
                                    Reply reply) const {
  const AgentView view =
      MakeAgentView(streams.store(query.stream), limits::kAgentHeadBytes,
                    limits::kAgentTailBytes, limits::kAgentLineBytes);
  const bool eof = streams.ended(query.stream) && HasEnded(query.id);
  reply.Json(200, AgentViewReply(query.id, StreamName(streams, query.stream),
                                 view, eof, EndingOf(query.id)));
}

void ProcessRoutes::Follow(std::shared_ptr<OutputStreams> streams,
                           const OutputQuery& query, bool ndjson, Reply reply) {
  FollowOptions options;
  options.ndjson = ndjson;
  options.encoding = query.encoding;
  const bool err = query.stream == Stream::kErr || query.both;
  if (query.stream == Stream::kOut) options.from[0] = query.from;
  if (err) options.from[1] = query.both ? query.from_stderr : query.from;
  options.ending = [this, id = query.id]() -> std::optional<std::string> {
    if (!HasEnded(id)) return std::nullopt;  // The exit follows the pidfd.
    return EndingOf(id);
  };
  reply.Send(FollowOutput(std::move(streams), std::move(options)));
}

}  // namespace kine
