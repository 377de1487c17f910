#include "kernels/elementwise/elementwise.h"

#include "kernels/common/row_chunks.h"
#include "kernels/elementwise/elementwise_impl.h"

namespace rankine {
namespace {

constexpr double kWord = sizeof(float);

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
  const auto dims = y.shape().dims();
  check_float(op, "table", table, Shape(dims.subspan(1)));
  return table.numel();
}

ChannelSplit channel_split(std::string_view op, const Tensor& a, const Tensor& b, const Tensor& y) {
  require<ShapeError>(a.defined() && a.shape().rank() >= 1, op, ": a is undefined or a scalar");
  require<ShapeError>(b.defined() && b.shape().rank() >= 1, op, ": b is undefined or a scalar");
  check_float(op, "a", a, a.shape());
  check_float(op, "b", b, a.shape().with_dim(-1, b.cols()));
  check_float(op, "y", y, a.shape().with_dim(-1, a.cols() + b.cols()));
  return {a.rows(), a.cols(), b.cols()};
}

}  // namespace

void fill(const Context& c, Tensor& y, float value) {
  check_dtype("fill", "y", y, DType::f32);
  const std::int64_t n = y.numel();
  Op op(c, "fill", {0, kWord * double(n)});
  if (op.planned()) return;
  if constexpr (build::cuda) {
    if (c.device().is_cuda()) return cuda::fill(c.cuda_stream(), y.data<float>(), n, value);
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
  check_float("scale", "x", x, x.shape());
  check_float("scale", "y", y, x.shape());
  const std::int64_t n = y.numel();
  Op op(c, "scale", {double(n), 2 * kWord * double(n)});
  if (op.planned()) return;
  if constexpr (build::cuda) {
    if (c.device().is_cuda()) return cuda::scale(c.cuda_stream(), y.data<float>(), x.data<float>(), n, s);
  }
  cpu::scale(c.pool(), y.data<float>(), x.data<float>(), n, s);
}

void add(const Context& c, Tensor& y, const Tensor& a, const Tensor& b) {
  check_float("add", "a", a, a.shape());
  check_float("add", "b", b, a.shape());
  check_float("add", "y", y, a.shape());
  const std::int64_t n = y.numel();
  Op op(c, "add", {double(n), 3 * kWord * double(n)});
  if (op.planned()) return;
  if constexpr (build::cuda) {
    if (c.device().is_cuda()) {
      return cuda::add(c.cuda_stream(), y.data<float>(), a.data<float>(), b.data<float>(), n);
    }
  }
  cpu::add(c.pool(), y.data<float>(), a.data<float>(), b.data<float>(), n);
}

void add_scaled(const Context& c, Tensor& y, const Tensor& x, float s) {
  check_float("add_scaled", "x", x, x.shape());
  check_float("add_scaled", "y", y, x.shape());
  const std::int64_t n = y.numel();
  Op op(c, "add_scaled", {2.0 * double(n), 3 * kWord * double(n)});
  if (op.planned()) return;
  if constexpr (build::cuda) {
    if (c.device().is_cuda())
      return cuda::add_scaled(c.cuda_stream(), y.data<float>(), x.data<float>(), n, s);
  }
  cpu::add_scaled(c.pool(), y.data<float>(), x.data<float>(), n, s);
}

void multiply(const Context& c, Tensor& y, const Tensor& a, const Tensor& b) {
  check_float("multiply", "a", a, a.shape());
  check_float("multiply", "b", b, a.shape());
  check_float("multiply", "y", y, a.shape());
  const std::int64_t n = y.numel();
  Op op(c, "multiply", {double(n), 3 * kWord * double(n)});
  if (op.planned()) return;
  if constexpr (build::cuda) {
    if (c.device().is_cuda()) {
      return cuda::multiply(c.cuda_stream(), y.data<float>(), a.data<float>(), b.data<float>(), n);
    }
  }
  cpu::multiply(c.pool(), y.data<float>(), a.data<float>(), b.data<float>(), n);
}

void lerp(const Context& c, Tensor& y, const Tensor& x, float weight) {
  check_float("lerp", "x", x, x.shape());
  check_float("lerp", "y", y, x.shape());
  const std::int64_t n = y.numel();
  Op op(c, "lerp", {3.0 * double(n), 3 * kWord * double(n)});
  if (op.planned()) return;
  if constexpr (build::cuda) {
    if (c.device().is_cuda()) return cuda::lerp(c.cuda_stream(), y.data<float>(), x.data<float>(), n, weight);
  }
  cpu::lerp(c.pool(), y.data<float>(), x.data<float>(), n, weight);
}

void add_per_sample(const Context& c, Tensor& y, const Tensor& v) {
  const SampleMap size = sample_map("add_per_sample", y);
  check_dtype("add_per_sample", "y", y, DType::f32);
  check_float("add_per_sample", "v", v, {size.samples, size.channels});
  Op op(c, "add_per_sample", {double(y.numel()), kWord * double(2 * y.numel() + v.numel())});
  if (op.planned()) return;
  if constexpr (build::cuda) {
    if (c.device().is_cuda())
      return cuda::add_per_sample(c.cuda_stream(), y.data<float>(), v.data<float>(), size);
  }
  cpu::add_per_sample(c.pool(), y.data<float>(), v.data<float>(), size);
}

void multiply_per_sample(const Context& c, Tensor& y, const Tensor& v) {
  const SampleMap size = sample_map("multiply_per_sample", y);
  check_dtype("multiply_per_sample", "y", y, DType::f32);
  check_float("multiply_per_sample", "v", v, {size.samples, size.channels});
  Op op(c, "multiply_per_sample", {double(y.numel()), kWord * double(2 * y.numel() + v.numel())});
  if (op.planned()) return;
  if constexpr (build::cuda) {
    if (c.device().is_cuda()) {
      return cuda::multiply_per_sample(c.cuda_stream(), y.data<float>(), v.data<float>(), size);
    }
  }
  cpu::multiply_per_sample(c.pool(), y.data<float>(), v.data<float>(), size);
}

void sum_per_sample(const Context& c, Tensor& dv, const Tensor& dy) {
  const SampleMap size = sample_map("sum_per_sample", dy);
  check_dtype("sum_per_sample", "dy", dy, DType::f32);
  check_float("sum_per_sample", "dv", dv, {size.samples, size.channels});
  const RowChunks chunks{size.space, size.channels};
  Tensor partial = c.workspace({size.samples * chunks.count(), size.channels}, "sum_per_sample");
  Op op(c, "sum_per_sample", {double(dy.numel()), kWord * double(dy.numel() + dv.numel())});
  if (op.planned()) return;
  const SampleSums args{dv.data<float>(), dy.data<float>(), partial.data<float>(), size};
  if constexpr (build::cuda) {
    if (c.device().is_cuda()) return cuda::sum_per_sample(c.cuda_stream(), args);
  }
  cpu::sum_per_sample(c.pool(), args);
}

void add_to_each_sample(const Context& c, Tensor& y, const Tensor& table) {
  const std::int64_t each = table_size("add_to_each_sample", y, table);
  check_dtype("add_to_each_sample", "y", y, DType::f32);
  Op op(c, "add_to_each_sample", {double(y.numel()), kWord * double(2 * y.numel() + each)});
  if (op.planned()) return;
  if constexpr (build::cuda) {
    if (c.device().is_cuda()) {
      return cuda::add_to_each_sample(c.cuda_stream(), y.data<float>(), table.data<float>(), y.dim(0), each);
    }
  }
  cpu::add_to_each_sample(c.pool(), y.data<float>(), table.data<float>(), y.dim(0), each);
}

void sum_over_samples(const Context& c, Tensor& dtable, const Tensor& dy) {
  const std::int64_t each = table_size("sum_over_samples", dy, dtable);
  check_dtype("sum_over_samples", "dy", dy, DType::f32);
  Op op(c, "sum_over_samples", {double(dy.numel()), kWord * double(dy.numel() + 2 * each)});
  if (op.planned()) return;
  if constexpr (build::cuda) {
    if (c.device().is_cuda()) {
      return cuda::sum_over_samples(c.cuda_stream(), dtable.data<float>(), dy.data<float>(), dy.dim(0), each);
    }
  }
  cpu::sum_over_samples(c.pool(), dtable.data<float>(), dy.data<float>(), dy.dim(0), each);
}

void concat_channels(const Context& c, Tensor& y, const Tensor& a, const Tensor& b) {
  const ChannelSplit size = channel_split("concat_channels", a, b, y);
  Op op(c, "concat_channels", {0, 2 * kWord * double(y.numel())});
  if (op.planned()) return;
  if constexpr (build::cuda) {
    if (c.device().is_cuda()) {
      return cuda::concat_channels(c.cuda_stream(), y.data<float>(), a.data<float>(), b.data<float>(), size);
    }
  }
  cpu::concat_channels(c.pool(), y.data<float>(), a.data<float>(), b.data<float>(), size);
}

void split_channels(const Context& c, Tensor& a, Tensor& b, const Tensor& y) {
  const ChannelSplit size = channel_split("split_channels", a, b, y);
  Op op(c, "split_channels", {0, 2 * kWord * double(y.numel())});
  if (op.planned()) return;
  if constexpr (build::cuda) {
    if (c.device().is_cuda()) {
      return cuda::split_channels(c.cuda_stream(), a.data<float>(), b.data<float>(), y.data<float>(), size);
    }
  }
  cpu::split_channels(c.pool(), a.data<float>(), b.data<float>(), y.data<float>(), size);
}

void mix_per_sample(const Context& c, Tensor& y, std::span<const float> a, const Tensor& x,
                    std::span<const float> b, const Tensor& z) {
  require<ShapeError>(x.defined() && x.shape().rank() >= 1, "mix_per_sample: expected x of samples (N, ...)");
  check_float("mix_per_sample", "x", x, x.shape());
  check_float("mix_per_sample", "z", z, x.shape());
  check_float("mix_per_sample", "y", y, x.shape());
  const auto samples = static_cast<std::size_t>(x.dim(0));
  require<ShapeError>(a.size() == samples && b.size() == samples, "mix_per_sample: expected ", samples,
                      " factors, one per sample, got ", a.size(), " and ", b.size());
  const std::int64_t n = x.numel();
  Op op(c, "mix_per_sample", {3.0 * double(n), 3 * kWord * double(n)});
  if (op.planned() || n == 0) return;
  const SampleMix args{y.data<float>(), a.data(), x.data<float>(), b.data(),
                       z.data<float>(), x.dim(0), n / x.dim(0)};
  if constexpr (build::cuda) {
    if (c.device().is_cuda()) return cuda::mix_per_sample(c.cuda_stream(), args);
  }
  cpu::mix_per_sample(c.pool(), args);
}

}  // namespace rankine
