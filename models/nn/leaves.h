// Leaves without weights: activations and the attention product. Each saves only what its backward reads.
#pragma once

#include "engine/tape/tape.h"
#include "kernels/activation/activation.h"
#include "kernels/attention/attention.h"

namespace rankine {

struct Silu {
  Tensor forward(const Context& c, const Tensor& x);
  Tensor backward(const Context& c, const Tensor& dy);

 private:
  struct Saved {
    Tensor x;
  };
};

struct GeluLayer {
  Gelu kind = Gelu::erf;
  Tensor forward(const Context& c, const Tensor& x);
  Tensor backward(const Context& c, const Tensor& dy);

 private:
  struct Saved {
    Tensor x;
  };
};

// (..., 2F) -> (..., F)
struct Geglu {
  Tensor forward(const Context& c, const Tensor& x);
  Tensor backward(const Context& c, const Tensor& dy);

 private:
  struct Saved {
    Tensor x;
  };
};

// softmax(scale q kᵀ) v by blocks: q (N, Tq, C), k, v (N, Tk, C) -> (N, Tq, C).
struct AttentionCore {
  AttentionSpec spec;
  Tensor forward(const Context& c, const Tensor& q, const Tensor& k, const Tensor& v);
  struct Grads {
    Tensor dq, dk, dv;
  };
  Grads backward(const Context& c, const Tensor& d_o);

 private:
  struct Saved {
    Tensor q, k, v, o, lse;
  };
};

}  // namespace rankine
