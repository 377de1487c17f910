#include "kernels/elementwise/elementwise.h"

#include "kernels/common/column_blocks.h"
#include "kernels/common/row_chunks.h"
#include "kernels/elementwise/elementwise_impl.h"

namespace rankine {
namespace {

// (N, ..., C) as samples, space, channels.
SampleMap sample_map(std::string_view op, const Tensor& t) {
  require<ShapeError>(t.defined() && t.shape().rank() >= 2, op, ": expected a map (N, ..., C), got ",
                      t.defined() ? t.shape().to_string() : "an undefined tensor");
  const Shape& s = t.shape();
  std::int64_t space = 1;
  for (int i = 1; i + 1 < s.rank(); ++i) space *= s[i];
  return {s[0], space, s[-1]};
}

// Elements of one sample of (N, ...), where `table` must have the shape (...).
std::int64_t table_size(std::string_view op, const Tensor& y, const Tensor& table) {
  require<ShapeError>(y.defined() && y.shape().rank() >= 1, op, ": expected samples (N, ...)");
  check_shape(op, "table", table, Shape(y.shape().dims().subspan(1)));
  return table.numel();
}

ChannelSplit channel_split(const Context& c, std::string_view op, const Tensor& a, const Tensor& b,
                           const Tensor& y) {
  require<ShapeError>(a.defined() && a.shape().rank() >= 1, op, ": a is undefined or a scalar");
  require<ShapeError>(b.defined() && b.shape().rank() >= 1, op, ": b is undefined or a scalar");
  const DType type = check_activation(c, op, "a", a, a.shape());
  check_of_type(op, "b", b, a.shape().with_dim(-1, b.cols()), type);
  check_of_type(op, "y", y, a.shape().with_dim(-1, a.cols() + b.cols()), type);
  return {a.rows(), a.cols(), b.cols()};
}

// Checks y and x of one shape and type.
void check_pair(const Context& c, std::string_view op, const Tensor& y, const Tensor& x) {
  check_of_type(op, "y", y, x.shape(), check_activation(c, op, "x", x, x.shape()));
}
void check_three(const Context& c, std::string_view op, const Tensor& y, const Tensor& a, const Tensor& b) {
  const DType type = check_activation(c, op, "a", a, a.shape());
  check_of_type(op, "b", b, a.shape(), type);
  check_of_type(op, "y", y, a.shape(), type);
}

// y (N, ..., C) and the vectors v (N, C) of its samples.
SampleMap check_vectors(const Context& c, std::string_view op, const Tensor& y, const Tensor& v) {
  const SampleMap size = sample_map(op, y);
  check_float_or(op, "v", v, {size.samples, size.channels}, check_activation(c, op, "y", y, y.shape()));
  return size;
}

cuda::Pointwise pointwise(Tensor& y, const Tensor& x, const Tensor* z = nullptr) {
  return {y.raw(), x.raw(), z ? z->raw() : nullptr, y.numel(), y.dtype()};
}
cuda::Broadcast broadcast(Tensor& y, const Tensor& v) { return {y.raw(), y.dtype(), {v.raw(), v.dtype()}}; }

std::int64_t element(const Tensor& t) { return static_cast<std::int64_t>(size_of(t.dtype())); }
double bytes(const Tensor& t) { return double(t.bytes()); }

}  // namespace

void fill(const Context& c, Tensor& y, float value) {
  check_activation(c, "fill", "y", y, y.shape());
  const std::int64_t n = y.numel();
  Op op(c, "fill", {0, bytes(y)});
  if (op.planned()) return;
  if constexpr (build::cuda) {
    if (c.device().is_cuda()) return cuda::fill(c.cuda_stream(), y.raw(), y.dtype(), n, value);
  }
  cpu::fill(c.pool(), y.data<float>(), n, value);
}

void copy(const Context& c, Tensor& y, const Tensor& x) {
  check_shape("copy", "y", y, x.shape());
  const auto is_float = [](DType t) { return t == DType::f32 || t == DType::f16 || t == DType::bf16; };
  require<ShapeError>((is_float(x.dtype()) && is_float(y.dtype())) || x.dtype() == y.dtype(),
                      "copy: cannot convert ", name_of(x.dtype()), " to ", name_of(y.dtype()));
  const std::int64_t n = y.numel();
  Op op(c, "copy", {0, double(x.bytes() + y.bytes())});
  if (op.planned()) return;
  if constexpr (build::cuda) {
    if (c.device().is_cuda()) return cuda::copy(c.cuda_stream(), y.raw(), y.dtype(), {x.raw(), x.dtype()}, n);
  }
  cpu::copy(c.pool(), y.raw(), y.dtype(), {x.raw(), x.dtype()}, n);
}

void scale(const Context& c, Tensor& y, const Tensor& x, float s) {
  check_pair(c, "scale", y, x);
  const std::int64_t n = y.numel();
  Op op(c, "scale", {double(n), 2 * bytes(y)});
  if (op.planned()) return;
  if constexpr (build::cuda) {
    if (c.device().is_cuda()) return cuda::scale(c.cuda_stream(), pointwise(y, x), s);
  }
  cpu::scale(c.pool(), y.data<float>(), x.data<float>(), n, s);
}

void add(const Context& c, Tensor& y, const Tensor& a, const Tensor& b) {
  check_three(c, "add", y, a, b);
  const std::int64_t n = y.numel();
  Op op(c, "add", {double(n), 3 * bytes(y)});
  if (op.planned()) return;
  if constexpr (build::cuda) {
    if (c.device().is_cuda()) return cuda::add(c.cuda_stream(), pointwise(y, a, &b));
  }
  cpu::add(c.pool(), y.data<float>(), a.data<float>(), b.data<float>(), n);
}

void add_scaled(const Context& c, Tensor& y, const Tensor& x, float s) {
  check_pair(c, "add_scaled", y, x);
  const std::int64_t n = y.numel();
  Op op(c, "add_scaled", {2.0 * double(n), 3 * bytes(y)});
  if (op.planned()) return;
  if constexpr (build::cuda) {
    if (c.device().is_cuda()) return cuda::add_scaled(c.cuda_stream(), pointwise(y, x), s);
  }
  cpu::add_scaled(c.pool(), y.data<float>(), x.data<float>(), n, s);
}

void multiply(const Context& c, Tensor& y, const Tensor& a, const Tensor& b) {
  check_three(c, "multiply", y, a, b);
  const std::int64_t n = y.numel();
  Op op(c, "multiply", {double(n), 3 * bytes(y)});
  if (op.planned()) return;
  if constexpr (build::cuda) {
    if (c.device().is_cuda()) return cuda::multiply(c.cuda_stream(), pointwise(y, a, &b));
  }
  cpu::multiply(c.pool(), y.data<float>(), a.data<float>(), b.data<float>(), n);
}

void lerp(const Context& c, Tensor& y, const Tensor& x, float weight) {
  check_pair(c, "lerp", y, x);
  const std::int64_t n = y.numel();
  Op op(c, "lerp", {3.0 * double(n), 3 * bytes(y)});
  if (op.planned()) return;
  if constexpr (build::cuda) {
    if (c.device().is_cuda()) return cuda::lerp(c.cuda_stream(), pointwise(y, x), weight);
  }
  cpu::lerp(c.pool(), y.data<float>(), x.data<float>(), n, weight);
}

void add_per_sample(const Context& c, Tensor& y, const Tensor& v) {
  const SampleMap size = check_vectors(c, "add_per_sample", y, v);
  Op op(c, "add_per_sample", {double(y.numel()), 2 * bytes(y) + bytes(v)});
  if (op.planned()) return;
  if constexpr (build::cuda) {
    if (c.device().is_cuda()) return cuda::add_per_sample(c.cuda_stream(), broadcast(y, v), size);
  }
  cpu::add_per_sample(c.pool(), y.data<float>(), v.data<float>(), size);
}

void multiply_per_sample(const Context& c, Tensor& y, const Tensor& v) {
  const SampleMap size = check_vectors(c, "multiply_per_sample", y, v);
  Op op(c, "multiply_per_sample", {double(y.numel()), 2 * bytes(y) + bytes(v)});
  if (op.planned()) return;
  if constexpr (build::cuda) {
    if (c.device().is_cuda()) return cuda::multiply_per_sample(c.cuda_stream(), broadcast(y, v), size);
  }
  cpu::multiply_per_sample(c.pool(), y.data<float>(), v.data<float>(), size);
}

void sum_per_sample(const Context& c, Tensor& dv, const Tensor& dy) {
  const SampleMap size = check_vectors(c, "sum_per_sample", dy, dv);
  const bool on_cuda = c.device().is_cuda();
  const std::int64_t chunks = on_cuda ? ColumnBlocks{size.samples, size.space, size.channels}.chunks()
                                      : RowChunks{size.space, size.channels}.count();
  Tensor partial = c.workspace({size.samples * chunks, size.channels}, "sum_per_sample");
  Op op(c, "sum_per_sample", {double(dy.numel()), bytes(dy) + bytes(dv)});
  if (op.planned()) return;
  if constexpr (build::cuda) {
    if (on_cuda) {
      return cuda::sum_per_sample(
          c.cuda_stream(), {dv.raw(), dv.dtype(), {dy.raw(), dy.dtype()}, partial.data<float>(), size});
    }
  }
  cpu::sum_per_sample(c.pool(), {dv.data<float>(), dy.data<float>(), partial.data<float>(), size});
}

void add_to_each_sample(const Context& c, Tensor& y, const Tensor& table) {
  const std::int64_t each = table_size("add_to_each_sample", y, table);
  const DType type = check_activation(c, "add_to_each_sample", "y", y, y.shape());
  check_float_or("add_to_each_sample", "table", table, table.shape(), type);
  Op op(c, "add_to_each_sample", {double(y.numel()), 2 * bytes(y) + bytes(table)});
  if (op.planned()) return;
  if constexpr (build::cuda) {
    if (c.device().is_cuda()) {
      return cuda::add_to_each_sample(c.cuda_stream(), broadcast(y, table), y.dim(0), each);
    }
  }
  cpu::add_to_each_sample(c.pool(), y.data<float>(), table.data<float>(), y.dim(0), each);
}

void sum_over_samples(const Context& c, Tensor& dtable, const Tensor& dy) {
  const std::int64_t each = table_size("sum_over_samples", dy, dtable);
  check_activation(c, "sum_over_samples", "dy", dy, dy.shape());
  check_dtype("sum_over_samples", "dtable", dtable, DType::f32);
  Op op(c, "sum_over_samples", {double(dy.numel()), bytes(dy) + 2 * bytes(dtable)});
  if (op.planned()) return;
  if constexpr (build::cuda) {
    if (c.device().is_cuda()) {
      return cuda::sum_over_samples(c.cuda_stream(), dtable.data<float>(), {dy.raw(), dy.dtype()}, dy.dim(0),
                                    each);
    }
  }
  cpu::sum_over_samples(c.pool(), dtable.data<float>(), dy.data<float>(), dy.dim(0), each);
}

void concat_channels(const Context& c, Tensor& y, const Tensor& a, const Tensor& b) {
  const ChannelSplit size = channel_split(c, "concat_channels", a, b, y);
  Op op(c, "concat_channels", {0, 2 * bytes(y)});
  if (op.planned()) return;
  if constexpr (build::cuda) {
    if (c.device().is_cuda()) {
      return cuda::concat_channels(c.cuda_stream(), {y.raw(), const_cast<void*>(a.raw()),
                                                     const_cast<void*>(b.raw()), size, element(y)});
    }
  }
  cpu::concat_channels(c.pool(), y.data<float>(), a.data<float>(), b.data<float>(), size);
}

void split_channels(const Context& c, Tensor& a, Tensor& b, const Tensor& y) {
  const ChannelSplit size = channel_split(c, "split_channels", a, b, y);
  Op op(c, "split_channels", {0, 2 * bytes(y)});
  if (op.planned()) return;
  if constexpr (build::cuda) {
    if (c.device().is_cuda()) {
      return cuda::split_channels(c.cuda_stream(),
                                  {const_cast<void*>(y.raw()), a.raw(), b.raw(), size, element(y)});
    }
  }
  cpu::split_channels(c.pool(), a.data<float>(), b.data<float>(), y.data<float>(), size);
}

void mix_per_sample(const Context& c, Tensor& y, const Tensor& a, const Tensor& x, const Tensor& b,
                    const Tensor& z) {
  require<ShapeError>(x.defined() && x.shape().rank() >= 1, "mix_per_sample: expected x of samples (N, ...)");
  check_activation(c, "mix_per_sample", "y", y, x.shape());
  check_float_or("mix_per_sample", "x", x, x.shape(), y.dtype());
  check_of_type("mix_per_sample", "z", z, x.shape(), x.dtype());
  check_float("mix_per_sample", "a", a, {x.dim(0)});
  check_float("mix_per_sample", "b", b, {x.dim(0)});
  const std::int64_t n = x.numel();
  Op op(c, "mix_per_sample", {3.0 * double(n), bytes(y) + 2 * bytes(x) + 2 * bytes(a)});
  if (op.planned() || n == 0) return;
  const std::int64_t each = n / x.dim(0);
  if constexpr (build::cuda) {
    if (c.device().is_cuda()) {
      return cuda::mix_per_sample(c.cuda_stream(), {y.raw(), y.dtype(), a.data<float>(), x.raw(),
                                                    b.data<float>(), z.raw(), x.dtype(), x.dim(0), each});
    }
  }
  cpu::mix_per_sample(c.pool(), {y.data<float>(), a.data<float>(), x.data<float>(), b.data<float>(),
                                 z.data<float>(), x.dim(0), each});
}

}  // namespace rankine
