#include "capture/pipewire_stream.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "capture/pipewire_params.h"
#include "daemon/base/status.h"

namespace kine {

// What one drain found.
struct PipeWireStream::Newest {
  MonoTime arrival;
  pw_buffer* buffer = nullptr;
  BufferReading reading;
  FrameTimes::Stamp stamp;
  std::optional<CursorUpdate> cursor;
};

PipeWireStream::PipeWireStream(Owner& owner, SourceStats& stats, Loop& loop)
    : owner_(owner),
      stats_(stats),
      loop_(loop),
      pool_(std::make_unique<BufferPool>(loop,
                                         [this](pw_buffer* buffer) {
                                           pw_stream_queue_buffer(stream_.get(),
                                                                  buffer);
                                         })),
      times_(loop.clock().Now()),
      gate_(
          loop, [this](Frame frame) { owner_.OnStreamFrame(std::move(frame)); },
          [this](FenceGate::Lost why) { OnGateLost(why); }) {}

PipeWireStream::~PipeWireStream() {
  // Frames that come back from here on find no pool.
  pool_.reset();
}

absl::StatusOr<std::unique_ptr<PipeWireStream>> PipeWireStream::Connect(
    PipeWireConnection& connection, const Options& options, Owner& owner,
    SourceStats& stats, Loop& loop) {
  auto self =
      std::unique_ptr<PipeWireStream>(new PipeWireStream(owner, stats, loop));
  KINE_RETURN_IF_ERROR(self->Open(connection, options));
  return self;
}

absl::Status PipeWireStream::Open(PipeWireConnection& connection,
                                  const Options& options) {
  static const pw_stream_events kEvents = [] {
    pw_stream_events events{};
    events.version = PW_VERSION_STREAM_EVENTS;
    events.state_changed = &PipeWireStream::OnState;
    events.param_changed = &PipeWireStream::OnParam;
    events.add_buffer = &PipeWireStream::OnAddBuffer;
    events.remove_buffer = &PipeWireStream::OnRemoveBuffer;
    events.process = &PipeWireStream::OnProcess;
    return events;
  }();
  pw_properties* props =
      pw_properties_new(PW_KEY_MEDIA_TYPE, "Video", PW_KEY_MEDIA_CATEGORY,
                        "Capture", PW_KEY_MEDIA_ROLE, "Screen", PW_KEY_APP_NAME,
                        "Kinescope", PW_KEY_NODE_NAME, "kinescope", nullptr);
  if (options.auto_serial) {
    pw_properties_set(props, PW_KEY_TARGET_OBJECT,
                      absl::StrCat(*options.auto_serial).c_str());
  }
  stream_.reset(pw_stream_new(connection.core(), "Kinescope", props));
  if (stream_ == nullptr) return ErrnoStatus(errno, "pw_stream_new");
  pw_stream_add_listener(stream_.get(), hook_.get(), &kEvents, this);

  const bool automatic =
      options.auto_node_id.has_value() || options.auto_serial.has_value();
  // DONT_RECONNECT: when the node goes, a session manager must not give us a
  // camera instead.
  const uint32_t flags =
      PW_STREAM_FLAG_MAP_BUFFERS | PW_STREAM_FLAG_DONT_RECONNECT |
      (automatic ? PW_STREAM_FLAG_AUTOCONNECT : PW_STREAM_FLAG_NONE);
  const uint32_t target = options.auto_serial
                              ? PW_ID_ANY
                              : options.auto_node_id.value_or(PW_ID_ANY);
  fps_max_ = options.fps_max;
  imports_ = options.imports;
  ParamList formats = ParamList::Formats(fps_max_, imports_);
  const int result = pw_stream_connect(
      stream_.get(), PW_DIRECTION_INPUT, target,
      static_cast<pw_stream_flags>(flags), formats.data(), formats.size());
  if (result < 0) return ErrnoStatus(-result, "pw_stream_connect");
  return absl::OkStatus();
}

void PipeWireStream::SetImports(std::vector<DmabufFormat> imports) {
  if (imports == imports_) return;
  imports_ = std::move(imports);
  Negotiate();
}

void PipeWireStream::SetFpsMax(double fps_max) {
  if (std::exchange(fps_max_, fps_max) != fps_max) Negotiate();
}

void PipeWireStream::Negotiate() {
  ParamList formats = ParamList::Formats(fps_max_, imports_);
  pw_stream_update_params(stream_.get(), formats.data(), formats.size());
}

bool PipeWireStream::IsWanted(const StreamFormat& format) const {
  if (!format.dmabuf) return true;
  const auto import =
      std::ranges::find(imports_, format.video.fourcc, &DmabufFormat::fourcc);
  return import != imports_.end() &&
         std::ranges::count(import->modifiers, format.video.modifier) > 0;
}

void PipeWireStream::OnState(void* self, pw_stream_state old,
                             pw_stream_state state, const char* error) {
  auto& stream = *static_cast<PipeWireStream*>(self);
  if (state == PW_STREAM_STATE_PAUSED && !stream.ready_) {
    stream.ready_ = true;
    stream.owner_.OnStreamReady(pw_stream_get_node_id(stream.stream_.get()));
  } else if (state == PW_STREAM_STATE_ERROR) {
    stream.owner_.OnStreamError(
        absl::UnavailableError(
            absl::StrCat("PipeWire stream: ", error != nullptr ? error : "?")),
        /*final=*/false);
  } else if (state == PW_STREAM_STATE_UNCONNECTED &&
             old > PW_STREAM_STATE_UNCONNECTED) {
    stream.owner_.OnStreamError(
        absl::UnavailableError("the PipeWire server removed the stream"),
        /*final=*/false);
  }
}

void PipeWireStream::OnParam(void* self, uint32_t id, const spa_pod* param) {
  auto& stream = *static_cast<PipeWireStream*>(self);
  // A null format takes the old one back; its buffers are removed one by one.
  if (id != SPA_PARAM_Format || param == nullptr) return;
  stream.format_.reset();
  stream.gate_.Clear();
  absl::StatusOr<StreamFormat> format = ParseStreamFormat(param);
  // Not chosen yet, or from before the last SetImports(): another one follows.
  if (absl::IsUnavailable(format.status()) ||
      (format.ok() && !stream.IsWanted(*format)))
    return;
  if (!format.ok()) {
    stream.owner_.OnStreamError(format.status(), /*final=*/true);
    return;
  }
  stream.format_ = *format;
  ParamList answer = ParamList::BuffersAndMetas(format->dmabuf);
  pw_stream_update_params(stream.stream_.get(), answer.data(), answer.size());
}

void PipeWireStream::OnAddBuffer(void* self, pw_buffer* buffer) {
  auto& stream = *static_cast<PipeWireStream*>(self);
  const spa_buffer& spa = *buffer->buffer;
  if (!stream.format_) return;  // Of a format that was not taken.
  if (absl::Status status = stream.pool_->Add(buffer, *stream.format_);
      !status.ok()) {
    stream.format_.reset();  // Nothing of it is drained any more.
    const bool final = absl::IsUnimplemented(status);
    stream.owner_.OnStreamError(std::move(status), final);
    return;
  }
  const auto has = [&](uint32_t type) {
    return spa_buffer_find_meta(&spa, type) != nullptr;
  };
  const uint32_t type = spa.datas[0].type;
  stream.facts_.memory = type == SPA_DATA_DmaBuf  ? "DmaBuf"
                         : type == SPA_DATA_MemFd ? "MemFd"
                                                  : "MemPtr";
  stream.facts_.has_cursor = has(SPA_META_Cursor);
  stream.facts_.has_damage = has(SPA_META_VideoDamage);
  stream.facts_.has_times = has(SPA_META_Header);
  if (std::exchange(stream.announce_, true)) return;
  // Behind the other buffers of this set, which come in the same turn. A still
  // screen sends no frame to announce them.
  stream.announce_timer_ = LoopHandle(
      stream.loop_, stream.loop_.PostAfter(absl::ZeroDuration(),
                                           [&stream] { stream.Announce(); }));
}

void PipeWireStream::OnRemoveBuffer(void* self, pw_buffer* buffer) {
  static_cast<PipeWireStream*>(self)->pool_->Remove(buffer);
}

void PipeWireStream::Announce() {
  if (!format_ || !std::exchange(announce_, false)) return;
  announce_timer_.Cancel();
  damage_ = Damage::Full();
  damage_is_source_ = false;
  crop_ = {};
  owner_.OnStreamFormat(format_->video, facts_);
}

void PipeWireStream::OnProcess(void* self) {
  auto& stream = *static_cast<PipeWireStream*>(self);
  if (!stream.format_) return;
  stream.Announce();
  Newest newest;
  newest.arrival = stream.loop_.clock().Now();
  while (pw_buffer* buffer = pw_stream_dequeue_buffer(stream.stream_.get()))
    stream.Take(buffer, newest);
  // The pointer first, so that a picture is shown with where it was then.
  if (newest.cursor) stream.owner_.OnStreamCursor(*newest.cursor);
  if (newest.buffer != nullptr) stream.Lend(newest);
}

// Newest wins, for the picture and for the pointer apart: a buffer that only
// moves the pointer must not replace a picture.
void PipeWireStream::Take(pw_buffer* buffer, Newest& newest) {
  BufferReading reading = pool_->Read(buffer, format_->video);
  const uint64_t lost = sequence_.Next(reading.seq);
  stats_.lost_in_source += lost;
  // Its damage was lost with it.
  if (lost > 0) MergeDamage(BufferReading{});
  if (reading.kind == BufferReading::Kind::kCorrupted) {
    ++stats_.corrupted;
    MergeDamage(BufferReading{});
    pw_stream_queue_buffer(stream_.get(), buffer);
    return;
  }
  TakeCursor(*buffer->buffer, reading, newest);
  if (reading.kind == BufferReading::Kind::kNoPicture) {
    ++stats_.cursor_only;
    pw_stream_queue_buffer(stream_.get(), buffer);
    return;
  }
  ++stats_.received;
  MergeDamage(reading);
  if (newest.buffer != nullptr) {
    ++stats_.lost_in_drain;
    pw_stream_queue_buffer(stream_.get(), newest.buffer);
  }
  newest.stamp = times_.Next(reading.pts, newest.arrival);
  // Where the pointer is in this picture it is when this picture is shown.
  if (newest.cursor) newest.cursor->time = newest.stamp.time;
  newest.buffer = buffer;
  newest.reading = reading;
}

void PipeWireStream::TakeCursor(const spa_buffer& buffer,
                                const BufferReading& reading, Newest& newest) {
  // Without a picture a buffer says nothing of crop and transform, or what was
  // left in it from another.
  const bool as_before =
      reading.kind == BufferReading::Kind::kNoPicture && !crop_.empty();
  const Rect& crop = as_before ? crop_ : reading.crop;
  std::optional<CursorUpdate> cursor =
      cursor_.Read(buffer, crop, newest.arrival);
  if (!cursor) return;
  cursor->width = crop.width;
  cursor->height = crop.height;
  cursor->transform = as_before ? transform_ : reading.transform;
  if (cursor->shape == nullptr && newest.cursor)
    cursor->shape = newest.cursor->shape;
  newest.cursor = cursor;
}

void PipeWireStream::MergeDamage(const BufferReading& reading) {
  const bool picture = reading.kind == BufferReading::Kind::kPicture;
  const bool moved =
      picture && !(reading.crop == crop_ && reading.transform == transform_);
  if (picture) {
    crop_ = reading.crop;
    transform_ = reading.transform;
  }
  if (!picture || moved || !reading.damage_is_source) {
    damage_ = Damage::Full();
    damage_is_source_ = false;
    return;
  }
  if (damage_.empty()) damage_is_source_ = true;
  damage_.Merge(reading.damage);
}

void PipeWireStream::Lend(Newest& newest) {
  std::optional<Frame> frame =
      pool_->Lend(newest.buffer, format_->video, newest.reading, damage_);
  if (!frame) {
    // All copies are out; what changed stays due.
    ++stats_.lost_in_drain;
    return;
  }
  frame->time = newest.stamp.time;
  frame->time_is_source = newest.stamp.is_source;
  frame->arrival = newest.arrival;
  frame->damage = std::exchange(damage_, Damage());
  frame->damage_is_source = damage_is_source_;
  std::vector<UniqueFd> fences = PendingFences(*frame);
  gate_.Put(*std::move(frame), std::move(fences));
}

void PipeWireStream::OnGateLost(FenceGate::Lost why) {
  if (why == FenceGate::Lost::kReplaced) {
    ++stats_.lost_in_drain;
    return;
  }
  ++stats_.fence_timeouts;
  if (format_ && gate_.timeouts() == kFenceTimeoutsMax)
    owner_.OnStreamNeverFinished(format_->video);
}

}  // namespace kine
