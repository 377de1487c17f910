// Decoders of quantised blocks on the device, one struct per type: eight neighbouring numbers of a block at a
// time, which are 16 bytes of fp16. Layouts and values as in engine/core/block_formats.h, bit for bit: scales
// of fp32 round once per operation as written (no contraction); all other products are exact in fp32.
#pragma once

#include "engine/core/blocks_32.h"
#include "engine/core/nf4.h"
#include "kernels/common/numeric.cuh"

namespace rankine::cuda {

// Tables of the device, copied from those of the host while compiling.
template <int kSize>
struct Table {
  float value[kSize];
};
template <int kSize, class Source>
constexpr Table<kSize> table_of(const Source& source) {
  Table<kSize> t{};
  for (int i = 0; i < kSize; ++i) t.value[i] = source[i];
  return t;
}
__device__ constexpr Table<16> kNf4Codes = table_of<16>(kNf4Table);
__device__ constexpr Table<16> kIq4NlCodes = table_of<16>(blocks::Iq4Nl::kTable);
__device__ constexpr Table<256> kNf4Scales = table_of<256>(kNf4ScaleMap);

// Blocks lie at multiples of their size: two bytes aligned at least, four where the size allows.
template <int kAlign>
__device__ __forceinline__ std::uint32_t word_at(const std::uint8_t* p) {
  if constexpr (kAlign == 4) {
    return *reinterpret_cast<const std::uint32_t*>(p);
  } else {
    const auto* h = reinterpret_cast<const std::uint16_t*>(p);
    return h[0] | std::uint32_t{h[1]} << 16;
  }
}
__device__ __forceinline__ float half_at(const std::uint8_t* p) {
  return __half2float(*reinterpret_cast<const __half*>(p));
}
__device__ __forceinline__ float float_at(const std::uint8_t* p) {
  return *reinterpret_cast<const float*>(p);
}
template <class Scale>
__device__ __forceinline__ float scale_at(const std::uint8_t* p) {
  if constexpr (sizeof(Scale) == 2)
    return half_at(p);
  else
    return float_at(p);
}

// Codes of eight numbers, a byte each.
struct Codes {
  std::uint32_t low, high;
  __device__ __forceinline__ std::uint32_t operator[](int i) const {
    return (i < 4 ? low : high) >> (8 * (i % 4)) & 255U;
  }
  __device__ __forceinline__ Codes bits(int shift, std::uint32_t mask) const {
    return {low >> shift & mask * 0x01010101U, high >> shift & mask * 0x01010101U};
  }
  // These codes below, `upper` from bit `shift` on.
  __device__ __forceinline__ Codes join(Codes upper, int shift) const {
    return {low | upper.low << shift, high | upper.high << shift};
  }
  // Eight signed bytes become offset ones: q + 128.
  __device__ __forceinline__ Codes offset() const { return {low ^ 0x80808080U, high ^ 0x80808080U}; }
};
template <int kAlign>
__device__ __forceinline__ Codes codes_at(const std::uint8_t* p) {
  return {word_at<kAlign>(p), word_at<kAlign>(p + 4)};
}
// Bit i of the lowest byte becomes byte i: products spread four bits without carries.
__device__ __forceinline__ Codes spread(std::uint32_t bits) {
  return {((bits & 15U) * 0x00204081U) & 0x01010101U, ((bits >> 4 & 15U) * 0x00204081U) & 0x01010101U};
}

// The code minus kZero, exactly: 2^23 + q is the fp32 number with q as its last bits.
template <int kZero = 0>
__device__ __forceinline__ float number(std::uint32_t q) {
  return __uint_as_float(0x4B000000U | q) - (8388608.0F + kZero);
}
template <int kZero = 0>
__device__ __forceinline__ void scaled(const Codes& q, float d, Eight& y) {
#pragma unroll
  for (int i = 0; i < 8; ++i) y.x[i] = __fmul_rn(number<kZero>(q[i]), d);
}
__device__ __forceinline__ void affine(const Codes& q, float d, float m, Eight& y) {
#pragma unroll
  for (int i = 0; i < 8; ++i) y.x[i] = __fadd_rn(__fmul_rn(number(q[i]), d), m);
}
// `table`: the 16 numbers of the type in shared memory.
__device__ __forceinline__ void looked_up(const Codes& q, const float* table, float d, Eight& y) {
#pragma unroll
  for (int i = 0; i < 8; ++i) y.x[i] = __fmul_rn(table[q[i]], d);
}

// Sixteen bytes: number j in the low half of byte j, number j + 16 in its high half.
template <int kAlign>
__device__ __forceinline__ Codes half_codes(const std::uint8_t* qs, int first) {
  return codes_at<kAlign>(qs + first % 16).bits(first / 16 * 4, 15U);
}

// A format: kElements numbers in kBytes bytes; decode() gives numbers first .. first + 7 of the block at `b`,
// first a multiple of 8. kTable: whether it reads the 16 numbers of table() from shared memory.
template <DType kType, bool kReadsTable = false>
struct Format {
  static constexpr int kElements = block_of(kType).elements, kBytes = block_of(kType).bytes;
  static constexpr int kAlign = kBytes % 4 == 0 ? 4 : 2;
  static constexpr bool kTable = kReadsTable;
};

template <DType kType, class Scale>
struct DecodeQ4_0 : Format<kType> {
  static __device__ __forceinline__ void decode(const std::uint8_t* b, int first, const float*, Eight& y) {
    scaled<8>(half_codes<Format<kType>::kAlign>(b + sizeof(Scale), first), scale_at<Scale>(b), y);
  }
};
template <DType kType, class Scale>
struct DecodeQ4_1 : Format<kType> {
  static __device__ __forceinline__ void decode(const std::uint8_t* b, int first, const float*, Eight& y) {
    affine(half_codes<4>(b + 2 * sizeof(Scale), first), scale_at<Scale>(b),
           scale_at<Scale>(b + sizeof(Scale)), y);
  }
};
template <DType kType, class Scale>
struct DecodeQ8_0 : Format<kType> {
  static __device__ __forceinline__ void decode(const std::uint8_t* b, int first, const float*, Eight& y) {
    scaled<128>(codes_at<Format<kType>::kAlign>(b + sizeof(Scale) + first).offset(), scale_at<Scale>(b), y);
  }
};
struct DecodeQ5_0 : Format<DType::q5_0> {
  static __device__ __forceinline__ void decode(const std::uint8_t* b, int first, const float*, Eight& y) {
    const Codes fifth = spread(word_at<kAlign>(b + 2) >> first);
    scaled<16>(half_codes<kAlign>(b + 6, first).join(fifth, 4), half_at(b), y);
  }
};
struct DecodeQ5_1 : Format<DType::q5_1> {
  static __device__ __forceinline__ void decode(const std::uint8_t* b, int first, const float*, Eight& y) {
    const Codes fifth = spread(word_at<kAlign>(b + 4) >> first);
    affine(half_codes<kAlign>(b + 8, first).join(fifth, 4), half_at(b), half_at(b + 2), y);
  }
};
struct DecodeIq4Nl : Format<DType::iq4_nl, true> {
  static __device__ __forceinline__ const float* table() { return kIq4NlCodes.value; }
  static __device__ __forceinline__ void decode(const std::uint8_t* b, int first, const float* table,
                                                Eight& y) {
    looked_up(half_codes<kAlign>(b + 2, first), table, half_at(b), y);
  }
};

struct DecodeQ2K : Format<DType::q2_k> {
  static __device__ __forceinline__ void decode(const std::uint8_t* b, int first, const float*, Eight& y) {
    const int half = first / 128, shift = first % 128 / 32 * 2, scales = b[first / 16];
    affine(codes_at<kAlign>(b + 16 + 32 * half + first % 32).bits(shift, 3U),
           half_at(b + 80) * static_cast<float>(scales & 15),
           -(half_at(b + 82) * static_cast<float>(scales >> 4)), y);
  }
};
struct DecodeQ3K : Format<DType::q3_k> {
  static __device__ __forceinline__ void decode(const std::uint8_t* b, int first, const float*, Eight& y) {
    const int half = first / 128, shift = first % 128 / 32, lane = first % 32, j = first / 16;
    const int lower = b[96 + j % 8] >> (j / 8 * 4) & 15, upper = b[104 + j % 4] >> (j / 4 * 2) & 3;
    const Codes two = codes_at<kAlign>(b + 32 + 32 * half + lane).bits(2 * shift, 3U);
    const Codes third = codes_at<kAlign>(b + lane).bits(4 * half + shift, 1U);
    scaled<4>(two.join(third, 2), half_at(b + 108) * static_cast<float>((lower | upper << 4) - 32), y);
  }
};
// Six-bit scale and minimum of group j: bytes s[0..3] and s[4..7], or halves of s[8..11] with the two upper
// bits of those.
__device__ __forceinline__ void affine_six_bit(const std::uint8_t* b, const Codes& q, int j, Eight& y) {
  const std::uint8_t* s = b + 4 + j % 4;
  const int scale = s[0], least = s[4], halves = s[8];
  const int sc = j < 4 ? scale & 63 : (halves & 15) | scale >> 6 << 4;
  const int m = j < 4 ? least & 63 : halves >> 4 | least >> 6 << 4;
  affine(q, half_at(b) * static_cast<float>(sc), -(half_at(b + 2) * static_cast<float>(m)), y);
}
struct DecodeQ4K : Format<DType::q4_k> {
  static __device__ __forceinline__ void decode(const std::uint8_t* b, int first, const float*, Eight& y) {
    const int j = first / 32;
    const Codes q = codes_at<kAlign>(b + 16 + 32 * (j / 2) + first % 32).bits(j % 2 * 4, 15U);
    affine_six_bit(b, q, j, y);
  }
};
struct DecodeQ5K : Format<DType::q5_k> {
  static __device__ __forceinline__ void decode(const std::uint8_t* b, int first, const float*, Eight& y) {
    const int j = first / 32;
    const Codes four = codes_at<kAlign>(b + 48 + 32 * (j / 2) + first % 32).bits(j % 2 * 4, 15U);
    affine_six_bit(b, four.join(codes_at<kAlign>(b + 16 + first % 32).bits(j, 1U), 4), j, y);
  }
};
struct DecodeQ6K : Format<DType::q6_k> {
  static __device__ __forceinline__ void decode(const std::uint8_t* b, int first, const float*, Eight& y) {
    const int half = first / 128, shift = first % 128 / 32, lane = first % 32;
    const Codes four = codes_at<kAlign>(b + 64 * half + 32 * (shift % 2) + lane).bits(shift / 2 * 4, 15U);
    const Codes two = codes_at<kAlign>(b + 128 + 32 * half + lane).bits(2 * shift, 3U);
    const auto scale = static_cast<float>(static_cast<std::int8_t>(b[192 + first / 16]));
    scaled<32>(four.join(two, 4), half_at(b + 208) * scale, y);
  }
};

// Eight codes in four bytes, the first of a byte in its high half.
__device__ __forceinline__ void normal_floats(std::uint32_t w, const float* table, float d, Eight& y) {
  const std::uint32_t high = w >> 4 & 0x0F0F0F0FU, low = w & 0x0F0F0F0FU;
  looked_up({__byte_perm(high, low, 0x5140), __byte_perm(high, low, 0x7362)}, table, d, y);
}
struct DecodeNf4 : Format<DType::nf4, true> {
  static __device__ __forceinline__ const float* table() { return kNf4Codes.value; }
  static __device__ __forceinline__ void decode(const std::uint8_t* b, int first, const float* table,
                                                Eight& y) {
    normal_floats(word_at<kAlign>(b + first / 2), table, float_at(b + 32), y);
  }
};
struct DecodeNf4Dq : Format<DType::nf4_dq, true> {
  static __device__ __forceinline__ const float* table() { return kNf4Codes.value; }
  static __device__ __forceinline__ void decode(const std::uint8_t* b, int first, const float* table,
                                                Eight& y) {
    const float code = kNf4Scales.value[b[128 + first / 64]];
    const float d = __fadd_rn(__fmul_rn(code, float_at(b + 132)), float_at(b + 136));
    normal_floats(word_at<kAlign>(b + first / 2), table, d, y);
  }
};

// The format's table, filled by the whole block before anybody decodes; `shared` holds 16 numbers.
template <class F>
__device__ __forceinline__ void load_table(float* shared) {
  if constexpr (F::kTable) {
    if (threadIdx.x < 16) shared[threadIdx.x] = F::table()[threadIdx.x];
    __syncthreads();
  }
}

// Calls f(Format{}) with the decoder of a block type; on the host, to choose an instance of a kernel.
template <class F>
decltype(auto) with_block_format(std::string_view op, DType type, F&& f) {
  switch (type) {
    case DType::q4_0:
      return f(DecodeQ4_0<DType::q4_0, Half>{});
    case DType::q4_1:
      return f(DecodeQ4_1<DType::q4_1, Half>{});
    case DType::q5_0:
      return f(DecodeQ5_0{});
    case DType::q5_1:
      return f(DecodeQ5_1{});
    case DType::q8_0:
      return f(DecodeQ8_0<DType::q8_0, Half>{});
    case DType::q2_k:
      return f(DecodeQ2K{});
    case DType::q3_k:
      return f(DecodeQ3K{});
    case DType::q4_k:
      return f(DecodeQ4K{});
    case DType::q5_k:
      return f(DecodeQ5K{});
    case DType::q6_k:
      return f(DecodeQ6K{});
    case DType::iq4_nl:
      return f(DecodeIq4Nl{});
    case DType::q4_0_f32:
      return f(DecodeQ4_0<DType::q4_0_f32, float>{});
    case DType::q4_1_f32:
      return f(DecodeQ4_1<DType::q4_1_f32, float>{});
    case DType::q8_0_f32:
      return f(DecodeQ8_0<DType::q8_0_f32, float>{});
    case DType::nf4:
      return f(DecodeNf4{});
    case DType::nf4_dq:
      return f(DecodeNf4Dq{});
    default:
      throw ShapeError(join(op, ": no CUDA decoder for ", name_of(type)));
  }
}

}  // namespace rankine::cuda
