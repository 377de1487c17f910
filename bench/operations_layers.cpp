// Convolutions, norms and gates.
#include "bench/operations.h"
#include "kernels/activation/activation.h"
#include "kernels/conv/conv.h"
#include "kernels/norm/norm.h"

namespace rankine::bench {
namespace {

struct ConvOperands {
  Tensor x, y, w;
  Window window;
};
ConvOperands conv_of(Operands& o, const Sizes& n) {
  const Window window{3, static_cast<int>(n[4]), 1, 1};
  const Shape x{n[0], n[1], n[1], n[2]};
  return {o.activations(x), o.activations(conv2d_out_shape(x, n[3], window)), {}, window};
}
Call conv_forward(Operands& o, const Sizes& n) {
  ConvOperands k = conv_of(o, n);
  k.w = o.weight({n[3], 3, 3, n[2]});
  return [c = o.context(), k]() mutable { conv2d_forward(c, k.y, k.x, k.w, {}, k.window); };
}
Call conv_adjoint(Operands& o, const Sizes& n) {
  ConvOperands k = conv_of(o, n);
  k.w = o.weight({n[3], 3, 3, n[2]});
  return [c = o.context(), k]() mutable { conv2d_adjoint(c, k.x, k.y, k.w, k.window, Write::overwrite); };
}
Call conv_weight_grad(Operands& o, const Sizes& n) {
  ConvOperands k = conv_of(o, n);
  k.w = o.floats({n[3], 3, 3, n[2]});
  return [c = o.context(), k]() mutable { conv2d_weight_grad(c, k.w, k.y, k.x, k.window); };
}

struct GroupNormOperands {
  Tensor x, y, dx, stats, gain, bias;
  GroupNormSpec spec;
};
GroupNormOperands group_norm_of(Operands& o, const Sizes& n) {
  const Shape map{n[0], n[1], n[1], n[2]};
  GroupNormOperands k{o.activations(map),
                      o.activations(map),
                      o.activations(map),
                      o.floats({n[0], 32, 2}),
                      o.floats({n[2]}),
                      o.floats({n[2]}),
                      {}};
  k.spec.then = n[3] ? NormThen::silu : NormThen::nothing;
  return k;
}
Call group_norm(Operands& o, const Sizes& n) {
  return [c = o.context(), k = group_norm_of(o, n)]() mutable {
    group_norm_forward(c, k.y, k.stats, k.x, k.gain, k.bias, k.spec);
  };
}
Call group_norm_back(Operands& o, const Sizes& n) {
  return [c = o.context(), k = group_norm_of(o, n)]() mutable {
    group_norm_backward(c, k.dx, k.y, k.x, k.stats, k.gain, k.bias, k.spec);
  };
}
Call group_norm_params(Operands& o, const Sizes& n) {
  return [c = o.context(), k = group_norm_of(o, n), dgain = o.floats({n[2]}),
          dbias = o.floats({n[2]})]() mutable {
    group_norm_param_grad(c, {dgain, dbias}, k.y, k.x, k.stats, k.gain, k.bias, k.spec);
  };
}

struct RowNormOperands {
  Tensor x, y, dx, stats, rstd, gain, bias, dgain, dbias, down, s;
};
RowNormOperands row_norm_of(Operands& o, const Sizes& n) {
  const Shape rows{n[0], n[1]};
  return {o.activations(rows),
          o.activations(rows),
          o.activations(rows),
          o.floats({n[0], 2}),
          o.floats({n[0]}),
          o.floats({n[1]}),
          o.floats({n[1]}),
          o.floats({n[1]}),
          o.floats({n[1]}),
          {},
          {}};
}
RowNormOperands with_middle(Operands& o, const Sizes& n) {
  RowNormOperands k = row_norm_of(o, n);
  k.down = o.activations({o.rank(), n[1]});
  k.s = o.activations({n[0], o.rank()});
  return k;
}
Call layer_norm(Operands& o, const Sizes& n) {
  return [c = o.context(), k = row_norm_of(o, n)]() mutable {
    layer_norm_forward(c, k.y, k.stats, k.x, k.gain, k.bias, 1e-5F);
  };
}
Call layer_norm_middle(Operands& o, const Sizes& n) {
  return [c = o.context(), k = with_middle(o, n)]() mutable {
    layer_norm_forward_with_middle(c, k.y, k.stats, k.x, k.gain, k.bias, 1e-5F, {k.s, k.down});
  };
}
Call layer_norm_back(Operands& o, const Sizes& n) {
  return [c = o.context(), k = row_norm_of(o, n)]() mutable {
    layer_norm_backward(c, k.dx, k.y, k.x, k.stats, k.gain);
  };
}
Call layer_norm_params(Operands& o, const Sizes& n) {
  return [c = o.context(), k = row_norm_of(o, n)]() mutable {
    layer_norm_param_grad(c, k.dgain, k.dbias, k.y, k.x, k.stats);
  };
}
Call rms_norm(Operands& o, const Sizes& n) {
  return [c = o.context(), k = row_norm_of(o, n)]() mutable {
    rms_norm_forward(c, k.y, k.rstd, k.x, k.gain, 1e-5F);
  };
}
Call rms_norm_middle(Operands& o, const Sizes& n) {
  return [c = o.context(), k = with_middle(o, n)]() mutable {
    rms_norm_forward_with_middle(c, k.y, k.rstd, k.x, k.gain, 1e-5F, {k.s, k.down});
  };
}
Call rms_norm_back(Operands& o, const Sizes& n) {
  return [c = o.context(), k = row_norm_of(o, n)]() mutable {
    rms_norm_backward(c, k.dx, k.y, k.x, k.rstd, k.gain);
  };
}
Call rms_norm_params(Operands& o, const Sizes& n) {
  return [c = o.context(), k = row_norm_of(o, n)]() mutable {
    rms_norm_param_grad(c, k.dgain, k.y, k.x, k.rstd);
  };
}

// y (rows, F), x (rows, 2F) = [value | gate] or [gate | up].
struct GateOperands {
  Tensor x, y, dx, down, s;
};
GateOperands gate_of(Operands& o, const Sizes& n, bool middle = false) {
  GateOperands k{
      o.activations({n[0], 2 * n[1]}), o.activations({n[0], n[1]}), o.activations({n[0], 2 * n[1]}), {}, {}};
  if (middle) k.down = o.activations({o.rank(), n[1]}), k.s = o.activations({n[0], o.rank()});
  return k;
}
Call geglu(Operands& o, const Sizes& n) {
  return [c = o.context(), k = gate_of(o, n)]() mutable { geglu_forward(c, k.y, k.x); };
}
Call geglu_middle(Operands& o, const Sizes& n) {
  return [c = o.context(), k = gate_of(o, n, true)]() mutable {
    geglu_forward_with_middle(c, k.y, k.x, {k.s, k.down});
  };
}
Call geglu_back(Operands& o, const Sizes& n) {
  return [c = o.context(), k = gate_of(o, n)]() mutable { geglu_backward(c, k.dx, k.y, k.x); };
}
Call swiglu(Operands& o, const Sizes& n) {
  return [c = o.context(), k = gate_of(o, n)]() mutable { swiglu_forward(c, k.y, k.x); };
}
Call swiglu_middle(Operands& o, const Sizes& n) {
  return [c = o.context(), k = gate_of(o, n, true)]() mutable {
    swiglu_forward_with_middle(c, k.y, k.x, {k.s, k.down});
  };
}
Call swiglu_back(Operands& o, const Sizes& n) {
  return [c = o.context(), k = gate_of(o, n)]() mutable { swiglu_backward(c, k.dx, k.y, k.x); };
}

}  // namespace

std::span<const Operation> conv_operations() {
  static const Operation table[] = {
      {"conv2d_forward", Family::conv, 5, conv_forward},
      {"conv2d_adjoint", Family::conv, 5, conv_adjoint},
      {"conv2d_weight_grad", Family::conv, 5, conv_weight_grad},
  };
  return table;
}

std::span<const Operation> norm_operations() {
  static const Operation table[] = {
      {"group_norm_forward", Family::group_norm, 4, group_norm},
      {"group_norm_backward", Family::group_norm, 4, group_norm_back},
      {"group_norm_param_grad", Family::group_norm, 4, group_norm_params},
      {"layer_norm_forward", Family::layer_norm, 2, layer_norm},
      {"layer_norm_forward_with_middle", Family::layer_norm, 2, layer_norm_middle},
      {"layer_norm_backward", Family::layer_norm, 2, layer_norm_back},
      {"layer_norm_param_grad", Family::layer_norm, 2, layer_norm_params},
      {"rms_norm_forward", Family::rms_norm, 2, rms_norm},
      {"rms_norm_forward_with_middle", Family::rms_norm, 2, rms_norm_middle},
      {"rms_norm_backward", Family::rms_norm, 2, rms_norm_back},
      {"rms_norm_param_grad", Family::rms_norm, 2, rms_norm_params},
  };
  return table;
}

std::span<const Operation> gate_operations() {
  static const Operation table[] = {
      {"geglu_forward", Family::geglu, 2, geglu},
      {"geglu_forward_with_middle", Family::geglu, 2, geglu_middle},
      {"geglu_backward", Family::geglu, 2, geglu_back},
      {"swiglu_forward", Family::swiglu, 2, swiglu},
      {"swiglu_forward_with_middle", Family::swiglu, 2, swiglu_middle},
      {"swiglu_backward", Family::swiglu, 2, swiglu_back},
  };
  return table;
}

}  // namespace rankine::bench
