// Element types a tensor in memory can have, and the one place that turns a DType into a C++ type.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "engine/core/error.h"
#include "engine/core/half.h"

namespace rankine {

enum class DType : std::uint8_t { f32, f16, bf16, i32 };

constexpr std::size_t size_of(DType t) { return t == DType::f16 || t == DType::bf16 ? 2 : 4; }

constexpr std::string_view name_of(DType t) {
  switch (t) {
    case DType::f32:
      return "f32";
    case DType::f16:
      return "f16";
    case DType::bf16:
      return "bf16";
    case DType::i32:
      return "i32";
  }
  return "?";
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
