#include "encode/x264_session.h"

// x264.h wants the integer types to be there already.
#include <cstdint>
//
#include <x264.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <span>
#include <thread>

#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "daemon/base/check.h"
#include "daemon/base/limits.h"
#include "daemon/base/status.h"
#include "encode/h264/nal.h"
#include "encode/h264/sps.h"
#include "encode/picture/macroblock_map.h"
#include "encode/rate_control.h"

namespace kine {
namespace {

static_assert(X264_MBINFO_CONSTANT == 1);

// In constant-QP mode x264 clips a frame's QP to the span between those of I
// and B frames, which it derives from these: RateControl's whole range.
constexpr int kMiddleQp = 30;

constexpr size_t kLengthBytes = 4;  // In front of each NAL unit.

// Slices cost 25 % more processor time and twice the bytes on scrolling text
// (measured, 2 slices): only for pictures that one thread cannot keep up with.
int ThreadsFor(const EncoderConfig& config, int macroblocks) {
  if (config.threads > 0) return config.threads;
  constexpr int kMacroblocksAThread = 10'000;  // 1920x1200 has 9,000.
  const int cores =
      std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
  return std::clamp(1 + macroblocks / kMacroblocksAThread, 1,
                    std::min(cores, 4));
}

// Everything that does not name the session.
x264_param_t Parameters(const Picture& picture, const EncoderConfig& config) {
  x264_param_t p;
  // "zerolatency": no look-ahead, no B-frames, no frame threads. "ultrafast":
  // CAVLC (CABAC: +50 % time, -5 % bytes on text), no deblocking (it would
  // touch the unchanged neighbours of what changed, and blur text), whole-pixel
  // motion (half-pixel planes cost 2 ms a 1080p frame; screens move in pixels).
  KINE_CHECK(x264_param_default_preset(&p, "ultrafast", "zerolatency") == 0);
  p.i_width = picture.width();
  p.i_height = picture.height();
  p.i_csp = X264_CSP_NV12;
  p.i_fps_num = static_cast<uint32_t>(std::lround(config.fps_max * 1000));
  p.i_fps_den = 1000;
  // 1 would hold back a frame, to know how long each lasts.
  p.b_vfr_input = 0;
  const MacroblockMap& map = picture.changed();
  p.i_threads = ThreadsFor(config, static_cast<int>(map.size()));
  p.b_sliced_threads = p.i_threads > 1;
  p.i_sync_lookahead = 0;
  p.i_keyint_max = X264_KEYINT_MAX_INFINITE;
  p.i_scenecut_threshold = 0;
  p.b_open_gop = 0;
  p.i_bframe = 0;
  p.i_frame_reference = 1;
  p.b_annexb = 0;
  p.b_repeat_headers = 1;

  p.rc.i_rc_method = X264_RC_CQP;
  p.rc.i_qp_constant = kMiddleQp;
  p.rc.f_ip_factor =
      static_cast<float>(std::exp2((kMiddleQp - RateControl::kQpMin) / 6.0));
  p.rc.f_pb_factor =
      static_cast<float>(std::exp2((RateControl::kQpMax - kMiddleQp) / 6.0));
  p.rc.i_lookahead = 0;
  p.rc.b_mb_tree = 0;

  p.analyse.b_mb_info = 1;
  p.analyse.i_weighted_pred = 0;
  // The 8x8 transform makes the profile High and costs nothing; I4x4 saves 14 %
  // of a page of text. The wide search finds scrolled text: 11 instead of 43 KB
  // for a scrolled 1080p page, and faster, because what is found is skipped.
  p.analyse.b_transform_8x8 = 1;
  p.analyse.intra = X264_ANALYSE_I4x4;
  p.analyse.inter = 0;
  p.analyse.i_me_method = X264_ME_UMH;
  p.analyse.i_me_range = 32;

  p.vui.i_sar_width = 1;
  p.vui.i_sar_height = 1;
  p.vui.b_fullrange = 0;
  p.vui.i_colorprim = 1;  // BT.709, thrice.
  p.vui.i_transfer = 1;
  p.vui.i_colmatrix = 1;
  p.vui.i_chroma_loc = 1;  // In the middle of four: a box average.
  return p;
}

}  // namespace

std::string X264Version() { return absl::StrCat(X264_BUILD, X264_VERSION); }

absl::StatusOr<std::unique_ptr<X264Session>> X264Session::Open(
    const Picture& picture, const EncoderConfig& config) {
  auto session = std::unique_ptr<X264Session>(new X264Session());
  session->width_ = picture.width();
  session->height_ = picture.height();
  x264_param_t parameters = Parameters(picture, config);
  parameters.pf_log = &X264Session::OnLog;
  parameters.p_log_private = session.get();
  parameters.i_log_level = X264_LOG_ERROR;
  session->handle_ = x264_encoder_open(&parameters);
  if (session->handle_ == nullptr) {
    return session->Failed(absl::StrCat("cannot open for ", session->width_,
                                        "x", session->height_));
  }
  if (x264_encoder_maximum_delayed_frames(session->handle_) != 0) {
    return session->Failed("would hold frames back");
  }
  return session;
}

X264Session::~X264Session() {
  if (handle_ != nullptr) x264_encoder_close(handle_);
}

void X264Session::OnLog(void* self, int, const char* format, va_list args) {
  char text[256];
  std::vsnprintf(text, sizeof(text), format, args);
  static_cast<X264Session*>(self)->last_log_ =
      std::string(absl::StripSuffix(text, "\n"));
}

absl::Status X264Session::Failed(absl::string_view what) const {
  return absl::InternalError(
      absl::StrCat("x264: ", what, last_log_.empty() ? "" : ": ", last_log_));
}

absl::StatusOr<X264Session::Coded> X264Session::Encode(
    const Picture& picture, std::vector<uint8_t>& unchanged, bool keyframe,
    int qp) {
  x264_picture_t in;
  x264_picture_init(&in);
  in.img.i_csp = X264_CSP_NV12;
  in.img.i_plane = 2;
  // x264 only reads them, and has copied them when the call returns.
  in.img.plane[0] = const_cast<uint8_t*>(picture.luma());
  in.img.plane[1] = const_cast<uint8_t*>(picture.chroma());
  in.img.i_stride[0] = in.img.i_stride[1] = picture.stride();
  in.i_type = keyframe ? X264_TYPE_IDR : X264_TYPE_P;
  in.i_qpplus1 = qp + 1;
  in.i_pts = pictures_++;
  in.prop.mb_info = unchanged.data();

  x264_nal_t* nals = nullptr;
  int nal_count = 0;
  x264_picture_t done;
  const int size = x264_encoder_encode(handle_, &nals, &nal_count, &in, &done);
  if (size < 0) return Failed("cannot encode");
  if (size == 0) return Failed("held a frame back");
  Coded coded;
  coded.keyframe = done.b_keyframe != 0;
  if (coded.keyframe) coded.idr_id = keyframes_++ % 2;
  coded.data.reserve(static_cast<size_t>(size));
  for (int i = 0; i < nal_count; ++i) {
    // The only one is x264's own options as text, 700 bytes of them.
    if (nals[i].i_type == NAL_SEI) continue;
    const std::span<const std::byte> framed(
        reinterpret_cast<std::byte*>(nals[i].p_payload),
        static_cast<size_t>(nals[i].i_payload));
    if (nals[i].i_type == NAL_SPS) {
      // x264 says a fixed frame rate of all that it does not delay.
      KINE_ASSIGN_OR_RETURN(const std::vector<std::byte> sps,
                            h264::RewriteSps(framed.subspan(kLengthBytes),
                                             {.no_fixed_frame_rate = true}));
      h264::AppendAvcc(sps, coded.data);
    } else {
      coded.data.insert(coded.data.end(), framed.begin(), framed.end());
    }
  }
  return coded;
}

}  // namespace kine
