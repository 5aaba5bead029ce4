// A trace as the viewers read it: the "Trace Event Format" of Chrome, which
// Perfetto takes too.
//
// Threads show what ran on them (the encoder) or came to them. What only waits
// is on no thread: each picture has a lane of its own from its stamp to the
// disk, each fragment one from its last picture to the disk.
#include <algorithm>
#include <cstring>
#include <deque>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "daemon/base/limits/trace.h"
#include "daemon/timeline/trace_ring.h"
#include "ipc/json_out.h"

namespace kine {
namespace {

template <size_t kSize>
absl::string_view TextOf(const std::array<char, kSize>& text) {
  return {text.data(), ::strnlen(text.data(), kSize)};
}

class Writer {
 public:
  Writer(const Trace& trace, std::string& text) : trace_(trace), out_(text) {}

  void Write(absl::string_view recording_id);

 private:
  // A fragment on its way; 0: not yet.
  struct Fragment {
    const TraceFragment* what = nullptr;
    int64_t closed = 0;
    int64_t write = 0;
    int64_t written = 0;
    int64_t durable = 0;
    std::vector<const TraceRecord*> packets;
  };

  void Begin(absl::string_view name, const char* phase, pid_t thread,
             int64_t at);
  void End() { out_.End(); }
  void Length(int64_t nanos) {
    out_.FieldRaw("dur",
                  absl::StrFormat("%d.%03d", nanos / 1'000, nanos % 1'000));
  }
  void Name(const char* what, pid_t thread, absl::string_view name);
  void Instant(absl::string_view name, pid_t thread, int64_t at,
               const char* key, uint64_t value);
  void Note(const TraceRecord& record);
  void Queue(int64_t at, uint32_t packets, uint64_t bytes);
  void OnPacket(const TraceRecord& record);
  void OnFragment(const TraceRecord& record);
  void WriteFragment(const Fragment& fragment);
  void WriteLane(const TraceRecord& record, const Fragment* fragment);
  // Of a lane, nested in what is open there.
  void BeginSpan(const char* lane, uint64_t number, absl::string_view name,
                 int64_t at);
  void EndSpan(const char* lane, uint64_t number, absl::string_view name,
               int64_t at);
  void Span(const char* lane, uint64_t number, absl::string_view name,
            int64_t from, int64_t to);

  const Trace& trace_;
  JsonOut out_;
  std::vector<const TraceRecord*> open_;  // Packets of no fragment yet.
  std::deque<Fragment> fragments_;        // On their way to the disk.
};

void Writer::Begin(absl::string_view name, const char* phase, pid_t thread,
                   int64_t at) {
  out_.BeginObject();
  out_.Field("name", name);
  out_.Field("ph", phase);
  out_.Field("pid", trace_.pid);
  out_.Field("tid", thread);
  out_.FieldRaw("ts", absl::StrFormat("%d.%03d", at / 1'000, at % 1'000));
}

void Writer::Name(const char* what, pid_t thread, absl::string_view name) {
  Begin(what, "M", thread, 0);
  out_.BeginObject("args");
  out_.Field("name", name);
  out_.End();
  End();
}

void Writer::Instant(absl::string_view name, pid_t thread, int64_t at,
                     const char* key, uint64_t value) {
  Begin(name, "i", thread, at);
  out_.Field("s", "t");
  out_.BeginObject("args");
  out_.Field(key, value);
  out_.End();
  End();
}

void Writer::BeginSpan(const char* lane, uint64_t number,
                       absl::string_view name, int64_t at) {
  Begin(name, "b", trace_.control_thread, at);
  out_.Field("cat", lane);
  out_.Field("id", absl::StrCat("0x", absl::Hex(number)));
}

void Writer::EndSpan(const char* lane, uint64_t number, absl::string_view name,
                     int64_t at) {
  Begin(name, "e", trace_.control_thread, at);
  out_.Field("cat", lane);
  out_.Field("id", absl::StrCat("0x", absl::Hex(number)));
  End();
}

void Writer::Span(const char* lane, uint64_t number, absl::string_view name,
                  int64_t from, int64_t to) {
  BeginSpan(lane, number, name, from);
  End();
  EndSpan(lane, number, name, to);
}

void Writer::Queue(int64_t at, uint32_t packets, uint64_t bytes) {
  Begin("queue packets", "C", trace_.control_thread, at);
  out_.BeginObject("args");
  out_.Field("packets", packets);
  out_.End();
  End();
  Begin("queue bytes", "C", trace_.control_thread, at);
  out_.BeginObject("args");
  out_.Field("bytes", bytes);
  out_.End();
  End();
}

void Writer::OnPacket(const TraceRecord& record) {
  const TracePacket& p = record.packet;
  const bool again = (p.flags & TracePacket::kRefinement) != 0;
  if (!again)
    Instant("frame", trace_.source_thread, p.arrival, "frame", record.number);
  if (p.replaced > 0)
    Instant("lost", trace_.source_thread, p.arrival, "frames", p.replaced);
  if (p.stalled > 0)
    Instant("no credit", trace_.encode_thread, p.stalled, "frame",
            record.number);
  if (p.unchanged > 0)
    Instant("unchanged", trace_.encode_thread, p.encode_start, "frames",
            p.unchanged);
  Begin(again ? "refine" : "encode", "X", trace_.encode_thread, p.encode_start);
  Length(std::max<int64_t>(0, p.encode_end - p.encode_start));
  out_.BeginObject("args");
  out_.Field("frame", record.number);
  out_.Field("bytes", p.bytes);
  out_.Field("damaged_macroblocks", p.damaged_macroblocks);
  out_.End();
  End();
  if (p.convert_ns > 0) {
    Begin("convert", "X", trace_.encode_thread, p.encode_start);
    Length(p.convert_ns);
    End();
  }
  if ((p.flags & TracePacket::kKeyframe) != 0)
    Instant("keyframe", trace_.encode_thread, p.encode_end, "frame",
            record.number);
  const bool dropped = (p.flags & TracePacket::kDropped) != 0;
  Instant(dropped ? "dropped" : "packet", trace_.control_thread, record.at,
          "frame", record.number);
  if (dropped) return WriteLane(record, nullptr);
  Queue(record.at, p.queue_packets, p.queue_bytes);
  open_.push_back(&record);
}

void Writer::OnFragment(const TraceRecord& record) {
  const TraceFragment& f = record.fragment;
  if (record.kind == TraceKind::kFragment) {
    fragments_.push_back({&f, record.at, 0, 0, 0, std::exchange(open_, {})});
    return;
  }
  if (record.kind != TraceKind::kWrite)
    Queue(record.at, f.queue_packets, f.queue_bytes);
  if (record.kind == TraceKind::kDurable) {
    while (!fragments_.empty() && fragments_.front().what->number <= f.number) {
      fragments_.front().durable = record.at;
      WriteFragment(fragments_.front());
      fragments_.pop_front();
    }
    return;
  }
  // Of one whose begin was overwritten there is nothing more to say.
  for (Fragment& fragment : fragments_) {
    if (fragment.what->number != f.number) continue;
    (record.kind == TraceKind::kWrite ? fragment.write : fragment.written) =
        record.at;
  }
}

void Writer::WriteFragment(const Fragment& fragment) {
  for (const TraceRecord* packet : fragment.packets)
    WriteLane(*packet, &fragment);
  const uint64_t number = fragment.what->number;
  BeginSpan("fragment", number, "fragment", fragment.closed);
  out_.BeginObject("args");
  out_.Field("fragment", number);
  out_.Field("packets", fragment.what->packets);
  out_.Field("bytes", fragment.what->bytes);
  out_.End();
  End();
  // What has not ended yet is shown as open.
  struct Step {
    const char* name;
    int64_t from;
    int64_t to;
  };
  for (const Step& step : {Step{"queue", fragment.closed, fragment.write},
                           Step{"write", fragment.write, fragment.written},
                           Step{"sync", fragment.written, fragment.durable}}) {
    if (step.from == 0) break;
    BeginSpan("fragment", number, step.name, step.from);
    End();
    if (step.to != 0) EndSpan("fragment", number, step.name, step.to);
  }
  if (fragment.durable != 0)
    EndSpan("fragment", number, "fragment", fragment.durable);
}

void Writer::WriteLane(const TraceRecord& record, const Fragment* fragment) {
  constexpr char kLane[] = "frame";
  const TracePacket& p = record.packet;
  const uint64_t number = record.number;
  // The pump moves a stamp that is not later than the one before.
  const int64_t time = std::min(p.time, p.arrival);
  BeginSpan(kLane, number, "frame", time);
  out_.BeginObject("args");
  out_.Field("frame", number);
  if (fragment != nullptr) out_.Field("fragment", fragment->what->number);
  out_.End();
  End();
  if (time < p.arrival) Span(kLane, number, "to us", time, p.arrival);
  BeginSpan(kLane, number, "mailbox", p.arrival);
  End();
  // A frame that it replaced may have begun to wait.
  if (p.stalled > 0)
    Span(kLane, number, "no credit", std::max(p.stalled, p.arrival),
         p.encode_start);
  EndSpan(kLane, number, "mailbox", p.encode_start);
  Span(kLane, number, "encode", p.encode_start, p.encode_end);
  Span(kLane, number, "to control", p.encode_end, record.at);
  if ((p.flags & TracePacket::kDropped) != 0)
    return EndSpan(kLane, number, "frame", record.at);
  BeginSpan(kLane, number, "collect", record.at);
  End();
  if (fragment == nullptr) return;
  EndSpan(kLane, number, "collect", fragment->closed);
  BeginSpan(kLane, number, "to disk", fragment->closed);
  End();
  if (fragment->durable == 0) return;
  EndSpan(kLane, number, "to disk", fragment->durable);
  EndSpan(kLane, number, "frame", fragment->durable);
}

void Writer::Note(const TraceRecord& record) {
  Begin(TextOf(record.note.name), "i", trace_.control_thread, record.at);
  out_.Field("s", "p");
  const absl::string_view text = TextOf(record.note.text);
  if (!text.empty()) {
    out_.BeginObject("args");
    out_.Field("text", text);
    out_.End();
  }
  End();
}

void Writer::Write(absl::string_view recording_id) {
  out_.BeginObject();
  out_.Field("displayTimeUnit", "ms");
  out_.BeginObject("otherData");
  out_.Field("recording", recording_id);
  out_.Field("clock", "CLOCK_MONOTONIC");
  out_.Field("version", KINESCOPE_VERSION);
  out_.End();
  out_.BeginList("traceEvents");
  Name("process_name", trace_.control_thread,
       absl::StrCat("kinescope-recorder: ", recording_id));
  Name("thread_name", trace_.control_thread, "control");
  Name("thread_name", trace_.source_thread, "kine-source");
  Name("thread_name", trace_.encode_thread, "kine-encode");
  for (const TraceRecord& record : trace_.records) {
    if (record.kind == TraceKind::kPacket)
      OnPacket(record);
    else if (record.kind == TraceKind::kNote)
      Note(record);
    else
      OnFragment(record);
  }
  for (const Fragment& fragment : fragments_) WriteFragment(fragment);
  for (const TraceRecord* packet : open_) WriteLane(*packet, nullptr);
  out_.End();
  out_.End();
}

}  // namespace

std::string TraceJson(const Trace& trace, absl::string_view recording_id) {
  std::string text;
  // Most of a trace is pictures.
  text.reserve(trace.records.size() * limits::kTraceRecordJsonBytes / 2);
  Writer(trace, text).Write(recording_id);
  return text;
}

}  // namespace kine
