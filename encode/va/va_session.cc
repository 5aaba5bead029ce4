#include "encode/va/va_session.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "daemon/base/check.h"
#include "daemon/base/limits.h"
#include "daemon/base/status.h"
#include "encode/va/va_status.h"

namespace kine {
namespace {

// A macroblock of raw samples is 384 bytes; and room for the headers.
constexpr size_t kCodedBytesPerMacroblock = 400;
constexpr size_t kCodedBytesMore = 64 << 10;

constexpr auto kFiller = static_cast<h264::NalType>(12);

}  // namespace

VaSession::VaSession(VADisplay display, const Settings& settings)
    : display_(display),
      settings_(settings),
      sync_(display, settings.limit),
      width_(static_cast<int>(settings.stream.sps.width_in_mbs * 16) -
             (settings.stream.sps.cropping.has_value()
                  ? static_cast<int>(settings.stream.sps.cropping->right * 2)
                  : 0)),
      height_(static_cast<int>(settings.stream.sps.height_in_map_units * 16) -
              (settings.stream.sps.cropping.has_value()
                   ? static_cast<int>(settings.stream.sps.cropping->bottom * 2)
                   : 0)),
      packs_sets_((settings.codec.packed & VA_ENC_PACKED_HEADER_SEQUENCE) != 0),
      packs_slices_((settings.codec.packed & VA_ENC_PACKED_HEADER_SLICE) != 0),
      coded_size_(static_cast<size_t>(settings.stream.macroblocks()) *
                      kCodedBytesPerMacroblock +
                  kCodedBytesMore) {}

absl::StatusOr<std::unique_ptr<VaSession>> VaSession::Open(
    VADisplay display, const Settings& settings) {
  std::unique_ptr<VaSession> session(new VaSession(display, settings));
  KINE_RETURN_IF_ERROR(session->MakeConfig());
  KINE_RETURN_IF_ERROR(CheckVaSurfaces(display, session->config_.id(),
                                       session->coded_width(),
                                       session->coded_height()));
  KINE_RETURN_IF_ERROR(session->MakeSurfaces());
  KINE_RETURN_IF_ERROR(session->MakeCoded());
  return session;
}

VaSession::~VaSession() {
  // A driver that is asked to destroy what it works on may do worse than fail.
  while (!hung_ && !in_flight_.empty()) {
    const InFlight& flight = in_flight_.front();
    hung_ = absl::IsDeadlineExceeded(
        sync_.Coded(coded_[flight.coded].id(), input_ids_[flight.input]));
    in_flight_.pop_front();
  }
  // A conversion whose picture was never submitted is under way, too.
  for (const VASurfaceID input : input_ids_) {
    if (!hung_) hung_ = absl::IsDeadlineExceeded(sync_.Surface(input));
  }
}

int VaSession::coded_width() const {
  return static_cast<int>(settings_.stream.sps.width_in_mbs) * 16;
}

int VaSession::coded_height() const {
  return static_cast<int>(settings_.stream.sps.height_in_map_units) * 16;
}

absl::Status VaSession::MakeConfig() {
  const VaCodec& codec = settings_.codec;
  if ((codec.max_width > 0 && coded_width() > codec.max_width) ||
      (codec.max_height > 0 && coded_height() > codec.max_height)) {
    return absl::UnimplementedError(absl::StrFormat(
        "the driver encodes up to %dx%d; the picture is %dx%d", codec.max_width,
        codec.max_height, coded_width(), coded_height()));
  }
  // What the driver does not know must not be passed; and one bit of a mask.
  std::vector<VAConfigAttrib> attributes;
  attributes.push_back({VAConfigAttribRTFormat, VA_RT_FORMAT_YUV420});
  if (codec.rate_modes != 0) {
    attributes.push_back(
        {VAConfigAttribRateControl, settings_.stream.rate.mode});
  }
  if (codec.packed != 0) {
    attributes.push_back({VAConfigAttribEncPackedHeaders, codec.packed});
  }
  KINE_ASSIGN_OR_RETURN(
      config_,
      VaConfig::Create(display_, codec.profile, codec.entrypoint, attributes));
  return absl::OkStatus();
}

absl::Status VaSession::MakeSurfaces() {
  // All at the coded size: some refuse an input that is smaller.
  const auto make = [this](std::vector<VaSurface>& to) -> absl::Status {
    KINE_ASSIGN_OR_RETURN(VaSurface surface,
                          VaSurface::Allocate(display_, VA_FOURCC_NV12,
                                              coded_width(), coded_height()));
    to.push_back(std::move(surface));
    return absl::OkStatus();
  };
  for (int i = 0; i < VaGop::kReconstructed; ++i) {
    KINE_RETURN_IF_ERROR(make(reconstructed_));
  }
  for (int i = 0; i <= settings_.depth; ++i) {
    KINE_RETURN_IF_ERROR(make(inputs_));
    input_ids_.push_back(inputs_.back().id());
  }
  std::vector<VASurfaceID> targets;
  for (const VaSurface& surface : reconstructed_) {
    targets.push_back(surface.id());
  }
  KINE_ASSIGN_OR_RETURN(context_,
                        VaContext::Create(display_, config_.id(), coded_width(),
                                          coded_height(), targets));
  return absl::OkStatus();
}

absl::Status VaSession::MakeCoded() {
  coded_.clear();
  for (int i = 0; i < settings_.depth; ++i) {
    KINE_ASSIGN_OR_RETURN(
        VaBuffer buffer,
        VaBuffer::Create(display_, context_.id(), VAEncCodedBufferType,
                         coded_size_, nullptr));
    coded_.push_back(std::move(buffer));
  }
  return absl::OkStatus();
}

absl::Status VaSession::GrowCoded() {
  KINE_CHECK(in_flight_.empty());
  if (coded_size_ >= limits::kPacketBytesMax) {
    return absl::ResourceExhaustedError(
        absl::StrFormat("a picture does not fit into %d bytes", coded_size_));
  }
  coded_size_ =
      std::min(coded_size_ * 2, static_cast<size_t>(limits::kPacketBytesMax));
  return MakeCoded();
}

absl::Status VaSession::AddBuffer(VABufferType type, const void* data,
                                  size_t size) {
  KINE_ASSIGN_OR_RETURN(
      VaBuffer buffer,
      VaBuffer::Create(display_, context_.id(), type, size, data));
  parameters_.push_back(std::move(buffer));
  return absl::OkStatus();
}

absl::Status VaSession::AddPacked(uint32_t type, const h264::RawNal& nal) {
  const h264::PackedNal packed = h264::Pack(nal, h264::Emulation::kByDriver);
  VAEncPackedHeaderParameterBuffer head = {};
  head.type = type;
  head.bit_length = packed.bit_length;
  head.has_emulation_bytes = packed.has_emulation_bytes ? 1 : 0;
  KINE_RETURN_IF_ERROR(
      AddBuffer(VAEncPackedHeaderParameterBufferType, &head, sizeof(head)));
  return AddBuffer(VAEncPackedHeaderDataBufferType, packed.bytes.data(),
                   packed.bytes.size());
}

absl::Status VaSession::AddBuffers(const VaPicture& picture,
                                   const VaPictureIds& ids, int qp_at_least) {
  const VaStream& stream = settings_.stream;
  if (picture.idr) {
    const auto sequence = SequenceParameters(stream);
    KINE_RETURN_IF_ERROR(AddBuffer(VAEncSequenceParameterBufferType, &sequence,
                                   sizeof(sequence)));
  }
  const auto parameters = PictureParameters(stream, picture, ids);
  KINE_RETURN_IF_ERROR(AddBuffer(VAEncPictureParameterBufferType, &parameters,
                                 sizeof(parameters)));
  if (picture.idr) {
    for (const auto& misc : MiscParameters(stream, qp_at_least)) {
      KINE_RETURN_IF_ERROR(
          AddBuffer(VAEncMiscParameterBufferType, misc.data(), misc.size()));
    }
    if (packs_sets_) {
      KINE_RETURN_IF_ERROR(
          AddPacked(VAEncPackedHeaderSequence, h264::WriteSps(stream.sps)));
      KINE_RETURN_IF_ERROR(
          AddPacked(VAEncPackedHeaderPicture, h264::WritePps(stream.pps)));
    }
  }
  if (packs_slices_) {
    KINE_RETURN_IF_ERROR(
        AddPacked(VAEncPackedHeaderSlice,
                  h264::WriteSliceHeader(SliceHeaderFor(stream, picture),
                                         stream.sps, stream.pps)));
  }
  const auto slice = SliceParameters(stream, picture, ids);
  return AddBuffer(VAEncSliceParameterBufferType, &slice, sizeof(slice));
}

absl::Status VaSession::Submit(size_t index, bool keyframe, int qp) {
  KINE_CHECK(in_flight_.size() < coded_.size());
  InFlight flight;
  const bool steers = settings_.stream.rate.mode != VA_RC_CQP;
  flight.picture =
      gop_.Next(keyframe, steers ? settings_.stream.pps.pic_init_qp : qp);
  flight.input = index;
  flight.coded = next_coded_;
  VaPictureIds ids;
  ids.reconstructed =
      reconstructed_[static_cast<size_t>(flight.picture.reconstructed)].id();
  ids.reference =
      reconstructed_[static_cast<size_t>(flight.picture.reference)].id();
  ids.coded = coded_[flight.coded].id();
  parameters_.clear();
  KINE_RETURN_IF_ERROR(AddBuffers(flight.picture, ids, steers ? qp : 0));
  absl::Status rendered = Render(input_ids_[index]);
  if (VaStatusOf(rendered) == VA_STATUS_ERROR_HW_BUSY) {
    rendered = Render(input_ids_[index]);
  }
  // libva 2: they are ours, and the driver has read them.
  parameters_.clear();
  KINE_RETURN_IF_ERROR(rendered);
  gop_.Took(flight.picture);
  next_coded_ = (next_coded_ + 1) % coded_.size();
  in_flight_.push_back(flight);
  return absl::OkStatus();
}

absl::Status VaSession::Render(VASurfaceID input) {
  KINE_RETURN_IF_ERROR(VaError(vaBeginPicture(display_, context_.id(), input),
                               "vaBeginPicture"));
  std::vector<VABufferID> ids;
  for (const VaBuffer& buffer : parameters_) ids.push_back(buffer.id());
  const absl::Status rendered =
      VaError(vaRenderPicture(display_, context_.id(), ids.data(),
                              static_cast<int>(ids.size())),
              "vaRenderPicture");
  // What was begun is ended, whatever came in between.
  const absl::Status ended =
      VaError(vaEndPicture(display_, context_.id()), "vaEndPicture");
  return rendered.ok() ? ended : rendered;
}

absl::Status VaSession::WaitFor(size_t index) const {
  return sync_.Surface(input_ids_[index]);
}

absl::StatusOr<VaSession::Coded> VaSession::Collect() {
  KINE_CHECK(!in_flight_.empty());
  const InFlight flight = in_flight_.front();
  const absl::Status synced =
      sync_.Coded(coded_[flight.coded].id(), input_ids_[flight.input]);
  hung_ |= absl::IsDeadlineExceeded(synced);
  // Some report a full buffer as an error of the wait; then the buffer's own
  // status says so.
  const bool perhaps_full =
      VaStatusOf(synced) == VA_STATUS_ERROR_ENCODING_ERROR;
  if (!synced.ok() && !perhaps_full) return synced;
  in_flight_.pop_front();
  auto coded = Read(flight);
  if (VaStatusOf(coded.status()) == VA_STATUS_ERROR_NOT_ENOUGH_BUFFER) {
    Coded full;
    full.keyframe = flight.picture.idr;
    full.overflow = true;
    return full;
  }
  if (coded.ok() && !coded->overflow && !synced.ok()) return synced;
  return coded;
}

absl::StatusOr<VaSession::Coded> VaSession::Read(const InFlight& flight) {
  KINE_ASSIGN_OR_RETURN(const VaMapping mapping,
                        VaMapping::Create(display_, coded_[flight.coded].id()));
  Coded coded;
  coded.keyframe = flight.picture.idr;
  coded.qp = flight.picture.qp;
  // One segment, or one for each NAL unit, or any other cut.
  constexpr uint32_t kFull = VA_CODED_BUF_STATUS_SLICE_OVERFLOW_MASK |
                             VA_CODED_BUF_STATUS_FRAME_SIZE_OVERFLOW;
  std::vector<std::byte> stream;
  uint32_t status = 0;
  for (const auto* segment =
           static_cast<const VACodedBufferSegment*>(mapping.data());
       segment != nullptr;
       segment = static_cast<const VACodedBufferSegment*>(segment->next)) {
    status |= segment->status;
    if (segment->buf == nullptr) continue;
    // Copied once: the memory may be slow to read.
    const auto* const bytes = static_cast<const std::byte*>(segment->buf);
    stream.insert(stream.end(), bytes, bytes + segment->size);
  }
  if ((status & kFull) != 0) {
    coded.overflow = true;
    return coded;
  }
  if ((status & VA_CODED_BUF_STATUS_BAD_BITSTREAM) != 0) {
    return absl::UnavailableError("the driver marks its stream as bad");
  }
  if (const uint32_t qp = status & VA_CODED_BUF_STATUS_PICTURE_AVE_QP_MASK;
      qp != 0) {
    coded.qp = static_cast<int>(qp);
  }
  KINE_RETURN_IF_ERROR(FrameUnits(stream, coded));
  return coded;
}

absl::Status VaSession::FrameUnits(std::span<const std::byte> stream,
                                   Coded& coded) const {
  coded.data.reserve(stream.size() + 64);
  bool slice = false;
  bool sets = false;
  for (const h264::NalView nal : h264::SplitAnnexB(stream)) {
    const h264::NalType type = h264::TypeOf(nal);
    if (type == h264::NalType::kDelimiter || type == kFiller) {
      continue;  // Nothing that a file needs.
    }
    slice |= type == (coded.keyframe ? h264::NalType::kIdrSlice
                                     : h264::NalType::kSlice);
    sets |= type == h264::NalType::kSps;
    if (type != h264::NalType::kSps || packs_sets_) {
      h264::AppendAvcc(nal, coded.data);
      continue;
    }
    // The driver's own: libva cannot tell it the colours, and some promise
    // reordered pictures, for which players wait.
    h264::SpsChanges changes;
    changes.signal = h264::VideoSignal{.color = h264::Color()};
    changes.visible = h264::SpsChanges::Size{width_, height_};
    changes.no_reordering = true;
    changes.no_fixed_frame_rate = true;
    auto rewritten = h264::RewriteSps(nal, changes);
    if (!rewritten.ok()) {
      return absl::UnimplementedError(
          absl::StrCat("the driver's own SPS: ", rewritten.status().message()));
    }
    h264::AppendAvcc(*rewritten, coded.data);
  }
  if (!slice || sets != coded.keyframe) {
    return absl::UnavailableError(absl::StrFormat(
        "the driver returned %d bytes that are no %s", stream.size(),
        coded.keyframe ? "keyframe with its parameters" : "picture"));
  }
  return absl::OkStatus();
}

}  // namespace kine
