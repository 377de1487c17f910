// Weights of every block type with random codes: what a quantised file holds, without a file.
#pragma once

#include <cstring>
#include <initializer_list>

#include "engine/core/block_formats.h"
#include "tests/support/compare.h"

namespace rankine::testing_support {

inline constexpr DType kBlockTypes[] = {DType::q4_0,     DType::q4_1,     DType::q5_0,     DType::q5_1,
                                        DType::q8_0,     DType::q2_k,     DType::q3_k,     DType::q4_k,
                                        DType::q5_k,     DType::q6_k,     DType::nf4,      DType::iq4_nl,
                                        DType::q4_0_f32, DType::q4_1_f32, DType::q8_0_f32, DType::nf4_dq};

// Where a block's scales lie, and whether they are halves.
struct ScaleFields {
  bool halves;
  int first, second;  // second < 0: there is one
};
inline ScaleFields scale_fields(DType t) {
  switch (t) {
    case DType::q4_1:
    case DType::q5_1:
    case DType::q4_k:
    case DType::q5_k:
      return {true, 0, 2};
    case DType::q2_k:
      return {true, 80, 82};
    case DType::q3_k:
      return {true, 108, -1};
    case DType::q6_k:
      return {true, 208, -1};
    case DType::q4_0_f32:
    case DType::q8_0_f32:
      return {false, 0, -1};
    case DType::q4_1_f32:
      return {false, 0, 4};
    case DType::nf4:
      return {false, 32, -1};
    case DType::nf4_dq:
      return {false, 132, 136};
    default:
      return {true, 0, -1};
  }
}

// Any codes, and scales in (-1/8, 1/8): every bit pattern of a code occurs, no value overflows.
inline Tensor random_blocks(const Context& c, Shape shape, DType type, std::uint32_t id) {
  Tensor t = c.empty(shape, "blocks", type);
  HostRandom random({99, purpose("blocks"), 0, id});
  auto* bytes = static_cast<std::uint8_t*>(t.raw());
  for (std::size_t i = 0; i < t.bytes(); ++i) bytes[i] = static_cast<std::uint8_t>(random.below(256));
  const ScaleFields fields = scale_fields(type);
  for (std::size_t at = 0; at < t.bytes(); at += block_of(type).bytes) {
    for (const int field : {fields.first, fields.second}) {
      if (field < 0) continue;
      const float scale = (random.uniform() - 0.5F) / 4;
      const Half half = to_half(scale);
      if (fields.halves)
        std::memcpy(bytes + at + field, &half, sizeof half);
      else
        std::memcpy(bytes + at + field, &scale, sizeof scale);
    }
  }
  return t;
}

// The same numbers in fp32.
inline Tensor decoded_blocks(const Context& c, const Tensor& w) {
  Tensor t = c.empty(w.shape(), "decoded");
  decode_blocks(w.dtype(), static_cast<const std::byte*>(w.raw()), t.span<float>());
  return t;
}

}  // namespace rankine::testing_support
