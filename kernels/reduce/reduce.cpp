#include "kernels/reduce/reduce.h"

#include <cmath>

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
double join_parts(const Tensor& partial, std::int64_t count, cuda::Reduced what) {
  std::vector<double> parts(static_cast<std::size_t>(count));
  if (count > 0) download(std::as_writable_bytes(std::span(parts)), partial);
  double result = 0;
  for (const double part : parts) {
    if (what != cuda::Reduced::max_abs) {
      result += part;
    } else if (!(part <= result)) {
      result = part;
    }
    if (std::isnan(result)) break;
  }
  return result;
}

double reduce(const Context& c, std::string_view name, const Tensor& a, const Tensor* b, Reducer reducer) {
  const DType type = check_activation(c, name, "x", a, a.shape());
  if (b) check_of_type(name, "b", *b, a.shape(), type);
  Reduction r{nullptr, nullptr, nullptr, a.numel()};
  cuda::TypedReduction on_cuda{nullptr, nullptr, type, nullptr, a.numel()};
  // No fp64 tensors exist: two fp32 words hold one partial sum.
  const std::int64_t chunks = c.device().is_cuda() ? on_cuda.chunks() : r.chunks();
  Tensor partial = c.workspace({std::max<std::int64_t>(1, chunks), 2}, std::string(name));
  Op op(c, name, {(b ? 2.0 : 1.0) * double(r.n), bytes(a) + (b ? bytes(*b) : 0)});
  if (op.planned()) return 0;
  if constexpr (build::cuda) {
    if (c.device().is_cuda()) {
      on_cuda.a = a.raw();
      on_cuda.b = b ? b->raw() : nullptr;
      on_cuda.partial = static_cast<double*>(partial.raw());
      cuda::reduce(name, c.cuda_stream(), on_cuda, reducer.cuda);
      return join_parts(partial, chunks, reducer.cuda);
    }
  }
  r.a = a.data<float>();
  r.b = b ? b->data<float>() : nullptr;
  r.partial = static_cast<double*>(partial.raw());
  return reducer.cpu(c.pool(), r);
}

}  // namespace

double sum(const Context& c, const Tensor& x) {
  return reduce(c, "sum", x, nullptr, {cpu::sum, cuda::Reduced::sum});
}

double sum_of_squares(const Context& c, const Tensor& x) {
  return reduce(c, "sum_of_squares", x, nullptr, {cpu::sum_of_squares, cuda::Reduced::squares});
}

double dot(const Context& c, const Tensor& a, const Tensor& b) {
  return reduce(c, "dot", a, &b, {cpu::dot, cuda::Reduced::dot});
}

double max_abs(const Context& c, const Tensor& x) {
  return reduce(c, "max_abs", x, nullptr, {cpu::max_abs, cuda::Reduced::max_abs});
}

bool all_finite(const Context& c, const Tensor& x) {
  const double largest = reduce(c, "all_finite", x, nullptr, {cpu::max_abs, cuda::Reduced::max_abs});
  return !c.planning() && std::isfinite(largest);
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
