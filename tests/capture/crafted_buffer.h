// spa_buffers by hand, in memory of exactly the sizes they claim (so that a
// sanitizer sees each byte read outside).
#pragma once

#include <spa/buffer/buffer.h>
#include <spa/buffer/meta.h>

#include <cstring>
#include <memory>
#include <vector>

namespace kine {

class CraftedBuffer {
 public:
  // One data of each size, its chunk saying the same, stride 0.
  explicit CraftedBuffer(std::vector<uint32_t> sizes) {
    datas_.resize(sizes.size());
    chunks_.resize(sizes.size());
    for (size_t i = 0; i < sizes.size(); ++i) {
      chunks_[i].size = sizes[i];
      datas_[i].type = SPA_DATA_MemPtr;
      datas_[i].fd = -1;
      datas_[i].maxsize = sizes[i];
      datas_[i].chunk = &chunks_[i];
    }
  }

  spa_data& data(size_t i) { return datas_[i]; }
  spa_chunk& chunk(size_t i) { return chunks_[i]; }
  spa_meta& meta(size_t i) { return metas_[i]; }

  // `count` zeroed Ts with `extra` bytes behind them.
  template <typename T>
  T* AddMetas(uint32_t type, size_t count, size_t extra = 0) {
    const size_t size = count * sizeof(T) + extra;
    memory_.emplace_back(new std::byte[size]());
    metas_.push_back({type, static_cast<uint32_t>(size), memory_.back().get()});
    return reinterpret_cast<T*>(memory_.back().get());
  }
  template <typename T>
  T& AddMeta(uint32_t type, size_t extra = 0) {
    return *AddMetas<T>(type, 1, extra);
  }

  spa_buffer& get() {
    buffer_.n_metas = static_cast<uint32_t>(metas_.size());
    buffer_.metas = metas_.data();
    buffer_.n_datas = static_cast<uint32_t>(datas_.size());
    buffer_.datas = datas_.data();
    return buffer_;
  }

 private:
  std::vector<std::unique_ptr<std::byte[]>> memory_;
  std::vector<spa_meta> metas_;
  std::vector<spa_data> datas_;
  std::vector<spa_chunk> chunks_;
  spa_buffer buffer_{};
};

}  // namespace kine
