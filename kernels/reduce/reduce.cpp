#include "kernels/reduce/reduce.h"

#include "engine/core/transfer.h"
#include "kernels/reduce/reduce_impl.h"

namespace rankine {
namespace {

double bytes(const Tensor& t) { return double(t.bytes()); }

struct Reducer {
  double (*cpu)(ThreadPool&, const Reduction&);
  cuda::Reduced cuda;
};

// The blocks' partial results, in order.
double join_parts(const Tensor& partial, std::int64_t count) {
  std::vector<double> parts(static_cast<std::size_t>(count));
  if (count > 0) download(std::as_writable_bytes(std::span(parts)), partial);
  double result = 0;
  for (const double part : parts) result += part;
  return result;
}

double reduce(const Context& c, std::string_view name, const Tensor& x, Reducer reducer) {
  const DType type = check_activation(c, name, "x", x, x.shape());
  Reduction r{nullptr, nullptr, x.numel()};
  cuda::TypedReduction on_cuda{nullptr, type, nullptr, x.numel()};
  // No fp64 tensors exist: two fp32 words hold one partial sum.
  const std::int64_t chunks = c.device().is_cuda() ? on_cuda.chunks() : r.chunks();
  Tensor partial = c.workspace({std::max<std::int64_t>(1, chunks), 2}, std::string(name));
  Op op(c, name, {double(r.n), bytes(x)});
  if (op.planned()) return 0;
  if constexpr (build::cuda) {
    if (c.device().is_cuda()) {
      on_cuda.x = x.raw();
      on_cuda.partial = static_cast<double*>(partial.raw());
      cuda::reduce(name, c.cuda_stream(), on_cuda, reducer.cuda);
      return join_parts(partial, chunks);
    }
  }
  r.x = x.data<float>();
  r.partial = static_cast<double*>(partial.raw());
  return reducer.cpu(c.pool(), r);
}

}  // namespace

double sum(const Context& c, const Tensor& x) { return reduce(c, "sum", x, {cpu::sum, cuda::Reduced::sum}); }

double sum_of_squares(const Context& c, const Tensor& x) {
  return reduce(c, "sum_of_squares", x, {cpu::sum_of_squares, cuda::Reduced::squares});
}

void add_sum(const Context& c, Tensor& total, const Tensor& x) {
  constexpr std::string_view kName = "add_sum";
  check_float(kName, "total", total, {1});
  check_float(kName, "x", x, x.shape());
  Op op(c, kName, {double(x.numel()), bytes(x) + 2 * bytes(total)});
  if (op.planned()) return;
  if constexpr (build::cuda) {
    if (c.device().is_cuda()) {
      return cuda::add_sum(c.cuda_stream(), total.data<float>(), x.data<float>(), x.numel());
    }
  }
  cpu::add_sum(total.data<float>(), x.data<float>(), x.numel());
}

void add_column_sums(const Context& c, Tensor& db, const Tensor& dy) {
  constexpr std::string_view kName = "add_column_sums";
  require<ShapeError>(dy.defined() && dy.shape().rank() >= 1, kName, ": expected dy (..., C), got ",
                      dy.defined() ? dy.shape().to_string() : "an undefined tensor");
  check_activation(c, kName, "dy", dy, dy.shape());
  check_float(kName, "db", db, {dy.cols()});
  const std::int64_t chunks = c.device().is_cuda() ? ColumnBlocks{1, dy.rows(), dy.cols()}.chunks()
                                                   : RowChunks{dy.rows(), dy.cols()}.count();
  Tensor partial = c.workspace({chunks, dy.cols()}, "add_column_sums");
  Op op(c, kName, {double(dy.numel()), bytes(dy) + 2 * bytes(db)});
  if (op.planned()) return;
  if constexpr (build::cuda) {
    if (c.device().is_cuda()) {
      return cuda::add_column_sums(c.cuda_stream(), {db.data<float>(), dy.raw(), dy.dtype(),
                                                     partial.data<float>(), dy.rows(), dy.cols()});
    }
  }
  cpu::add_column_sums(c.pool(),
                       {db.data<float>(), dy.data<float>(), partial.data<float>(), dy.rows(), dy.cols()});
}

}  // namespace rankine
