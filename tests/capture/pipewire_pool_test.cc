#include "capture/pipewire_pool.h"

#include <drm_fourcc.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstring>
#include <deque>
#include <thread>
#include <vector>

#include "daemon/base/epoll_loop.h"
#include "daemon/base/fd.h"
#include "daemon/base/limits.h"
#include "tests/capture/crafted_buffer.h"

namespace kine {
namespace {

constexpr int kWidth = 64;
constexpr int kHeight = 32;
constexpr uint32_t kBytes = kWidth * kHeight * 4;

VideoFormat Screen() {
  VideoFormat format;
  format.fourcc = DRM_FORMAT_XRGB8888;
  format.width = kWidth;
  format.height = kHeight;
  return format;
}

StreamFormat Memory() { return {Screen(), false}; }

Damage Of(const Rect& rect) {
  Damage damage;
  damage.Add(rect);
  return damage;
}

// A buffer in a memfd, mapped as PipeWire maps it, at an offset that is no
// page's.
class MappedBuffer {
 public:
  explicit MappedBuffer(uint32_t bytes = kBytes, int sharing = MAP_SHARED)
      : crafted_({bytes}), fd_(memfd_create("buffer", MFD_CLOEXEC)) {
    length_ = 64 + bytes;
    EXPECT_EQ(ftruncate(fd_.get(), static_cast<off_t>(length_)), 0);
    base_ =
        mmap(nullptr, length_, PROT_READ | PROT_WRITE, sharing, fd_.get(), 0);
    EXPECT_NE(base_, MAP_FAILED);
    crafted_.data(0).data = bytes_begin();
    crafted_.chunk(0).stride = kWidth * 4;
    buffer_.buffer = &crafted_.get();
  }
  ~MappedBuffer() { Unmap(); }

  // What PipeWire does when it takes the buffer away.
  void Unmap() {
    if (base_ != nullptr) munmap(base_, length_);
    base_ = nullptr;
  }
  std::byte* bytes_begin() { return static_cast<std::byte*>(base_) + 64; }
  void Fill(int value) { std::memset(bytes_begin(), value, kBytes); }
  pw_buffer* get() { return &buffer_; }
  CraftedBuffer& crafted() { return crafted_; }
  int fd() const { return fd_.get(); }

 private:
  CraftedBuffer crafted_;
  UniqueFd fd_;
  size_t length_ = 0;
  void* base_ = nullptr;
  pw_buffer buffer_{};
};

class PipeWirePool : public testing::Test {
 protected:
  void Fill(size_t count) {
    for (size_t i = 0; i < count; ++i) {
      buffers_.emplace_back();
      ASSERT_TRUE(pool_->Add(buffers_.back().get(), Memory()).ok());
    }
  }
  std::optional<Frame> Lend(size_t i, const Damage& damage = Damage::Full()) {
    const BufferReading reading =
        ReadBuffer(*buffers_[i].get()->buffer, Screen());
    EXPECT_EQ(reading.kind, BufferReading::Kind::kPicture);
    return pool_->Lend(buffers_[i].get(), Screen(), reading, damage);
  }
  // What frames given back have posted.
  void RunPosted() {
    // A loop that quit once stays so; each turn needs one of its own.
    task_loop_->Quit();
    task_loop_->Run();
  }
  static int At(const Frame& frame, int x, int y) {
    const Plane& plane = frame.planes[0];
    return std::to_integer<int>(
        plane.data[static_cast<size_t>(y) * plane.stride +
                   static_cast<size_t>(x) * 4]);
  }

  std::unique_ptr<EpollLoop> task_loop_ = *EpollLoop::Create();
  std::vector<pw_buffer*> returned_;
  std::deque<MappedBuffer> buffers_;
  std::unique_ptr<BufferPool> pool_ = std::make_unique<BufferPool>(
      *task_loop_, [this](pw_buffer* buffer) { returned_.push_back(buffer); });
};

TEST_F(PipeWirePool, ALentBufferGoesBackOnTheLoopWhenItsFrameGoes) {
  Fill(4);
  EXPECT_FALSE(pool_->copies());
  buffers_[2].Fill(7);
  std::optional<Frame> frame = Lend(2);
  ASSERT_TRUE(frame.has_value());
  EXPECT_EQ(At(*frame, 63, 31), 7);
  // No copy: what the source writes shows.
  buffers_[2].Fill(9);
  EXPECT_EQ(At(*frame, 0, 0), 9);
  std::thread([&] { frame.reset(); }).join();
  EXPECT_TRUE(returned_.empty());
  RunPosted();
  EXPECT_EQ(returned_, std::vector<pw_buffer*>{buffers_[2].get()});
}

TEST_F(PipeWirePool, ALentBufferStaysReadableWhenPipeWireTakesItAway) {
  Fill(4);
  buffers_[0].Fill(5);
  std::optional<Frame> frame = Lend(0);
  pool_->Remove(buffers_[0].get());
  buffers_[0].Unmap();
  EXPECT_EQ(At(*frame, 10, 10), 5);
  pool_.reset();
  EXPECT_EQ(At(*frame, 63, 31), 5);
  frame.reset();
  RunPosted();
  EXPECT_TRUE(returned_.empty());  // It is nobody's any more.
}

TEST_F(PipeWirePool, BufferIdsAreTheBuffersOwnAndNeverUsedAgain) {
  Fill(4);
  const uint64_t first = Lend(0)->buffer_id;
  EXPECT_EQ(Lend(0)->buffer_id, first);
  EXPECT_NE(Lend(1)->buffer_id, first);
  pool_->Remove(buffers_[0].get());
  ASSERT_TRUE(pool_->Add(buffers_[0].get(), Memory()).ok());
  EXPECT_NE(Lend(0)->buffer_id, first);
}

TEST_F(PipeWirePool, ASmallPoolCopiesAndGivesTheBufferBackAtOnce) {
  Fill(3);
  EXPECT_TRUE(pool_->copies());
  buffers_[0].Fill(7);
  std::optional<Frame> frame = Lend(0);
  EXPECT_EQ(returned_, std::vector<pw_buffer*>{buffers_[0].get()});
  buffers_[0].Fill(9);
  EXPECT_EQ(At(*frame, 63, 31), 7);
  EXPECT_EQ(frame->crop, (Rect{0, 0, kWidth, kHeight}));
}

TEST_F(PipeWirePool, OnlyWhatChangedIsCopied) {
  Fill(2);
  buffers_[0].Fill(1);
  Lend(0).reset();
  RunPosted();
  buffers_[1].Fill(2);
  const std::optional<Frame> frame = Lend(1, Of({10, 5, 4, 3}));
  EXPECT_EQ(At(*frame, 10, 5), 2);
  EXPECT_EQ(At(*frame, 13, 7), 2);
  EXPECT_EQ(At(*frame, 9, 5), 1);
  EXPECT_EQ(At(*frame, 14, 7), 1);
  EXPECT_EQ(At(*frame, 10, 8), 1);
  EXPECT_EQ(At(*frame, 10, 4), 1);
}

TEST_F(PipeWirePool, AnOlderCopyCatchesUpOnAllItMissed) {
  Fill(2);
  buffers_[0].Fill(1);
  std::optional<Frame> first = Lend(0);
  std::optional<Frame> second = Lend(0);  // Two copies, both of 1.
  ASSERT_NE(first->buffer_id, second->buffer_id);
  first.reset();
  RunPosted();
  // The first picture gets {0,0}, the second misses it.
  buffers_[0].Fill(2);
  first = Lend(0, Of({0, 0, 1, 1}));
  EXPECT_EQ(At(*first, 0, 0), 2);
  EXPECT_EQ(At(*second, 0, 0), 1);  // Lent ones never change.
  second.reset();
  RunPosted();
  second = Lend(0, Of({5, 5, 1, 1}));
  EXPECT_EQ(At(*second, 0, 0), 2);
  EXPECT_EQ(At(*second, 5, 5), 2);
  EXPECT_EQ(At(*second, 6, 6), 1);
}

TEST_F(PipeWirePool, WhenAllCopiesAreOutTheBufferGoesBackUnread) {
  Fill(2);
  std::vector<Frame> out;
  for (int i = 0; i < limits::kPipeWireCopiesMax; ++i) out.push_back(*Lend(0));
  returned_.clear();
  EXPECT_FALSE(Lend(1).has_value());
  EXPECT_EQ(returned_, std::vector<pw_buffer*>{buffers_[1].get()});
  out.pop_back();
  RunPosted();
  EXPECT_TRUE(Lend(1).has_value());
}

TEST_F(PipeWirePool, MemoryThatIsNotSharedIsCopied) {
  Fill(3);
  buffers_.emplace_back(kBytes, MAP_PRIVATE);
  ASSERT_TRUE(pool_->Add(buffers_.back().get(), Memory()).ok());
  EXPECT_TRUE(pool_->copies());
  buffers_.back().Fill(3);
  const std::optional<Frame> frame = Lend(3);
  buffers_.back().Fill(4);
  EXPECT_EQ(At(*frame, 1, 1), 3);
}

TEST_F(PipeWirePool, MemoryThatCannotBeReadIsRefusedWithTheReason) {
  MappedBuffer dma;
  dma.crafted().data(0).type = SPA_DATA_DmaBuf;
  absl::Status status = pool_->Add(dma.get(), Memory());
  EXPECT_TRUE(absl::IsUnimplemented(status));
  EXPECT_THAT(std::string(status.message()), testing::HasSubstr("DMA-BUF"));
  MappedBuffer unmapped;
  unmapped.crafted().data(0).data = nullptr;
  EXPECT_TRUE(absl::IsUnavailable(pool_->Add(unmapped.get(), Memory())));
  MappedBuffer unallocated;
  unallocated.crafted().data(0).type = SPA_ID_INVALID;
  EXPECT_TRUE(absl::IsUnavailable(pool_->Add(unallocated.get(), Memory())));
  // A file shorter than the buffer claims: reading it would kill us.
  MappedBuffer shorter;
  shorter.crafted().data(0).type = SPA_DATA_MemFd;
  shorter.crafted().data(0).fd = shorter.fd();
  shorter.crafted().data(0).mapoffset = 64;
  EXPECT_TRUE(pool_->Add(shorter.get(), Memory()).ok());
  pool_->Remove(shorter.get());
  shorter.crafted().data(0).mapoffset = 65;
  EXPECT_TRUE(absl::IsUnavailable(pool_->Add(shorter.get(), Memory())));
}

// A DMA-BUF of one plane in a memfd, behind 64 bytes.
class FakeDmabuf {
 public:
  FakeDmabuf() : crafted_({0}), fd_(memfd_create("dmabuf", MFD_CLOEXEC)) {
    EXPECT_EQ(ftruncate(fd_.get(), 64 + kBytes), 0);
    crafted_.data(0).type = SPA_DATA_DmaBuf;
    crafted_.data(0).fd = fd_.get();
    crafted_.chunk(0).offset = 64;
    crafted_.chunk(0).stride = kWidth * 4;
    buffer_.buffer = &crafted_.get();
  }
  pw_buffer* get() { return &buffer_; }
  CraftedBuffer& crafted() { return crafted_; }
  UniqueFd& fd() { return fd_; }

 private:
  CraftedBuffer crafted_;
  UniqueFd fd_;
  pw_buffer buffer_{};
};

StreamFormat Dmabufs(uint64_t modifier) {
  StreamFormat format{Screen(), true};
  format.video.modifier = modifier;
  return format;
}

TEST_F(PipeWirePool, ADmabufIsLentByDescriptorsThatOutliveTheSource) {
  FakeDmabuf dmabuf;
  const StreamFormat format = Dmabufs(DRM_FORMAT_MOD_LINEAR);
  ASSERT_TRUE(pool_->Add(dmabuf.get(), format).ok());
  EXPECT_FALSE(pool_->copies()) << "though there is only one";
  const BufferReading reading = pool_->Read(dmabuf.get(), format.video);
  ASSERT_EQ(reading.kind, BufferReading::Kind::kPicture)
      << "chunk and maxsize say nothing of a DMA-BUF's size";
  std::optional<Frame> frame =
      pool_->Lend(dmabuf.get(), format.video, reading, Damage::Full());
  ASSERT_TRUE(frame.has_value());
  const Plane& plane = frame->planes[0];
  EXPECT_EQ(frame->plane_count, 1);
  EXPECT_EQ(plane.data, nullptr);
  EXPECT_EQ(plane.offset, 64u);
  EXPECT_EQ(plane.stride, kWidth * 4u);
  const uint64_t id = frame->buffer_id;
  pool_->Remove(dmabuf.get());
  dmabuf.fd() = UniqueFd();
  EXPECT_EQ(lseek(plane.fd, 0, SEEK_END), 64 + kBytes);
  frame.reset();
  RunPosted();
  EXPECT_EQ(returned_.size(), 0u);
  FakeDmabuf next;
  ASSERT_TRUE(pool_->Add(next.get(), format).ok());
  frame = pool_->Lend(next.get(), format.video,
                      pool_->Read(next.get(), format.video), Damage::Full());
  EXPECT_NE(frame->buffer_id, id);
}

TEST_F(PipeWirePool, DmabufsAndMemoryWhereTheyWereNotAgreedOnAreRefused) {
  FakeDmabuf dmabuf;
  EXPECT_TRUE(absl::IsUnimplemented(pool_->Add(dmabuf.get(), Memory())));
  buffers_.emplace_back();
  // Asked for linear DMA-BUFs, PipeWire 0.3.65 may give memory: as good.
  EXPECT_TRUE(
      pool_->Add(buffers_[0].get(), Dmabufs(DRM_FORMAT_MOD_LINEAR)).ok());
  EXPECT_TRUE(
      absl::IsUnavailable(pool_->Add(buffers_[0].get(), Dmabufs(0x23))));
  dmabuf.crafted().data(0).fd = -1;
  EXPECT_TRUE(absl::IsUnavailable(pool_->Add(dmabuf.get(), Dmabufs(0x23))));
  const UniqueFd empty(memfd_create("empty", MFD_CLOEXEC));
  dmabuf.crafted().data(0).fd = empty.get();
  EXPECT_TRUE(absl::IsUnavailable(pool_->Add(dmabuf.get(), Dmabufs(0x23))));
}

TEST_F(PipeWirePool, ChromaIsCopiedRoundedOutwards) {
  VideoFormat format = Screen();
  format.fourcc = DRM_FORMAT_NV12;
  format.width = 8;
  format.height = 8;
  std::vector<std::byte> luma(64, std::byte{1});
  std::vector<std::byte> chroma(32, std::byte{1});
  const auto planes = [&] {
    std::array<Plane, 2> two;
    two[0] = Plane{luma.data(), luma.size(), -1, 0, 8};
    two[1] = Plane{chroma.data(), chroma.size(), -1, 0, 8};
    return two;
  };
  PictureCopies copies(*task_loop_);
  const Rect whole{0, 0, 8, 8};
  copies.Copy(format, whole, Damage::Full(), planes()).reset();
  RunPosted();
  std::fill(luma.begin(), luma.end(), std::byte{2});
  std::fill(chroma.begin(), chroma.end(), std::byte{2});
  // The pixel (3, 3) shares its chroma with (2, 2).
  const std::optional<Frame> frame =
      copies.Copy(format, whole, Of({3, 3, 1, 1}), planes());
  const auto at = [&](size_t plane, size_t x, size_t y) {
    const Plane& p = frame->planes[plane];
    return std::to_integer<int>(p.data[y * p.stride + x]);
  };
  EXPECT_EQ(at(0, 3, 3), 2);
  EXPECT_EQ(at(0, 2, 3), 1);
  EXPECT_EQ(at(1, 2, 1), 2);
  EXPECT_EQ(at(1, 3, 1), 2);
  EXPECT_EQ(at(1, 4, 1), 1);
  EXPECT_EQ(at(1, 1, 1), 1);
  EXPECT_EQ(at(1, 2, 0), 1);
}

}  // namespace
}  // namespace kine
