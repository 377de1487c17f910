#include "models/nn/rotary.h"

namespace rankine {

void Rotary::forward(const Context& c, Tensor& x, const Tensor& cos_sin) {
  derive_in_place(c, x, {cos_sin},
                  [spec = spec](const Context& k, Tensor& out, const std::vector<Tensor>& from) {
                    rope_forward(k, out, out, from[0], spec);
                  });
  rope_forward(c, x, x, cos_sin, spec);
  save(c, this, "rotary", Saved{cos_sin});
}

void Rotary::backward(const Context& c, Tensor& dx) {
  const Saved s = restore<Saved>(c, this, "rotary");
  rope_backward(c, dx, dx, s.cos_sin, spec);
}

}  // namespace rankine
