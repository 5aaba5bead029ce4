#include "daemon/recorder/video_writer.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "absl/strings/str_cat.h"
#include "daemon/base/check.h"
#include "daemon/base/limits.h"
#include "daemon/base/limits/live.h"
#include "daemon/base/status.h"
#include "encode/mp4/init_segment.h"

namespace kine {

VideoWriter::VideoWriter(Loop& loop, FileIo& file_io, RecordingFiles files,
                         const Options& options, Client& client)
    : loop_(loop),
      file_io_(file_io),
      files_(std::move(files)),
      options_(options),
      client_(client),
      preallocator_(
          file_io, files_.video.get(), options.reserve_bytes,
          limits::kPreallocateBytes,
          [this](absl::Status status) { OnRefused(std::move(status)); }),
      finaliser_(
          file_io, loop.clock(), files_.video.get(),
          {options.compact, options.max_bytes,
           [dir_fd = files_.directory.get()] { return ReadChapters(dir_fd); }}),
      alive_(loop, file_io, files_.alive.get(),
             [this] {
               // The format counts a sample's length in 31 bits.
               if (NowTicks() - last_ticks_ > mp4::kSampleTicksMax / 2)
                 client_.OnNeedsSample();
               return NowTicks();
             }),
      next_space_check_(limits::kPreallocateBytes) {}

VideoWriter::~VideoWriter() = default;

uint64_t VideoWriter::Ticks(MonoTime time) const {
  constexpr int64_t kNanosPerTick9 = 9'000'000'000 / limits::kMediaTimeScale;
  const int64_t nanos = absl::ToInt64Nanoseconds(MediaTime(time));
  // 90 kHz: 9 ticks are 100 us. A week of nanoseconds times 9 fits.
  return nanos <= 0 ? 0 : static_cast<uint64_t>(nanos * 9 / kNanosPerTick9);
}

absl::Duration VideoWriter::MediaTime(MonoTime time) const {
  if (!first_time_.has_value()) return absl::ZeroDuration();
  if (paused_since_.has_value()) time = std::min(time, *paused_since_);
  // A picture from before the end of a pause is not older than its begin.
  return std::max(time - *first_time_ - paused_, resumed_from_);
}

uint64_t VideoWriter::NowTicks() const { return Ticks(loop_.clock().Now()); }

uint64_t VideoWriter::packet_bytes_max() const {
  const uint64_t used =
      mp4_ == nullptr ? options_.reserve_bytes : mp4_->FinishedBytes();
  const uint64_t left =
      options_.max_bytes > used ? options_.max_bytes - used : 0;
  return std::max(left / 8, limits::kPacketSqueezeMinBytes);
}

void VideoWriter::Add(SharedPacket shared) {
  KINE_CHECK(ending_ == Ending::kNo);
  const Packet& packet = *shared;
  if (!failed_.ok() || full_) return Drop(packet);
  if (mp4_ == nullptr && !Begin(packet)) return Drop(packet);
  const bool resized = packet.width != width_ || packet.height != height_;
  width_ = packet.width;
  height_ = packet.height;
  // A reader can begin with a keyframe if a fragment does.
  if ((resized || (watched_ && packet.keyframe)) && !mp4_->empty())
    CloseFragment(Ticks(packet.time));
  mp4::Sample sample = ToSample(shared);
  if (mp4_->FinishedBytesWith(sample) > options_.max_bytes) {
    full_ = true;
    Drop(packet);
    return client_.OnMustEnd(
        link::EndReason::kMaxBytes,
        absl::ResourceExhaustedError(absl::StrCat(
            "the next picture would take the file above max_bytes=",
            options_.max_bytes)));
  }
  AddSample(packet, std::move(sample));
  WatchQueue();
  if (!busy_) Pump();
}

bool VideoWriter::Begin(const Packet& first) {
  mp4::InitOptions init;
  init.width = first.width;
  init.height = first.height;
  init.keyframe = first.data;
  init.reserve_bytes = options_.reserve_bytes;
  absl::StatusOr<mp4::InitSegment> segment = mp4::BuildInitSegment(init);
  if (!segment.ok()) {
    failed_ = WithContext("the encoder's first picture", segment.status());
    client_.OnMustEnd(link::EndReason::kInternal, failed_);
    return false;
  }
  first_time_ = first.time;
  width_ = first.width;
  height_ = first.height;
  header_ = segment->header;
  mp4_ = std::make_unique<mp4::FragmentWriter>(
      segment->header, limits::kIndexMemoryBytesMax, options_.compact.on());
  Piece head;
  head.data = std::move(segment->head);
  pieces_.push_back(std::move(head));
  Piece moov;
  moov.offset = segment->header.moov_offset();
  moov.data = std::move(segment->moov);
  moov.ends_head = true;
  pieces_.push_back(std::move(moov));
  return true;
}

mp4::Sample VideoWriter::ToSample(const SharedPacket& shared) const {
  const Packet& packet = *shared;
  mp4::Sample sample;
  sample.data = mp4::SharedBytes(shared, &packet.data);
  sample.time = Ticks(packet.time);
  if (samples_added_) {
    sample.time = std::clamp(sample.time, last_ticks_ + 1,
                             last_ticks_ + mp4::kSampleTicksMax);
  }
  sample.keyframe = packet.keyframe;
  sample.priority = mp4::Priority(packet.damaged_macroblocks,
                                  packet.time < agent_active_until_);
  return sample;
}

void VideoWriter::AddSample(const Packet& packet, mp4::Sample sample) {
  alive_.Pause();
  picture_known_ = true;
  if (mp4_->empty()) {
    fragment_timer_ = LoopHandle(
        loop_,
        loop_.PostAfter(absl::Milliseconds(watched_ ? limits::kLiveFragmentMs
                                                    : limits::kFragmentMs),
                        [this] {
                          close_wanted_ = true;
                          if (!busy_) Pump();
                        }));
  }
  const MonoTime now = loop_.clock().Now();
  delay_ = std::max(absl::ZeroDuration(), now - packet.time);
  samples_added_ = true;
  last_ticks_ = sample.time;
  const uint64_t bytes = packet.data.size();
  ++samples_;
  ++packets_out_;
  packet_bytes_out_ += bytes;
  ++open_.packets;
  open_.packet_bytes += bytes;
  if (!packet.refinement) open_.frame_times.push_back(packet.time);
  mp4_->Add(std::move(sample));
  TracePicture(now, packet, 0);
  // A small queue must not fill up with what only waits for the clock.
  if (open_.packets * 2 >= options_.queue_packets ||
      open_.packet_bytes >= limits::kQueueBytesMax / 4 ||
      paused_since_.has_value() ||
      (watched_ && packet.damaged_macroblocks == 0))
    close_wanted_ = true;
}

void VideoWriter::Drop(const Packet& packet) {
  ++dropped_;
  TracePicture(loop_.clock().Now(), packet, TracePacket::kDropped);
  client_.OnCredits(1, packet.data.size());
}

void VideoWriter::SetPictureKnown(bool known) {
  picture_known_ = known;
  if (ending_ != Ending::kNo) return;
  if (!known) {
    alive_.Pause();
    close_wanted_ = true;
  }
  if (!busy_) Pump();
}

void VideoWriter::Pause(MonoTime when) {
  KINE_CHECK(first_time_.has_value() && !paused_since_.has_value());
  paused_since_ = when;
  alive_.Pause();
  close_wanted_ = true;
  if (!busy_) Pump();
}

void VideoWriter::Resume(MonoTime when) {
  KINE_CHECK(paused_since_.has_value());
  resumed_from_ = MediaTime(*paused_since_);
  paused_ += when - *std::exchange(paused_since_, std::nullopt);
  if (!busy_) Pump();
}

void VideoWriter::CloseFragment(uint64_t until) {
  fragment_timer_.Cancel();
  mp4::Fragment fragment = mp4_->Close(until);
  const uint64_t moof_bytes = mp4::MoofBytes(fragment.samples);
  if (watched_ && moof_bytes <= limits::kLiveMoofBytesMax) {
    link::Fragment& told = open_.watched.emplace();
    told.moof.assign(reinterpret_cast<const char*>(fragment.bytes.data()),
                     moof_bytes);
    told.mdat_offset = fragment.offset + moof_bytes;
    told.mdat_bytes = fragment.bytes.size() - moof_bytes;
    told.first_ticks = fragment.first_time;
    told.last_ticks = last_ticks_;
    told.keyframe = fragment.starts_with_keyframe;
  }
  open_.offset = fragment.offset;
  open_.bytes = fragment.bytes.size();
  open_.data = std::move(fragment.bytes);
  open_.is_fragment = true;
  open_.until = fragment.until;
  open_.number = ++fragments_;
  TracePiece(TraceKind::kFragment, open_);
  pieces_.push_back(std::exchange(open_, Piece()));
}

void VideoWriter::Pump() {
  if (busy_) return;
  if (pieces_.empty() && std::exchange(close_wanted_, false) &&
      open_.packets > 0) {
    CloseFragment(ending_ == Ending::kFinish
                      ? end_ticks_
                      : Ticks(loop_.clock().Now() - delay_));
  }
  if (pieces_.empty()) return OnIdle();
  busy_ = true;
  Piece& piece = pieces_.front();
  piece_start_ = loop_.clock().Now();
  bytes_writing_ = piece.offset + piece.data.size();
  if (piece.is_fragment) {
    TracePiece(TraceKind::kWrite, piece);
    preallocator_.Advance(bytes_writing_);
    CheckSpace(bytes_writing_);
  }
  file_io_.WriteAt(files_.video.get(), piece.offset, std::move(piece.data),
                   [this](absl::Status s) { OnWritten(std::move(s)); });
}

void VideoWriter::OnWritten(absl::Status status) {
  if (!status.ok()) return Fail(std::move(status), /*in_sync=*/false);
  Piece& piece = pieces_.front();
  bytes_ = bytes_writing_;
  if (piece.watched.has_value())
    client_.OnFragment(*std::exchange(piece.watched, std::nullopt));
  if (piece.is_fragment) written_ticks_ = piece.until;
  // The finaliser syncs the last fragment together with the index.
  const bool last =
      ending_ == Ending::kFinish && pieces_.size() == 1 && open_.packets == 0;
  if (!piece.is_fragment || !options_.sync_fragments || last)
    return Complete(TraceKind::kWritten);
  TracePiece(TraceKind::kWritten, piece);
  file_io_.Sync(files_.video.get(),
                [this](absl::Status s) { OnSynced(std::move(s)); });
}

void VideoWriter::OnSynced(absl::Status status) {
  if (!status.ok()) return Fail(std::move(status), /*in_sync=*/true);
  durable_bytes_ = bytes_;
  durable_ticks_ = pieces_.front().until;
  Complete(TraceKind::kDurable);
}

void VideoWriter::Complete(TraceKind how_far) {
  const Piece piece = std::move(pieces_.front());
  pieces_.pop_front();
  busy_ = false;
  if (piece.ends_head) client_.OnHead(header_);
  if (piece.is_fragment) {
    const MonoTime now = loop_.clock().Now();
    write_latency_.Record(now - piece_start_);
    for (const MonoTime time : piece.frame_times)
      total_latency_.Record(now - time);
    ReturnCredits(piece.packets, piece.packet_bytes);
    TracePiece(how_far, piece);
  }
  Pump();
}

void VideoWriter::Fail(absl::Status status, bool in_sync) {
  failed_ = status;
  sync_failed_ = in_sync;
  TraceNow(in_sync ? "sync failed" : "write failed", status.message());
  busy_ = false;
  fragment_timer_.Cancel();
  slow_timer_.Cancel();
  // Nothing of this reaches the file any more, and the encoder must not wait.
  dropped_ += static_cast<uint64_t>(packets_out_);
  samples_ -= static_cast<uint64_t>(packets_out_);
  pieces_.clear();
  open_ = Piece();
  ReturnCredits(packets_out_, packet_bytes_out_);
  client_.OnMustEnd(absl::IsResourceExhausted(status)
                        ? link::EndReason::kDiskFull
                        : link::EndReason::kDiskFailed,
                    status);
  Pump();
}

void VideoWriter::ReturnCredits(int packets, uint64_t bytes) {
  packets_out_ -= packets;
  packet_bytes_out_ -= bytes;
  WatchQueue();
  if (packets > 0) client_.OnCredits(packets, bytes);
}

void VideoWriter::WatchQueue() {
  // The pump's rule: the next packet has to find room, too.
  const bool full =
      packets_out_ >= options_.queue_packets ||
      packet_bytes_out_ + limits::kPacketBytesMax > limits::kQueueBytesMax;
  if (full == slow_timer_.active()) return;
  TraceNow(full ? "queue full" : "queue has room");
  if (!full) return slow_timer_.Cancel();
  slow_timer_ = LoopHandle(
      loop_, loop_.PostAfter(absl::Milliseconds(limits::kQueueFullMs), [this] {
        client_.OnMustEnd(
            link::EndReason::kDiskSlow,
            absl::ResourceExhaustedError(absl::StrCat(
                "the disk has taken nothing for ", limits::kQueueFullMs,
                " ms while ", packets_out_, " packets wait")));
      }));
}

void VideoWriter::CheckSpace(uint64_t end) {
  if (end < next_space_check_) return;
  next_space_check_ = end + limits::kPreallocateBytes;
  ++space_checks_;
  file_io_.Run([fd = files_.video.get(),
                check = options_.check_free_space] { return check(fd); },
               [this](absl::Status status) {
                 --space_checks_;
                 if (absl::IsResourceExhausted(status))
                   client_.OnMustEnd(link::EndReason::kDiskFull, status);
                 EndIfQuiet();
               });
}

void VideoWriter::OnRefused(absl::Status status) {
  if (absl::IsUnimplemented(status))
    return client_.OnCannotReserve(std::move(status));
  if (absl::IsResourceExhausted(status))
    client_.OnMustEnd(link::EndReason::kDiskFull, std::move(status));
}

void VideoWriter::OnIdle() {
  switch (ending_) {
    case Ending::kNo:
      if (first_time_.has_value() && picture_known_ &&
          !paused_since_.has_value() && open_.packets == 0 && failed_.ok())
        alive_.Run();
      return;
    case Ending::kFinish:
      return Finalise();
    case Ending::kFlush:
      return SyncBeforeExit();
  }
}

// -- For the trace -----------------------------------------------------------

void VideoWriter::TracePicture(MonoTime now, const Packet& packet,
                               uint32_t more_flags) {
  if (files_.trace == nullptr) return;
  TracePacket traced;
  traced.time = packet.time.nanos();
  traced.arrival = packet.arrival.nanos();
  if (packet.stalled.has_value()) traced.stalled = packet.stalled->nanos();
  traced.encode_start = packet.encode_start.nanos();
  traced.encode_end = packet.encode_end.nanos();
  traced.queue_packets = static_cast<uint32_t>(packets_out_);
  // Seconds and gigabytes would be errors.
  traced.convert_ns = static_cast<uint32_t>(
      std::clamp<int64_t>(absl::ToInt64Nanoseconds(packet.convert), 0,
                          std::numeric_limits<uint32_t>::max()));
  traced.queue_bytes = static_cast<uint32_t>(packet_bytes_out_);
  traced.bytes = static_cast<uint32_t>(packet.data.size());
  traced.damaged_macroblocks = packet.damaged_macroblocks;
  traced.replaced = packet.replaced;
  traced.unchanged = packet.unchanged;
  traced.flags = more_flags;
  if (packet.keyframe) traced.flags |= TracePacket::kKeyframe;
  if (packet.refinement) traced.flags |= TracePacket::kRefinement;
  files_.trace->Add(now, traced);
}

void VideoWriter::TracePiece(TraceKind kind, const Piece& piece) {
  if (files_.trace == nullptr) return;
  TraceFragment traced;
  traced.number = piece.number;
  traced.bytes = piece.bytes;
  traced.packets = static_cast<uint32_t>(piece.packets);
  traced.queue_packets = static_cast<uint32_t>(packets_out_);
  traced.queue_bytes = packet_bytes_out_;
  files_.trace->Add(loop_.clock().Now(), kind, traced);
}

void VideoWriter::TraceNow(absl::string_view name, absl::string_view text) {
  if (files_.trace != nullptr)
    files_.trace->Note(loop_.clock().Now(), name, text);
}

}  // namespace kine
