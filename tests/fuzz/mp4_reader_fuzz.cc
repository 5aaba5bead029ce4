// Scan() and ReadMovie() on any bytes: they never read outside, what they give
// lies in the file, in order, and sums up; and what a scan found can be
// finalised and read back sample by sample. The first byte of the input says
// what the rest is: a file; damage to a good recording; or the shape of a new
// recording.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include "daemon/base/check.h"
#include "encode/mp4/byte_source.h"
#include "encode/mp4/finalise.h"
#include "encode/mp4/fragment_writer.h"
#include "encode/mp4/init_segment.h"
#include "encode/mp4/movie_reader.h"
#include "encode/mp4/scanner.h"

namespace kine::mp4 {
namespace {

constexpr size_t kMemory = 4u << 20;

class Memory : public ByteSource, public PlanTarget {
 public:
  explicit Memory(std::vector<std::byte> initial) : bytes(std::move(initial)) {}
  uint64_t size() const override { return bytes.size(); }
  absl::StatusOr<size_t> ReadAt(uint64_t offset,
                                std::span<std::byte> into) override {
    KINE_CHECK(offset <= bytes.size());
    const size_t count =
        std::min(into.size(), bytes.size() - static_cast<size_t>(offset));
    // A copy of exactly that many bytes: ASan sees one read too many.
    std::copy_n(bytes.begin() + static_cast<std::ptrdiff_t>(offset), count,
                into.begin());
    return count;
  }
  absl::Status WriteAt(uint64_t offset,
                       std::span<const std::byte> data) override {
    bytes.resize(
        std::max(bytes.size(), static_cast<size_t>(offset) + data.size()));
    std::copy(data.begin(), data.end(),
              bytes.begin() + static_cast<std::ptrdiff_t>(offset));
    return absl::OkStatus();
  }
  absl::Status Truncate(uint64_t length) override {
    bytes.resize(static_cast<size_t>(length));
    return absl::OkStatus();
  }
  absl::Status Sync() override { return absl::OkStatus(); }

  std::vector<std::byte> bytes;
};

std::vector<IndexedSample> SamplesOf(const SampleIndex& index) {
  std::vector<IndexedSample> samples;
  SampleIndex::Reader reader(index);
  while (const auto sample = reader.Next()) samples.push_back(*sample);
  KINE_CHECK(samples.size() == index.counts().samples);
  return samples;
}

void CheckSamplesLieIn(const std::vector<IndexedSample>& samples,
                       uint64_t end) {
  uint64_t time = 0;
  for (const IndexedSample& sample : samples) {
    KINE_CHECK(sample.offset <= end && sample.size <= end - sample.offset);
    KINE_CHECK(sample.time >= time);
    time = sample.time;
  }
}

void CheckFile(std::vector<std::byte> bytes) {
  Memory file(std::move(bytes));
  if (const auto movie = ReadMovie(file, kMemory); movie.ok())
    CheckSamplesLieIn(SamplesOf(movie->index), file.size());
  // Structure only (CRCs of fuzzed bytes are hopeless), then everything.
  const auto trusting =
      Scan(file, {.durable_bytes = UINT64_MAX, .index_memory_max = kMemory});
  const auto strict =
      Scan(file, {.durable_bytes = 0, .index_memory_max = kMemory});
  if (!trusting.ok() || !strict.ok()) return;  // The index is full.
  KINE_CHECK(strict->fragments <= trusting->fragments);
  KINE_CHECK(trusting->file.end <= file.size());
  if (trusting->state != ScanResult::State::kGrowing) return;

  const std::vector<IndexedSample> found = SamplesOf(trusting->file.index);
  CheckSamplesLieIn(found, trusting->file.end);
  const auto plan = PlanFinalise(trusting->file, trusting->last_until);
  KINE_CHECK(plan.ok());
  KINE_CHECK(RunPlan(*plan, file).ok());
  KINE_CHECK(file.size() == plan->file_bytes);
  const auto movie = ReadMovie(file, kMemory);
  KINE_CHECK(movie.ok() && SamplesOf(movie->index) == found);
  const auto again =
      Scan(file, {.durable_bytes = 0, .index_memory_max = kMemory});
  KINE_CHECK(again.ok() && again->state == ScanResult::State::kFinished &&
             again->file.end == file.size());
}

// A recording whose sizes, times and fragments are the input's bytes.
std::vector<std::byte> Record(std::span<const uint8_t> shape) {
  constexpr uint8_t kKeyframe[] = {0, 0, 0,    4, 0x67, 66, 0, 30,   0, 0,
                                   0, 1, 0x68, 0, 0,    0,  2, 0x65, 9};
  InitOptions options;
  options.width = 64;
  options.height = 48;
  options.keyframe = std::as_bytes(std::span(kKeyframe));
  options.reserve_bytes = 1024;
  const auto init = BuildInitSegment(options);
  KINE_CHECK(init.ok());
  std::vector<std::byte> file = init->head;
  file.resize(static_cast<size_t>(init->header.moov_offset()));
  file.insert(file.end(), init->moov.begin(), init->moov.end());

  FragmentWriter writer(init->header, kMemory);
  uint64_t time = 0;
  const auto close = [&] {
    const Fragment fragment = writer.Close(time);
    KINE_CHECK(fragment.offset == file.size());
    file.insert(file.end(), fragment.bytes.begin(), fragment.bytes.end());
  };
  for (const uint8_t byte : shape) {
    Sample sample;
    sample.data =
        Share(std::vector<std::byte>(1u + byte % 61, std::byte{byte}));
    sample.time = time;
    sample.keyframe = writer.samples_added() == 0 || byte % 7 == 0;
    sample.priority = static_cast<uint16_t>(byte * 257);
    writer.Add(std::move(sample));
    time += byte < 250 ? byte : uint64_t{byte} << 26;
    // A gap that is too long for one sample lies between fragments.
    if (byte % 5 == 0 || byte >= 250) close();
  }
  if (!writer.empty()) close();
  const std::vector<IndexedSample> written =
      SamplesOf(std::move(writer).TakeFile().index);
  Memory source(file);
  const auto scan =
      Scan(source, {.durable_bytes = 0, .index_memory_max = kMemory});
  KINE_CHECK(scan.ok() && SamplesOf(scan->file.index) == written);
  return file;
}

}  // namespace
}  // namespace kine::mp4

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace kine::mp4;
  if (size == 0) return 0;
  const std::span<const uint8_t> input(data + 1, size - 1);
  switch (data[0] % 3) {
    case 0: {
      const auto bytes = std::as_bytes(input);
      CheckFile({bytes.begin(), bytes.end()});
      break;
    }
    case 1: {
      // Damage to a good file: pairs of position (two bytes) and value.
      constexpr uint8_t kShape[] = {10, 20, 35, 251, 40, 7, 60, 90, 14, 5};
      static const std::vector<std::byte> good = Record(kShape);
      std::vector<std::byte> file = good;
      for (size_t i = 0; i + 3 <= input.size(); i += 3) {
        const size_t at = (size_t{input[i]} << 8 | input[i + 1]) % file.size();
        file[at] = std::byte{input[i + 2]};
      }
      CheckFile(std::move(file));
      break;
    }
    default:
      CheckFile(Record(input));
  }
  return 0;
}
