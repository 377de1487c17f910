#include "models/nn/leaves.h"

namespace rankine {
namespace {
using From = std::vector<Tensor>;
}

Tensor Silu::forward(const Context& c, const Tensor& x) {
  Tensor y = c.like(x, "silu");
  silu_forward(c, y, x);
  save(c, this, "silu", Saved{x});
  derive(c, y, {x}, [](const Context& k, Tensor& out, const From& from) { silu_forward(k, out, from[0]); });
  return y;
}

Tensor Silu::backward(const Context& c, const Tensor& dy) {
  const Saved s = restore<Saved>(c, this, "silu");
  Tensor dx = c.like(dy, "dx");
  silu_backward(c, dx, dy, s.x);
  return dx;
}

Tensor GeluLayer::forward(const Context& c, const Tensor& x) {
  Tensor y = c.like(x, "gelu");
  gelu_forward(c, y, x, kind);
  save(c, this, "gelu", Saved{x});
  derive(c, y, {x}, [kind = kind](const Context& k, Tensor& out, const From& from) {
    gelu_forward(k, out, from[0], kind);
  });
  return y;
}

Tensor GeluLayer::backward(const Context& c, const Tensor& dy) {
  const Saved s = restore<Saved>(c, this, "gelu");
  Tensor dx = c.like(dy, "dx");
  gelu_backward(c, dx, dy, s.x, kind);
  return dx;
}

LinearInput Geglu::forward(const Context& c, const Tensor& x, const MiddleRequest& wanted) {
  Tensor y = c.empty(x.shape().with_dim(-1, x.cols() / 2), "geglu");
  LinearInput written(c, y, wanted);
  if (written.middle.defined()) {
    geglu_forward_with_middle(c, y, x, {written.middle, wanted.down});
  } else {
    geglu_forward(c, y, x);
  }
  save(c, this, "geglu", Saved{x});
  derive(c, y, {x}, [](const Context& k, Tensor& out, const From& from) { geglu_forward(k, out, from[0]); });
  return written;
}

Tensor Geglu::backward(const Context& c, const Tensor& dy) {
  const Saved s = restore<Saved>(c, this, "geglu");
  Tensor dx = c.like(s.x, "dx");
  geglu_backward(c, dx, dy, s.x);
  return dx;
}

LinearInput Swiglu::forward(const Context& c, const Tensor& gate, const Tensor& up,
                            const MiddleRequest& wanted) {
  Tensor y = c.like(gate, "swiglu");
  LinearInput written(c, y, wanted);
  if (written.middle.defined()) {
    swiglu_forward_with_middle(c, y, gate, up, {written.middle, wanted.down});
  } else {
    swiglu_forward(c, y, gate, up);
  }
  save(c, this, "swiglu", Saved{gate, up});
  derive(c, y, {gate, up},
         [](const Context& k, Tensor& out, const From& from) { swiglu_forward(k, out, from[0], from[1]); });
  return written;
}

Swiglu::Grads Swiglu::backward(const Context& c, const Tensor& dy) {
  const Saved s = restore<Saved>(c, this, "swiglu");
  Grads g{c.like(s.gate, "d gate"), c.like(s.up, "d up")};
  swiglu_backward(c, g.dgate, g.dup, dy, s.gate, s.up);
  return g;
}

LinearInput FusedSwiglu::forward(const Context& c, const Tensor& x, const MiddleRequest& wanted) {
  Tensor y = c.empty(x.shape().with_dim(-1, x.cols() / 2), "swiglu");
  LinearInput written(c, y, wanted);
  if (written.middle.defined()) {
    swiglu_forward_with_middle(c, y, x, {written.middle, wanted.down});
  } else {
    swiglu_forward(c, y, x);
  }
  save(c, this, "swiglu", Saved{x});
  derive(c, y, {x}, [](const Context& k, Tensor& out, const From& from) { swiglu_forward(k, out, from[0]); });
  return written;
}

Tensor FusedSwiglu::backward(const Context& c, const Tensor& dy) {
  const Saved s = restore<Saved>(c, this, "swiglu");
  Tensor dx = c.like(s.x, "dx");
  swiglu_backward(c, dx, dy, s.x);
  return dx;
}

Tensor AttentionCore::forward(const Context& c, const Tensor& q, const Tensor& k, const Tensor& v,
                              const Tensor& visible) {
  Tensor o = c.like(q, "attention");
  Tensor lse = c.empty({q.dim(0), spec.heads, q.dim(1)}, "attention lse", DType::f32);
  AttentionSpec seen = spec;
  seen.visible = visible;
  attention_forward(c, o, lse, q, k, v, seen);
  save(c, this, "attention", Saved{q, k, v, o, lse, visible});
  return o;
}

AttentionCore::Grads AttentionCore::backward(const Context& c, const Tensor& d_o) {
  const Saved s = restore<Saved>(c, this, "attention");
  Grads g{c.like(s.q, "dq"), c.like(s.k, "dk"), c.like(s.v, "dv")};
  AttentionSpec seen = spec;
  seen.visible = s.visible;
  attention_backward(c, {g.dq, g.dk, g.dv}, d_o, {s.q, s.k, s.v, s.o, s.lse}, seen);
  return g;
}

}  // namespace rankine
