#include "kernels/common/row_decoder.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "engine/core/block_formats.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/common/row_decoder_cpu.cpp"
#include "kernels/common/simd_targets.h"

#include <hwy/foreach_target.h>

#include "kernels/common/block_decode-inl.h"

HWY_BEFORE_NAMESPACE();
namespace rankine::HWY_NAMESPACE {
namespace {

using cpu::kDecodeGroup;  // NOLINT(misc-unused-using-decls): used in templates
using cpu::RowDecoder;

template <class T>
void decode_plain(const void* row, std::int64_t first, std::int64_t count, float* y) {
  decode(y, static_cast<const T*>(row) + first, count);
}

// Whole blocks go straight to y, parts of one through a buffer.
template <DType kType>
void decode_scalar(const void* row, std::int64_t first, std::int64_t count, float* y) {
  constexpr BlockShape kShape = block_of(kType);
  const auto* blocks = static_cast<const std::byte*>(row);
  for (const std::int64_t end = first + count; first < end;) {
    const std::int64_t skip = first % kShape.elements, n = std::min(kShape.elements - skip, end - first);
    const std::byte* block = blocks + first / kShape.elements * static_cast<std::int64_t>(kShape.bytes);
    if (n == kShape.elements) {
      decode_blocks(kType, block, {y, static_cast<std::size_t>(n)});
    } else {
      std::array<float, kShape.elements> whole;
      decode_blocks(kType, block, whole);
      std::copy_n(whole.data() + skip, n, y);
    }
    first += n;
    y += n;
  }
}

#if RANKINE_VECTOR_BLOCKS
template <class Format>
void decode_small(const void* row, std::int64_t first, std::int64_t count, float* y) {
  const auto* block = static_cast<const std::uint8_t*>(row) + first / kDecodeGroup * Format::kBytes;
  for (std::int64_t i = count / kDecodeGroup; i > 0; --i, block += Format::kBytes, y += kDecodeGroup)
    Format::decode(block, y);
}

template <class Format>
void decode_large(const void* row, std::int64_t first, std::int64_t count, float* y) {
  const std::int64_t end = (first + count) / kDecodeGroup;
  float scales[Format::kScales];
  for (std::int64_t group = first / kDecodeGroup; group < end;) {
    const auto* block = static_cast<const std::uint8_t*>(row) + group / Format::kGroups * Format::kBytes;
    const int begin = static_cast<int>(group % Format::kGroups);
    const int last = static_cast<int>(std::min<std::int64_t>(Format::kGroups, begin + end - group));
    Format::prepare(block, scales);
    if (last - begin == Format::kGroups) {
#pragma GCC unroll 8
      for (int j = 0; j < Format::kGroups; ++j) Format::decode(block, j, scales, y + j * kDecodeGroup);
    } else {
      for (int j = begin; j < last; ++j) Format::decode(block, j, scales, y + (j - begin) * kDecodeGroup);
    }
    y += (last - begin) * kDecodeGroup;
    group += last - begin;
  }
}

template <class Format, DType kType>
constexpr RowDecoder vector_decoder() {
  static_assert(Format::kBytes == block_of(kType).bytes &&
                Format::kGroups * kDecodeGroup == block_of(kType).elements);
  if constexpr (Format::kGroups == 1)
    return &decode_small<Format>;
  else
    return &decode_large<Format>;
}
#define RANKINE_DECODER(type, ...) \
  case DType::type:                \
    return vector_decoder<__VA_ARGS__, DType::type>()
#else
#define RANKINE_DECODER(type, ...) \
  case DType::type:                \
    return &decode_scalar<DType::type>
#endif
}  // namespace

RowDecoder row_decoder_of(DType t) {
  switch (t) {
    RANKINE_DECODER(q4_0, Q4_0<Half>);
    RANKINE_DECODER(q4_1, Q4_1<Half>);
    RANKINE_DECODER(q5_0, Q5_0);
    RANKINE_DECODER(q5_1, Q5_1);
    RANKINE_DECODER(q8_0, Q8_0<Half>);
    RANKINE_DECODER(q2_k, Q2K);
    RANKINE_DECODER(q3_k, Q3K);
    RANKINE_DECODER(q4_k, Q4K);
    RANKINE_DECODER(q5_k, Q5K);
    RANKINE_DECODER(q6_k, Q6K);
    RANKINE_DECODER(iq4_nl, Iq4Nl);
    RANKINE_DECODER(q4_0_f32, Q4_0<float>);
    RANKINE_DECODER(q4_1_f32, Q4_1<float>);
    RANKINE_DECODER(q8_0_f32, Q8_0<float>);
    RANKINE_DECODER(nf4, Nf4);
    RANKINE_DECODER(nf4_dq, Nf4Dq);
    case DType::f32:
      return &decode_plain<float>;
    case DType::f16:
      return &decode_plain<Half>;
    case DType::bf16:
      return &decode_plain<BFloat16>;
    case DType::i32:
      break;
  }
  throw std::logic_error("row_decoder: " + std::string(name_of(t)) + " is no weight's type");
}
#undef RANKINE_DECODER

}  // namespace rankine::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace rankine::cpu {

HWY_EXPORT(row_decoder_of);

RowDecoder row_decoder(DType t) { return HWY_DYNAMIC_DISPATCH(row_decoder_of)(t); }

}  // namespace rankine::cpu
#endif
