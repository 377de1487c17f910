// Element types a tensor in memory can have, and the one place that turns a DType into a C++ type.
#pragma once

#include <cstddef>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <string_view>

#include "engine/core/error.h"
#include "engine/core/half.h"

namespace rankine {

enum class DType : std::uint8_t {
  f32,
  f16,
  bf16,
  i32,
  // Blocks of quantised numbers along a row; layouts and decoding in engine/core/block_formats.h.
  q4_0,
  q4_1,
  q5_0,
  q5_1,
  q8_0,
  q2_k,
  q3_k,
  q4_k,
  q5_k,
  q6_k,
  iq4_nl,
  q4_0_f32,  // as q4_0, q4_1, q8_0, with fp32 scales: files of early 2023
  q4_1_f32,
  q8_0_f32,
  nf4,     // NormalFloat4, 64 numbers and their fp32 absmax     (Dettmers et al., QLoRA, 2023)
  nf4_dq,  // the same with double quantisation, 256 numbers
};

// The smallest piece a type is stored in: `elements` numbers in `bytes` bytes. Rows hold whole blocks.
struct BlockShape {
  std::string_view name;
  std::int64_t elements;
  std::size_t bytes;
};
constexpr BlockShape block_of(DType t) {
  constexpr BlockShape kShapes[] = {
      {"f32", 1, 4},        {"f16", 1, 2},        {"bf16", 1, 2},     {"i32", 1, 4},
      {"q4_0", 32, 18},     {"q4_1", 32, 20},     {"q5_0", 32, 22},   {"q5_1", 32, 24},
      {"q8_0", 32, 34},     {"q2_k", 256, 84},    {"q3_k", 256, 110}, {"q4_k", 256, 144},
      {"q5_k", 256, 176},   {"q6_k", 256, 210},   {"iq4_nl", 32, 18}, {"q4_0_f32", 32, 20},
      {"q4_1_f32", 32, 24}, {"q8_0_f32", 32, 36}, {"nf4", 64, 36},    {"nf4_dq", 256, 140}};
  return kShapes[static_cast<int>(t)];
}
constexpr bool is_block(DType t) { return block_of(t).elements > 1; }
constexpr std::string_view name_of(DType t) { return block_of(t).name; }

// Bytes of one number; throws for a block type, whose numbers have no size of their own.
constexpr std::size_t size_of(DType t) {
  if (is_block(t)) throw std::logic_error("size_of: " + std::string(name_of(t)) + " is stored in blocks");
  return block_of(t).bytes;
}
// Bytes of `numel` numbers, whole blocks.
constexpr std::size_t bytes_of(DType t, std::int64_t numel) {
  return static_cast<std::size_t>(numel / block_of(t).elements) * block_of(t).bytes;
}

template <class T>
inline constexpr DType dtype_of = DType::f32;
template <>
inline constexpr DType dtype_of<Half> = DType::f16;
template <>
inline constexpr DType dtype_of<BFloat16> = DType::bf16;
template <>
inline constexpr DType dtype_of<std::int32_t> = DType::i32;

// Calls f.template operator()<T>() with T = float, Half or BFloat16; throws ShapeError naming `op` otherwise.
template <class F>
decltype(auto) visit_float(std::string_view op, DType t, F&& f) {
  switch (t) {
    case DType::f32:
      return f.template operator()<float>();
    case DType::f16:
      return f.template operator()<Half>();
    case DType::bf16:
      return f.template operator()<BFloat16>();
    default:
      throw ShapeError(join(op, ": expected a floating-point tensor, got ", name_of(t)));
  }
}

}  // namespace rankine
