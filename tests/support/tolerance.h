// The project's one tolerance table. An error is judged as |got - want| <= abs + rel |want|, with the scale
// of the whole tensor (its largest |want|) as the unit of `abs`.
#pragma once

#include "engine/core/dtype.h"

namespace rankine::testing_support {

struct Tolerance {
  double abs;  // times max |want| over the tensor
  double rel;
};

// A kernel against its scalar reference in double, by the dtype its activations are stored in: four units in
// the last place of the type where it is rounded once or twice on the way, accumulation being fp32.
constexpr Tolerance kernel_tolerance(DType t) {
  switch (t) {
    case DType::f32:
      return {1e-5, 1e-5};
    case DType::f16:
      return {0x1p-9, 0x1p-9};
    case DType::bf16:
      return {0x1p-6, 0x1p-6};
    default:
      return {0, 0};
  }
}
// A hand-written backward against central differences in double.
inline constexpr Tolerance kGradcheck{1e-6, 1e-6};
// A model in fp32 against PyTorch in fp32: the relative L2 error of the whole tensor.
inline constexpr double kModelRelative = 1e-4;

}  // namespace rankine::testing_support
