// Decoders of quantised blocks, one struct per type: a block's multipliers as fp32 (`prepare`), then its
// groups of 32 numbers (`decode`). Layouts as in engine/core/block_formats.h, values bit for bit. x86 vectors
// of 8 and 16 floats; elsewhere the scalar decoder does the work. Included once per target.
//
// A half has 11 significant bits, codes and sub-scales at most 8: every product of the ggml types is exact in
// fp32, so neither the order of factors nor a fused multiply-add changes a bit. Types with fp32 scales round
// once per operation as written: this code is compiled without contraction.
#if defined(RANKINE_KERNELS_COMMON_BLOCK_DECODE_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef RANKINE_KERNELS_COMMON_BLOCK_DECODE_INL_H_
#undef RANKINE_KERNELS_COMMON_BLOCK_DECODE_INL_H_
#else
#define RANKINE_KERNELS_COMMON_BLOCK_DECODE_INL_H_
#endif

#include <array>
#include <bit>
#include <cstring>
#include <type_traits>

#include "engine/core/nf4.h"
#include "kernels/common/simd-inl.h"

#undef RANKINE_VECTOR_BLOCKS
#if HWY_ARCH_X86 && HWY_TARGET <= HWY_AVX2
#define RANKINE_VECTOR_BLOCKS 1

HWY_BEFORE_NAMESPACE();
namespace rankine::HWY_NAMESPACE {

using I32 = hn::RebindToSigned<F32>;
using VecI = hn::Vec<I32>;
inline constexpr int kWidth = static_cast<int>(hn::MaxLanes(F32()));
static_assert(kWidth == 8 || kWidth == 16);

HWY_INLINE VecI seti(int x) { return hn::Set(I32(), x); }
HWY_INLINE VecI load_bytes(const std::uint8_t* p) {
  return hn::PromoteTo(I32(), hn::LoadU(hn::Rebind<std::uint8_t, F32>(), p));
}
HWY_INLINE VecI load_signed(const std::uint8_t* p) {
  const auto* codes = reinterpret_cast<const std::int8_t*>(p);
  return hn::PromoteTo(I32(), hn::LoadU(hn::Rebind<std::int8_t, F32>(), codes));
}
HWY_INLINE VecF to_vec(VecI q) { return hn::ConvertTo(F32(), q); }
HWY_INLINE VecI low(VecI bytes) { return hn::And(bytes, seti(15)); }
HWY_INLINE VecI high(VecI bytes) { return hn::ShiftRight<4>(bytes); }

// The bits of to_float(h) by integer arithmetic, which leaves the vector units to the codes: of normal
// halves, by far the most, the exponent is moved and rebiased.
HWY_INLINE std::uint32_t float_bits(Half h) {
  const auto magnitude = static_cast<std::uint32_t>(h.bits & 0x7FFFU);
  if (HWY_UNLIKELY(magnitude - 0x400U >= 0x7800U)) return std::bit_cast<std::uint32_t>(to_float(h));
  const auto extended = static_cast<std::uint32_t>(static_cast<std::int16_t>(h.bits));
  return (extended << 13 & 0x8FFFE000U) + 0x38000000U;
}

// table[code] for codes of four bits.
HWY_INLINE VecF look_up(const std::array<float, 16>& table, VecI code) {
  const F32 d;
  if constexpr (kWidth == 16) {
    return hn::TableLookupLanes(hn::LoadU(d, table.data()), hn::IndicesFromVec(d, code));
  } else {
    const auto index = hn::IndicesFromVec(d, hn::And(code, seti(7)));
    const VecF first = hn::TableLookupLanes(hn::LoadU(d, table.data()), index);
    const VecF second = hn::TableLookupLanes(hn::LoadU(d, table.data() + 8), index);
    return hn::IfThenElse(hn::RebindMask(d, hn::Gt(code, seti(7))), second, first);
  }
}
inline constexpr std::array<float, 16> kCodes = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
inline constexpr std::array<float, 16> kCentred = {-8, -7, -6, -5, -4, -3, -2, -1, 0, 1, 2, 3, 4, 5, 6, 7};
inline constexpr std::array<float, 16> kIq4NlTable = {-127, -104, -83, -65, -49, -35, -22, -10,
                                                      1,    13,   25,  38,  53,  69,  89,  113};
// A code of four bits as its number, or as its number minus 8: one look-up where a vector holds the table.
HWY_INLINE VecF number(VecI code) { return kWidth == 16 ? look_up(kCodes, code) : to_vec(code); }
HWY_INLINE VecF centred(VecI code) {
  return kWidth == 16 ? look_up(kCentred, code) : to_vec(hn::Sub(code, seti(8)));
}

// Sixteen bytes: the low halves are codes 0..15 of the group, the high halves 16..31.
template <class F>
HWY_INLINE void put_halves(const std::uint8_t* bytes, float* y, const F& value) {
  for (int v = 0; v < 16; v += kWidth) {
    const VecI b = load_bytes(bytes + v);
    store(value(low(b)), y + v);
    store(value(high(b)), y + 16 + v);
  }
}

// Codes of more than four bits are put together 32 bytes at a time, and widened from a buffer.
using Bytes = hn::Full256<std::uint8_t>;
using VecB = hn::Vec<Bytes>;
HWY_INLINE VecB setb(int x) { return hn::Set(Bytes(), static_cast<std::uint8_t>(x)); }
HWY_INLINE VecB bytes_at(const std::uint8_t* p) { return hn::LoadU(Bytes(), p); }
HWY_INLINE VecB shift_right(VecB b, int bits) {  // bits of the neighbouring byte come in at the top
  return hn::BitCast(Bytes(), hn::ShiftRightSame(hn::BitCast(hn::Full256<std::uint16_t>(), b), bits));
}
HWY_INLINE VecB shift_left(VecB b, int bits) {
  return hn::BitCast(Bytes(), hn::ShiftLeftSame(hn::BitCast(hn::Full256<std::uint16_t>(), b), bits));
}
HWY_INLINE VecB half_of(VecB b, bool upper) { return hn::And(upper ? shift_right(b, 4) : b, setb(15)); }

// y = value(code) for 32 unsigned, or signed, codes.
template <class F>
HWY_INLINE void put_codes(VecB codes, float* y, const F& value) {
  HWY_ALIGN std::uint8_t buffer[32];
  hn::Store(codes, Bytes(), buffer);
  for (int v = 0; v < 32; v += kWidth) store(value(load_bytes(buffer + v), v), y + v);
}
template <class F>
HWY_INLINE void put_signed_codes(VecB codes, float* y, const F& value) {
  HWY_ALIGN std::uint8_t buffer[32];
  hn::Store(codes, Bytes(), buffer);
  for (int v = 0; v < 32; v += kWidth) store(value(load_signed(buffer + v), v), y + v);
}

// Multiplier i of a block that begins with multipliers of type S.
template <class S>
HWY_INLINE VecF scale(const std::uint8_t* block, int i = 0) {
  S s;
  std::memcpy(&s, block + static_cast<std::size_t>(i) * sizeof(S), sizeof(S));
  if constexpr (std::is_same_v<S, Half>)
    return hn::BitCast(F32(), hn::Set(hn::RebindToUnsigned<F32>(), float_bits(s)));
  else
    return set(s);
}

// Types of 32 numbers.

// d, u8[16]: y = (q - 8) d
template <class S>
struct Q4_0 {
  static constexpr int kGroups = 1, kBytes = sizeof(S) + 16;
  static HWY_INLINE void decode(const std::uint8_t* b, float* y) {
    const VecF d = scale<S>(b);
    put_halves(b + sizeof(S), y, [d](VecI q) HWY_ATTR { return hn::Mul(centred(q), d); });
  }
};

// d, m, u8[16]: y = q d + m
template <class S>
struct Q4_1 {
  static constexpr int kGroups = 1, kBytes = 2 * sizeof(S) + 16;
  static HWY_INLINE void decode(const std::uint8_t* b, float* y) {
    const VecF d = scale<S>(b), m = scale<S>(b, 1);
    put_halves(b + 2 * sizeof(S), y, [d, m](VecI q) HWY_ATTR {
      if constexpr (std::is_same_v<S, Half>) return hn::MulAdd(number(q), d, m);
      return hn::Add(hn::Mul(number(q), d), m);
    });
  }
};

// Codes of five bits: u32 of fifth bits, u8[16] of the others as above.
HWY_INLINE VecB five_bit_codes(const std::uint8_t* b) {
  const hn::Full128<std::uint8_t> d;
  const auto qs = hn::LoadU(d, b + 4), mask = hn::Set(d, 15);
  const auto upper = hn::BitCast(d, hn::ShiftRight<4>(hn::BitCast(hn::Full128<std::uint16_t>(), qs)));
  const VecB four = hn::Combine(Bytes(), hn::And(upper, mask), hn::And(qs, mask));
  std::uint8_t bits[8] = {};
  std::memcpy(bits, b, 4);
  return hn::Or(four, hn::IfThenElseZero(hn::LoadMaskBits(Bytes(), bits), setb(16)));
}

// d, u32, u8[16]: y = (q - 16) d
struct Q5_0 {
  static constexpr int kGroups = 1, kBytes = 22;
  static HWY_INLINE void decode(const std::uint8_t* b, float* y) {
    const VecF d = scale<Half>(b);
    put_signed_codes(hn::Sub(five_bit_codes(b + 2), setb(16)), y,
                     [d](VecI q, int) HWY_ATTR { return hn::Mul(to_vec(q), d); });
  }
};

// d, m, u32, u8[16]: y = q d + m
struct Q5_1 {
  static constexpr int kGroups = 1, kBytes = 24;
  static HWY_INLINE void decode(const std::uint8_t* b, float* y) {
    const VecF d = scale<Half>(b), m = scale<Half>(b, 1);
    put_codes(five_bit_codes(b + 4), y, [d, m](VecI q, int) HWY_ATTR { return hn::MulAdd(to_vec(q), d, m); });
  }
};

// d, i8[32]: y = q d
template <class S>
struct Q8_0 {
  static constexpr int kGroups = 1, kBytes = sizeof(S) + 32;
  static HWY_INLINE void decode(const std::uint8_t* b, float* y) {
    const VecF d = scale<S>(b);
    for (int v = 0; v < 32; v += kWidth) store(hn::Mul(to_vec(load_signed(b + sizeof(S) + v)), d), y + v);
  }
};

// d, u8[16]: y = table[q] d
struct Iq4Nl {
  static constexpr int kGroups = 1, kBytes = 18;
  static HWY_INLINE void decode(const std::uint8_t* b, float* y) {
    const VecF d = scale<Half>(b);
    put_halves(b + 2, y, [d](VecI q) HWY_ATTR { return hn::Mul(look_up(kIq4NlTable, q), d); });
  }
};

// Larger types: kScales multipliers per block by `prepare`.

HWY_INLINE float half_at(const std::uint8_t* p) {
  Half half;
  std::memcpy(&half, p, sizeof half);
  return std::bit_cast<float>(float_bits(half));
}
using F32x8 = hn::Full256<float>;
// s[i] = d bytes[i] for eight bytes.
template <class Byte>
HWY_INLINE void scale_bytes(const std::uint8_t* bytes, float d, float* s) {
  const auto* codes = reinterpret_cast<const Byte*>(bytes);
  const auto wide = hn::PromoteTo(hn::Full256<std::int32_t>(), hn::LoadU(hn::Full64<Byte>(), codes));
  hn::StoreU(hn::Mul(hn::ConvertTo(F32x8(), wide), hn::Set(F32x8(), d)), F32x8(), s);
}

// u8[16] of a scale and a minimum of four bits, u8[64] pairs of bits, h d, h dmin: y = d scale q - dmin
// minimum, for 16 numbers each.
struct Q2K {
  static constexpr int kGroups = 8, kScales = 32, kBytes = 84;
  static HWY_INLINE void prepare(const std::uint8_t* b, float* s) {
    const hn::Full128<std::uint8_t> d8;
    const auto pairs = hn::LoadU(d8, b), mask = hn::Set(d8, 15);
    const auto upper = hn::BitCast(d8, hn::ShiftRight<4>(hn::BitCast(hn::Full128<std::uint16_t>(), pairs)));
    HWY_ALIGN std::uint8_t codes[32];
    hn::Store(hn::And(pairs, mask), d8, codes);
    hn::Store(hn::And(upper, mask), d8, codes + 16);
    for (int i = 0; i < 32; i += 8)
      scale_bytes<std::uint8_t>(codes + i, half_at(b + (i < 16 ? 80 : 82)), s + i);
  }
  static HWY_INLINE void decode(const std::uint8_t* b, int j, const float* s, float* y) {
    const VecB codes = hn::And(shift_right(bytes_at(b + 16 + 32 * (j / 4)), 2 * (j % 4)), setb(3));
    const VecF d[2] = {set(s[2 * j]), set(s[2 * j + 1])}, m[2] = {set(s[16 + 2 * j]), set(s[17 + 2 * j])};
    put_codes(codes, y,
              [&](VecI q, int at) HWY_ATTR { return hn::MulSub(to_vec(q), d[at / 16], m[at / 16]); });
  }
};

// u8[32] of third bits (bit j of byte l), u8[64] pairs of bits, u8[12] scales of six bits, h d:
// y = d (scale - 32) (q - 4), a scale per 16 numbers.
struct Q3K {
  static constexpr int kGroups = 8, kScales = 16, kBytes = 110;
  static HWY_INLINE void prepare(const std::uint8_t* b, float* s) {
    std::uint32_t w[3], bytes[4];
    std::memcpy(w, b + 96, sizeof w);
    for (int i = 0; i < 4; ++i) {  // four bits of a scale, two more of it, minus 32 in every byte
      const std::uint32_t six = (w[i % 2] >> (4 * (i / 2)) & 0x0F0F0F0FU) | (w[2] >> (2 * i) & 0x03030303U)
                                                                                << 4;
      bytes[i] = ((six | 0x80808080U) - 0x20202020U) ^ 0x80808080U;
    }
    const auto* p = reinterpret_cast<const std::uint8_t*>(bytes);
    const float d = half_at(b + 108);
    scale_bytes<std::int8_t>(p, d, s);
    scale_bytes<std::int8_t>(p + 8, d, s + 8);
  }
  static HWY_INLINE void decode(const std::uint8_t* b, int j, const float* s, float* y) {
    const VecB pair = hn::And(shift_right(bytes_at(b + 32 + 32 * (j / 4)), 2 * (j % 4)), setb(3));
    const VecB third = hn::And(shift_left(shift_right(bytes_at(b), j), 2), setb(4));
    const VecF d[2] = {set(s[2 * j]), set(s[2 * j + 1])};
    put_signed_codes(hn::Sub(hn::Or(pair, third), setb(4)), y,
                     [&d](VecI q, int at) HWY_ATTR { return hn::Mul(to_vec(q), d[at / 16]); });
  }
};

// h d, h dmin, u8[12]: eight pairs of a scale and a minimum of six bits. s = d scale[8], dmin minimum[8].
HWY_INLINE void prepare_pairs(const std::uint8_t* b, float* s) {
  std::uint32_t w[3], bytes[4];  // four six-bit numbers to a word
  std::memcpy(w, b + 4, sizeof w);
  bytes[0] = w[0] & 0x3F3F3F3FU;
  bytes[1] = (w[2] & 0x0F0F0F0FU) | ((w[0] >> 6 & 0x03030303U) << 4);
  bytes[2] = w[1] & 0x3F3F3F3FU;
  bytes[3] = (w[2] >> 4 & 0x0F0F0F0FU) | ((w[1] >> 6 & 0x03030303U) << 4);
  const auto* p = reinterpret_cast<const std::uint8_t*>(bytes);
  scale_bytes<std::uint8_t>(p, half_at(b), s);
  scale_bytes<std::uint8_t>(p + 8, half_at(b + 2), s + 8);
}

// pairs, u8[128]: y = d scale q - dmin minimum. Two groups share 32 bytes.
struct Q4K {
  static constexpr int kGroups = 8, kScales = 16, kBytes = 144;
  static HWY_INLINE void prepare(const std::uint8_t* b, float* s) { prepare_pairs(b, s); }
  static HWY_INLINE void decode(const std::uint8_t* b, int j, const float* s, float* y) {
    const VecF d = set(s[j]), m = set(s[8 + j]);
    for (int v = 0; v < 32; v += kWidth) {
      const VecI bytes = load_bytes(b + 16 + 32 * (j / 2) + v);
      store(hn::MulSub(number(j % 2 ? high(bytes) : low(bytes)), d, m), y + v);
    }
  }
};

// pairs, u8[32] of fifth bits (bit j of byte l), u8[128]: as q4_k.
struct Q5K {
  static constexpr int kGroups = 8, kScales = 16, kBytes = 176;
  static HWY_INLINE void prepare(const std::uint8_t* b, float* s) { prepare_pairs(b, s); }
  static HWY_INLINE void decode(const std::uint8_t* b, int j, const float* s, float* y) {
    const VecF d = set(s[j]), m = set(s[8 + j]);
    const VecB four = half_of(bytes_at(b + 48 + 32 * (j / 2)), j % 2 != 0);
    const VecB fifth = hn::And(shift_left(shift_right(bytes_at(b + 16), j), 4), setb(16));
    put_codes(hn::Or(four, fifth), y, [d, m](VecI q, int) HWY_ATTR { return hn::MulSub(to_vec(q), d, m); });
  }
};

// u8[128] low halves, u8[64] high pairs, i8[16] scales, h d: y = d scale (q - 32), a scale per 16 numbers.
struct Q6K {
  static constexpr int kGroups = 8, kScales = 16, kBytes = 210;
  static HWY_INLINE void prepare(const std::uint8_t* b, float* s) {
    const float d = half_at(b + 208);
    scale_bytes<std::int8_t>(b + 192, d, s);
    scale_bytes<std::int8_t>(b + 200, d, s + 8);
  }
  static HWY_INLINE void decode(const std::uint8_t* b, int j, const float* s, float* y) {
    const int g = j % 4;
    const VecB four = half_of(bytes_at(b + 64 * (j / 4) + 32 * (g & 1)), g >= 2);
    const VecB pair = hn::And(shift_right(bytes_at(b + 128 + 32 * (j / 4)), 2 * g), setb(3));
    const VecB codes = hn::Sub(hn::Or(four, shift_left(pair, 4)), setb(32));
    const VecF d[2] = {set(s[2 * j]), set(s[2 * j + 1])};
    put_signed_codes(codes, y, [&d](VecI q, int at) HWY_ATTR { return hn::Mul(to_vec(q), d[at / 16]); });
  }
};

// Sixteen bytes of codes, the first number of a byte in its high half: y = table[code] absmax.
HWY_INLINE void put_normal_floats(const std::uint8_t* bytes, VecF absmax, float* y) {
  const hn::Full128<std::uint8_t> d;
  const auto b = hn::LoadU(d, bytes), mask = hn::Set(d, 15);
  const auto lo = hn::And(b, mask);
  const auto hi =
      hn::And(hn::BitCast(d, hn::ShiftRight<4>(hn::BitCast(hn::Full128<std::uint16_t>(), b))), mask);
  const VecB codes = hn::Combine(Bytes(), hn::InterleaveUpper(d, hi, lo), hn::InterleaveLower(d, hi, lo));
  put_codes(codes, y, [absmax](VecI q, int) HWY_ATTR { return hn::Mul(look_up(kNf4Table, q), absmax); });
}

// u8[32], f32 absmax
struct Nf4 {
  static constexpr int kGroups = 2, kScales = 1, kBytes = 36;
  static HWY_INLINE void prepare(const std::uint8_t* b, float* s) { std::memcpy(s, b + 32, sizeof(float)); }
  static HWY_INLINE void decode(const std::uint8_t* b, int j, const float* s, float* y) {
    put_normal_floats(b + 16 * j, set(s[0]), y);
  }
};

// u8[128], u8 scale[4], f32 nested, f32 offset: absmax = map[scale] nested + offset per 64 numbers.
struct Nf4Dq {
  static constexpr int kGroups = 8, kScales = 4, kBytes = 140;
  static HWY_INLINE void prepare(const std::uint8_t* b, float* s) {
    float nested[2];
    std::memcpy(nested, b + 132, sizeof nested);
    for (int i = 0; i < 4; ++i) s[i] = kNf4ScaleMap[b[128 + i]] * nested[0] + nested[1];
  }
  static HWY_INLINE void decode(const std::uint8_t* b, int j, const float* s, float* y) {
    put_normal_floats(b + 16 * j, set(s[j / 2]), y);
  }
};

}  // namespace rankine::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // vector targets

#endif  // include guard per target
