#include "kernels/lowrank/lowrank_dropout.h"

#include "kernels/elementwise/elementwise.h"
#include "kernels/matmul/operands.h"
#include "kernels/random/random.h"

namespace rankine {

void check_dropout(std::string_view op, const Tensor& x, const SampleDropout& dropout) {
  if (dropout.p == 0) return;
  require<ShapeError>(dropout.p > 0 && dropout.p < 1, op, ": p must be in [0, 1), got ", dropout.p);
  require<ShapeError>(x.shape().rank() >= 2, op, ": expected samples of what is dropped, got ", x.shape());
}

void drop_samples(const Context& c, Tensor& y, const Tensor& x, const SampleDropout& dropout) {
  RandomStream stream = dropout.stream;
  for (std::int64_t n = 0; n < x.dim(0); ++n, ++stream.sample) {
    Tensor to = y.slice(n, n + 1);
    rankine::dropout(c, to, x.slice(n, n + 1), stream, dropout.p);
  }
}

Tensor dropped_copy(const Context& c, std::string_view op, const Tensor& x, const SampleDropout& dropout) {
  if (dropout.p == 0) return x;
  Tensor dropped = c.workspace(x.shape(), join(op, " dropped x"), x.dtype());
  drop_samples(c, dropped, x, dropout);
  return dropped;
}

namespace {

void drop_middle_on_cpu(const Context& c, Tensor& s, const MiddleDropout& dropout) {
  if (dropout.element.p > 0) drop_samples(c, s, s, dropout.element);
  if (dropout.column.p == 0) return;
  Tensor mask = c.workspace({s.dim(0), s.cols()}, "lowrank_drop_middle mask");
  fill(c, mask, 1);
  drop_samples(c, mask, mask, dropout.column);
  multiply_per_sample(c, s, mask);
}

}  // namespace

void lowrank_drop_middle(const Context& c, Tensor& s, const MiddleDropout& dropout) {
  constexpr std::string_view kName = "lowrank_drop_middle";
  check_rank(kName, "s", s);
  const DType type = check_operand(c, kName, "s", s, s.shape());
  check_dropout(kName, s, dropout.element);
  check_dropout(kName, s, dropout.column);
  if (dropout.element.p == 0 && dropout.column.p == 0) return;
  if (!c.device().is_cuda()) return drop_middle_on_cpu(c, s, dropout);
  Op op(c, kName, {30 * double(s.numel()), 2 * double(s.bytes())});
  if (op.planned()) return;
  if constexpr (build::cuda) {
    cuda::DropArgs column = drop_args(s, dropout.column);
    column.rows_each = 1;  // the masks are a row per sample
    cuda::lowrank_drop_middle(c.cuda_stream(),
                              {s.raw(), type, s.rows(), s.cols(), drop_args(s, dropout.element), column});
  }
}

}  // namespace rankine
