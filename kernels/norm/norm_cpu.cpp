#include "kernels/common/column_sums.h"
#include "kernels/norm/norm_impl.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/norm/norm_cpu.cpp"
#include "kernels/common/simd_targets.h"

#include <hwy/foreach_target.h>

#include "kernels/common/simd-inl.h"

HWY_BEFORE_NAMESPACE();
namespace rankine::HWY_NAMESPACE {
namespace {

// y = f(x, gain, bias) over one row, with the loads of a missing gain or bias left out.
template <class F>
HWY_INLINE void affine_row(float* y, const float* x, const RowNorm& a, const F& f) {
  if (a.gain && a.bias) {
    map(
        y, a.cols, [&](VecF v, VecF g, VecF b) HWY_ATTR { return hn::MulAdd(f(v), g, b); }, x, a.gain,
        a.bias);
  } else if (a.gain) {
    map(
        y, a.cols, [&](VecF v, VecF g) HWY_ATTR { return hn::Mul(f(v), g); }, x, a.gain);
  } else if (a.bias) {
    map(
        y, a.cols, [&](VecF v, VecF b) HWY_ATTR { return hn::Add(f(v), b); }, x, a.bias);
  } else {
    map(
        y, a.cols, [&](VecF v) HWY_ATTR { return f(v); }, x);
  }
}

// The variance is taken about a first, rough mean, which also gives the error of that mean: with a mean far
// larger than the deviation nothing is lost, because x - rough is exact.
void layer_norm_forward(const RowNorm& a, std::int64_t begin, std::int64_t end) {
  const float inverse = 1.0F / static_cast<float>(a.cols);
  for (std::int64_t r = begin; r < end; ++r) {
    const float* x = a.x + r * a.cols;
    VecF total = hn::Zero(F32());
    for_vectors(a.cols, [&](auto io, std::int64_t i) HWY_ATTR { total = hn::Add(total, io.get(x + i)); });
    const float rough = sum_lanes(total) * inverse;
    const VecF shift = set(rough);
    VecF sum = hn::Zero(F32()), square = hn::Zero(F32());
    for_vectors(a.cols, [&](auto io, std::int64_t i) HWY_ATTR {
      const VecF d = io.keep(hn::Sub(io.get(x + i), shift));
      sum = hn::Add(sum, d);
      square = hn::MulAdd(d, d, square);
    });
    const float rest = sum_lanes(sum) * inverse;
    const float variance = std::max(0.0F, sum_lanes(square) * inverse - rest * rest);
    const float rstd = 1.0F / std::sqrt(variance + a.eps);
    a.stats[2 * r] = rough + rest;
    a.stats[2 * r + 1] = rstd;
    const VecF rest_v = set(rest), rstd_v = set(rstd);
    affine_row(a.y + r * a.cols, x, a,
               [&](VecF v) HWY_ATTR { return hn::Mul(hn::Sub(hn::Sub(v, shift), rest_v), rstd_v); });
  }
}

void layer_norm_backward(const RowNormGrad& a, std::int64_t begin, std::int64_t end) {
  const float inverse = 1.0F / static_cast<float>(a.cols);
  for (std::int64_t r = begin; r < end; ++r) {
    const float* x = a.x + r * a.cols;
    const float* dy = a.dy + r * a.cols;
    float* dx = a.dx + r * a.cols;
    const VecF mean = set(a.stats[2 * r]), rstd = set(a.stats[2 * r + 1]);
    const auto gained = [&](auto io, std::int64_t i) HWY_ATTR {
      const VecF g = io.get(dy + i);
      return a.gain ? hn::Mul(g, io.get(a.gain + i)) : g;
    };
    const auto xhat = [&](auto io, std::int64_t i)
                          HWY_ATTR { return hn::Mul(hn::Sub(io.get(x + i), mean), rstd); };
    VecF sum_g = hn::Zero(F32()), sum_gx = hn::Zero(F32());
    for_vectors(a.cols, [&](auto io, std::int64_t i) HWY_ATTR {
      const VecF g = gained(io, i);
      sum_g = hn::Add(sum_g, g);
      sum_gx = hn::MulAdd(g, xhat(io, i), sum_gx);
    });
    const VecF mean_g = set(sum_lanes(sum_g) * inverse), mean_gx = set(sum_lanes(sum_gx) * inverse);
    for_vectors(a.cols, [&](auto io, std::int64_t i) HWY_ATTR {
      const VecF rest = hn::NegMulAdd(xhat(io, i), mean_gx, hn::Sub(gained(io, i), mean_g));
      io.put(hn::Mul(rstd, rest), dx + i);
    });
  }
}

void rms_norm_forward(const RowNorm& a, std::int64_t begin, std::int64_t end) {
  for (std::int64_t r = begin; r < end; ++r) {
    const float* x = a.x + r * a.cols;
    VecF square = hn::Zero(F32());
    for_vectors(a.cols, [&](auto io, std::int64_t i) HWY_ATTR {
      const VecF v = io.get(x + i);
      square = hn::MulAdd(v, v, square);
    });
    const float rstd = 1.0F / std::sqrt(sum_lanes(square) / static_cast<float>(a.cols) + a.eps);
    a.stats[r] = rstd;
    const VecF rstd_v = set(rstd);
    affine_row(a.y + r * a.cols, x, a, [&](VecF v) HWY_ATTR { return hn::Mul(v, rstd_v); });
  }
}

void rms_norm_backward(const RowNormGrad& a, std::int64_t begin, std::int64_t end) {
  for (std::int64_t r = begin; r < end; ++r) {
    const float* x = a.x + r * a.cols;
    const float* dy = a.dy + r * a.cols;
    float* dx = a.dx + r * a.cols;
    const auto gained = [&](auto io, std::int64_t i) HWY_ATTR {
      const VecF g = io.get(dy + i);
      return a.gain ? hn::Mul(g, io.get(a.gain + i)) : g;
    };
    VecF sum = hn::Zero(F32());
    for_vectors(a.cols, [&](auto io, std::int64_t i)
                            HWY_ATTR { sum = hn::MulAdd(gained(io, i), io.get(x + i), sum); });
    const float rstd = a.stats[r];
    const VecF rstd_v = set(rstd);
    const VecF factor = set(sum_lanes(sum) / static_cast<float>(a.cols) * rstd * rstd);
    for_vectors(a.cols, [&](auto io, std::int64_t i) HWY_ATTR {
      io.put(hn::Mul(rstd_v, hn::NegMulAdd(io.get(x + i), factor, gained(io, i))), dx + i);
    });
  }
}

struct NormStats {
  float mean, rstd;
};
// One row's share of the parameter gradients: gain += dy xhat ; bias += dy (unless null).
void add_param_row(float* gain, float* bias, const float* dy, const float* x, std::int64_t cols,
                   NormStats stats) {
  const VecF mean = set(stats.mean), rstd = set(stats.rstd);
  map(
      gain, cols,
      [&](VecF sum, VecF g, VecF v) HWY_ATTR { return hn::MulAdd(g, hn::Mul(hn::Sub(v, mean), rstd), sum); },
      gain, dy, x);
  if (bias)
    map(
        bias, cols, [](VecF sum, VecF g) HWY_ATTR { return hn::Add(sum, g); }, bias, dy);
}

void layer_norm_param_chunk(const RowNormParamGrad& a, std::int64_t chunk) {
  const RowChunks chunks{a.rows, a.cols};
  float* gain = a.partial + chunk * a.cols;
  float* bias = a.dbias ? gain + chunks.count() * a.cols : nullptr;
  std::fill_n(gain, a.cols, 0.0F);
  if (bias) std::fill_n(bias, a.cols, 0.0F);
  for (std::int64_t r = chunks.begin(chunk); r < chunks.end(chunk); ++r) {
    add_param_row(gain, bias, a.dy + r * a.cols, a.x + r * a.cols, a.cols,
                  {a.stats[2 * r], a.stats[2 * r + 1]});
  }
}

void rms_norm_param_chunk(const RowNormParamGrad& a, std::int64_t chunk) {
  const RowChunks chunks{a.rows, a.cols};
  float* gain = a.partial + chunk * a.cols;
  std::fill_n(gain, a.cols, 0.0F);
  for (std::int64_t r = chunks.begin(chunk); r < chunks.end(chunk); ++r) {
    add_param_row(gain, nullptr, a.dy + r * a.cols, a.x + r * a.cols, a.cols, {0.0F, a.stats[r]});
  }
}

}  // namespace
}  // namespace rankine::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace rankine::cpu {

HWY_EXPORT(layer_norm_forward);
HWY_EXPORT(layer_norm_backward);
HWY_EXPORT(layer_norm_param_chunk);
HWY_EXPORT(rms_norm_forward);
HWY_EXPORT(rms_norm_backward);
HWY_EXPORT(rms_norm_param_chunk);

void layer_norm_forward(ThreadPool& pool, const RowNorm& a) {
  pool.parallel_for(a.rows, grain_of(a.cols), [&](std::int64_t begin, std::int64_t end) {
    HWY_DYNAMIC_DISPATCH(layer_norm_forward)(a, begin, end);
  });
}

void layer_norm_backward(ThreadPool& pool, const RowNormGrad& a) {
  pool.parallel_for(a.rows, grain_of(a.cols), [&](std::int64_t begin, std::int64_t end) {
    HWY_DYNAMIC_DISPATCH(layer_norm_backward)(a, begin, end);
  });
}

void rms_norm_forward(ThreadPool& pool, const RowNorm& a) {
  pool.parallel_for(a.rows, grain_of(a.cols), [&](std::int64_t begin, std::int64_t end) {
    HWY_DYNAMIC_DISPATCH(rms_norm_forward)(a, begin, end);
  });
}

void rms_norm_backward(ThreadPool& pool, const RowNormGrad& a) {
  pool.parallel_for(a.rows, grain_of(a.cols), [&](std::int64_t begin, std::int64_t end) {
    HWY_DYNAMIC_DISPATCH(rms_norm_backward)(a, begin, end);
  });
}

void layer_norm_param_grad(ThreadPool& pool, const RowNormParamGrad& a) {
  const RowChunks chunks{a.rows, a.cols};
  const std::int64_t count = chunks.count();
  pool.parallel_for(count, chunks.grain(), [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) HWY_DYNAMIC_DISPATCH(layer_norm_param_chunk)(a, i);
  });
  combine_chunks(pool, {a.dgain, a.partial, 1, count, a.cols, Write::accumulate});
  if (a.dbias)
    combine_chunks(pool, {a.dbias, a.partial + count * a.cols, 1, count, a.cols, Write::accumulate});
}

void rms_norm_param_grad(ThreadPool& pool, const RowNormParamGrad& a) {
  const RowChunks chunks{a.rows, a.cols};
  pool.parallel_for(chunks.count(), chunks.grain(), [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) HWY_DYNAMIC_DISPATCH(rms_norm_param_chunk)(a, i);
  });
  combine_chunks(pool, {a.dgain, a.partial, 1, chunks.count(), a.cols, Write::accumulate});
}

}  // namespace rankine::cpu
#endif
