#include "daemon/frames/h264_decoder.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "daemon/base/status.h"

extern "C" {
#include <libavcodec/avcodec.h>
#include <libavutil/frame.h>
#include <libavutil/log.h>
}

namespace kine::frames {
namespace {

absl::Status AvError(absl::string_view what, int error) {
  char text[AV_ERROR_MAX_STRING_SIZE] = "";
  av_strerror(error, text, sizeof(text));
  return absl::DataLossError(absl::StrCat(what, ": ", text));
}

// Start codes instead of lengths, and libavcodec's padding behind.
absl::Status ToAnnexB(std::span<const std::byte> sample,
                      std::vector<uint8_t>& out) {
  out.clear();
  out.reserve(sample.size() + AV_INPUT_BUFFER_PADDING_SIZE);
  while (!sample.empty()) {
    if (sample.size() < 4)
      return absl::DataLossError("a sample ends within a length");
    uint32_t length = 0;
    for (size_t i = 0; i < 4; ++i)
      length = length << 8 | std::to_integer<uint32_t>(sample[i]);
    sample = sample.subspan(4);
    if (length > sample.size())
      return absl::DataLossError("a NAL unit reaches behind its sample");
    out.insert(out.end(), {0, 0, 0, 1});
    const auto* const from = reinterpret_cast<const uint8_t*>(sample.data());
    out.insert(out.end(), from, from + length);
    sample = sample.subspan(length);
  }
  return absl::OkStatus();
}

}  // namespace

struct H264Decoder::Parts {
  AVCodecContext* context = nullptr;
  AVPacket* packet = nullptr;
  AVFrame* frame = nullptr;
};

void H264Decoder::Deleter::operator()(Parts* parts) const {
  av_frame_free(&parts->frame);
  av_packet_free(&parts->packet);
  avcodec_free_context(&parts->context);
  delete parts;
}

absl::StatusOr<H264Decoder> H264Decoder::Create() {
  // What it has to say is in the status.
  av_log_set_level(AV_LOG_QUIET);
  const AVCodec* const codec = avcodec_find_decoder(AV_CODEC_ID_H264);
  if (codec == nullptr)
    return absl::UnimplementedError("libavcodec has no H.264 decoder");
  std::unique_ptr<Parts, Deleter> parts(new Parts);
  parts->context = avcodec_alloc_context3(codec);
  parts->packet = av_packet_alloc();
  parts->frame = av_frame_alloc();
  if (parts->context == nullptr || parts->packet == nullptr ||
      parts->frame == nullptr)
    return absl::ResourceExhaustedError("no memory for a decoder");
  parts->context->thread_count = 1;
  parts->context->flags |= AV_CODEC_FLAG_LOW_DELAY;
  // A damaged picture is an error, not a guess.
  parts->context->err_recognition =
      AV_EF_CRCCHECK | AV_EF_BITSTREAM | AV_EF_BUFFER | AV_EF_EXPLODE;
  if (const int error = avcodec_open2(parts->context, codec, nullptr);
      error < 0)
    return AvError("cannot open the decoder", error);
  return H264Decoder(std::move(parts));
}

absl::Status H264Decoder::Decode(std::span<const std::byte> sample,
                                 int64_t number, Sink sink) {
  KINE_RETURN_IF_ERROR(ToAnnexB(sample, annex_b_));
  const size_t size = annex_b_.size();
  annex_b_.insert(annex_b_.end(), AV_INPUT_BUFFER_PADDING_SIZE, 0);
  AVPacket& packet = *parts_->packet;
  packet.data = annex_b_.data();
  packet.size = static_cast<int>(size);
  packet.pts = number;
  const int error = avcodec_send_packet(parts_->context, &packet);
  if (error < 0) return AvError(absl::StrCat("sample ", number), error);
  return Receive(sink);
}

absl::Status H264Decoder::Flush(Sink sink) {
  if (const int error = avcodec_send_packet(parts_->context, nullptr);
      error < 0)
    return AvError("end of the stream", error);
  return Receive(sink);
}

absl::Status H264Decoder::Receive(Sink sink) {
  AVFrame& frame = *parts_->frame;
  for (;;) {
    const int error = avcodec_receive_frame(parts_->context, &frame);
    if (error == AVERROR(EAGAIN) || error == AVERROR_EOF)
      return absl::OkStatus();
    if (error < 0) return AvError("decode", error);
    if (frame.format != AV_PIX_FMT_YUV420P)
      return absl::DataLossError("not a 4:2:0 picture of 8 bits");
    DecodedPicture picture;
    picture.number = frame.pts;
    picture.width = frame.width;
    picture.height = frame.height;
    for (size_t i = 0; i < 3; ++i) {
      picture.planes[i] = frame.data[i];
      picture.strides[i] = frame.linesize[i];
    }
    const absl::Status status = sink(picture);
    av_frame_unref(&frame);
    KINE_RETURN_IF_ERROR(status);
  }
}

}  // namespace kine::frames
