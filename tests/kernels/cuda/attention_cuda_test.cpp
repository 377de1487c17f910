// attention.h on CUDA: every head class forward and backward against the scalar meaning in double, masks,
// few queries, the plain kernel, and what the door refuses. attention_test.cpp has the same on the CPU.
#include <limits>

#include "kernels/attention/attention.h"
#include "tests/kernels/attention_support.h"
#include "tests/kernels/gpu_support.h"

namespace rankine {
namespace {
using namespace testing_support;

// Everything one forward and backward read and write, on the device.
struct GpuPass {
  Tensor q, k, v, d_o, o, lse, dq, dk, dv;

  void forward(const Context& c, const AttentionSpec& spec) { attention_forward(c, o, lse, q, k, v, spec); }
  void backward(const Context& c, const AttentionSpec& spec) {
    attention_backward(c, {dq, dk, dv}, d_o, {q, k, v, o, lse}, spec);
  }
};
// The same in double.
struct Want {
  Doubles o, lse, dq, dk, dv;
};

class AttentionCuda : public OnGpu {
 protected:
  GpuPass pass(const Case& p, float magnitude, DType dtype) const {
    const Shape of_q{p.samples, p.queries, p.heads * p.width}, of_k{p.samples, p.keys, p.kv_heads * p.width};
    GpuPass r{random(of_q, 1, magnitude, dtype),
              random(of_k, 2, magnitude, dtype),
              random(of_k, 3, 1, dtype),
              random(of_q, 4, 1, dtype),
              {},
              {},
              {},
              {},
              {}};
    spoil(r, p);
    return r;
  }
  GpuPass pass(const Case& p, float magnitude = 1) const { return pass(p, magnitude, type()); }
  void spoil(GpuPass& r, const Case& p) const {
    r.o = garbage(r.q.shape(), r.q.dtype());
    r.lse = garbage({p.samples, p.heads, p.queries}, DType::f32);
    r.dq = garbage(r.q.shape(), r.q.dtype());
    r.dk = garbage(r.k.shape(), r.q.dtype());
    r.dv = garbage(r.k.shape(), r.q.dtype());
  }
  Want want(const GpuPass& r, const AttentionSize& s) const {
    const Doubles q = from_device(r.q), k = from_device(r.k), v = from_device(r.v), d_o = from_device(r.d_o);
    Want w{q, Doubles(static_cast<std::size_t>(r.lse.numel())), q, k, k};
    ref::attention_forward(s, w.o.data(), w.lse.data(), q.data(), k.data(), v.data());
    ref::attention_backward(s, {w.dq.data(), w.dk.data(), w.dv.data()}, d_o.data(), q.data(), k.data(),
                            v.data());
    return w;
  }
  // Ranges on the host, for the oracle, and on the device.
  struct Ranges {
    Tensor host;
    AttentionSize size;
    AttentionSpec spec;
  };
  Ranges ranges_of(const Case& p, const RangeOf& range) const {
    Ranges r{ranges(host_.c, p, range), p.size(), {}};
    r.size.visible = r.host.data<std::int32_t>();
    check_visible(r.host.span<std::int32_t>(), {p.samples, p.queries, p.keys, p.causal});
    r.spec = with_ranges(p, raw_to_device(r.host));
    return r;
  }
  void expect_agreement(const Case& p, const AttentionSize& size, const AttentionSpec& spec,
                        float magnitude = 1) const {
    SCOPED_TRACE(::testing::PrintToString(p));
    GpuPass r = pass(p, magnitude);
    r.forward(c(), spec);
    r.backward(c(), spec);
    expect_values(r, want(r, size));
  }
  void expect_agreement(const Case& p, float magnitude = 1) const {
    expect_agreement(p, p.size(), p.spec(), magnitude);
  }
  void expect_values(const GpuPass& r, const Want& w) const {
    EXPECT_TRUE(close_to(r.o, w.o)) << "o";
    EXPECT_TRUE(close_to(r.lse, w.lse)) << "lse";
    EXPECT_TRUE(close_to(r.dq, w.dq)) << "dq";
    EXPECT_TRUE(close_to(r.dk, w.dk)) << "dk";
    EXPECT_TRUE(close_to(r.dv, w.dv)) << "dv";
  }
};
INSTANTIATE_TEST_SUITE_P(Types, AttentionCuda, gpu_types(), gpu_case_name);

TEST_P(AttentionCuda, EveryHeadSizeAgrees) {
  for (const Case& p : {Case{1, 65, 33, 8, 2, 2}, Case{1, 33, 65, 24, 1, 1}, Case{1, 40, 129, 40, 2, 1},
                        Case{1, 3, 77, 40, 2, 2}, Case{1, 33, 70, 64, 1, 1}, Case{1, 40, 77, 80, 1, 1},
                        Case{1, 20, 40, 96, 1, 1}, Case{1, 65, 33, 128, 1, 1}, Case{1, 17, 35, 160, 1, 1},
                        Case{1, 17, 35, 256, 1, 1}, Case{1, 9, 20, 200, 1, 1}})
    expect_agreement(p);
}

// Heads whose forward alone runs on tensor cores, as in the autoencoder of pictures.
TEST_P(AttentionCuda, WidestHeadsAgree) {
  for (const Case& p : {Case{1, 20, 40, 512, 1, 1}, Case{1, 9, 20, 264, 2, 1, false, -0.1F}})
    expect_agreement(p);
}

TEST_P(AttentionCuda, TinyAndSeveralTiles) {
  for (const Case& p : {Case{2, 1, 3, 8, 2, 1}, Case{1, 3, 2, 64, 1, 1}, Case{2, 140, 20, 32, 1, 1},
                        Case{1, 130, 140, 32, 1, 1, true}})
    expect_agreement(p);
}

// A row of one key is that key's value, whatever the score: its gradient is what dp and delta leave of each
// other, in fp32.
TEST_P(AttentionCuda, OneKeyIsItsValue) {
  for (const Case& p : {Case{1, 1, 1, 40, 1, 1}, Case{1, 2, 1, 64, 1, 1}, Case{1, 1, 1, 5, 1, 1}}) {
    SCOPED_TRACE(::testing::PrintToString(p));
    GpuPass r = pass(p);
    r.forward(c(), p.spec());
    r.backward(c(), p.spec());
    const Want w = want(r, p.size());
    EXPECT_TRUE(close_to(r.o, w.o));
    EXPECT_TRUE(close_to(r.dv, w.dv));
    for (const Tensor* t : {&r.dq, &r.dk})
      for (const double x : from_device(*t)) EXPECT_LT(std::abs(x), 1e-5);
  }
}

TEST_P(AttentionCuda, CausalWithAPastAndSharedKeys) {
  for (const Case& p : {Case{1, 33, 33, 16, 4, 2, true}, Case{2, 20, 37, 40, 4, 1, true}})
    expect_agreement(p);
  if (!takes_large()) return;
  for (const Case& p : {Case{1, 66, 66, 80, 4, 2, true, 0.3F}, Case{1, 12, 90, 128, 4, 1, true},
                        Case{1, 20, 60, 256, 2, 1, true}})
    expect_agreement(p);
}

TEST_P(AttentionCuda, PlainKernelTakesTheOtherHeadSizes) {
  for (const Case& p : {Case{1, 40, 70, 5, 2, 1, true}, Case{2, 9, 65, 12, 2, 2},
                        Case{1, 2, 100, 33, 4, 2, true}, Case{1, 1, 1, 1, 1, 1}})
    expect_agreement(p);
}

// Few keys under many rows: their sums are taken over several runs of rows.
TEST_P(AttentionCuda, RunsOfRowsAddUp) {
  for (const Case& p : {Case{1, 530, 21, 8, 1, 1}, Case{1, 520, 521, 8, 2, 1, true}}) {
    if (p.keys > 500 && !takes_large()) continue;
    EXPECT_EQ(p.size().backward_runs(), 2);
    expect_agreement(p);
  }
  const Case ranged{1, 800, 30, 8, 1, 1};
  EXPECT_EQ(ranged.size().backward_runs(), 3);
  const Ranges r = ranges_of(ranged, [](std::int64_t, std::int64_t i) {
    return KeyRange{i % 29, i % 29 + 1 + i / 790};
  });
  expect_agreement(ranged, r.size, r.spec);
}

// Rows of 16 bytes that do not lie on 16 bytes.
TEST_P(AttentionCuda, PlainKernelTakesUnalignedTensors) {
  const Case p{1, 9, 20, 16, 2, 1};
  GpuPass r = pass(p);
  const Want w = want(r, p.size());
  const Doubles q = from_device(r.q);
  Doubles shifted{0};
  shifted.insert(shifted.end(), q.begin(), q.end());
  r.q = to_device({static_cast<std::int64_t>(shifted.size())}, shifted).flat(1, r.q.shape());
  r.forward(c(), p.spec());
  r.backward(c(), p.spec());
  expect_values(r, w);
}

TEST_P(AttentionCuda, FloatsRunInThePlainKernel) {
  const Case p{1, 9, 70, 16, 2, 1, true};
  GpuPass r = pass(p, 1, DType::f32);
  r.forward(c(), p.spec());
  r.backward(c(), p.spec());
  const Want w = want(r, p.size());
  for (const auto& [got, value] :
       {std::pair{&r.o, &w.o}, {&r.lse, &w.lse}, {&r.dq, &w.dq}, {&r.dk, &w.dk}, {&r.dv, &w.dv}})
    EXPECT_TRUE(close(from_device(*got), *value, kernel_tolerance(DType::f32)));
}

TEST_P(AttentionCuda, FewQueriesAgree) {
  for (const Case& p :
       {Case{1, 1, 64, 128, 2, 2, true}, Case{2, 1, 300, 40, 6, 2, true}, Case{1, 3, 530, 64, 8, 2, true},
        Case{1, 8, 70, 8, 3, 1, false, -0.4F}, Case{1, 2, 260, 160, 1, 1}, Case{1, 1, 90, 256, 1, 1}}) {
    if (p.keys > 500 && !takes_large()) continue;
    SCOPED_TRACE(::testing::PrintToString(p));
    ASSERT_TRUE(AttentionFew::takes(p.size()));
    GpuPass r = pass(p);
    const Want w = want(r, p.size());
    r.forward(c(), p.spec());
    EXPECT_TRUE(close_to(r.o, w.o)) << "o";
    EXPECT_TRUE(close_to(r.lse, w.lse)) << "lse";
  }
}

// Scores of up to 80 either way and beyond, and a scale that turns their order around.
TEST_P(AttentionCuda, LargeScoresDoNotOverflow) {
  for (const Case& p : {Case{1, 20, 40, 64, 1, 1, false, 1.0F}, Case{1, 20, 40, 40, 1, 1, true, -0.9F},
                        Case{1, 4, 70, 32, 2, 1, false, 1.0F}}) {
    SCOPED_TRACE(::testing::PrintToString(p));
    GpuPass r = pass(p, 3);
    r.forward(c(), p.spec());
    r.backward(c(), p.spec());
    const Want w = want(r, p.size());
    const double top = *std::max_element(w.lse.begin(), w.lse.end());
    EXPECT_GT(top, 40);
    expect_values(r, w);
  }
}

RangeOf packed(std::vector<std::int64_t> lengths) {
  return [lengths](std::int64_t, std::int64_t i) -> KeyRange {
    std::int64_t begin = 0;
    for (const std::int64_t n : lengths) {
      if (i < begin + n) return {begin, begin + n};
      begin += n;
    }
    return {i, i + 1};
  };
}
RangeOf scattered(const Case& p) {
  return [p](std::int64_t n, std::int64_t i) -> KeyRange {
    const std::int64_t past = p.causal ? i + 1 + p.keys - p.queries : p.keys, begin = (i * 7 + n * 3) % past;
    return {begin, std::min(p.keys, begin + 1 + (i * 5 + n) % 50)};
  };
}

TEST_P(AttentionCuda, RangesAgree) {
  const Case window{1, 90, 90, 24, 2, 1}, prefix{2, 40, 40, 40, 1, 1}, random{2, 37, 90, 16, 4, 2},
      causal{1, 70, 100, 80, 2, 1, true}, few{2, 3, 600, 16, 4, 2, true}, plain{2, 40, 50, 7, 2, 1};
  const auto check = [&](const Case& p, const RangeOf& range) {
    const Ranges r = ranges_of(p, range);
    expect_agreement(p, r.size, r.spec);
  };
  check(window, [](std::int64_t, std::int64_t i) {
    return KeyRange{std::max<std::int64_t>(0, i - 19), i + 1};
  });
  check(prefix, [](std::int64_t n, std::int64_t i) {
    return KeyRange{0, std::max<std::int64_t>(9 + n, i + 1)};
  });
  for (const Case& p : {random, plain}) check(p, scattered(p));
  if (!takes_large()) return;
  for (const Case& p : {causal, few}) check(p, scattered(p));
}

// Samples in one row of tokens, and each alone: the numbers of one are those of the other.
TEST_P(AttentionCuda, PackedSamplesAreTheSamplesAlone) {
  const std::vector<std::int64_t> lengths{1, 37, 64, 5};
  const Case p{1, 110, 110, 24, 2, 1, true};
  const Ranges packing = ranges_of(p, packed(lengths));
  GpuPass all = pass(p);
  all.forward(c(), packing.spec);
  all.backward(c(), packing.spec);
  const Doubles o = from_device(all.o), dq = from_device(all.dq), dk = from_device(all.dk);
  std::int64_t at = 0;
  for (const std::int64_t n : lengths) {
    SCOPED_TRACE(join("sample of ", n));
    const Case alone{1, n, n, 24, 2, 1, true};
    const auto rows = [&](const Doubles& x, std::int64_t cols) {
      return Doubles(x.begin() + at * cols, x.begin() + (at + n) * cols);
    };
    const auto cut = [&](const Tensor& t) {
      return to_device({1, n, t.cols()}, rows(from_device(t), t.cols()));
    };
    GpuPass r{cut(all.q), cut(all.k), cut(all.v), cut(all.d_o), {}, {}, {}, {}, {}};
    spoil(r, alone);
    r.forward(c(), alone.spec());
    r.backward(c(), alone.spec());
    EXPECT_TRUE(close_to(r.o, rows(o, 48)));
    EXPECT_TRUE(close_to(r.dq, rows(dq, 48)));
    EXPECT_TRUE(close_to(r.dk, rows(dk, 24)));
    at += n;
  }
}

// What lies in a cache behind the tokens that are there is not read, and keys that no row sees get zeros.
TEST_P(AttentionCuda, UnseenKeysAreNotRead) {
  constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();
  for (const Case& p : {Case{1, 20, 100, 16, 2, 1}, Case{1, 2, 100, 16, 2, 1}, Case{1, 20, 100, 6, 2, 1}}) {
    SCOPED_TRACE(::testing::PrintToString(p));
    const Ranges range = ranges_of(p, [](std::int64_t, std::int64_t) { return KeyRange{5, 51}; });
    GpuPass r = pass(p);
    for (Tensor* t : {&r.k, &r.v}) {
      Doubles x = from_device(*t);
      for (std::int64_t key = 0; key < 100; ++key) {
        if (key < 5 || key >= 51) std::fill_n(x.begin() + key * p.width, p.width, kNaN);
      }
      *t = to_device(t->shape(), x);
    }
    r.forward(c(), range.spec);
    r.backward(c(), range.spec);
    for (const Tensor* t : {&r.o, &r.lse, &r.dq, &r.dk, &r.dv})
      for (const double x : from_device(*t)) ASSERT_TRUE(std::isfinite(x));
    const Doubles dk = from_device(r.dk), dv = from_device(r.dv);
    for (std::int64_t i = 51 * p.width; i < 100 * p.width; ++i) ASSERT_TRUE(dk[i] == 0 && dv[i] == 0);
  }
}

// Ranges that nobody checked: cut to the tensors; a row without a key gets o = 0, lse = -inf, no gradients.
TEST_P(AttentionCuda, WrongRangesAreCut) {
  const std::int64_t kMost = std::numeric_limits<std::int32_t>::max();
  for (const Case& p : {Case{1, 20, 70, 16, 2, 1}, Case{1, 3, 70, 16, 2, 1}, Case{1, 20, 70, 6, 2, 1}}) {
    SCOPED_TRACE(::testing::PrintToString(p));
    const Tensor wrong = ranges(host_.c, p, [&](std::int64_t, std::int64_t i) -> KeyRange {
      return i == 0 ? KeyRange{-kMost - 1, kMost} : i == 1 ? KeyRange{kMost, -5} : KeyRange{60, kMost};
    });
    const Tensor right = ranges(host_.c, p, [&](std::int64_t, std::int64_t i) -> KeyRange {
      return i == 0 ? KeyRange{0, 70} : i == 1 ? KeyRange{0, 1} : KeyRange{60, 70};
    });
    GpuPass r = pass(p);
    Doubles d_o = from_device(r.d_o);  // row 1 sends no gradient in what is expected, either
    std::fill_n(d_o.begin() + r.q.cols(), r.q.cols(), 0.0);
    r.d_o = to_device(r.q.shape(), d_o);
    AttentionSize size = p.size();
    size.visible = right.data<std::int32_t>();
    Want w = want(r, size);
    const AttentionSpec spec = with_ranges(p, raw_to_device(wrong));
    r.forward(c(), spec);
    r.backward(c(), spec);
    std::fill_n(w.o.begin() + r.q.cols(), r.q.cols(), 0.0);
    EXPECT_TRUE(close_to(r.o, w.o));
    for (std::int64_t h = 0; h < 2; ++h)
      EXPECT_EQ(from_device(r.lse)[h * p.queries + 1], -std::numeric_limits<double>::infinity());
    EXPECT_TRUE(close_to(r.dq, w.dq));
    EXPECT_TRUE(close_to(r.dk, w.dk));
    EXPECT_TRUE(close_to(r.dv, w.dv));
  }
}

TEST_P(AttentionCuda, KeepsNaN) {
  for (const Case& p : {Case{1, 9, 20, 40, 1, 1}, Case{1, 2, 70, 8, 1, 1}, Case{1, 9, 20, 5, 1, 1}})
    for (Tensor GpuPass::*input : {&GpuPass::q, &GpuPass::k, &GpuPass::v}) {
      GpuPass r = pass(p);
      Doubles x = from_device(r.*input);
      x[0] = std::numeric_limits<double>::quiet_NaN();
      r.*input = to_device((r.*input).shape(), x);
      r.forward(c(), p.spec());
      EXPECT_TRUE(std::isnan(from_device(r.o)[0]));
    }
}

TEST_P(AttentionCuda, SecondRunHasTheSameBytes) {
  for (const Case& p :
       {Case{1, 70, 70, 40, 4, 2, true}, Case{2, 2, 300, 16, 4, 2, true}, Case{1, 9, 40, 5, 2, 1}}) {
    if (p.keys > 50 && !takes_large()) continue;
    const Ranges range = ranges_of(p, scattered(p));
    GpuPass a = pass(p), b = pass(p);
    for (GpuPass* r : {&a, &b}) {
      r->forward(c(), range.spec);
      r->backward(c(), range.spec);
    }
    for (Tensor GpuPass::*t : {&GpuPass::o, &GpuPass::lse, &GpuPass::dq, &GpuPass::dk, &GpuPass::dv})
      EXPECT_EQ(bytes_from_device(a.*t), bytes_from_device(b.*t));
  }
}

TEST_P(AttentionCuda, NothingToDo) {
  const Case none{0, 4, 4, 8, 2, 1}, no_rows{1, 0, 5, 8, 2, 1};
  for (const Case& p : {none, no_rows}) {
    GpuPass r = pass(p);
    r.forward(c(), p.spec());
    r.backward(c(), p.spec());
    for (const double x : from_device(r.dk)) EXPECT_EQ(x, 0);
  }
}

TEST_P(AttentionCuda, TheDoorRefuses) {
  const Case p{1, 5, 7, 8, 2, 1};
  const DType other = type() == DType::f16 ? DType::bf16 : DType::f16;
  const auto forward_fails = [&](const auto& change) {
    GpuPass r = pass(p);
    AttentionSpec spec = p.spec();
    change(r, spec);
    expect_shape_error("attention_forward", [&] { r.forward(c(), spec); });
  };
  const auto backward_fails = [&](const auto& change) {
    GpuPass r = pass(p);
    change(r);
    expect_shape_error("attention_backward", [&] { r.backward(c(), p.spec()); });
  };
  forward_fails([&](GpuPass& r, AttentionSpec&) { r.k = garbage(r.k.shape(), other); });
  forward_fails([&](GpuPass& r, AttentionSpec&) { r.v = garbage(r.k.shape(), other); });
  forward_fails([&](GpuPass& r, AttentionSpec&) { r.o = garbage(r.q.shape(), DType::f32); });
  forward_fails([&](GpuPass& r, AttentionSpec&) { r.lse = garbage(r.lse.shape(), type()); });
  forward_fails([&](GpuPass& r, AttentionSpec&) { r.v = garbage({1, 7, 16}); });
  forward_fails([&](GpuPass&, AttentionSpec& s) { s.visible = garbage({1, 5, 2}); });
  forward_fails([&](GpuPass&, AttentionSpec& s) { s.kv_heads = 2; });
  backward_fails([&](GpuPass& r) { r.d_o = garbage(r.q.shape(), other); });
  backward_fails([&](GpuPass& r) { r.dq = garbage(r.q.shape(), DType::f32); });
  backward_fails([&](GpuPass& r) { r.dk = garbage(r.q.shape()); });
}

// A plan of the same device foresees memory to the byte.
TEST_P(AttentionCuda, PlanForeseesMemory) {
  for (const Case& p :
       {Case{1, 40, 50, 16, 4, 2, true}, Case{2, 2, 300, 16, 4, 2, true}, Case{1, 530, 530, 8, 1, 1, true}}) {
    const auto measure = [&](Device device) {
      Runtime runtime(device, std::size_t{64} << 20, 1);
      const Context c(runtime);
      const Tensor q = c.empty({p.samples, p.queries, p.heads * p.width}, "q", type());
      const Tensor k = c.empty({p.samples, p.keys, p.kv_heads * p.width}, "k", type());
      GpuPass r{q, k, k, q, q, c.empty({p.samples, p.heads, p.queries}, "lse"), q, k, k};
      r.o = c.like(q, "o");
      AttentionSpec spec = p.spec();
      spec.visible = c.empty({p.samples, p.queries, 2}, "visible", DType::i32);
      if (!device.plan) {
        const std::vector<std::byte> zeros(spec.visible.bytes());
        upload(spec.visible, zeros);
        const std::vector<std::byte> numbers(q.bytes() + k.bytes());
        for (Tensor* t : {&r.q, &r.k}) upload(*t, std::span(numbers).first(t->bytes()));
      }
      r.dq = c.like(q, "dq"), r.dk = c.like(k, "dk"), r.dv = c.like(k, "dv");
      r.forward(c, spec);
      r.backward(c, spec);
      if (!device.plan) cuda::synchronize(c.cuda_stream());
      return std::pair(runtime.memory().high_water(), runtime.cost().flops());
    };
    EXPECT_EQ(measure(Device::cuda(0)), measure(Device::cuda(0).planned()));
  }
}

TEST(CheckVisible, NamesWhatIsWrong) {
  const std::vector<std::int32_t> good{0, 1, 0, 3}, empty{0, 1, 2, 2}, outside{0, 1, 0, 4},
      hidden{1, 3, 0, 3};
  const VisibleSize size{1, 2, 3, true};
  check_visible(good, size);
  check_visible(hidden, size);
  for (const auto* wrong : {&empty, &outside})
    expect_shape_error("check_visible", [&] { check_visible(*wrong, size); });
  expect_shape_error("check_visible", [&] { check_visible(hidden, {1, 2, 2, true}); });
  expect_shape_error("check_visible", [&] { check_visible(good, {1, 3, 3, true}); });
}

}  // namespace
}  // namespace rankine
