#include "daemon/output/output_reply.h"

#include <algorithm>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "daemon/base/limits.h"
#include "daemon/output/output_text.h"
#include "ipc/json_out.h"

namespace kine {
namespace {

constexpr Stream kBoth[] = {Stream::kOut, Stream::kErr};
constexpr uint64_t kPieceBytes = 16u << 10;

class Follower : public std::enable_shared_from_this<Follower> {
 public:
  Follower(std::shared_ptr<OutputStreams> streams, FollowOptions options)
      : streams_(std::move(streams)), options_(std::move(options)) {
    for (const Stream stream : kBoth)
      next_[Index(stream)] = options_.from[Index(stream)].value_or(0);
  }
  ~Follower() {
    if (watcher_ == 0) return;
    streams_->RemoveWatcher(watcher_);
    streams_->pool().metrics().followers.Add(-1);
  }
  Follower(const Follower&) = delete;
  Follower& operator=(const Follower&) = delete;

  void Start(StreamBody::Wake wake) {
    wake_ = std::move(wake);
    streams_->pool().metrics().followers.Add(1);
    watcher_ = streams_->AddWatcher([this] { wake_(); });
    Beat();
  }
  StreamBody::State Read(size_t room, std::string& out);

 private:
  static size_t Index(Stream stream) { return static_cast<size_t>(stream); }
  bool Follows(Stream stream) const {
    return options_.from[Index(stream)].has_value();
  }
  StreamBody::State ReadAll(size_t room, std::string& out);
  bool ReadStream(Stream stream, std::string& out);
  void Emit(absl::string_view type, absl::string_view json, std::string& out);
  void EmitEnd(const std::string& ending, std::string& out);
  void Beat() {
    beat_ =
        LoopHandle(streams_->pool().loop(),
                   streams_->pool().loop().PostAfter(
                       absl::Milliseconds(limits::kEventHeartbeatMs), [this] {
                         beat_due_ = true;
                         Beat();
                         wake_();
                       }));
  }

  const std::shared_ptr<OutputStreams> streams_;
  const FollowOptions options_;
  StreamBody::Wake wake_;
  uint64_t watcher_ = 0;
  uint64_t next_[2];
  // From the file: on its way, or here.
  bool loading_ = false;
  bool reading_ = false;  // Inside Read(): no waking.
  std::optional<OutputStreams::Chunk> loaded_[2];
  bool failed_ = false;
  bool beat_due_ = false;
  LoopHandle beat_;
};

void Follower::Emit(absl::string_view type, absl::string_view json,
                    std::string& out) {
  if (options_.ndjson) {
    absl::StrAppend(&out, json, "\n");
  } else {
    absl::StrAppend(&out, "id: ", next_[0], ".", next_[1], "\nevent: ", type,
                    "\ndata: ", json, "\n\n");
  }
}

// True when there was something.
bool Follower::ReadStream(Stream stream, std::string& out) {
  uint64_t& next = next_[Index(stream)];
  std::optional<OutputStreams::Chunk>& loaded = loaded_[Index(stream)];
  if (!loaded.has_value()) {
    if (next >= streams_->store(stream).total() || loading_) return false;
    loading_ = true;
    streams_->Read(stream, next, kPieceBytes,
                   [weak = weak_from_this(),
                    stream](absl::StatusOr<OutputStreams::Chunk> chunk) {
                     const auto self = weak.lock();
                     if (self == nullptr) return;
                     self->loading_ = false;
                     if (chunk.ok())
                       self->loaded_[Index(stream)] = *std::move(chunk);
                     else
                       self->failed_ = true;
                     if (!self->reading_) self->wake_();
                   });
    if (!loaded.has_value()) return false;
  }
  const OutputStreams::Chunk chunk = *std::exchange(loaded, std::nullopt);
  const char* const name = StreamName(*streams_, stream);
  if (chunk.at > next) {
    std::string json;
    JsonOut gap(json);
    gap.BeginObject();
    gap.Field("type", "gap");
    gap.Field("stream", name);
    gap.Field("from", std::exchange(next, chunk.at));
    gap.Field("to", chunk.at);
    gap.End();
    Emit("gap", json, out);
  }
  absl::string_view bytes = chunk.bytes;
  if (options_.encoding == OutputEncoding::kUtf8)
    bytes = bytes.substr(0, Showable(*streams_, stream, chunk.at, bytes));
  if (bytes.empty()) return false;
  std::string json;
  JsonOut piece(json);
  piece.BeginObject();
  piece.Field("type", "output");
  piece.Field("stream", name);
  piece.Field("from", next);
  next += bytes.size();
  piece.Field("next", next);
  WriteData(piece, bytes, options_.encoding);
  piece.End();
  Emit("output", json, out);
  return true;
}

StreamBody::State Follower::Read(size_t room, std::string& out) {
  reading_ = true;
  const StreamBody::State state = ReadAll(room, out);
  reading_ = false;
  return state;
}

StreamBody::State Follower::ReadAll(size_t room, std::string& out) {
  const size_t begin = out.size();
  if (streams_->forgotten()) {
    Emit("expired", R"({"type":"expired"})", out);
    return StreamBody::State::kEnd;
  }
  for (bool some = true; some && out.size() - begin < room;) {
    some = false;
    for (const Stream stream : kBoth)
      if (Follows(stream) && ReadStream(stream, out)) some = true;
  }
  if (failed_) return StreamBody::State::kAbort;
  if (out.size() - begin >= room) return StreamBody::State::kMore;
  bool over = !loading_;
  for (const Stream stream : kBoth)
    if (Follows(stream))
      over = over && streams_->ended(stream) &&
             next_[Index(stream)] >= streams_->store(stream).total();
  if (over) {
    if (const auto ending = options_.ending()) {
      EmitEnd(*ending, out);
      return StreamBody::State::kEnd;
    }
  }
  if (std::exchange(beat_due_, false) && out.size() == begin)
    out += options_.ndjson ? "{\"type\":\"heartbeat\"}\n" : ": heartbeat\n\n";
  return StreamBody::State::kWait;
}

void Follower::EmitEnd(const std::string& ending, std::string& out) {
  std::string json = R"({"type":"end")";
  for (const Stream stream : kBoth)
    if (Follows(stream))
      absl::StrAppend(&json, ",\"", StreamName(*streams_, stream),
                      "\":", next_[Index(stream)]);
  absl::StrAppend(&json, ending, "}");
  Emit("end", json, out);
}

}  // namespace

const char* StreamName(const OutputStreams& streams, Stream stream) {
  if (streams.merged()) return "merged";
  return stream == Stream::kOut ? "stdout" : "stderr";
}

size_t Showable(const OutputStreams& streams, Stream stream, uint64_t at,
                absl::string_view bytes) {
  const size_t whole = WholeCharacters(bytes);
  if (whole == bytes.size()) return whole;
  const OutputStore& store = streams.store(stream);
  const uint64_t end = at + bytes.size();
  const bool last = end >= store.total() ? streams.ended(stream)
                                         : store.Locate(end, 1).at > end;
  // A piece of nothing but the start of a character gets nobody further.
  return last ? bytes.size() : whole;
}

void WriteData(JsonOut& out, absl::string_view bytes, OutputEncoding encoding) {
  if (encoding == OutputEncoding::kUtf8) {
    out.Field("data", bytes);
    return;
  }
  out.Field("encoding", "base64");
  out.Field("data", absl::Base64Escape(bytes));
}

Response FollowOutput(std::shared_ptr<OutputStreams> streams,
                      FollowOptions options) {
  Response response;
  response.content_type =
      options.ndjson ? "application/x-ndjson" : "text/event-stream";
  response.fields.emplace_back("Cache-Control", "no-store");
  auto follower =
      std::make_shared<Follower>(std::move(streams), std::move(options));
  StreamBody body;
  body.start = [follower](StreamBody::Wake wake) {
    follower->Start(std::move(wake));
  };
  body.read = [follower](size_t room, std::string& out) {
    return follower->Read(room, out);
  };
  response.body = std::move(body);
  return response;
}

}  // namespace kine
