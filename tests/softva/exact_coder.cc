#include "tests/softva/exact_coder.h"

#include <algorithm>
#include <cstring>
#include <utility>

namespace kine::softva {
namespace {

// Tables 9-44 and 9-45 of the standard.
constexpr uint8_t kRangeLps[64][4] = {
    {128, 176, 208, 240}, {128, 167, 197, 227}, {128, 158, 187, 216},
    {123, 150, 178, 205}, {116, 142, 169, 195}, {111, 135, 160, 185},
    {105, 128, 152, 175}, {100, 122, 144, 166}, {95, 116, 137, 158},
    {90, 110, 130, 150},  {85, 104, 123, 142},  {81, 99, 117, 135},
    {77, 94, 111, 128},   {73, 89, 105, 122},   {69, 85, 100, 116},
    {66, 80, 95, 110},    {62, 76, 90, 104},    {59, 72, 86, 99},
    {56, 69, 81, 94},     {53, 65, 77, 89},     {51, 62, 73, 85},
    {48, 59, 69, 80},     {46, 56, 66, 76},     {43, 53, 63, 72},
    {41, 50, 59, 69},     {39, 48, 56, 65},     {37, 45, 54, 62},
    {35, 43, 51, 59},     {33, 41, 48, 56},     {32, 39, 46, 53},
    {30, 37, 43, 50},     {29, 35, 41, 48},     {27, 33, 39, 45},
    {26, 31, 37, 43},     {24, 30, 35, 41},     {23, 28, 33, 39},
    {22, 27, 32, 37},     {21, 26, 30, 35},     {20, 24, 29, 33},
    {19, 23, 27, 31},     {18, 22, 26, 30},     {17, 21, 25, 28},
    {16, 20, 23, 27},     {15, 19, 22, 25},     {14, 18, 21, 24},
    {14, 17, 20, 23},     {13, 16, 19, 22},     {12, 15, 18, 21},
    {12, 14, 17, 20},     {11, 14, 16, 19},     {11, 13, 15, 18},
    {10, 12, 15, 17},     {10, 12, 14, 16},     {9, 11, 13, 15},
    {9, 11, 12, 14},      {8, 10, 12, 14},      {8, 9, 11, 13},
    {7, 9, 11, 12},       {7, 9, 10, 12},       {7, 8, 10, 11},
    {6, 8, 9, 11},        {6, 7, 9, 10},        {6, 7, 8, 9},
    {2, 2, 2, 2}};
constexpr uint8_t kNextStateLps[64] = {
    0,  0,  1,  2,  2,  4,  4,  5,  6,  7,  8,  9,  9,  11, 11, 12,
    13, 13, 15, 15, 16, 16, 18, 18, 19, 19, 21, 21, 22, 22, 23, 24,
    24, 25, 26, 26, 27, 27, 28, 29, 29, 30, 30, 30, 31, 32, 32, 33,
    33, 33, 34, 34, 35, 35, 35, 36, 36, 36, 37, 37, 37, 38, 38, 63};
// m and n of the contexts that are used: 3..5 for mb_type of I slices, 11..13
// for mb_skip_flag, 14 and 17 for mb_type of P slices.
constexpr int kFirstIContext = 3;
constexpr int kFirstPContext = 11;
constexpr int kIContexts[3][2] = {{20, -15}, {2, 54}, {3, 74}};
constexpr int kPContexts[3][7][2] = {
    {{23, 33}, {23, 2}, {21, 0}, {1, 9}, {0, 49}, {-37, 118}, {5, 57}},
    {{22, 25}, {34, 0}, {16, 0}, {-2, 9}, {4, 41}, {-29, 118}, {2, 65}},
    {{29, 16}, {25, 0}, {14, 0}, {-10, 51}, {-3, 62}, {-27, 99}, {26, 16}}};

// The arithmetic encoder, 9.3.4.
class Cabac {
 public:
  Cabac(BitWriter& writer, const SliceJob& job) : writer_(writer) {
    for (int i = 0; i < 3; ++i) Set(kFirstIContext + i, kIContexts[i], job.qp);
    if (!job.p) return;
    for (int i = 0; i < 7; ++i)
      Set(kFirstPContext + i, kPContexts[job.cabac_init_idc][i], job.qp);
  }

  // Behind I_PCM the engine starts anew, the contexts do not.
  void Restart() {
    low_ = 0;
    range_ = 510;
    outstanding_ = 0;
    first_ = true;
  }

  void Encode(int context, uint32_t bin) {
    Context& c = contexts_[context];
    const uint32_t lps = kRangeLps[c.state][range_ >> 6 & 3];
    range_ -= lps;
    if (bin != c.most_probable) {
      low_ += range_;
      range_ = lps;
      if (c.state == 0) c.most_probable ^= 1;
      c.state = kNextStateLps[c.state];
    } else if (c.state < 62) {
      ++c.state;
    }
    Renormalise();
  }

  // 1 flushes; its last bit is rbsp_stop_one_bit at the end of a slice.
  void Terminate(uint32_t bin) {
    range_ -= 2;
    if (bin == 0) return Renormalise();
    low_ += range_;
    range_ = 2;
    Renormalise();
    PutBit(low_ >> 9 & 1);
    writer_.Put(2, (low_ >> 7 & 3) | 1);
  }

 private:
  struct Context {
    uint8_t state = 0;
    uint32_t most_probable = 0;
  };

  void Set(int context, const int (&mn)[2], int32_t qp) {
    const int q = std::clamp(qp, 0, 51);
    const int pre = std::clamp((mn[0] * q >> 4) + mn[1], 1, 126);
    contexts_[context] = pre <= 63 ? Context{static_cast<uint8_t>(63 - pre), 0}
                                   : Context{static_cast<uint8_t>(pre - 64), 1};
  }
  void PutBit(uint32_t bit) {
    if (!first_) writer_.Bit(bit);
    first_ = false;
    for (; outstanding_ > 0; --outstanding_) writer_.Bit(bit ^ 1);
  }
  void Renormalise() {
    for (; range_ < 256; range_ <<= 1, low_ <<= 1) {
      if (low_ < 256) {
        PutBit(0);
      } else if (low_ >= 512) {
        low_ -= 512;
        PutBit(1);
      } else {
        low_ -= 256;
        ++outstanding_;
      }
    }
  }

  BitWriter& writer_;
  Context contexts_[18];
  uint32_t low_ = 0;
  uint32_t range_ = 510;
  int outstanding_ = 0;
  bool first_ = true;
};

class SliceWriter {
 public:
  SliceWriter(const SliceJob& job, const Picture& picture,
              const Picture* reference, BitWriter& writer)
      : job_(job),
        picture_(picture),
        reference_(MaySkip(job, picture, reference) ? reference : nullptr),
        writer_(writer) {}

  uint32_t Cavlc() {
    constexpr uint32_t kPcmOfI = 25;
    constexpr uint32_t kPcmOfP = 5 + kPcmOfI;
    uint32_t skipped = 0;
    uint32_t run = 0;
    for (uint32_t i = 0; i < job_.count; ++i) {
      if (Skips(i)) {
        ++run;
        continue;
      }
      if (job_.p) writer_.Ue(run);
      skipped += std::exchange(run, 0);
      writer_.Ue(job_.p ? kPcmOfP : kPcmOfI);
      Pcm(i);
    }
    if (run > 0) writer_.Ue(run);
    writer_.Trailing();
    return skipped + run;
  }

  uint32_t WithCabac() {
    writer_.Align(1);  // cabac_alignment_one_bit
    Cabac cabac(writer_, job_);
    std::vector<bool> skips(job_.count);
    const uint32_t width = picture_.width_in_mbs;
    for (uint32_t i = 0; i < job_.count; ++i) {
      skips[i] = Skips(i);
      const bool left = (job_.first + i) % width != 0 && i >= 1;
      const bool above = i >= width;
      if (job_.p) {
        const int unskipped =
            (left && !skips[i - 1]) + (above && !skips[i - width]);
        cabac.Encode(kFirstPContext + unskipped, skips[i] ? 1 : 0);
        if (!skips[i]) {
          cabac.Encode(14, 1);
          cabac.Encode(17, 1);
        }
      } else {
        cabac.Encode(kFirstIContext + left + above, 1);
      }
      if (!skips[i]) {
        cabac.Terminate(1);
        Pcm(i);
        cabac.Restart();
      }
      cabac.Terminate(i + 1 == job_.count ? 1 : 0);
    }
    writer_.Align(0);
    return static_cast<uint32_t>(std::count(skips.begin(), skips.end(), true));
  }

 private:
  static bool MaySkip(const SliceJob& job, const Picture& picture,
                      const Picture* reference) {
    return job.p && reference != nullptr &&
           reference->width_in_mbs == picture.width_in_mbs &&
           reference->height_in_mbs == picture.height_in_mbs &&
           (!job.deblocking || (job.qp + 1) / 2 < 16);
  }
  bool Skips(uint32_t i) const {
    return reference_ != nullptr &&
           picture_.SameMacroblock(*reference_, job_.first + i);
  }
  void Pcm(uint32_t i) {
    uint8_t pcm[384];
    writer_.Align(0);
    picture_.CopyPcm(job_.first + i, pcm);
    writer_.Append(pcm, sizeof(pcm));
  }

  const SliceJob& job_;
  const Picture& picture_;
  const Picture* const reference_;
  BitWriter& writer_;
};

}  // namespace

void Picture::Resize(uint32_t new_width_in_mbs, uint32_t new_height_in_mbs) {
  width_in_mbs = new_width_in_mbs;
  height_in_mbs = new_height_in_mbs;
  const size_t macroblocks = size_t{width_in_mbs} * height_in_mbs;
  luma.resize(macroblocks * 256);
  chroma.resize(macroblocks * 128);
}

bool Picture::SameMacroblock(const Picture& other, uint32_t macroblock) const {
  const size_t x = size_t{macroblock % width_in_mbs} * 16;
  const size_t row = macroblock / width_in_mbs;
  for (size_t i = 0; i < 16; ++i) {
    const size_t at = (row * 16 + i) * stride() + x;
    if (std::memcmp(&luma[at], &other.luma[at], 16) != 0) return false;
  }
  for (size_t i = 0; i < 8; ++i) {
    const size_t at = (row * 8 + i) * stride() + x;
    if (std::memcmp(&chroma[at], &other.chroma[at], 16) != 0) return false;
  }
  return true;
}

void Picture::CopyPcm(uint32_t macroblock, uint8_t* out) const {
  const size_t x = size_t{macroblock % width_in_mbs} * 16;
  const size_t row = macroblock / width_in_mbs;
  for (size_t i = 0; i < 16; ++i, out += 16)
    std::memcpy(out, &luma[(row * 16 + i) * stride() + x], 16);
  for (size_t plane = 0; plane < 2; ++plane) {
    for (size_t i = 0; i < 8; ++i) {
      const uint8_t* const from = &chroma[(row * 8 + i) * stride() + x + plane];
      for (size_t j = 0; j < 8; ++j) *out++ = from[j * 2];
    }
  }
}

uint32_t WriteSliceData(const SliceJob& job, const Picture& picture,
                        const Picture* reference, BitWriter& writer) {
  SliceWriter slice(job, picture, reference, writer);
  return job.cabac ? slice.WithCabac() : slice.Cavlc();
}

}  // namespace kine::softva
