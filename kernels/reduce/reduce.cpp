#include "kernels/reduce/reduce.h"

#include <cmath>

#include "kernels/reduce/reduce_impl.h"

namespace rankine {
namespace {

constexpr double kWord = sizeof(float);

using Reducer = double (*)(ThreadPool&, const Reduction&);

double reduce(const Context& c, std::string_view name, const Tensor& a, const Tensor* b, Reducer reducer) {
  check_float(name, "x", a, a.shape());
  if (b) check_float(name, "b", *b, a.shape());
  Reduction r{nullptr, nullptr, nullptr, a.numel()};
  // No fp64 tensors exist: two fp32 words hold one partial sum.
  Tensor partial = c.workspace({std::max<std::int64_t>(1, r.chunks()), 2}, std::string(name));
  const double words = (b ? 2.0 : 1.0) * double(r.n);
  Op op(c, name, {(b ? 2.0 : 1.0) * double(r.n), kWord * words});
  if (op.planned()) return 0;
  if (c.device().is_cuda()) no_kernel(name, c);
  r.a = a.data<float>();
  r.b = b ? b->data<float>() : nullptr;
  r.partial = static_cast<double*>(partial.raw());
  return reducer(c.pool(), r);
}

}  // namespace

double sum(const Context& c, const Tensor& x) { return reduce(c, "sum", x, nullptr, cpu::sum); }

double sum_of_squares(const Context& c, const Tensor& x) {
  return reduce(c, "sum_of_squares", x, nullptr, cpu::sum_of_squares);
}

double dot(const Context& c, const Tensor& a, const Tensor& b) { return reduce(c, "dot", a, &b, cpu::dot); }

double max_abs(const Context& c, const Tensor& x) { return reduce(c, "max_abs", x, nullptr, cpu::max_abs); }

bool all_finite(const Context& c, const Tensor& x) {
  const double largest = reduce(c, "all_finite", x, nullptr, cpu::max_abs);
  return !c.planning() && std::isfinite(largest);
}

void add_column_sums(const Context& c, Tensor& db, const Tensor& dy) {
  constexpr std::string_view kName = "add_column_sums";
  require<ShapeError>(dy.defined() && dy.shape().rank() >= 1, kName, ": expected dy (..., C), got ",
                      dy.defined() ? dy.shape().to_string() : "an undefined tensor");
  check_dtype(kName, "dy", dy, DType::f32);
  check_float(kName, "db", db, {dy.cols()});
  Tensor partial = c.workspace({RowChunks{dy.rows(), dy.cols()}.count(), dy.cols()}, "add_column_sums");
  Op op(c, kName, {double(dy.numel()), kWord * double(dy.numel() + 2 * dy.cols())});
  if (op.planned()) return;
  if (c.device().is_cuda()) no_kernel(kName, c);
  cpu::add_column_sums(c.pool(),
                       {db.data<float>(), dy.data<float>(), partial.data<float>(), dy.rows(), dy.cols()});
}

}  // namespace rankine
