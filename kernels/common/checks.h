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

// Activations: fp32 on the CPU; fp16 or bf16 on CUDA.
inline void check_float(std::string_view op, std::string_view what, const Tensor& t, const Shape& expected) {
  check_shape(op, what, t, expected);
  check_dtype(op, what, t, DType::f32);
}

// Called where an operation has no kernel for the context's device.
[[noreturn]] inline void no_kernel(std::string_view op, const Context& c) {
  throw Error(join(op, ": no kernel for ", c.device().to_string(), " in this build; use device: cpu"));
}

}  // namespace rankine
