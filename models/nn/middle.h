// The middle S = x Aᵀ of a linear's adapters can be made by the leaf that writes x, in the same pass
// (kernels/common/middle.h). The linear says what it wants, the leaf gives it along with x:
//
//   const LinearInput n = norm_.forward(c, x, linear_.wants(c));
//   const Tensor y = linear_.forward(c, n);
//
// x has the same bits with and without a middle; where there is none the linear makes it itself.
#pragma once

#include "engine/core/context.h"

namespace rankine {

struct MiddleRequest {
  const void* adapters = nullptr;  // whose middle
  Tensor down;                     // A (R, in); undefined: nothing is wanted
};

struct LinearInput {
  LinearInput(Tensor input) : x(std::move(input)) {}  // NOLINT: any tensor is one, without a middle
  // Room for what `wanted` asks for, beside an x that is about to be written.
  LinearInput(const Context& c, Tensor output, const MiddleRequest& wanted)
      : x(std::move(output)), adapters(wanted.adapters) {
    if (wanted.down.defined()) middle = c.empty(x.shape().with_dim(-1, wanted.down.dim(0)), "lora middle");
  }
  Tensor x;
  Tensor middle;                   // S (..., R), before dropout; or undefined
  const void* adapters = nullptr;  // whose
};

}  // namespace rankine
