// Heads of a few elements, as small models have: a head's row is shorter than a vector, so rows, not
// elements, lie side by side in vectors, and scores never leave the registers. A row's numbers depend on the
// keys that it sees alone, in their order; others add exact zeros. So neither threads nor packing change a
// bit.
#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

#include "kernels/attention/attention_impl.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/attention/attention_narrow_cpu.cpp"
#include "kernels/common/simd_targets.h"

#include <hwy/foreach_target.h>

#include "kernels/attention/softmax-inl.h"

HWY_BEFORE_NAMESPACE();
namespace rankine::HWY_NAMESPACE {
namespace {

using cpu::NarrowRows;
constexpr std::int64_t kMaxLanes = hn::MaxLanes(F32());
using I32 = hn::RebindToSigned<F32>;

// Element d of n rows from x on, a row per lane, times `scale`; 0 in lanes beyond.
template <int W>
HWY_INLINE void load_rows(VecF (&out)[W], const float* x, std::int64_t pitch, std::int64_t n, float scale) {
  alignas(64) float buffer[W][kMaxLanes] = {};
  for (std::int64_t i = 0; i < n; ++i)
    for (int d = 0; d < W; ++d) buffer[d][i] = scale * x[i * pitch + d];
  for (int d = 0; d < W; ++d) out[d] = load(buffer[d]);
}
template <int W>
HWY_INLINE void store_rows(const VecF (&in)[W], float* x, std::int64_t pitch, std::int64_t n) {
  alignas(64) float buffer[W][kMaxLanes];
  for (int d = 0; d < W; ++d) store(in[d], buffer[d]);
  for (std::int64_t i = 0; i < n; ++i)
    for (int d = 0; d < W; ++d) x[i * pitch + d] = buffer[d][i];
}
// sum over d of rows[d] · x[d]: a row of the other side against every lane.
template <int W>
HWY_INLINE VecF dots(const VecF (&rows)[W], const float* x) {
  VecF sum = hn::Mul(rows[0], set(x[0]));
  for (int d = 1; d < W; ++d) sum = hn::MulAdd(rows[d], set(x[d]), sum);
  return sum;
}

// The keys that a vector's rows see: each its own [begin, end), all of them those in `all`, some those in
// `any`.
class Sight {
 public:
  Sight(const AttentionSize& s, std::int64_t sample, std::int64_t first, std::int64_t n) {
    alignas(64) std::int32_t begins[kMaxLanes] = {}, ends[kMaxLanes] = {};
    any_ = {s.keys, 0};
    all_ = {0, n == lanes() ? s.keys : 0};
    for (std::int64_t i = 0; i < n; ++i) {
      const KeyRange own = s.seen(sample, first + i);
      begins[i] = static_cast<std::int32_t>(own.begin);
      ends[i] = static_cast<std::int32_t>(own.end);
      any_ = {std::min(any_.begin, own.begin), std::max(any_.end, own.end)};
      all_ = {std::max(all_.begin, own.begin), std::min(all_.end, own.end)};
    }
    begin_ = hn::Load(I32(), begins);
    end_ = hn::Load(I32(), ends);
  }
  KeyRange any() const { return any_; }
  bool by_all(std::int64_t key) const { return key >= all_.begin && key < all_.end; }
  auto mask(std::int64_t key) const {
    const auto k = hn::Set(I32(), static_cast<std::int32_t>(key));
    return hn::RebindMask(F32(), hn::AndNot(hn::Lt(k, begin_), hn::Lt(k, end_)));
  }
  // x where the row sees the key, whatever x is where it does not.
  VecF only(VecF x, std::int64_t key) const { return by_all(key) ? x : hn::IfThenElseZero(mask(key), x); }

 private:
  KeyRange any_, all_;
  hn::Vec<I32> begin_, end_;
};

template <int W>
void forward_group(const AttentionForward& a, std::int64_t lane, std::int64_t first) {
  const AttentionSize& s = a.size;
  const std::int64_t n = std::min(lanes(), s.queries - first), pitch = s.kv_pitch();
  const std::int64_t at = s.q_offset(lane, first), kv = s.kv_offset(lane);
  const Sight sight(s, lane / s.heads, first, n);
  const auto [begin, end] = sight.any();
  VecF q[W], o[W];
  load_rows<W>(q, a.q + at, s.q_pitch(), n, s.scale);
  for (VecF& x : o) x = set(0.0F);
  const VecF lowest = set(-std::numeric_limits<float>::infinity());
  VecF top = lowest, sum = set(0.0F);
  for (std::int64_t j = begin; j < end; ++j) {
    const VecF score = dots<W>(q, a.k + kv + j * pitch);
    top = hn::Max(top, sight.by_all(j) ? score : hn::IfThenElse(sight.mask(j), score, lowest));
  }
  for (std::int64_t j = begin; j < end; ++j) {
    const VecF score = dots<W>(q, a.k + kv + j * pitch);
    const VecF p = sight.only(exp_keeping_nan(hn::Sub(score, top)), j);
    const float* v = a.v + kv + j * pitch;
    sum = hn::Add(sum, p);
    for (int d = 0; d < W; ++d) o[d] = hn::MulAdd(p, sight.only(set(v[d]), j), o[d]);
  }
  for (VecF& x : o) x = hn::Div(x, sum);
  store_rows<W>(o, a.o + at, s.q_pitch(), n);
  alignas(64) float tops[kMaxLanes], sums[kMaxLanes];
  store(top, tops);
  store(sum, sums);
  for (std::int64_t i = 0; i < n; ++i) a.lse[lane * s.queries + first + i] = tops[i] + std::log(sums[i]);
}

// dq of a vector of queries of one head; leaves delta = o · do of each.
template <int W>
HWY_INLINE void query_group(const AttentionBackward& a, std::int64_t lane, std::int64_t first, float* delta) {
  const AttentionSize& s = a.size;
  const std::int64_t n = std::min(lanes(), s.queries - first), pitch = s.kv_pitch();
  const std::int64_t at = s.q_offset(lane, first), kv = s.kv_offset(lane);
  const Sight sight(s, lane / s.heads, first, n);
  VecF q[W], g[W], o[W], dq[W];
  load_rows<W>(q, a.q + at, s.q_pitch(), n, s.scale);
  load_rows<W>(g, a.d_o + at, s.q_pitch(), n, 1);
  load_rows<W>(o, a.o + at, s.q_pitch(), n, 1);
  VecF mean = hn::Mul(o[0], g[0]);
  for (int d = 1; d < W; ++d) mean = hn::MulAdd(o[d], g[d], mean);
  store_n(mean, delta + first, n);
  for (VecF& x : dq) x = set(0.0F);
  const VecF lse = load_n(a.lse + lane * s.queries + first, n);
  for (std::int64_t j = sight.any().begin; j < sight.any().end; ++j) {
    const float *k = a.k + kv + j * pitch, *v = a.v + kv + j * pitch;
    const VecF p = sight.only(exp_keeping_nan(hn::Sub(dots<W>(q, k), lse)), j);
    const VecF ds = sight.only(hn::Mul(p, hn::Sub(dots<W>(g, v), mean)), j);
    for (int d = 0; d < W; ++d) dq[d] = hn::MulAdd(ds, sight.only(set(k[d]), j), dq[d]);
  }
  for (VecF& x : dq) x = hn::Mul(x, set(s.scale));
  store_rows<W>(dq, a.dq + at, s.q_pitch(), n);
}

// What the queries of one head add to dk / scale and dv of a vector of keys.
template <int W>
HWY_INLINE void add_keys(const AttentionBackward& a, std::int64_t lane, KeyRange keys, const float* delta,
                         VecF (&dk)[W], VecF (&dv)[W]) {
  const AttentionSize& s = a.size;
  const std::int64_t n = keys.end - keys.begin, kv = s.kv_offset(lane) + keys.begin * s.kv_pitch();
  VecF k[W], v[W];
  load_rows<W>(k, a.k + kv, s.kv_pitch(), n, s.scale);
  load_rows<W>(v, a.v + kv, s.kv_pitch(), n, 1);
  const auto own = hn::Add(hn::Iota(I32(), 0), hn::Set(I32(), static_cast<std::int32_t>(keys.begin)));
  for (std::int64_t i = 0; i < s.queries; ++i) {
    const KeyRange seen = s.seen(lane / s.heads, i);
    if (seen.end <= keys.begin || seen.begin >= keys.end) continue;
    const float *q = a.q + s.q_offset(lane, i), *g = a.d_o + s.q_offset(lane, i);
    VecF p = exp_keeping_nan(hn::Sub(dots<W>(k, q), set(a.lse[lane * s.queries + i])));
    VecF ds = hn::Mul(p, hn::Sub(dots<W>(v, g), set(delta[i])));
    if (seen.begin > keys.begin || seen.end < keys.begin + lanes()) {
      const auto from = hn::Set(I32(), static_cast<std::int32_t>(seen.begin)),
                 to = hn::Set(I32(), static_cast<std::int32_t>(seen.end));
      const auto sees = hn::RebindMask(F32(), hn::AndNot(hn::Lt(own, from), hn::Lt(own, to)));
      p = hn::IfThenElseZero(sees, p);
      ds = hn::IfThenElseZero(sees, ds);
    }
    for (int d = 0; d < W; ++d) {
      dk[d] = hn::MulAdd(ds, set(q[d]), dk[d]);
      dv[d] = hn::MulAdd(p, set(g[d]), dv[d]);
    }
  }
}

// One key head of one sample, against all query heads that read it. delta: queries numbers for each of them.
template <int W>
void backward_task(const AttentionBackward& a, std::int64_t task, float* delta) {
  const AttentionSize& s = a.size;
  const std::int64_t first_lane = task * s.group();
  for (std::int64_t h = 0; h < s.group(); ++h)
    for (std::int64_t i = 0; i < s.queries; i += lanes())
      query_group<W>(a, first_lane + h, i, delta + h * s.queries);
  for (std::int64_t j = 0; j < s.keys; j += lanes()) {
    const KeyRange keys{j, std::min(j + lanes(), s.keys)};
    VecF dk[W], dv[W];
    for (int d = 0; d < W; ++d) dk[d] = dv[d] = set(0.0F);
    for (std::int64_t h = 0; h < s.group(); ++h)
      add_keys<W>(a, first_lane + h, keys, delta + h * s.queries, dk, dv);
    for (VecF& x : dk) x = hn::Mul(x, set(s.scale));
    const std::int64_t at = s.kv_offset(first_lane) + j * s.kv_pitch();
    store_rows<W>(dk, a.dk + at, s.kv_pitch(), keys.end - j);
    store_rows<W>(dv, a.dv + at, s.kv_pitch(), keys.end - j);
  }
}

void narrow_forward_rows(const AttentionForward& a, const NarrowRows& r) {
  for (std::int64_t i = r.begin; i < r.end; i += lanes()) {
    if (a.size.width == 4)
      forward_group<4>(a, r.lane, i);
    else
      forward_group<8>(a, r.lane, i);
  }
}
void narrow_backward_task(const AttentionBackward& a, std::int64_t task, float* delta) {
  if (a.size.width == 4)
    backward_task<4>(a, task, delta);
  else
    backward_task<8>(a, task, delta);
}

}  // namespace
}  // namespace rankine::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace rankine::cpu {
namespace {
HWY_EXPORT(narrow_forward_rows);
HWY_EXPORT(narrow_backward_task);

constexpr std::int64_t kRows = 64;  // of a task: whole vectors on every target
}  // namespace

void attention_narrow_forward(ThreadPool& pool, const AttentionForward& a) {
  const AttentionSize& s = a.size;
  const std::int64_t blocks = (s.queries + kRows - 1) / kRows, tasks = s.samples * s.heads * blocks;
  pool.parallel_for(tasks, attention_grain(2 * s.flops(), tasks), [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t t = begin; t < end; ++t) {
      const std::int64_t row = t % blocks * kRows;
      HWY_DYNAMIC_DISPATCH(narrow_forward_rows)(a, {t / blocks, row, std::min(row + kRows, s.queries)});
    }
  });
}

void attention_narrow_backward(ThreadPool& pool, const AttentionBackward& a) {
  const AttentionSize& s = a.size;
  const std::int64_t tasks = s.samples * s.kv_heads, each = narrow_backward_scratch(s);
  pool.parallel_for(tasks, attention_grain(5 * s.flops(), tasks), [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t t = begin; t < end; ++t)
      HWY_DYNAMIC_DISPATCH(narrow_backward_task)(a, t, a.scratch + t * each);
  });
}

}  // namespace rankine::cpu
#endif
