// Leaves without weights: activations and the attention product. Each saves only what its backward reads.
// Gated activations can leave the middle of a linear's adapters behind.
#pragma once

#include "engine/tape/tape.h"
#include "kernels/activation/activation.h"
#include "kernels/attention/attention.h"
#include "models/nn/middle.h"

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
  LinearInput forward(const Context& c, const Tensor& x, const MiddleRequest& wanted = {});
  Tensor backward(const Context& c, const Tensor& dy);

 private:
  struct Saved {
    Tensor x;
  };
};

// silu(gate) * up, of two tensors (..., F) or of one (..., 2F) = [gate | up]  (Shazeer 2020).
struct Swiglu {
  LinearInput forward(const Context& c, const Tensor& gate, const Tensor& up,
                      const MiddleRequest& wanted = {});
  struct Grads {
    Tensor dgate, dup;
  };
  Grads backward(const Context& c, const Tensor& dy);

 private:
  struct Saved {
    Tensor gate, up;
  };
};
struct FusedSwiglu {
  LinearInput forward(const Context& c, const Tensor& x, const MiddleRequest& wanted = {});
  Tensor backward(const Context& c, const Tensor& dy);

 private:
  struct Saved {
    Tensor x;
  };
};

// softmax(scale q kᵀ) v by blocks: q (N, Tq, C), k, v (N, Tk, C) -> (N, Tq, C). `visible` as in
// kernels/attention/attention.h; undefined: what spec says alone.
struct AttentionCore {
  AttentionSpec spec;
  Tensor forward(const Context& c, const Tensor& q, const Tensor& k, const Tensor& v,
                 const Tensor& visible = {});
  struct Grads {
    Tensor dq, dk, dv;
  };
  Grads backward(const Context& c, const Tensor& d_o);

 private:
  struct Saved {
    Tensor q, k, v, o, lse, visible;
  };
};

}  // namespace rankine
