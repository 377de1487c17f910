// Rotary position embedding as a layer without weights (Su et al. 2021).
#pragma once

#include "engine/tape/tape.h"
#include "kernels/rope/rope.h"

namespace rankine {

// Rotates x (N, T, heads · D) in place by the angles of `cos_sin` (N · T, R). Keeps the table only: backward
// is the rotation by the negative angle.
struct Rotary {
  RopeSpec spec;
  void forward(const Context& c, Tensor& x, const Tensor& cos_sin);
  void backward(const Context& c, Tensor& dx);

 private:
  struct Saved {
    Tensor cos_sin;
  };
};

}  // namespace rankine
