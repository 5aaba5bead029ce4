#include "encode/color_kernel_x86.h"

#if defined(__x86_64__)
#include <immintrin.h>

#include <cstring>

namespace kine {
namespace {

// The four weights twice: for the two pixels of 64 + 64 bits.
__m128i Twice(const int16_t (&weights)[4]) {
  int64_t packed;
  std::memcpy(&packed, weights, sizeof(packed));
  return _mm_set1_epi64x(packed);
}

// -- SSE4.1: 4 pixels a register
// ------------------------------------------------

__attribute__((target("sse4.1"))) inline __m128i Load(const uint8_t* p) {
  return _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
}

// Four luma values of 32 bits.
__attribute__((target("sse4.1"))) inline __m128i Luma4(__m128i low,
                                                       __m128i high,
                                                       __m128i weights,
                                                       __m128i offset) {
  const __m128i sum = _mm_hadd_epi32(_mm_madd_epi16(low, weights),
                                     _mm_madd_epi16(high, weights));
  return _mm_srai_epi32(_mm_add_epi32(sum, offset), YuvWeights::kLumaShift);
}

struct Sse {
  __m128i y, u, v, y_offset, uv_offset;
};

// Four pixels of two rows: 4 + 4 luma values and U0 V0 U1 V1, as 32 bits.
__attribute__((target("sse4.1"))) inline void Block4(
    const uint8_t* a, const uint8_t* b, const Sse& w, __m128i& luma_a,
    __m128i& luma_b, __m128i& chroma) {
  const __m128i zero = _mm_setzero_si128();
  const __m128i pa = Load(a);
  const __m128i pb = Load(b);
  const __m128i a_low = _mm_unpacklo_epi8(pa, zero);
  const __m128i a_high = _mm_unpackhi_epi8(pa, zero);
  const __m128i b_low = _mm_unpacklo_epi8(pb, zero);
  const __m128i b_high = _mm_unpackhi_epi8(pb, zero);
  luma_a = Luma4(a_low, a_high, w.y, w.y_offset);
  luma_b = Luma4(b_low, b_high, w.y, w.y_offset);
  const __m128i low = _mm_add_epi16(a_low, b_low);     // Pixels 0, 1.
  const __m128i high = _mm_add_epi16(a_high, b_high);  // Pixels 2, 3.
  const __m128i box = _mm_add_epi16(_mm_unpacklo_epi64(low, high),
                                    _mm_unpackhi_epi64(low, high));
  const __m128i uuvv =
      _mm_hadd_epi32(_mm_madd_epi16(box, w.u), _mm_madd_epi16(box, w.v));
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
  const Sse w = {Twice(weights.y), Twice(weights.u), Twice(weights.v),
                 _mm_set1_epi32(weights.y_offset),
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
// ---------------------------

__attribute__((target("avx2"))) inline __m256i Luma8(__m256i low, __m256i high,
                                                     __m256i weights,
                                                     __m256i offset) {
  const __m256i sum = _mm256_hadd_epi32(_mm256_madd_epi16(low, weights),
                                        _mm256_madd_epi16(high, weights));
  return _mm256_srai_epi32(_mm256_add_epi32(sum, offset),
                           YuvWeights::kLumaShift);
}

struct Avx {
  __m256i y, u, v, y_offset, uv_offset;
};

__attribute__((target("avx2"))) inline void Block8(
    const uint8_t* a, const uint8_t* b, const Avx& w, __m256i& luma_a,
    __m256i& luma_b, __m256i& chroma) {
  const __m256i zero = _mm256_setzero_si256();
  const __m256i pa = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(a));
  const __m256i pb = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(b));
  const __m256i a_low = _mm256_unpacklo_epi8(pa, zero);
  const __m256i a_high = _mm256_unpackhi_epi8(pa, zero);
  const __m256i b_low = _mm256_unpacklo_epi8(pb, zero);
  const __m256i b_high = _mm256_unpackhi_epi8(pb, zero);
  luma_a = Luma8(a_low, a_high, w.y, w.y_offset);
  luma_b = Luma8(b_low, b_high, w.y, w.y_offset);
  const __m256i low = _mm256_add_epi16(a_low, b_low);
  const __m256i high = _mm256_add_epi16(a_high, b_high);
  const __m256i box = _mm256_add_epi16(_mm256_unpacklo_epi64(low, high),
                                       _mm256_unpackhi_epi64(low, high));
  const __m256i uuvv = _mm256_hadd_epi32(_mm256_madd_epi16(box, w.u),
                                         _mm256_madd_epi16(box, w.v));
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
      _mm256_broadcastsi128_si256(Twice(weights.y)),
      _mm256_broadcastsi128_si256(Twice(weights.u)),
      _mm256_broadcastsi128_si256(Twice(weights.v)),
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
