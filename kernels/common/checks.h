// Checks at the door of every operation: shape, dtype and device, with the operation's name in the error.
#pragma once

#include <string_view>

#include "engine/core/context.h"

namespace rankine {

// Whether a kernel overwrites its output or adds to it.
enum class Write : std::uint8_t { overwrite, accumulate };

inline void check_shape(std::string_view op, std::string_view what, const Tensor& t, const Shape& expected) {
  require<ShapeError>(t.defined(), op, ": ", what, " is undefined, expected ", expected);
  require<ShapeError>(t.shape() == expected, op, ": expected ", what, " of shape ", expected, ", got ",
                      t.shape());
}

inline void check_dtype(std::string_view op, std::string_view what, const Tensor& t, DType expected) {
  require<ShapeError>(t.defined(), op, ": ", what, " is undefined, expected ", name_of(expected));
  require<ShapeError>(t.dtype() == expected, op, ": expected ", what, " of type ", name_of(expected),
                      ", got ", name_of(t.dtype()));
}

// fp32, whatever the device: statistics, losses, trained parameters and their gradients.
inline void check_float(std::string_view op, std::string_view what, const Tensor& t, const Shape& expected) {
  check_shape(op, what, t, expected);
  check_dtype(op, what, t, DType::f32);
}

// Activations: fp32 on the CPU; fp16, bf16 or fp32 on CUDA, the same for all of one operation. Returns the
// type.
inline DType check_activation(const Context& c, std::string_view op, std::string_view what, const Tensor& t,
                              const Shape& expected) {
  check_shape(op, what, t, expected);
  if (!c.device().is_cuda()) {
    check_dtype(op, what, t, DType::f32);
  } else {
    const DType type = t.dtype();
    require<ShapeError>(type == DType::f16 || type == DType::bf16 || type == DType::f32, op, ": expected ",
                        what, " of type f16, bf16 or f32, got ", name_of(type));
  }
  return t.dtype();
}

// Beside activations of type `type`: the same type; and what may also be fp32.
inline void check_of_type(std::string_view op, std::string_view what, const Tensor& t, const Shape& expected,
                          DType type) {
  check_shape(op, what, t, expected);
  check_dtype(op, what, t, type);
}
inline void check_float_or(std::string_view op, std::string_view what, const Tensor& t, const Shape& expected,
                           DType type) {
  check_shape(op, what, t, expected);
  if (t.dtype() != DType::f32) check_dtype(op, what, t, type);
}

// Called where an operation has no kernel for the context's device.
[[noreturn]] inline void no_kernel(std::string_view op, const Context& c) {
  throw Error(join(op, ": no kernel for ", c.device().to_string(), " in this build; use device: cpu"));
}

}  // namespace rankine
