// activation.h on CUDA: see activation_test.cpp for the same on the CPU.
#include "kernels/activation/activation.h"

#include "kernels/activation/activation_ref.h"
#include "tests/kernels/gpu_support.h"

namespace rankine {
namespace {
using namespace testing_support;

constexpr Gelu kGelus[] = {Gelu::erf, Gelu::tanh, Gelu::quick};
constexpr std::int64_t kSizes[] = {1, 3, 8, 40, 257, 1031};

class ActivationCuda : public OnGpu {
 protected:
  // A kernel of one variable and its gradient, at each size, in place and at an address that is not aligned.
  void check(const std::function<void(Tensor& y, const Tensor& x)>& forward,
             const std::function<void(Tensor& dx, const Tensor& dy, const Tensor& x)>& backward,
             const std::function<double(double)>& value, const std::function<double(double)>& slope) const {
    for (const std::int64_t n : kSizes) {
      SCOPED_TRACE(n);
      const Tensor x = random({n}, 1, 6.0F), dy = random({n}, 2);
      const Doubles dx_in = from_device(dy);
      Doubles want = from_device(x), dwant = want;
      for (std::size_t i = 0; i < want.size(); ++i) {
        dwant[i] = dx_in[i] * slope(want[i]);
        want[i] = value(want[i]);
      }
      Tensor y = garbage({n}), dx = garbage({n}), inside = to_device({n}, dx_in);
      forward(y, x);
      EXPECT_TRUE(close_to(y, want));
      backward(dx, dy, x);
      EXPECT_TRUE(close_to(dx, dwant));
      backward(inside, inside, x);
      EXPECT_EQ(bytes_from_device(inside), bytes_from_device(dx));
      if (n < 3) continue;
      Tensor shifted = garbage({n + 1}), end = shifted.flat(1, {n});
      forward(end, x);
      EXPECT_EQ(bytes_from_device(end), bytes_from_device(y));
    }
  }
};
INSTANTIATE_TEST_SUITE_P(Types, ActivationCuda, gpu_float_types(), gpu_case_name);

TEST_P(ActivationCuda, SiluMatchesForwardAndBackward) {
  check([&](Tensor& y, const Tensor& x) { silu_forward(c(), y, x); },
        [&](Tensor& dx, const Tensor& dy, const Tensor& x) { silu_backward(c(), dx, dy, x); },
        ref::silu<double>, ref::silu_slope<double>);
}

TEST_P(ActivationCuda, GeluMatchesForwardAndBackward) {
  for (const Gelu kind : kGelus) {
    SCOPED_TRACE(int(kind));
    check([&](Tensor& y, const Tensor& x) { gelu_forward(c(), y, x, kind); },
          [&](Tensor& dx, const Tensor& dy, const Tensor& x) { gelu_backward(c(), dx, dy, x, kind); },
          [kind](double v) { return ref::gelu(v, kind); },
          [kind](double v) { return ref::gelu_slope(v, kind); });
  }
}

struct GatedShape {
  std::int64_t rows, half;
};
constexpr GatedShape kGatedShapes[] = {{1, 1}, {3, 7}, {5, 8}, {3, 40}, {2, 257}, {4, 128}};

TEST_P(ActivationCuda, GegluMatchesForwardAndBackward) {
  for (const auto& [rows, half] : kGatedShapes) {
    SCOPED_TRACE(join(rows, " ", half));
    const Tensor x = random({rows, 2 * half}, 1, 4.0F), dy = random({rows, half}, 2);
    const Doubles xs = from_device(x), g = from_device(dy);
    Tensor y = garbage({rows, half}), dx = garbage(x.shape());
    geglu_forward(c(), y, x);
    geglu_backward(c(), dx, dy, x);
    Doubles want(g.size()), dwant(xs.size());
    for (std::int64_t i = 0; i < rows * half; ++i) {
      const std::int64_t at = i / half * 2 * half + i % half;
      want[i] = ref::geglu(xs[at], xs[at + half]);
      dwant[at] = g[i] * ref::geglu_dvalue(xs[at + half]);
      dwant[at + half] = g[i] * ref::geglu_dgate(xs[at], xs[at + half]);
    }
    EXPECT_TRUE(close_to(y, want));
    EXPECT_TRUE(close_to(dx, dwant));
  }
}

TEST_P(ActivationCuda, SwigluMatchesForwardAndBackwardTogetherAndApart) {
  for (const auto& [rows, half] : kGatedShapes) {
    SCOPED_TRACE(join(rows, " ", half));
    const std::int64_t n = rows * half;
    const Tensor x = random({rows, 2 * half}, 1, 4.0F), dy = random({rows, half}, 2);
    const Doubles xs = from_device(x), g = from_device(dy);
    Doubles gates(n), ups(n), want(n), dgates(n), dups(n), dwant(2 * n);
    for (std::int64_t i = 0; i < n; ++i) {
      const std::int64_t at = i / half * 2 * half + i % half;
      gates[i] = xs[at], ups[i] = xs[at + half];
      want[i] = ref::swiglu(gates[i], ups[i]);
      dgates[i] = dwant[at] = g[i] * ref::swiglu_dgate(gates[i], ups[i]);
      dups[i] = dwant[at + half] = g[i] * ref::swiglu_dup(gates[i]);
    }
    Tensor y = garbage({rows, half}), dx = to_device(x.shape(), xs);
    swiglu_forward(c(), y, x);
    EXPECT_TRUE(close_to(y, want));
    swiglu_backward(c(), dx, dy, dx);  // over its input
    EXPECT_TRUE(close_to(dx, dwant));
    Tensor gate = to_device({n}, gates), up = to_device({n}, ups), apart = garbage({n});
    swiglu_forward(c(), apart, gate, up);
    EXPECT_EQ(bytes_from_device(apart), bytes_from_device(y));
    Tensor flat_dy = to_device({n}, g);
    swiglu_backward(c(), gate, flat_dy, flat_dy, gate, up);  // each gradient over an input
    EXPECT_TRUE(close_to(gate, dgates));
    EXPECT_TRUE(close_to(flat_dy, dups));
  }
}

// S of the y that was stored, for ranks of one tile, of several and beyond what the kernel takes, and few
// rows.
TEST_P(ActivationCuda, GatesLeaveTheMiddleOfTheirAdapters) {
  if (type() == DType::f32) return;
  struct Case {
    std::int64_t rows, half, rank;
  };
  for (const auto& [rows, half, rank] :
       {Case{8, 8, 1}, {9, 40, 8}, {33, 264, 16}, {17, 600, 64}, {18, 72, 47}, {9, 72, 72}}) {
    SCOPED_TRACE(join(rows, " ", half, " ", rank));
    const Tensor x = random({rows, 2 * half}, 1, 4.0F), down = random({rank, half}, 5);
    Tensor y = garbage({rows, half}), plain = garbage(y.shape()), s = garbage({rows, rank});
    const Doubles factors = from_device(down);
    geglu_forward_with_middle(c(), y, x, {s, down});
    geglu_forward(c(), plain, x);
    EXPECT_EQ(bytes_from_device(y), bytes_from_device(plain));
    EXPECT_TRUE(close_to(s, middle_of(from_device(y), factors, half)));
    y = garbage(y.shape()), s = garbage(s.shape());
    swiglu_forward_with_middle(c(), y, x, {s, down});
    swiglu_forward(c(), plain, x);
    EXPECT_EQ(bytes_from_device(y), bytes_from_device(plain));
    EXPECT_TRUE(close_to(s, middle_of(from_device(y), factors, half)));
    const Tensor gate = random({rows, half}, 6, 4.0F), up = random({rows, half}, 7);
    Tensor inside = to_device(gate.shape(), from_device(gate));
    swiglu_forward_with_middle(c(), inside, inside, up, {s, down});
    swiglu_forward(c(), plain, gate, up);
    EXPECT_EQ(bytes_from_device(inside), bytes_from_device(plain));
    EXPECT_TRUE(close_to(s, middle_of(from_device(inside), factors, half)));
  }
}

TEST_P(ActivationCuda, ExtremeInputsStayFiniteAndNanStaysVisible) {
  const Tensor x = to_device({9}, {-1e4, -200, -90, -1e-6, 0, 90, 200, 1e4, NAN}),
               dy = to_device({9}, Doubles(9, 1.0));
  const auto check = [&](const Tensor& t, const Doubles& want) {
    Doubles got = from_device(t);
    EXPECT_TRUE(std::isnan(got.back()));
    got.pop_back();
    EXPECT_TRUE(close(got, want, tolerance()));
  };
  Tensor y = garbage({9}), dx = garbage({9});
  const Doubles big = from_device(to_device({3}, {90, 200, 1e4}));
  const Doubles want{0, 0, 0, 0, 0, big[0], big[1], big[2]}, slopes{0, 0, 0, 0.5, 0.5, 1, 1, 1};
  silu_forward(c(), y, x);
  silu_backward(c(), dx, dy, x);
  check(y, want);
  check(dx, slopes);
  for (const Gelu kind : kGelus) {
    gelu_forward(c(), y, x, kind);
    gelu_backward(c(), dx, dy, x, kind);
    check(y, want);
    check(dx, slopes);
  }
}

TEST_P(ActivationCuda, WrongTensorsAreNamed) {
  const DType other_type = type() == DType::f16 ? DType::bf16 : DType::f16;
  Tensor y = garbage({2, 4}), other = garbage({2, 5}), mixed = garbage({2, 4}, other_type),
         gated = garbage({2, 8});
  expect_shape_error("silu_forward", [&] { silu_forward(c(), mixed, y); });
  expect_shape_error("silu_backward", [&] { silu_backward(c(), y, mixed, y); });
  expect_shape_error("gelu_forward", [&] { gelu_forward(c(), other, y, Gelu::erf); });
  expect_shape_error("gelu_backward", [&] { gelu_backward(c(), y, y, mixed, Gelu::tanh); });
  expect_shape_error("geglu_forward", [&] { geglu_forward(c(), mixed, gated); });
  expect_shape_error("geglu_backward", [&] { geglu_backward(c(), y, y, gated); });
  expect_shape_error("swiglu_forward", [&] { swiglu_forward(c(), y, y, mixed); });
  expect_shape_error("swiglu_forward", [&] { swiglu_forward(c(), other, gated); });
  expect_shape_error("swiglu_backward", [&] { swiglu_backward(c(), y, mixed, y, y, y); });
  Tensor s = garbage({2, 3}), down = garbage({3, 4}), wrong = garbage({3, 5});
  expect_shape_error("geglu_forward_with_middle", [&] {
    geglu_forward_with_middle(c(), y, gated, {s, wrong});
  });
  expect_shape_error("swiglu_forward_with_middle", [&] {
    swiglu_forward_with_middle(c(), y, gated, {y, down});
  });
  expect_shape_error("swiglu_forward_with_middle", [&] {
    swiglu_forward_with_middle(c(), y, y, mixed, {s, down});
  });
}

}  // namespace
}  // namespace rankine
