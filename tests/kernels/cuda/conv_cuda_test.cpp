// conv.h on CUDA: every tile, split and fallback against the meaning in double.
#include "kernels/conv/conv.h"

#include "kernels/conv/conv_impl.h"
#include "kernels/conv/conv_ref.h"
#include "tests/kernels/gpu_support.h"

namespace rankine {
namespace {

using namespace testing_support;
using ref::ConvShape;

constexpr Window kSame{3, 1, 1, 1}, kDown{3, 2, 1, 1}, kVaeDown{3, 2, 0, 1}, kPoint{1, 1, 0, 0},
    kPointDown{1, 2, 0, 0};
// Channels in eights: tensor cores.
constexpr ConvShape kEights[] = {
    {1, 1, 1, 8, 8, kSame},       {3, 1, 7, 16, 24, kSame},      {2, 5, 3, 24, 40, kSame},
    {1, 8, 8, 40, 8, kSame},      {1, 9, 6, 8, 72, kSame},       {2, 7, 5, 16, 16, kDown},
    {1, 8, 8, 8, 16, kVaeDown},   {1, 1, 1, 8, 8, kDown},        {2, 3, 5, 40, 24, kPoint},
    {1, 5, 4, 8, 16, kPointDown}, {1, 9, 8, 8, 8, {5, 3, 2, 1}}, {1, 6, 7, 8, 8, {3, 1, 2, 0}}};
// Others: one number at a time, but for the forward of 8 -> 4 and 16 -> 3.
constexpr ConvShape kOdd[] = {{1, 1, 1, 1, 1, kSame},       {1, 8, 8, 4, 8, kSame},
                              {2, 5, 3, 8, 4, kSame},       {1, 1, 7, 16, 3, kSame},
                              {1, 9, 6, 3, 5, kSame},       {2, 5, 3, 5, 3, kDown},
                              {1, 2, 2, 4, 4, kVaeDown},    {1, 3, 5, 4, 17, kPoint},
                              {1, 5, 4, 12, 3, kPointDown}, {1, 4, 5, 70, 66, kPoint}};
constexpr ConvTile kTiles[] = {ConvTile::m128n128, ConvTile::m128n64, ConvTile::m64n64, ConvTile::scalar};

std::string trace(const ConvShape& s) {
  return join(s.images, "x", s.height, "x", s.width, " ", s.in, "->", s.out, " window ", s.window.size, "/",
              s.window.stride, " pad ", s.window.pad_before, "+", s.window.pad_after);
}
Shape x_shape(const ConvShape& s) { return {s.images, s.height, s.width, s.in}; }
Shape y_shape(const ConvShape& s) { return {s.images, s.out_height(), s.out_width(), s.out}; }
Shape w_shape(const ConvShape& s) { return {s.out, s.window.size, s.window.size, s.in}; }
ConvSizes sizes_of(const ConvShape& s) {
  return {s.images, s.height, s.width, s.in, s.out_height(), s.out_width(), s.out, s.window};
}

class ConvCuda : public OnGpu {
 protected:
  Tensor x_of(const ConvShape& s) const { return random(x_shape(s), 1); }
  Tensor w_of(const ConvShape& s) const { return random(w_shape(s), 2); }
  Tensor dy_of(const ConvShape& s) const { return random(y_shape(s), 3); }

  void expect_forward(const ConvShape& s) const {
    SCOPED_TRACE(trace(s));
    const Tensor x = x_of(s), w = w_of(s), bias = random({s.out}, 4, 1.0F, DType::f32);
    Tensor y = garbage(y_shape(s));
    conv2d_forward(c(), y, x, w, bias, s.window);
    const Doubles want = ref::conv2d_forward(from_device(x), from_device(w), from_device(bias), s);
    EXPECT_TRUE(close_to(y, want));
  }
  void expect_adjoint(const ConvShape& s) const {
    SCOPED_TRACE(trace(s));
    const Tensor dy = dy_of(s), w = w_of(s);
    Tensor dx = garbage(x_shape(s)), sum = random(x_shape(s), 4);
    const Doubles before = from_device(sum), zero(before.size());
    conv2d_adjoint(c(), dx, dy, w, s.window, Write::overwrite);
    EXPECT_TRUE(close_to(dx, ref::conv2d_adjoint(zero, from_device(dy), from_device(w), s)));
    conv2d_adjoint(c(), sum, dy, w, s.window, Write::accumulate);
    EXPECT_TRUE(close_to(sum, ref::conv2d_adjoint(before, from_device(dy), from_device(w), s)));
  }
  // Products of 16-bit numbers are exact in fp32: so is the tolerance.
  void expect_weight_grad(const ConvShape& s) const {
    SCOPED_TRACE(trace(s));
    const Tensor dy = dy_of(s), x = x_of(s);
    Tensor dw = random(w_shape(s), 4, 1.0F, DType::f32);
    const Doubles want = ref::conv2d_weight_grad(from_device(dw), from_device(dy), from_device(x), s);
    conv2d_weight_grad(c(), dw, dy, x, s.window);
    EXPECT_TRUE(close(from_device(dw), want, kernel_tolerance(DType::f32)));
  }

  struct Choice {
    ConvTile tile;
    int splits;
  };
  // The kernels behind the door, with a tile and a number of splits of the test's choice.
  Tensor scratch_of(const ConvPlan& plan) const { return garbage({plan.scratch_floats()}, DType::f32); }
  void forward_with(Choice choice, const ConvShape& s, Tensor& y, const Tensor& x, const Tensor& w,
                    const Tensor& bias) const {
    const ConvPlan plan =
        conv_plan_with(ConvPass::forward, sizes_of(s), type(), w.dtype(), choice.tile, choice.splits);
    Tensor scratch = scratch_of(plan);
    cuda::conv2d_forward(c().cuda_stream(), {y.raw(), x.raw(), type(), w.raw(), w.dtype(), bias.raw(),
                                             bias.dtype(), false, sizes_of(s), plan, scratch.data<float>()});
  }
  void adjoint_with(Choice choice, const ConvShape& s, Tensor& dx, const Tensor& dy, const Tensor& w,
                    bool accumulate) const {
    const ConvPlan plan =
        conv_plan_with(ConvPass::adjoint, sizes_of(s), type(), w.dtype(), choice.tile, choice.splits);
    Tensor scratch = scratch_of(plan);
    cuda::conv2d_adjoint(c().cuda_stream(),
                         {dx.raw(), dy.raw(), type(), w.raw(), w.dtype(), nullptr, DType::f32, accumulate,
                          sizes_of(s), plan, scratch.data<float>()});
  }
  void weight_grad_with(Choice choice, const ConvShape& s, Tensor& dw, const Tensor& dy,
                        const Tensor& x) const {
    const ConvPlan plan =
        conv_plan_with(ConvPass::weight_grad, sizes_of(s), type(), type(), choice.tile, choice.splits);
    Tensor scratch = scratch_of(plan);
    cuda::conv2d_weight_grad(c().cuda_stream(), {dw.data<float>(), dy.raw(), x.raw(), type(), sizes_of(s),
                                                 plan, scratch.data<float>()});
  }
};
class ConvCudaAny : public ConvCuda {};
INSTANTIATE_TEST_SUITE_P(Types, ConvCuda, gpu_types(), gpu_case_name);
INSTANTIATE_TEST_SUITE_P(Types, ConvCudaAny, gpu_float_types(), gpu_case_name);

TEST_P(ConvCuda, ForwardInEights) {
  for (const ConvShape& s : kEights) expect_forward(s);
}
TEST_P(ConvCuda, AdjointInEights) {
  for (const ConvShape& s : kEights) expect_adjoint(s);
}
TEST_P(ConvCuda, WeightGradInEights) {
  for (const ConvShape& s : kEights) expect_weight_grad(s);
}
TEST_P(ConvCudaAny, ForwardOfOtherChannels) {
  for (const ConvShape& s : kOdd) expect_forward(s);
}
TEST_P(ConvCudaAny, AdjointOfOtherChannels) {
  for (const ConvShape& s : kOdd) expect_adjoint(s);
}
TEST_P(ConvCudaAny, WeightGradOfOtherChannels) {
  for (const ConvShape& s : kOdd) expect_weight_grad(s);
}

// More rows and columns than one tile of each kind, and sums of several splits, some of them empty.
TEST_P(ConvCuda, EveryTileAndSplit) {
  constexpr ConvShape s{1, 11, 13, 8, 136, kSame}, turned{1, 11, 13, 136, 8, kSame};
  const Tensor x = x_of(s), w = w_of(s), dy = dy_of(turned), w_turned = w_of(turned);
  const Tensor bias = random({s.out}, 5), old = random(x_shape(turned), 6);
  const Doubles y_want = ref::conv2d_forward(from_device(x), from_device(w), from_device(bias), s);
  const Doubles dx_want =
      ref::conv2d_adjoint(from_device(old), from_device(dy), from_device(w_turned), turned);
  for (const ConvTile tile : kTiles) {
    for (const int splits : {1, 2, 5}) {
      if (splits == 2 && tile != ConvTile::m64n64) continue;
      if (splits == 5 && !takes_large()) continue;
      SCOPED_TRACE(join("tile ", static_cast<int>(tile), " splits ", splits));
      Tensor y = garbage(y_shape(s)), dx = random(x_shape(turned), 6);
      forward_with({tile, splits}, s, y, x, w, bias);
      EXPECT_TRUE(close_to(y, y_want));
      adjoint_with({tile, splits}, turned, dx, dy, w_turned, true);
      EXPECT_TRUE(close_to(dx, dx_want));
    }
  }
}

TEST_P(ConvCuda, EveryTileAndSplitOfTheWeightGradient) {
  constexpr ConvShape s{2, 7, 11, 16, 136, kSame};
  const Tensor x = x_of(s), dy = dy_of(s), old = random(w_shape(s), 4, 1.0F, DType::f32);
  const Doubles want = ref::conv2d_weight_grad(from_device(old), from_device(dy), from_device(x), s);
  for (const ConvTile tile : kTiles) {
    const int splits = tile == ConvTile::m128n64 ? 1 : 3;
    SCOPED_TRACE(join("tile ", static_cast<int>(tile), " splits ", splits));
    Tensor dw = random(w_shape(s), 4, 1.0F, DType::f32);
    weight_grad_with({tile, splits}, s, dw, dy, x);
    EXPECT_TRUE(close(from_device(dw), want, kernel_tolerance(DType::f32)));
  }
}

// The phases of a strided adjoint in tiles and splits; one of a 1x1 window has no tap at all.
TEST_P(ConvCuda, PhasesSplit) {
  for (const ConvShape& s : {ConvShape{1, 9, 8, 72, 16, kDown}, ConvShape{1, 5, 4, 8, 136, kPointDown}}) {
    SCOPED_TRACE(trace(s));
    const Tensor dy = dy_of(s), w = w_of(s);
    const Doubles zero(static_cast<std::size_t>(x_shape(s).numel()));
    const Doubles want = ref::conv2d_adjoint(zero, from_device(dy), from_device(w), s);
    for (const ConvTile tile : kTiles) {
      Tensor dx = garbage(x_shape(s));
      adjoint_with({tile, 3}, s, dx, dy, w, false);
      EXPECT_TRUE(close_to(dx, want)) << static_cast<int>(tile);
    }
  }
}

TEST_P(ConvCudaAny, FiltersAndBiasesOfOtherTypes) {
  constexpr ConvShape s{1, 5, 3, 8, 16, kSame};
  const Tensor x = x_of(s), dy = dy_of(s);
  const Doubles zero(static_cast<std::size_t>(x.numel()));
  for (const DType t : {DType::f32, DType::f16, DType::bf16}) {
    const Tensor w = random(w_shape(s), 2, 1.0F, t), bias = random({s.out}, 4);
    // A filter is rounded to the activations' type before it is used.
    const Doubles rounded = from_device(to_device(w_shape(s), from_device(w)));
    Tensor y = garbage(y_shape(s)), dx = garbage(x_shape(s));
    conv2d_forward(c(), y, x, w, bias, s.window);
    EXPECT_TRUE(close_to(y, ref::conv2d_forward(from_device(x), rounded, from_device(bias), s)));
    conv2d_forward(c(), y, x, w, {}, s.window);
    EXPECT_TRUE(close_to(y, ref::conv2d_forward(from_device(x), rounded, {}, s)));
    conv2d_adjoint(c(), dx, dy, w, s.window, Write::overwrite);
    EXPECT_TRUE(close_to(dx, ref::conv2d_adjoint(zero, from_device(dy), rounded, s)));
  }
}

// Views that begin off 16 bytes cannot be copied 16 bytes at a time.
TEST_P(ConvCuda, AnyAddress) {
  constexpr ConvShape s{1, 3, 4, 8, 16, kSame};
  const auto shifted = [&](Shape shape, std::uint32_t id) {
    return random({shape.numel() + 1}, id).flat(1, shape);
  };
  const auto values = [&](const Tensor& t) { return from_device(t); };
  const Tensor x = shifted(x_shape(s), 1), w = shifted(w_shape(s), 2), dy = shifted(y_shape(s), 3),
               x0 = x_of(s), w0 = w_of(s), dy0 = dy_of(s);
  Tensor y = garbage({y_shape(s).numel() + 1}).flat(1, y_shape(s)), dx = garbage(x_shape(s));
  Tensor dw = random({w.numel() + 1}, 4, 1.0F, DType::f32).flat(1, w_shape(s));
  const Doubles dw_before = values(dw), zero(static_cast<std::size_t>(x.numel()));
  conv2d_forward(c(), y, x, w0, {}, s.window);
  EXPECT_TRUE(close_to(y, ref::conv2d_forward(values(x), values(w0), {}, s)));
  conv2d_forward(c(), y, x0, w0, {}, s.window);
  EXPECT_TRUE(close_to(y, ref::conv2d_forward(values(x0), values(w0), {}, s)));
  conv2d_adjoint(c(), dx, dy0, w, s.window, Write::overwrite);
  EXPECT_TRUE(close_to(dx, ref::conv2d_adjoint(zero, values(dy0), values(w), s)));
  conv2d_weight_grad(c(), dw, dy, x0, s.window);
  conv2d_weight_grad(c(), dw, dy0, x0, s.window);
  const Doubles once = ref::conv2d_weight_grad(dw_before, values(dy), values(x0), s);
  EXPECT_TRUE(close(values(dw), ref::conv2d_weight_grad(once, values(dy0), values(x0), s),
                    kernel_tolerance(DType::f32)));
}

// No images: nothing to do. No filters: an empty sum is zero.
TEST_P(ConvCudaAny, EmptyMaps) {
  constexpr ConvShape none{0, 4, 4, 8, 8, kSame}, blind{1, 3, 3, 8, 0, kSame}, mute{1, 3, 3, 0, 8, kSame};
  expect_forward(none);
  expect_adjoint(none);
  expect_weight_grad(none);
  expect_adjoint(blind);
  expect_forward(mute);
}

// <W x, y> = <x, Wᵀ y>, up to the rounding of both results to the type.
TEST_P(ConvCuda, AdjointIsTheAdjoint) {
  for (const ConvShape& s : {kEights[2], kEights[5], kOdd[4]}) {
    SCOPED_TRACE(trace(s));
    const Tensor x = x_of(s), w = w_of(s), dy = dy_of(s);
    Tensor wx = garbage(y_shape(s)), wty = garbage(x_shape(s));
    conv2d_forward(c(), wx, x, w, {}, s.window);
    conv2d_adjoint(c(), wty, dy, w, s.window, Write::overwrite);
    const Doubles left = from_device(wx), right = from_device(wty), y = from_device(dy);
    double size = 0;
    for (std::size_t i = 0; i < y.size(); ++i) size += std::abs(left[i] * y[i]);
    EXPECT_NEAR(dot(left, y), dot(right, from_device(x)), tolerance().rel * size);
  }
}

TEST_P(ConvCuda, TheSameBitsAgain) {
  constexpr ConvShape s{2, 6, 6, 40, 24, kSame};
  const Tensor x = x_of(s), w = w_of(s), dy = dy_of(s);
  std::vector<std::byte> first[3];
  for (int run = 0; run < 2; ++run) {
    Tensor y = garbage(y_shape(s)), dx = garbage(x_shape(s)), dw = random(w_shape(s), 4, 1.0F, DType::f32);
    constexpr Choice plan{ConvTile::m64n64, 4};
    forward_with(plan, s, y, x, w, random({s.out}, 5));
    adjoint_with(plan, s, dx, dy, w, false);
    weight_grad_with(plan, s, dw, dy, x);
    const Tensor all[] = {y, dx, dw};
    for (int i = 0; i < 3; ++i) {
      if (run == 0) first[i] = bytes_from_device(all[i]);
      EXPECT_EQ(bytes_from_device(all[i]), first[i]) << i;
    }
  }
}

TEST_P(ConvCuda, WrongTensorsAreNamed) {
  constexpr ConvShape s{1, 4, 4, 3, 5, kSame};
  const Tensor x = x_of(s), w = w_of(s), dy = dy_of(s);
  const DType other = type() == DType::f16 ? DType::bf16 : DType::f16;
  Tensor y = garbage(y_shape(s)), dx = garbage(x_shape(s)), dw = garbage(w_shape(s));
  Tensor wide = garbage(y_shape(s), DType::f32), odd = garbage(y_shape(s), other);
  expect_shape_error("conv2d_forward", [&] { conv2d_forward(c(), wide, x, w, {}, kSame); });
  expect_shape_error("conv2d_forward",
                     [&] { conv2d_forward(c(), y, x, w, random({5}, 1, 1.0F, other), kSame); });
  expect_shape_error("conv2d_forward", [&] { conv2d_forward(c(), y, x, w, random({4}, 1), kSame); });
  expect_shape_error("conv2d_adjoint", [&] { conv2d_adjoint(c(), dx, odd, w, kSame, Write::overwrite); });
  expect_shape_error("conv2d_weight_grad", [&] { conv2d_weight_grad(c(), dw, dy, x, kSame); });
}

TEST_P(ConvCuda, PlanAsksForTheSameScratch) {
  constexpr ConvShape s{1, 4, 4, 256, 16, kSame};
  const auto run = [&](const Context& on) {
    const Tensor x = on.empty(x_shape(s), "x", type()), w = on.empty(w_shape(s), "w", DType::f32);
    Tensor y = on.empty(y_shape(s), "y", type()), dw = on.empty(w_shape(s), "dw");
    conv2d_forward(on, y, x, w, {}, kSame);
    conv2d_weight_grad(on, dw, y, x, kSame);
    return on.memory().at_peak(Account::workspace);
  };
  Runtime plan(c().device().planned());
  const std::size_t planned = run(Context(plan));
  EXPECT_GT(planned, sizeof(float) * s.out * 9 * s.in / 2);
  EXPECT_EQ(run(c()), planned);
}

// What a training step of SD 1.5 asks for: tensor cores everywhere, enough blocks, bounded scratch.
TEST(ConvPlan, ModelsFillTheCard) {
  const ConvShape kModel[] = {{4, 64, 64, 320, 320, kSame},   {1, 64, 64, 320, 320, kSame},
                              {4, 32, 32, 640, 640, kSame},   {4, 16, 16, 2560, 1280, kSame},
                              {1, 8, 8, 1280, 1280, kSame},   {4, 64, 64, 320, 320, kDown},
                              {1, 512, 512, 128, 128, kSame}, {4, 64, 64, 320, 4, kSame}};
  for (const ConvShape& s : kModel) {
    SCOPED_TRACE(trace(s));
    for (const ConvPass pass : {ConvPass::forward, ConvPass::adjoint, ConvPass::weight_grad}) {
      if (s.out == 4 && pass != ConvPass::forward) continue;
      const ConvPlan p = conv_plan("conv", pass, sizes_of(s), DType::f16, DType::f16);
      const ConvProduct product = ConvProduct::of(pass, sizes_of(s));
      EXPECT_NE(p.tile, ConvTile::scalar);
      EXPECT_LE(p.partial_floats, 8 << 20);
      EXPECT_GE((product.rows + 127) / 128 * ((product.cols + 63) / 64) * product.phases * p.splits, 100);
    }
  }
}

}  // namespace
}  // namespace rankine
