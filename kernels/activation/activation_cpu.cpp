#include "kernels/activation/activation_impl.h"
#include "kernels/common/row_chunks.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/activation/activation_cpu.cpp"
#include "kernels/common/simd_targets.h"

#include <hwy/foreach_target.h>

#include "kernels/common/simd-inl.h"

HWY_BEFORE_NAMESPACE();
namespace rankine::HWY_NAMESPACE {
namespace {

// Each kind as a pair: the value at x, and the slope at x.
struct Silu {
  HWY_INLINE VecF value(VecF x) const { return silu(x); }
  HWY_INLINE VecF slope(VecF x) const { return silu_slope(x); }
};

struct GeluErf {
  HWY_INLINE VecF value(VecF x) const { return hn::Mul(x, normal(x).distribution); }
  HWY_INLINE VecF slope(VecF x) const {
    const Normal p = normal(x);
    return hn::MulAdd(x, p.density, p.distribution);
  }
};

// 0.5 (1 + tanh(u)) = sigmoid(2u), with 2u = x (a + b x^2).
struct GeluTanh {
  static constexpr float kA = 1.5957691216F, kB = 0.071354816F;
  HWY_INLINE VecF argument(VecF x) const { return hn::Mul(x, hn::MulAdd(hn::Mul(x, x), set(kB), set(kA))); }
  HWY_INLINE VecF value(VecF x) const { return hn::Mul(x, sigmoid(argument(x)).value); }
  HWY_INLINE VecF slope(VecF x) const {
    const Sigmoid s = sigmoid(argument(x));
    const VecF inner = hn::MulAdd(hn::Mul(x, x), set(3 * kB), set(kA));
    return hn::MulAdd(hn::Mul(x, inner), s.slope, s.value);
  }
};

struct GeluQuick {
  static constexpr float kA = 1.702F;
  HWY_INLINE VecF value(VecF x) const { return hn::Mul(x, sigmoid(hn::Mul(x, set(kA))).value); }
  HWY_INLINE VecF slope(VecF x) const {
    const VecF u = hn::Mul(x, set(kA));
    const Sigmoid s = sigmoid(u);
    return hn::MulAdd(u, s.slope, s.value);
  }
};

template <class F>
HWY_INLINE void forward_range(float* y, const float* x, std::int64_t n) {
  map(
      y, n, [](VecF v) HWY_ATTR { return F().value(v); }, x);
}
template <class F>
HWY_INLINE void backward_range(const ActivationGrad& a, std::int64_t begin, std::int64_t n) {
  map(
      a.dx + begin, n, [](VecF g, VecF v) HWY_ATTR { return hn::Mul(g, F().slope(v)); }, a.dy + begin,
      a.x + begin);
}

void silu_forward(float* y, const float* x, std::int64_t n) { forward_range<Silu>(y, x, n); }
void silu_backward(const ActivationGrad& a, std::int64_t begin, std::int64_t n) {
  backward_range<Silu>(a, begin, n);
}

void gelu_forward(float* y, const float* x, std::int64_t n, Gelu kind) {
  switch (kind) {
    case Gelu::erf:
      return forward_range<GeluErf>(y, x, n);
    case Gelu::tanh:
      return forward_range<GeluTanh>(y, x, n);
    case Gelu::quick:
      return forward_range<GeluQuick>(y, x, n);
  }
}
void gelu_backward(const ActivationGrad& a, std::int64_t begin, std::int64_t n, Gelu kind) {
  switch (kind) {
    case Gelu::erf:
      return backward_range<GeluErf>(a, begin, n);
    case Gelu::tanh:
      return backward_range<GeluTanh>(a, begin, n);
    case Gelu::quick:
      return backward_range<GeluQuick>(a, begin, n);
  }
}

void geglu_forward(float* y, const float* x, std::int64_t rows, std::int64_t half) {
  for (std::int64_t r = 0; r < rows; ++r, x += 2 * half, y += half) {
    map(
        y, half, [](VecF v, VecF g) HWY_ATTR { return hn::Mul(v, GeluErf().value(g)); }, x, x + half);
  }
}

// dvalue = dy gelu(gate), dgate = dy value gelu'(gate), from one evaluation of the exponential.
void geglu_backward(const ActivationGrad& a, std::int64_t begin, std::int64_t end, std::int64_t half) {
  for (std::int64_t r = begin; r < end; ++r) {
    const float* dy = a.dy + r * half;
    const float* x = a.x + r * 2 * half;
    float* dx = a.dx + r * 2 * half;
    for_vectors(half, [&](auto io, std::int64_t i) HWY_ATTR {
      const VecF g = io.get(dy + i), value = io.get(x + i), gate = io.get(x + half + i);
      const Normal p = normal(gate);
      io.put(hn::Mul(g, hn::Mul(gate, p.distribution)), dx + i);
      io.put(hn::Mul(hn::Mul(g, value), hn::MulAdd(gate, p.density, p.distribution)), dx + half + i);
    });
  }
}

void swiglu_forward(const Swiglu& a, std::int64_t n) {
  map(
      a.y, n, [](VecF g, VecF u) HWY_ATTR { return hn::Mul(silu(g), u); }, a.gate, a.up);
}

// Both gradients from one evaluation of the exponential; everything is read before anything is written.
void swiglu_backward(const SwigluGrad& a, std::int64_t n) {
  for_vectors(n, [&](auto io, std::int64_t i) HWY_ATTR {
    const VecF dy = io.get(a.dy + i), gate = io.get(a.gate + i), up = io.get(a.up + i);
    const Sigmoid s = sigmoid(gate);
    io.put(hn::Mul(hn::Mul(dy, up), hn::MulAdd(gate, s.slope, s.value)), a.dgate + i);
    io.put(hn::Mul(dy, hn::Mul(gate, s.value)), a.dup + i);
  });
}

}  // namespace
}  // namespace rankine::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace rankine::cpu {

HWY_EXPORT(silu_forward);
HWY_EXPORT(silu_backward);
HWY_EXPORT(gelu_forward);
HWY_EXPORT(gelu_backward);
HWY_EXPORT(geglu_forward);
HWY_EXPORT(geglu_backward);
HWY_EXPORT(swiglu_forward);
HWY_EXPORT(swiglu_backward);

namespace {
// An exponential per element: worth a thread earlier than a plain copy is.
constexpr std::int64_t kExpGrain = kGrain / 2;

// Calls run(offset in y, offset in x, count) for the rows, or, where they follow each other without a gap,
// for ranges of all elements.
template <class Run>
void for_gated_rows(ThreadPool& pool, GatedRows size, std::int64_t pitch, const Run& run) {
  const bool dense = pitch == size.half;
  const std::int64_t items = dense ? size.rows * size.half : size.rows;
  pool.parallel_for(items, dense ? kExpGrain : grain_of(2 * size.half),
                    [&](std::int64_t begin, std::int64_t end) {
                      if (dense) return run(begin, begin, end - begin);
                      for (std::int64_t r = begin; r < end; ++r) run(r * size.half, r * pitch, size.half);
                    });
}
}  // namespace

void silu_forward(ThreadPool& pool, float* y, const float* x, std::int64_t n) {
  pool.parallel_for(n, kExpGrain, [&](std::int64_t begin, std::int64_t end) {
    HWY_DYNAMIC_DISPATCH(silu_forward)(y + begin, x + begin, end - begin);
  });
}

void silu_backward(ThreadPool& pool, ActivationGrad a, std::int64_t n) {
  pool.parallel_for(n, kExpGrain, [&](std::int64_t begin, std::int64_t end) {
    HWY_DYNAMIC_DISPATCH(silu_backward)(a, begin, end - begin);
  });
}

void gelu_forward(ThreadPool& pool, float* y, const float* x, std::int64_t n, Gelu kind) {
  pool.parallel_for(n, kExpGrain, [&](std::int64_t begin, std::int64_t end) {
    HWY_DYNAMIC_DISPATCH(gelu_forward)(y + begin, x + begin, end - begin, kind);
  });
}

void gelu_backward(ThreadPool& pool, ActivationGrad a, std::int64_t n, Gelu kind) {
  pool.parallel_for(n, kExpGrain, [&](std::int64_t begin, std::int64_t end) {
    HWY_DYNAMIC_DISPATCH(gelu_backward)(a, begin, end - begin, kind);
  });
}

void geglu_forward(ThreadPool& pool, float* y, const float* x, GatedRows size) {
  pool.parallel_for(size.rows, grain_of(2 * size.half), [&](std::int64_t begin, std::int64_t end) {
    HWY_DYNAMIC_DISPATCH(geglu_forward)
    (y + begin * size.half, x + begin * 2 * size.half, end - begin, size.half);
  });
}

void geglu_backward(ThreadPool& pool, ActivationGrad a, GatedRows size) {
  pool.parallel_for(size.rows, grain_of(2 * size.half), [&](std::int64_t begin, std::int64_t end) {
    HWY_DYNAMIC_DISPATCH(geglu_backward)(a, begin, end, size.half);
  });
}

void swiglu_forward(ThreadPool& pool, Swiglu a, GatedRows size, std::int64_t pitch) {
  for_gated_rows(pool, size, pitch, [&](std::int64_t out, std::int64_t in, std::int64_t n) {
    HWY_DYNAMIC_DISPATCH(swiglu_forward)(a.at(out, in), n);
  });
}

void swiglu_backward(ThreadPool& pool, SwigluGrad a, GatedRows size, std::int64_t pitch) {
  for_gated_rows(pool, size, pitch, [&](std::int64_t out, std::int64_t in, std::int64_t n) {
    HWY_DYNAMIC_DISPATCH(swiglu_backward)(a.at(out, in), n);
  });
}

}  // namespace rankine::cpu
#endif
