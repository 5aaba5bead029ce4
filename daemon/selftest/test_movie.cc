#include "daemon/selftest/test_movie.h"

#include <utility>

#include "daemon/base/limits.h"
#include "daemon/base/status.h"
#include "daemon/storage/blocking_io.h"
#include "encode/mp4/finalise.h"
#include "encode/mp4/fragment_writer.h"
#include "encode/mp4/init_segment.h"

namespace kine {
namespace {

constexpr uint64_t kFragmentTicks =
    limits::kMediaTimeScale * limits::kFragmentMs / 1000;

uint64_t Ticks(absl::Duration since_first) {
  return static_cast<uint64_t>(absl::ToInt64Microseconds(since_first)) *
         (limits::kMediaTimeScale / 1000) / 1000;
}

class FileTarget final : public mp4::PlanTarget {
 public:
  explicit FileTarget(int fd) : fd_(fd) {}
  absl::Status WriteAt(uint64_t offset,
                       std::span<const std::byte> data) override {
    return WriteFully(fd_, offset, data);
  }
  absl::Status Truncate(uint64_t length) override {
    return kine::Truncate(fd_, length);
  }
  absl::Status Sync() override { return absl::OkStatus(); }  // Gone anyway.

 private:
  const int fd_;
};

}  // namespace

absl::StatusOr<uint64_t> WriteTestMovie(std::vector<Packet> packets, int fd) {
  if (packets.empty() || !packets.front().keyframe)
    return absl::InvalidArgumentError("the first packet is no keyframe");
  mp4::InitOptions init;
  init.width = packets.front().width;
  init.height = packets.front().height;
  init.keyframe = packets.front().data;
  init.reserve_bytes =
      mp4::ReserveBytes(1000, limits::kFpsMax, limits::kMaxBytesMin);
  KINE_ASSIGN_OR_RETURN(const mp4::InitSegment segment,
                        mp4::BuildInitSegment(init));
  KINE_RETURN_IF_ERROR(WriteFully(fd, 0, segment.head));
  KINE_RETURN_IF_ERROR(
      WriteFully(fd, segment.header.moov_offset(), segment.moov));
  mp4::FragmentWriter writer(segment.header, limits::kIndexMemoryBytesMax);
  const MonoTime first = packets.front().time;
  uint64_t time = 0;
  const auto close = [&](uint64_t until) {
    const mp4::Fragment fragment = writer.Close(until);
    return WriteFully(fd, fragment.offset, fragment.bytes);
  };
  for (Packet& packet : packets) {
    time = Ticks(packet.time - first);
    if (!writer.empty() && time - writer.open_since() >= kFragmentTicks)
      KINE_RETURN_IF_ERROR(close(time));
    mp4::Sample sample;
    sample.data = mp4::Share(std::move(packet.data));
    sample.time = time;
    sample.keyframe = packet.keyframe;
    sample.priority = mp4::Priority(packet.damaged_macroblocks, false);
    writer.Add(std::move(sample));
  }
  const uint64_t until = time + 1;
  KINE_RETURN_IF_ERROR(close(until));
  KINE_ASSIGN_OR_RETURN(const mp4::FinalisePlan plan,
                        mp4::PlanFinalise(std::move(writer).TakeFile(), until));
  FileTarget target(fd);
  KINE_RETURN_IF_ERROR(mp4::RunPlan(plan, target));
  return plan.file_bytes;
}

}  // namespace kine
