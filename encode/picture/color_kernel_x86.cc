#include "encode/picture/color_kernel_x86.h"

#if defined(__x86_64__)
#include <immintrin.h>

namespace kine {
namespace {

// A pixel is four bytes: bytes 0 and 2 become a pair of 16-bit numbers by a
// mask, 1 and 3 by a shift, and one multiply-add of each pair gives the pixel's
// 32-bit sum in its own lane: nothing has to be unpacked or put in order.

int32_t Pair(int16_t low, int16_t high) {
  return static_cast<int32_t>(static_cast<uint32_t>(
      static_cast<uint16_t>(low) |
      static_cast<uint32_t>(static_cast<uint16_t>(high)) << 16));
}

struct Pairs {
  explicit Pairs(const int16_t (&weights)[4])
      : even(Pair(weights[0], weights[2])), odd(Pair(weights[1], weights[3])) {}
  int32_t even;
  int32_t odd;
};

// -- SSE4.1: 4 pixels a register.

struct SseWeights {
  __m128i even, odd;
};

struct Sse {
  SseWeights y, u, v;
  __m128i y_offset, uv_offset;
};

SseWeights SseOf(const Pairs& pairs) {
  return {_mm_set1_epi32(pairs.even), _mm_set1_epi32(pairs.odd)};
}

__attribute__((target("sse4.1"))) inline __m128i Sum4(__m128i even, __m128i odd,
                                                      const SseWeights& w) {
  return _mm_add_epi32(_mm_madd_epi16(even, w.even),
                       _mm_madd_epi16(odd, w.odd));
}

// Four pixels of two rows: 4 + 4 luma values and U0 V0 U1 V1, as 32 bits.
__attribute__((target("sse4.1"))) inline void Block4(
    const uint8_t* a, const uint8_t* b, const Sse& w, __m128i& luma_a,
    __m128i& luma_b, __m128i& chroma) {
  const __m128i mask = _mm_set1_epi16(0xff);
  const __m128i pa = _mm_loadu_si128(reinterpret_cast<const __m128i*>(a));
  const __m128i pb = _mm_loadu_si128(reinterpret_cast<const __m128i*>(b));
  const __m128i a_even = _mm_and_si128(pa, mask);
  const __m128i b_even = _mm_and_si128(pb, mask);
  const __m128i a_odd = _mm_srli_epi16(pa, 8);
  const __m128i b_odd = _mm_srli_epi16(pb, 8);
  luma_a = _mm_srai_epi32(_mm_add_epi32(Sum4(a_even, a_odd, w.y), w.y_offset),
                          YuvWeights::kLumaShift);
  luma_b = _mm_srai_epi32(_mm_add_epi32(Sum4(b_even, b_odd, w.y), w.y_offset),
                          YuvWeights::kLumaShift);
  const __m128i even = _mm_add_epi16(a_even, b_even);
  const __m128i odd = _mm_add_epi16(a_odd, b_odd);
  const __m128i uuvv =
      _mm_hadd_epi32(Sum4(even, odd, w.u), Sum4(even, odd, w.v));
  chroma = _mm_srai_epi32(
      _mm_add_epi32(_mm_shuffle_epi32(uuvv, _MM_SHUFFLE(3, 1, 2, 0)),
                    w.uv_offset),
      YuvWeights::kChromaShift);
}

__attribute__((target("sse4.1"))) inline void Store16(uint8_t* p,
                                                      const __m128i (&v)[4]) {
  _mm_storeu_si128(reinterpret_cast<__m128i*>(p),
                   _mm_packus_epi16(_mm_packs_epi32(v[0], v[1]),
                                    _mm_packs_epi32(v[2], v[3])));
}

__attribute__((target("sse4.1"))) void ConvertRowsSse41(
    const uint8_t* a, const uint8_t* b, int pixels, const YuvWeights& weights,
    uint8_t* luma_a, uint8_t* luma_b, uint8_t* chroma) {
  const Sse w = {SseOf(Pairs(weights.y)), SseOf(Pairs(weights.u)),
                 SseOf(Pairs(weights.v)), _mm_set1_epi32(weights.y_offset),
                 _mm_setr_epi32(weights.u_offset, weights.v_offset,
                                weights.u_offset, weights.v_offset)};
  for (int x = 0; x < pixels; x += 16) {
    __m128i ya[4];
    __m128i yb[4];
    __m128i uv[4];
    for (int i = 0; i < 4; ++i) {
      Block4(a + 4 * x + 16 * i, b + 4 * x + 16 * i, w, ya[i], yb[i], uv[i]);
    }
    Store16(luma_a + x, ya);
    Store16(luma_b + x, yb);
    Store16(chroma + x, uv);
  }
}

// -- AVX2: the same, 8 pixels a register in two halves

struct AvxWeights {
  __m256i even, odd;
};

struct Avx {
  AvxWeights y, u, v;
  __m256i y_offset, uv_offset;
};

__attribute__((target("avx2"))) inline AvxWeights AvxOf(const Pairs& pairs) {
  return {_mm256_set1_epi32(pairs.even), _mm256_set1_epi32(pairs.odd)};
}

__attribute__((target("avx2"))) inline __m256i Sum8(__m256i even, __m256i odd,
                                                    const AvxWeights& w) {
  return _mm256_add_epi32(_mm256_madd_epi16(even, w.even),
                          _mm256_madd_epi16(odd, w.odd));
}

__attribute__((target("avx2"))) inline void Block8(
    const uint8_t* a, const uint8_t* b, const Avx& w, __m256i& luma_a,
    __m256i& luma_b, __m256i& chroma) {
  const __m256i mask = _mm256_set1_epi16(0xff);
  const __m256i pa = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(a));
  const __m256i pb = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(b));
  const __m256i a_even = _mm256_and_si256(pa, mask);
  const __m256i b_even = _mm256_and_si256(pb, mask);
  const __m256i a_odd = _mm256_srli_epi16(pa, 8);
  const __m256i b_odd = _mm256_srli_epi16(pb, 8);
  luma_a =
      _mm256_srai_epi32(_mm256_add_epi32(Sum8(a_even, a_odd, w.y), w.y_offset),
                        YuvWeights::kLumaShift);
  luma_b =
      _mm256_srai_epi32(_mm256_add_epi32(Sum8(b_even, b_odd, w.y), w.y_offset),
                        YuvWeights::kLumaShift);
  const __m256i even = _mm256_add_epi16(a_even, b_even);
  const __m256i odd = _mm256_add_epi16(a_odd, b_odd);
  const __m256i uuvv =
      _mm256_hadd_epi32(Sum8(even, odd, w.u), Sum8(even, odd, w.v));
  chroma = _mm256_srai_epi32(
      _mm256_add_epi32(_mm256_shuffle_epi32(uuvv, _MM_SHUFFLE(3, 1, 2, 0)),
                       w.uv_offset),
      YuvWeights::kChromaShift);
}

// Two times 8 values of 32 bits, in order, to 16 bytes.
__attribute__((target("avx2"))) inline void Store16(uint8_t* p, __m256i first,
                                                    __m256i second) {
  // packs works in halves: restore the order of 64-bit groups.
  const __m256i words = _mm256_permute4x64_epi64(
      _mm256_packs_epi32(first, second), _MM_SHUFFLE(3, 1, 2, 0));
  _mm_storeu_si128(reinterpret_cast<__m128i*>(p),
                   _mm_packus_epi16(_mm256_castsi256_si128(words),
                                    _mm256_extracti128_si256(words, 1)));
}

__attribute__((target("avx2"))) void ConvertRowsAvx2(
    const uint8_t* a, const uint8_t* b, int pixels, const YuvWeights& weights,
    uint8_t* luma_a, uint8_t* luma_b, uint8_t* chroma) {
  const Avx w = {
      AvxOf(Pairs(weights.y)), AvxOf(Pairs(weights.u)), AvxOf(Pairs(weights.v)),
      _mm256_set1_epi32(weights.y_offset),
      _mm256_setr_epi32(weights.u_offset, weights.v_offset, weights.u_offset,
                        weights.v_offset, weights.u_offset, weights.v_offset,
                        weights.u_offset, weights.v_offset)};
  for (int x = 0; x < pixels; x += 16) {
    __m256i ya[2];
    __m256i yb[2];
    __m256i uv[2];
    for (int i = 0; i < 2; ++i) {
      Block8(a + 4 * x + 32 * i, b + 4 * x + 32 * i, w, ya[i], yb[i], uv[i]);
    }
    Store16(luma_a + x, ya[0], ya[1]);
    Store16(luma_b + x, yb[0], yb[1]);
    Store16(chroma + x, uv[0], uv[1]);
  }
}

}  // namespace

void AddX86Kernels(std::vector<ColorKernel>& list) {
  if (__builtin_cpu_supports("avx2")) list.push_back({"avx2", ConvertRowsAvx2});
  if (__builtin_cpu_supports("sse4.1")) {
    list.push_back({"sse4.1", ConvertRowsSse41});
  }
}

}  // namespace kine

#else

namespace kine {
void AddX86Kernels(std::vector<ColorKernel>&) {}
}  // namespace kine

#endif
