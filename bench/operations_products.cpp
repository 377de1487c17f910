// Products with frozen weights, dense and stored in blocks, and with the adapters beside them.
#include "bench/operations.h"
#include "engine/core/cuda_device.h"
#include "kernels/common/row_decoder.h"
#include "kernels/dora/dora.h"
#include "kernels/lowrank/lowrank.h"
#include "kernels/matmul/decode_cuda.h"
#include "kernels/matmul/gemm_cuda.h"
#include "kernels/matmul/matmul.h"

namespace rankine::bench {
namespace {

Call forward_of(Operands& o, const Sizes& n, const Tensor& w) {
  const Tensor x = o.activations({n[0], n[1]});
  Tensor y = o.activations({n[0], n[2]});
  return [c = o.context(), x, y, w]() mutable { linear_forward(c, y, x, w, {}); };
}
Call adjoint_of(Operands& o, const Sizes& n, const Tensor& w) {
  const Tensor dy = o.activations({n[0], n[2]});
  Tensor dx = o.activations({n[0], n[1]});
  return [c = o.context(), dx, dy, w]() mutable { linear_adjoint(c, dx, dy, w, Write::overwrite); };
}

Call dense_forward(Operands& o, const Sizes& n) { return forward_of(o, n, o.weight({n[2], n[1]})); }
Call dense_adjoint(Operands& o, const Sizes& n) { return adjoint_of(o, n, o.weight({n[2], n[1]})); }
Call weight_grad(Operands& o, const Sizes& n) {
  const Tensor x = o.activations({n[0], n[1]}), dy = o.activations({n[0], n[2]});
  Tensor dw = o.floats({n[2], n[1]});
  return [c = o.context(), dw, dy, x]() mutable { linear_weight_grad(c, dw, dy, x); };
}

Call adapted_forward(Operands& o, const Sizes& n) {
  const Tensor x = o.activations({n[0], n[1]}), w = o.weight({n[2], n[1]});
  const LowRankTerm term{o.activations({n[0], o.rank()}), 0, o.activations({n[2], o.rank()}), 0.5F};
  Tensor y = o.activations({n[0], n[2]});
  return [c = o.context(), y, x, w, term]() mutable { lowrank_linear_forward(c, y, x, w, {}, {&term, 1}); };
}
Call adapted_adjoint(Operands& o, const Sizes& n) {
  const Tensor dy = o.activations({n[0], n[2]}), w = o.weight({n[2], n[1]});
  const LowRankTerm term{o.activations({n[0], o.rank()}), 0, o.activations({o.rank(), n[1]}), 1};
  Tensor dx = o.activations({n[0], n[1]});
  return [c = o.context(), dx, dy, w, term]() mutable {
    lowrank_linear_adjoint(c, dx, dy, w, {&term, 1}, Write::overwrite);
  };
}
SampleDropout some_dropout() { return {{1, purpose("bench"), 0, 0}, 0.1F}; }

// The linears that read one x have one middle, as wide as their ranks together.
template <bool kDropped>
Call middle(Operands& o, const Sizes& n) {
  const std::int64_t ranks = o.rank() * n[3];
  const Tensor x = o.activations({1, n[0], n[1]}), down = o.activations({ranks, n[1]});
  Tensor s = o.activations({1, n[0], ranks});
  const SampleDropout dropout = kDropped ? some_dropout() : SampleDropout{};
  return [c = o.context(), s, x, down, dropout]() mutable { lowrank_middle(c, s, x, down, dropout); };
}
Call drop_middle(Operands& o, const Sizes& n) {
  Tensor s = o.activations({1, n[0], o.rank() * n[3]});
  const MiddleDropout dropout{some_dropout(), {}};
  return [c = o.context(), s, dropout]() mutable { lowrank_drop_middle(c, s, dropout); };
}
template <bool kDropped>
Call down_grad(Operands& o, const Sizes& n) {
  const std::int64_t ranks = o.rank() * n[3];
  const Tensor x = o.activations({1, n[0], n[1]}), ds = o.activations({1, n[0], ranks});
  Tensor ddown = o.floats({ranks, n[1]});
  const SampleDropout dropout = kDropped ? some_dropout() : SampleDropout{};
  return [c = o.context(), ddown, ds, x, dropout]() mutable { lowrank_down_grad(c, ddown, ds, x, dropout); };
}
Call dora_norms(Operands& o, const Sizes& n) {
  const std::int64_t out = n[2], r = o.rank();
  const Tensor base = o.floats({out}), cross = o.activations({r, out}), up = o.activations({out, r}),
               gram = o.activations({out, r});
  Tensor inverse = o.floats({out});
  return [c = o.context(), inverse, base, cross, up, gram]() mutable {
    dora_inverse_norms(c, inverse, {base, cross, up, gram, 0.5F});
  };
}
Call dora_magnitudes(Operands& o, const Sizes& n) {
  const Tensor dy = o.activations({n[0], n[2]}), y = o.activations({n[0], n[2]}), inverse = o.floats({n[2]});
  Tensor dm = o.floats({n[2]});
  return [c = o.context(), dm, dy, y, inverse]() mutable { dora_magnitude_grad(c, dm, dy, y, inverse); };
}
Call up_backward(Operands& o, const Sizes& n) {
  const Tensor dy = o.activations({n[0], n[2]});
  const LowRankTerm term{o.activations({n[0], o.rank()}), 0, o.activations({n[2], o.rank()}), 0.5F};
  Tensor ds = o.activations({n[0], o.rank()}), dup = o.floats({n[2], o.rank()});
  return [c = o.context(), ds, dup, dy, term]() mutable { lowrank_up_backward(c, {ds, dup}, dy, term); };
}
Call up_add(Operands& o, const Sizes& n) {
  const LowRankTerm term{o.activations({n[0], o.rank()}), 0, o.activations({n[2], o.rank()}), 0.5F};
  Tensor y = o.activations({n[0], n[2]});
  return [c = o.context(), y, term]() mutable { lowrank_up_add(c, y, {&term, 1}); };
}

// The forward product by one of the two that can compute it, whatever the rule of gemm_table.h says.
Call product_by(Operands& o, const Sizes& n, GemmBy by, std::string_view name) {
  const Tensor x = o.activations({n[0], n[1]}), w = o.weight({n[2], n[1]});
  Tensor y = o.activations({n[0], n[2]});
  return [c = o.context(), x, w, y, n, by, name]() mutable {
    Op op(c, name,
          {2.0 * double(n[0]) * double(n[1]) * double(n[2]),
           double(x.bytes()) + double(w.bytes()) + double(y.bytes())});
    if (op.planned()) return;
    if constexpr (build::cuda) {
      cuda::Gemm g{.type = x.dtype(),
                   .a = cuda::Major::k,
                   .b = cuda::Major::k,
                   .m = n[0],
                   .n = n[2],
                   .segments = {},
                   .count = 1,
                   .out = {y.raw(), y.dtype(), n[2]},
                   .bias = {},
                   .batch = {}};
      g.segments[0] = {x.raw(), n[1], w.raw(), n[1], n[1]};
      g.by = by;
      cuda::gemm(c.cuda_stream(), name, g);
    }
  };
}
Call own_product(Operands& o, const Sizes& n) { return product_by(o, n, GemmBy::own, "gemm_own"); }
Call library_product(Operands& o, const Sizes& n) {
  return product_by(o, n, GemmBy::cublaslt, "gemm_cublaslt");
}

Tensor stored_weight(Operands& o, const Sizes& n) { return o.weight({n[2], n[1]}, static_cast<DType>(n[3])); }
Call stored_forward(Operands& o, const Sizes& n) { return forward_of(o, n, stored_weight(o, n)); }
Call stored_adjoint(Operands& o, const Sizes& n) { return adjoint_of(o, n, stored_weight(o, n)); }
bool has_backward(const Sizes& n) { return n[0] > 1; }  // generating text has none

void decode_on_cpu(const Context& c, Tensor& to, const Tensor& w) {
  const cpu::RowDecoder decode = cpu::row_decoder(w.dtype());
  const std::size_t row = bytes_of(w.dtype(), w.cols());
  c.pool().parallel_for(w.rows(), 1, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t r = begin; r < end; ++r)
      decode(static_cast<const std::byte*>(w.raw()) + static_cast<std::size_t>(r) * row, 0, w.cols(),
             to.data<float>() + r * w.cols());
  });
}
// A weight into scratch of the activations' type, as a product on tensor cores asks for it.
Call decode(Operands& o, const Sizes& n) {
  const Tensor w = stored_weight(o, n);
  Tensor to = o.activations(w.shape());
  return [c = o.context(), to, w]() mutable {
    Op op(c, "decode_weight", {double(w.numel()), double(w.bytes()) + double(to.bytes())});
    if (op.planned()) return;
    if constexpr (build::cuda) {
      if (c.device().is_cuda())
        return cuda::decode_weight(c.cuda_stream(), to.raw(), to.dtype(), w.raw(), w.dtype(), w.dim(0),
                                   w.dim(1));
    }
    decode_on_cpu(c, to, w);
  };
}
bool is_stored_in_blocks(const Sizes& n) {
  return n[0] > 1 && (n[3] == 0 || is_block(static_cast<DType>(n[3])));
}

}  // namespace

std::span<const Operation> product_operations() {
  static const Operation table[] = {
      {"linear_forward", Family::linear, 3, dense_forward},
      {"linear_adjoint", Family::linear, 3, dense_adjoint},
      {"lowrank_linear_forward", Family::linear, 3, adapted_forward},
      {"lowrank_linear_adjoint", Family::linear, 3, adapted_adjoint},
      {"lowrank_middle", Family::linear, 4, middle<false>},
      {"lowrank_middle_dropped", Family::linear, 4, middle<true>},
      {"lowrank_drop_middle", Family::linear, 4, drop_middle},
      {"lowrank_up_backward", Family::linear, 3, up_backward},
      {"lowrank_down_grad", Family::linear, 4, down_grad<false>},
      {"lowrank_down_grad_dropped", Family::linear, 4, down_grad<true>},
      {"lowrank_up_add", Family::linear, 3, up_add},
      {"dora_inverse_norms", Family::linear, 3, dora_norms},
      {"dora_magnitude_grad", Family::linear, 3, dora_magnitudes},
      {"linear_weight_grad", Family::linear, 3, weight_grad},
      {"gemm_own", Family::linear, 3, own_product, nullptr, Operation::cuda_only},
      {"gemm_cublaslt", Family::linear, 3, library_product, nullptr, Operation::cuda_only},
  };
  return table;
}

std::span<const Operation> stored_operations() {
  static const Operation table[] = {
      {"linear_forward", Family::stored, 4, stored_forward},
      {"linear_adjoint", Family::stored, 4, stored_adjoint, has_backward},
      {"decode_weight", Family::stored, 4, decode, is_stored_in_blocks},
  };
  return table;
}

}  // namespace rankine::bench
