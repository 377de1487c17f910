// What the attention tests share: a case, everything one pass reads and writes, and the same in double.
#pragma once

#include "kernels/attention/attention.h"
#include "kernels/attention/attention_ref.h"
#include "tests/kernels/pointwise_support.h"

namespace rankine::testing_support {

struct Case {
  std::int64_t samples, queries, keys, width;
  int heads, kv_heads;
  bool causal = false;
  float scale = 0;

  AttentionSpec spec() const { return {heads, kv_heads, causal, scale}; }
  AttentionSize size() const {
    const float s = scale != 0 ? scale : 1.0F / std::sqrt(static_cast<float>(width));
    return {samples, queries, keys, heads, kv_heads, width, causal, s};
  }
};
inline void PrintTo(const Case& c, std::ostream* out) {
  *out << "N" << c.samples << "_Tq" << c.queries << "_Tk" << c.keys << "_D" << c.width << "_H" << c.heads
       << "_Hkv" << c.kv_heads << (c.causal ? "_causal" : "") << (c.scale != 0 ? "_scaled" : "");
}

// Everything one forward and backward read and write.
struct Pass {
  Tensor q, k, v, d_o, o, lse, dq, dk, dv;

  Pass(const Context& c, const Case& p, float magnitude = 1.0F)
      : q(random_tensor(c, {p.samples, p.queries, p.heads * p.width}, 1, magnitude)),
        k(random_tensor(c, {p.samples, p.keys, p.kv_heads * p.width}, 2, magnitude)),
        v(random_tensor(c, k.shape(), 3)),
        d_o(random_tensor(c, q.shape(), 4)),
        o(c.like(q, "o")),
        lse(c.empty({p.samples, p.heads, p.queries}, "lse")),
        dq(c.like(q, "dq")),
        dk(c.like(k, "dk")),
        dv(c.like(v, "dv")) {}

  void forward(const Context& c, const AttentionSpec& spec) { attention_forward(c, o, lse, q, k, v, spec); }
  void backward(const Context& c, const AttentionSpec& spec) {
    attention_backward(c, {dq, dk, dv}, d_o, {q, k, v, o, lse}, spec);
  }
};

// The same in double, from the same inputs.
struct Oracle {
  std::vector<double> q, k, v, d_o, o, lse, dq, dk, dv;

  Oracle(const Pass& r, const AttentionSize& s)
      : q(to_double(r.q)),
        k(to_double(r.k)),
        v(to_double(r.v)),
        d_o(to_double(r.d_o)),
        o(q.size()),
        lse(static_cast<std::size_t>(r.lse.numel())),
        dq(q.size()),
        dk(k.size()),
        dv(v.size()) {
    ref::attention_forward(s, o.data(), lse.data(), q.data(), k.data(), v.data());
    ref::attention_backward(s, {dq.data(), dk.data(), dv.data()}, d_o.data(), q.data(), k.data(), v.data());
  }

  // d (d_o · o) / dx by a central difference, for x among the inputs.
  double slope(const AttentionSize& s, double& x) const {
    constexpr double kStep = 1e-5;
    const double at = x;
    x = at + kStep;
    const double above = loss(s);
    x = at - kStep;
    const double below = loss(s);
    x = at;
    return (above - below) / (2 * kStep);
  }

 private:
  double loss(const AttentionSize& s) const {
    std::vector<double> y(o.size()), unused(lse.size());
    ref::attention_forward(s, y.data(), unused.data(), q.data(), k.data(), v.data());
    double sum = 0;
    for (std::size_t i = 0; i < y.size(); ++i) sum += y[i] * d_o[i];
    return sum;
  }
};

// The keys that row i of sample n sees.
using RangeOf = std::function<KeyRange(std::int64_t n, std::int64_t i)>;

inline Tensor ranges(const Context& c, const Case& p, const RangeOf& range) {
  Tensor t = c.empty({p.samples, p.queries, 2}, "visible", DType::i32);
  auto* out = t.data<std::int32_t>();
  for (std::int64_t n = 0; n < p.samples; ++n)
    for (std::int64_t i = 0; i < p.queries; ++i) {
      const KeyRange r = range(n, i);
      *out++ = static_cast<std::int32_t>(r.begin);
      *out++ = static_cast<std::int32_t>(r.end);
    }
  return t;
}
inline AttentionSpec with_ranges(const Case& p, const Tensor& visible) {
  AttentionSpec spec = p.spec();
  spec.visible = visible;
  return spec;
}

}  // namespace rankine::testing_support
