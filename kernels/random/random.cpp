#include "kernels/random/random.h"

#include "kernels/random/random_impl.h"

namespace rankine {
namespace {

// Integer operations of one word of Philox, counted as FLOPs.
constexpr double kWordFlops = 25;

void check_length(const Context& c, std::string_view op, const Tensor& y) {
  check_activation(c, op, "y", y, y.shape());
  require<ShapeError>(y.numel() <= std::int64_t{4} << 32, op, ": a stream has 2^34 words, y has ", y.numel());
}

}  // namespace

void fill_uniform(const Context& c, Tensor& y, const RandomStream& stream, float low, float high) {
  check_length(c, "fill_uniform", y);
  const std::int64_t n = y.numel();
  Op op(c, "fill_uniform", {kWordFlops * double(n), double(y.bytes())});
  if (op.planned()) return;
  if constexpr (build::cuda) {
    if (c.device().is_cuda()) {
      return cuda::fill_uniform(c.cuda_stream(), {y.raw(), nullptr, n, y.dtype()}, stream, {low, high});
    }
  }
  cpu::fill_uniform(c.pool(), y.data<float>(), n, stream, {low, high});
}

void fill_normal(const Context& c, Tensor& y, const RandomStream& stream) {
  check_length(c, "fill_normal", y);
  const std::int64_t n = y.numel();
  Op op(c, "fill_normal", {(kWordFlops + 5) * double(n), double(y.bytes())});
  if (op.planned()) return;
  if constexpr (build::cuda) {
    if (c.device().is_cuda()) {
      return cuda::fill_normal(c.cuda_stream(), {y.raw(), nullptr, n, y.dtype()}, stream);
    }
  }
  cpu::fill_normal(c.pool(), y.data<float>(), n, stream);
}

void dropout(const Context& c, Tensor& y, const Tensor& x, const RandomStream& stream, float p) {
  check_length(c, "dropout", y);
  check_of_type("dropout", "x", x, y.shape(), y.dtype());
  require<ShapeError>(p >= 0 && p < 1, "dropout: p must be in [0, 1), got ", p);
  const std::int64_t n = y.numel();
  Op op(c, "dropout", {(kWordFlops + 2) * double(n), 2.0 * double(y.bytes())});
  if (op.planned()) return;
  if constexpr (build::cuda) {
    if (c.device().is_cuda()) {
      return cuda::dropout(c.cuda_stream(), {y.raw(), x.raw(), n, y.dtype()}, stream, p);
    }
  }
  cpu::dropout(c.pool(), {y.data<float>(), x.data<float>(), n, p}, stream);
}

}  // namespace rankine
