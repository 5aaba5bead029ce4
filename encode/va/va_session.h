// VaSession: one opened encoder for one size: config, context, the surfaces it
// reads from and reconstructs into, and its coded buffers. Pictures go in with
// Submit() and come out of Collect() in the same order; up to `depth` may be in
// between.
//
// After an error the session is of no use, and what was in it is lost: destroy
// it. (RESOURCE_EXHAUSTED of Open may be another user's memory.)
//
// Encode thread only.
#pragma once

#include <va/va.h>

#include <cstddef>
#include <deque>
#include <memory>
#include <span>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "encode/va/va_caps.h"
#include "encode/va/va_gop.h"
#include "encode/va/va_handles.h"
#include "encode/va/va_parameters.h"
#include "encode/va/va_sync.h"

namespace kine {

class VaSession {
 public:
  struct Settings {
    VaCodec codec;
    VaStream stream;
    int depth = 1;
    absl::Duration limit;  // For one picture.
  };

  // `display` must outlive it. The reason is the driver's.
  static absl::StatusOr<std::unique_ptr<VaSession>> Open(
      VADisplay display, const Settings& settings);
  // Waits for what is in it, within the limit, unless that was exceeded.
  ~VaSession();
  VaSession(const VaSession&) = delete;
  VaSession& operator=(const VaSession&) = delete;

  // Visible, even.
  int width() const { return width_; }
  int height() const { return height_; }
  // Of the surfaces: whole macroblocks.
  int coded_width() const;
  int coded_height() const;

  // The surfaces to encode from: one more than the depth, so that the last one
  // keeps its picture. The next one to fill is the one after the last.
  const std::vector<VASurfaceID>& inputs() const { return input_ids_; }

  // Encodes what input `index` shows. A keyframe carries all headers. At most
  // `depth` pictures may be in it. `qp`: the picture's with CQP; where the
  // driver steers, it stays above that from this keyframe on (0: as it likes).
  absl::Status Submit(size_t index, bool keyframe, int qp);

  struct Coded {
    std::vector<std::byte> data;  // AVCC; empty with `overflow`.
    bool keyframe = false;
    int qp = 0;             // Its mean, where the driver tells; else as asked.
    bool overflow = false;  // The coded buffer was too small.
  };
  // Of the oldest picture in it. DEADLINE_EXCEEDED: the driver did not answer.
  absl::StatusOr<Coded> Collect();
  size_t in_flight() const { return in_flight_.size(); }

  // Twice as large coded buffers, with nothing in flight; the next picture must
  // be a keyframe. RESOURCE_EXHAUSTED at limits::kPacketBytesMax.
  absl::Status GrowCoded();

  // Until nothing uses input `index`.
  absl::Status WaitFor(size_t index) const;

 private:
  struct InFlight {
    VaPicture picture;
    size_t input = 0;
    size_t coded = 0;
  };

  VaSession(VADisplay display, const Settings& settings);
  absl::Status MakeConfig();
  absl::Status MakeSurfaces();
  absl::Status MakeCoded();
  absl::Status AddBuffer(VABufferType type, const void* data, size_t size);
  absl::Status AddPacked(uint32_t type, const h264::RawNal& nal);
  // All of a picture's buffers, in an order that every driver takes.
  absl::Status AddBuffers(const VaPicture& picture, const VaPictureIds& ids,
                          int qp_at_least);
  absl::Status Render(VASurfaceID input);
  absl::StatusOr<Coded> Read(const InFlight& flight);
  absl::Status FrameUnits(std::span<const std::byte> stream,
                          Coded& coded) const;

  const VADisplay display_;
  const Settings settings_;
  const VaSync sync_;
  const int width_;
  const int height_;
  bool packs_sets_ = false;
  bool packs_slices_ = false;
  VaConfig config_;
  VaContext context_;
  std::vector<VaSurface> reconstructed_;
  std::vector<VaSurface> inputs_;
  std::vector<VASurfaceID> input_ids_;
  std::vector<VaBuffer> coded_;
  size_t coded_size_;
  size_t next_coded_ = 0;
  VaGop gop_;
  std::deque<InFlight> in_flight_;
  std::vector<VaBuffer> parameters_;  // Of the picture being submitted.
  bool hung_ = false;
};

}  // namespace kine
