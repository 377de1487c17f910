#include "models/nn/rotary.h"

namespace rankine {

void Rotary::forward(const Context& c, Tensor& x, const Tensor& cos_sin) {
  rope_forward(c, x, x, cos_sin, spec);
  save(c, this, "rotary", Saved{cos_sin});
}

void Rotary::backward(const Context& c, Tensor& dx) {
  const Saved s = restore<Saved>(c, this, "rotary");
  rope_backward(c, dx, dx, s.cos_sin, spec);
}

}  // namespace rankine
