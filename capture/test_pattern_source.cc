#include "capture/test_pattern_source.h"

#include <drm_fourcc.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "daemon/base/check.h"
#include "daemon/base/limits.h"

namespace kine {

// The buffers, and which frame each still shows. Loop thread only. Deletes
// itself when its source is gone and the last loan is back.
class TestPatternSource::Pool {
 public:
  struct Buffer {
    std::unique_ptr<uint32_t[]> pixels;  // Made when first used.
    std::optional<uint64_t> shows;
    bool lent = false;
  };

  // Gives a buffer back when it is destroyed: also within a task that its loop
  // never came to run.
  class Loan {
   public:
    Loan(Pool& pool, size_t index) : pool_(&pool), index_(index) {}
    ~Loan() {
      if (pool_ != nullptr) pool_->TakeBack(index_);
    }
    Loan(Loan&& other) noexcept
        : pool_(std::exchange(other.pool_, nullptr)), index_(other.index_) {}
    Loan& operator=(Loan&&) = delete;

   private:
    Pool* pool_;
    size_t index_;
  };

  // The first free buffer, so that a reader that keeps up touches few; none
  // when all are lent out.
  std::optional<size_t> FindFree() const {
    for (size_t i = 0; i < buffers_.size(); ++i) {
      if (!buffers_[i].lent) return i;
    }
    return std::nullopt;
  }
  Buffer& operator[](size_t index) { return buffers_[index]; }

  Loan Lend(size_t index) {
    buffers_[index].lent = true;
    ++lent_;
    return Loan(*this, index);
  }

  void Abandon() {
    abandoned_ = true;
    if (lent_ == 0) delete this;
  }

 private:
  void TakeBack(size_t index) {
    buffers_[index].lent = false;
    --lent_;
    if (abandoned_ && lent_ == 0) delete this;
  }

  std::array<Buffer, limits::kTestPatternBuffers> buffers_;
  int lent_ = 0;
  bool abandoned_ = false;
};

namespace {

VideoFormat FormatOf(const TestPatternSpec& spec) {
  VideoFormat format;
  format.fourcc = DRM_FORMAT_XRGB8888;
  format.modifier = DRM_FORMAT_MOD_LINEAR;
  format.width = spec.width;
  format.height = spec.height;
  format.max_fps = spec.fps;
  return format;
}

bool SideFits(int side) {
  return side >= limits::kPictureSideMin && side <= limits::kPictureSideMax;
}

}  // namespace

absl::StatusOr<std::unique_ptr<TestPatternSource>> TestPatternSource::Create(
    const TestPatternSpec& spec, Loop& loop) {
  if (!SideFits(spec.width) || !SideFits(spec.height)) {
    return absl::InvalidArgumentError(absl::StrCat(
        "test pattern of ", spec.width, "x", spec.height, ": sides are ",
        limits::kPictureSideMin, " to ", limits::kPictureSideMax));
  }
  if (!(spec.fps >= limits::kFpsMin && spec.fps <= limits::kFpsMax)) {
    return absl::InvalidArgumentError(absl::StrCat("test pattern at ", spec.fps,
                                                   " fps: ", limits::kFpsMin,
                                                   " to ", limits::kFpsMax));
  }
  return std::unique_ptr<TestPatternSource>(new TestPatternSource(spec, loop));
}

TestPatternSource::TestPatternSource(const TestPatternSpec& spec, Loop& loop)
    : spec_(spec),
      loop_(loop),
      picture_(spec.pattern, spec.width, spec.height),
      format_(FormatOf(spec)),
      pool_(new Pool) {}

TestPatternSource::~TestPatternSource() { pool_->Abandon(); }

void TestPatternSource::Start(Client& client) {
  KINE_CHECK(loop_.IsCurrent() && client_ == nullptr);
  client_ = &client;
  timer_ = LoopHandle(
      loop_, loop_.PostAfter(absl::ZeroDuration(), [this] { Announce(); }));
}

void TestPatternSource::Stop() {
  KINE_CHECK(loop_.IsCurrent() && client_ != nullptr);
  if (std::exchange(stopping_, true)) return;
  timer_ = LoopHandle(loop_, loop_.PostAfter(absl::ZeroDuration(), [this] {
    client_->OnStopped();  // May destroy this.
  }));
}

void TestPatternSource::Announce() {
  SourceDescription description;
  description.kind = "test";
  description.memory = "internal";
  description.cursor_embedded = false;
  description.has_damage = true;
  description.has_times = true;
  timer_ = LoopHandle(
      loop_, loop_.PostAfter(absl::ZeroDuration(), [this] { Tick(); }));
  client_->OnFormat(format_, description);
}

MonoTime TestPatternSource::DueTime(uint64_t number) const {
  return start_ + absl::Nanoseconds(std::llround(static_cast<double>(number) *
                                                 1e9 / spec_.fps));
}

uint64_t TestPatternSource::NumberAt(MonoTime now) const {
  // The division may be off by one where a slot begins.
  auto number =
      static_cast<uint64_t>(absl::ToDoubleSeconds(now - start_) * spec_.fps);
  while (number > 0 && DueTime(number) > now) --number;
  while (DueTime(number + 1) <= now) ++number;
  return number;
}

void TestPatternSource::Tick() {
  const MonoTime now = loop_.clock().Now();
  if (next_number_ == 0) start_ = now;
  uint64_t number = next_number_;
  if (spec_.pattern != TestPatternSpec::Pattern::kStill) {
    // Never behind next_number_: a timer is not early.
    number = std::max(number, NumberAt(now));
    stats_.lost_in_source += number - next_number_;
    next_number_ = number + 1;
    timer_ = LoopHandle(loop_, loop_.PostAfter(DueTime(next_number_) - now,
                                               [this] { Tick(); }));
  }
  Deliver(number, DueTime(number), now);
}

void TestPatternSource::Deliver(uint64_t number, MonoTime due, MonoTime now) {
  const std::optional<size_t> index = pool_->FindFree();
  if (!index) {
    ++stats_.lost_in_source;
    return;
  }
  Pool::Buffer& buffer = (*pool_)[*index];
  const size_t width = static_cast<size_t>(spec_.width);
  const size_t size = width * static_cast<size_t>(spec_.height);
  if (buffer.pixels == nullptr)
    buffer.pixels = std::make_unique_for_overwrite<uint32_t[]>(size);

  PatternTarget target;
  target.fourcc = format_.fourcc;
  target.planes[0].data = reinterpret_cast<std::byte*>(buffer.pixels.get());
  target.planes[0].stride = width * sizeof(uint32_t);
  picture_.Draw(
      number, due,
      buffer.shows ? picture_.Changes(*buffer.shows, number) : Damage::Full(),
      target);
  buffer.shows = number;

  Frame frame([&loop = loop_, loan = pool_->Lend(*index)]() mutable {
    loop.Post([loan = std::move(loan)] {});
  });
  frame.format = format_;
  frame.crop = Rect{0, 0, spec_.width, spec_.height};
  frame.planes[0].data = target.planes[0].data;
  frame.planes[0].size = size * sizeof(uint32_t);
  frame.planes[0].stride = static_cast<uint32_t>(target.planes[0].stride);
  frame.plane_count = 1;
  frame.time = due;
  frame.arrival = now;
  frame.time_is_source = true;
  frame.damage = stats_.received == 0
                     ? Damage::Full()
                     : picture_.Changes(delivered_number_, number);
  frame.damage_is_source = true;
  frame.buffer_id = *index;
  frame.may_be_kept = true;

  ++stats_.received;
  delivered_number_ = number;
  client_->OnFrame(std::move(frame));
}

}  // namespace kine
