#include "kernels/matmul/matmul.h"

#include "kernels/matmul/cublaslt.h"
#include "kernels/matmul/few_rows_cuda.h"
#include "kernels/matmul/matmul_impl.h"
#include "kernels/matmul/operands.h"

namespace rankine {
namespace {

LinearMap map_of(const Tensor& w, const Tensor& bias) {
  return {w.raw(), w.dtype(), bias_or_null(bias), w.dim(1), w.dim(0)};
}

cuda::GemmBias cuda_bias(const Tensor& bias) {
  return bias.defined() ? cuda::GemmBias{bias.raw(), bias.dtype()} : cuda::GemmBias{};
}

double bytes_of(const Tensor& a, const Tensor& b, const Tensor& c) {
  return static_cast<double>(a.bytes()) + static_cast<double>(b.bytes()) + static_cast<double>(c.bytes());
}

}  // namespace

void linear_forward(const Context& c, Tensor& y, const Tensor& x, const Tensor& w, const Tensor& bias) {
  constexpr std::string_view kName = "linear_forward";
  check_rank(kName, "x", x);
  check_rank(kName, "w", w, 2);
  check_weight(kName, "w", w, {w.dim(0), x.cols()});
  const DType type = check_operand(c, kName, "x", x, x.shape());
  check_bias(c, kName, bias, w.dim(0), type);
  check_of_type(kName, "y", y, x.shape().with_dim(-1, w.dim(0)), type);
  const bool few = c.device().is_cuda() && x.rows() >= 1 && x.rows() <= cuda::kFewRows;  // needs no scratch
  ProductScratch scratch =
      few ? ProductScratch{} : product_scratch(c, kName, {x.rows(), w.dim(0), gemm_depth(x.cols())}, w, type);
  Op op(c, kName, product_cost(x.rows(), w.dim(0), x.cols(), bytes_of(x, y, w), false));
  if (op.planned()) return;
  if constexpr (build::cuda) {
    if (few) {
      const cuda::GemmBias b = cuda_bias(bias);
      return cuda::few_rows_forward(c.cuda_stream(), {y.raw(), x.raw(), type, w.raw(), w.dtype(), b.data,
                                                      b.type, x.rows(), x.cols(), w.dim(0)});
    }
    if (c.device().is_cuda()) {
      return with_weight(c, w, type, scratch, [&](const cuda::StoredWeight& map) {
        cuda::linear_forward(c.cuda_stream(),
                             {y.raw(), x.raw(), map, cuda_bias(bias), x.rows(), false, scratch.partial()});
      });
    }
  }
  cpu::linear_forward(c.pool(), {y.data<float>(), x.data<float>(), map_of(w, bias), x.rows(), false,
                                 scratch.floats.data<float>()});
}

void linear_adjoint(const Context& c, Tensor& dx, const Tensor& dy, const Tensor& w, Write write) {
  constexpr std::string_view kName = "linear_adjoint";
  check_rank(kName, "dy", dy);
  check_rank(kName, "w", w, 2);
  check_weight(kName, "w", w, {dy.cols(), w.dim(1)});
  const DType type = check_operand(c, kName, "dy", dy, dy.shape());
  check_of_type(kName, "dx", dx, dy.shape().with_dim(-1, w.dim(1)), type);
  const bool accumulate = write == Write::accumulate;
  ProductScratch scratch = product_scratch(c, kName, {dy.rows(), w.dim(1), gemm_depth(dy.cols())}, w, type);
  Op op(c, kName, product_cost(dy.rows(), w.dim(1), dy.cols(), bytes_of(dx, dy, w), accumulate));
  if (op.planned()) return;
  if constexpr (build::cuda) {
    if (c.device().is_cuda()) {
      return with_weight(c, w, type, scratch, [&](const cuda::StoredWeight& map) {
        cuda::linear_adjoint(c.cuda_stream(),
                             {dx.raw(), dy.raw(), map, {}, dy.rows(), accumulate, scratch.partial()});
      });
    }
  }
  cpu::linear_adjoint(c.pool(), {dx.data<float>(), dy.data<float>(), map_of(w, {}), dy.rows(), accumulate,
                                 scratch.floats.data<float>()});
}

void linear_weight_grad(const Context& c, Tensor& dw, const Tensor& dy, const Tensor& x) {
  constexpr std::string_view kName = "linear_weight_grad";
  check_rank(kName, "dy", dy);
  check_rank(kName, "x", x);
  const DType type = check_operand(c, kName, "dy", dy, dy.shape());
  check_of_type(kName, "x", x, dy.shape().with_dim(-1, x.cols()), type);
  check_float(kName, "dw", dw, {dy.cols(), x.cols()});
  ProductScratch scratch = product_scratch(c, kName, {dy.cols(), x.cols(), gemm_depth(x.rows())});
  Op op(c, kName, product_cost(dy.cols(), x.cols(), x.rows(), bytes_of(dw, dy, x), true));
  if (op.planned()) return;
  if constexpr (build::cuda) {
    if (c.device().is_cuda()) {
      return cuda::linear_weight_grad(c.cuda_stream(), {dw.data<float>(), dy.raw(), x.raw(), type, x.rows(),
                                                        x.cols(), dy.cols(), scratch.partial()});
    }
  }
  cpu::linear_weight_grad(c.pool(), {dw.data<float>(), dy.data<float>(), x.data<float>(), x.rows(), x.cols(),
                                     dy.cols(), scratch.floats.data<float>()});
}

void batched_matmul(const Context& c, Tensor& y, const Tensor& a, Transpose ta, const Tensor& b,
                    Transpose tb) {
  constexpr std::string_view kName = "batched_matmul";
  check_rank(kName, "a", a, 3);
  check_rank(kName, "b", b, 3);
  const std::int64_t m = a.dim(ta == Transpose::no ? 1 : 2), k = a.dim(ta == Transpose::no ? 2 : 1);
  const std::int64_t n = b.dim(tb == Transpose::no ? 2 : 1);
  const DType type = check_operand(c, kName, "a", a, a.shape());
  check_of_type(kName, "b", b, tb == Transpose::no ? Shape{a.dim(0), k, n} : Shape{a.dim(0), n, k}, type);
  check_of_type(kName, "y", y, {a.dim(0), m, n}, type);
  ProductScratch scratch = product_scratch(c, kName, {m, n, gemm_depth(k), a.dim(0)});
  const double batch = static_cast<double>(a.dim(0));
  Op op(c, kName, {2 * batch * m * n * k, bytes_of(y, a, b)});
  if (op.planned()) return;
  if constexpr (build::cuda) {
    if (c.device().is_cuda()) {
      return cuda::batched_matmul(
          c.cuda_stream(), {y.raw(), a.raw(), b.raw(), type, ta, tb, a.dim(0), m, n, k, scratch.partial()});
    }
  }
  cpu::batched_matmul(c.pool(), {y.data<float>(), a.data<float>(), b.data<float>(), ta, tb, a.dim(0), m, n, k,
                                 scratch.floats.data<float>()});
}

std::string cublaslt_state() { return cuda::cublaslt_version(); }

}  // namespace rankine
