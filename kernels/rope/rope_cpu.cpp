#include <cmath>

#include "kernels/common/row_chunks.h"
#include "kernels/rope/rope_impl.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/rope/rope_cpu.cpp"
#include "kernels/common/simd_targets.h"

#include <hwy/foreach_target.h>

#include "kernels/common/simd-inl.h"

HWY_BEFORE_NAMESPACE();
namespace rankine::HWY_NAMESPACE {
namespace {

struct Pair {
  VecF u, v;
};
HWY_INLINE Pair turned(Pair p, VecF cosine, VecF sine) {
  return {hn::NegMulAdd(p.v, sine, hn::Mul(p.u, cosine)), hn::MulAdd(p.u, sine, hn::Mul(p.v, cosine))};
}

// One head whose pairs lie half a rotation apart.
HWY_INLINE void rotate_half(float* y, const float* x, const float* table, std::int64_t pairs,
                            float direction) {
  const VecF sign = set(direction);
  for_vectors(pairs, [&](auto io, std::int64_t i) HWY_ATTR {
    const Pair p = turned({io.get(x + i), io.get(x + pairs + i)}, io.get(table + i),
                          hn::Mul(sign, io.get(table + pairs + i)));
    io.put(p.u, y + i);
    io.put(p.v, y + pairs + i);
  });
}

// One head whose pairs are neighbours. The tail goes through a buffer and the same arithmetic.
HWY_INLINE void rotate_interleaved(float* y, const float* x, const float* table, std::int64_t pairs,
                                   float direction) {
  const F32 d;
  const VecF sign = set(direction);
  for_vectors(pairs, [&](auto io, std::int64_t i) HWY_ATTR {
    HWY_ALIGN float buffer[2 * hn::MaxLanes(d)] = {};
    const std::int64_t n = std::min(lanes(), pairs - i);
    const bool whole = n == lanes();
    if (!whole) std::memcpy(buffer, x + 2 * i, static_cast<std::size_t>(2 * n) * sizeof(float));
    Pair p;
    hn::LoadInterleaved2(d, whole ? x + 2 * i : buffer, p.u, p.v);
    p = turned(p, io.get(table + i), hn::Mul(sign, io.get(table + pairs + i)));
    hn::StoreInterleaved2(p.u, p.v, d, whole ? y + 2 * i : buffer);
    if (!whole) std::memcpy(y + 2 * i, buffer, static_cast<std::size_t>(2 * n) * sizeof(float));
  });
}

void rotate_rows(const RopeRotation& a, std::int64_t begin, std::int64_t end) {
  const RopeSpec& s = a.spec;
  const std::int64_t past = s.first + s.rotary_dims;
  const auto bytes = [](std::int64_t n) { return static_cast<std::size_t>(n) * sizeof(float); };
  for (std::int64_t head = begin * s.heads; head < end * s.heads; ++head) {
    const float* x = a.x + head * s.head_dim;
    float* y = a.y + head * s.head_dim;
    const float* table = a.cos_sin + head / s.heads * s.rotary_dims;
    if (y != x) {
      std::memcpy(y, x, bytes(s.first));
      std::memcpy(y + past, x + past, bytes(s.head_dim - past));
    }
    const auto rotate = s.pairing == RopeSpec::half ? rotate_half : rotate_interleaved;
    rotate(y + s.first, x + s.first, table, s.rotary_dims / 2, a.direction);
  }
}

}  // namespace
}  // namespace rankine::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace rankine::cpu {

HWY_EXPORT(rotate_rows);

void rope_table(ThreadPool& pool, const RopeTable& a) {
  constexpr std::int64_t kGrainOfSines = kGrain / 64;
  pool.parallel_for(a.rows * a.pairs, kGrainOfSines, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t at = begin; at < end; ++at) {
      const std::int64_t row = at / a.pairs, i = at % a.pairs;
      const float angle = static_cast<float>(a.positions[row]) * a.inv_freq[i];
      float* out = a.cos_sin + row * 2 * a.pairs + i;
      out[0] = static_cast<float>(a.factor * std::cos(double(angle)));
      out[a.pairs] = static_cast<float>(a.factor * std::sin(double(angle)));
    }
  });
}

void rope_rotate(ThreadPool& pool, const RopeRotation& a) {
  pool.parallel_for(a.rows, grain_of(a.spec.heads * a.spec.head_dim),
                    [&](std::int64_t begin, std::int64_t end) {
                      HWY_DYNAMIC_DISPATCH(rotate_rows)(a, begin, end);
                    });
}

}  // namespace rankine::cpu
#endif
