// norm.h on CUDA: see norm_test.cpp for the same on the CPU.
#include "kernels/norm/norm.h"

#include "kernels/norm/norm_ref.h"
#include "tests/kernels/gpu_support.h"

namespace rankine {
namespace {
using namespace testing_support;

constexpr Tolerance kStats = kernel_tolerance(DType::f32);  // fp32 whatever the activations are

Doubles twice(Doubles v) {
  for (double& x : v) x *= 2;
  return v;
}

class NormCuda : public OnGpu {
 protected:
  // offset + scale * uniform(-1, 1)
  Tensor spread(Shape shape, std::uint32_t id, double offset, double scale, DType dtype) const {
    Doubles v = to_double(random_tensor(host_.c, shape, id));
    for (double& x : v) x = offset + scale * x;
    return to_device(shape, v, dtype);
  }
  Tensor gain(std::int64_t n, DType dtype) const { return spread({n}, 2, 1, 0.5, dtype); }
  Tensor bias(std::int64_t n, DType dtype) const { return spread({n}, 3, 0, 1, dtype); }
  Tensor zeros_on_device(std::int64_t n) const { return to_device({n}, Doubles(n), DType::f32); }
  Doubles optional(const Tensor& t) const { return t.defined() ? from_device(t) : Doubles(); }
};
INSTANTIATE_TEST_SUITE_P(Types, NormCuda, gpu_float_types(), gpu_case_name);

struct RowShape {
  std::int64_t rows, cols;
};
// A row per warp, one per block, and any length; more rows than a block or a chunk of sums holds.
constexpr RowShape kRowShapes[] = {{1, 1},   {3, 3},    {5, 8},    {210, 40},
                                   {9, 257}, {2, 1024}, {2, 1032}, {2, 1031}};

TEST_P(NormCuda, LayerNormMatchesTheReference) {
  for (const auto& [rows, cols] : kRowShapes) {
    for (const int params : {0, 1, 2, 3}) {  // bit 0: gain, bit 1: bias, in fp32 beside each other's absence
      if (cols > 1000 && params % 3 != 0) continue;
      if (rows > 200 && !takes_large()) continue;
      SCOPED_TRACE(join(rows, " ", cols, " ", params));
      const DType stored = params == 3 ? type() : DType::f32;
      const Tensor x = spread({rows, cols}, 1, 0.3, 1, type()), dy = random({rows, cols}, 4);
      const Tensor g = params & 1 ? gain(cols, stored) : Tensor(),
                   b = params & 2 ? bias(cols, stored) : Tensor();
      const ref::NormInput<double> in{from_device(x), optional(g), optional(b), double(1e-5F)};
      const ref::NormLayout layout{rows, 1, cols, 1};
      Tensor y = garbage(x.shape()), stats = garbage({rows, 2}, DType::f32), dx = garbage(x.shape());
      layer_norm_forward(c(), y, stats, x, g, b, 1e-5F);
      EXPECT_TRUE(close_to(y, ref::norm_forward(in, layout, true, false)));
      EXPECT_TRUE(close(from_device(stats), ref::norm_stats(in, layout), kStats));
      const auto want = ref::norm_backward(in, layout, from_device(dy), true, false);
      layer_norm_backward(c(), dx, dy, x, stats, g);
      Tensor dgain = zeros_on_device(cols), dbias = zeros_on_device(cols), none,
             again = zeros_on_device(cols);
      layer_norm_param_grad(c(), dgain, dbias, dy, x, stats);
      EXPECT_TRUE(close(from_device(dbias), want.dbias, kStats));
      layer_norm_param_grad(c(), again, none, dy, x, stats);
      EXPECT_EQ(bytes_from_device(again), bytes_from_device(dgain));
      layer_norm_param_grad(c(), again, none, dy, x, stats);  // adds
      if (cols == 1) continue;  // normalised to nothing: these are rounding alone
      EXPECT_TRUE(close_to(dx, want.dx));
      EXPECT_TRUE(close(from_device(dgain), want.dgain, kStats));
      EXPECT_TRUE(close(from_device(again), twice(want.dgain), kStats));
    }
  }
}

TEST_P(NormCuda, RmsNormMatchesTheReference) {
  for (const auto& [rows, cols] : kRowShapes) {
    for (const bool with_gain : {false, true}) {
      SCOPED_TRACE(join(rows, " ", cols, " ", with_gain));
      const Tensor x = spread({rows, cols}, 1, 0.3, 1, type()), dy = random({rows, cols}, 4);
      const Tensor g = with_gain ? gain(cols, type()) : Tensor();
      const ref::NormInput<double> in{from_device(x), optional(g), {}, double(1e-6F)};
      const ref::NormLayout layout{rows, 1, cols, 1};
      Tensor y = garbage(x.shape()), rstd = garbage({rows}, DType::f32), dx = garbage(x.shape()),
             dgain = zeros_on_device(cols);
      rms_norm_forward(c(), y, rstd, x, g, 1e-6F);
      EXPECT_TRUE(close_to(y, ref::norm_forward(in, layout, false, false)));
      const auto want = ref::norm_backward(in, layout, from_device(dy), false, false);
      rms_norm_backward(c(), dx, dy, x, rstd, g);
      if (cols > 1) {
        EXPECT_TRUE(close_to(dx, want.dx));
      }
      rms_norm_param_grad(c(), dgain, dy, x, rstd);
      EXPECT_TRUE(close(from_device(dgain), want.dgain, kStats));
    }
  }
}

TEST_P(NormCuda, RowsInPlaceAndUnalignedHaveTheSameNumbers) {
  for (const std::int64_t cols : {40, 257, 1032}) {
    const Tensor x = random({3, cols}, 1), g = gain(cols, DType::f32), dy = random({3, cols}, 4);
    Tensor y = garbage(x.shape()), stats = garbage({3, 2}, DType::f32), dx = garbage(x.shape());
    Tensor inside = to_device(x.shape(), from_device(x)), dinside = to_device(dy.shape(), from_device(dy));
    layer_norm_forward(c(), y, stats, x, g, g, 1e-5F);
    layer_norm_forward(c(), inside, stats, inside, g, g, 1e-5F);
    EXPECT_EQ(bytes_from_device(inside), bytes_from_device(y));
    layer_norm_backward(c(), dx, dy, x, stats, g);
    layer_norm_backward(c(), dinside, dinside, x, stats, g);
    EXPECT_EQ(bytes_from_device(dinside), bytes_from_device(dx));
    Tensor buffer = garbage({3 * cols + 1}), shifted = buffer.flat(1, x.shape());
    layer_norm_forward(c(), shifted, stats, x, g, g, 1e-5F);
    EXPECT_TRUE(close_to(shifted, from_device(y)));
  }
}

// A row of one element is normalised to nothing: y is the bias, and no gradient passes but rounding.
TEST_P(NormCuda, RowsOfOneElement) {
  const Tensor x = spread({4, 1}, 1, 3, 1, type()), dy = random({4, 1}, 4);
  Tensor y = garbage({4, 1}), stats = garbage({4, 2}, DType::f32), dx = garbage({4, 1});
  layer_norm_forward(c(), y, stats, x, Tensor(), Tensor(), 1e-5F);
  layer_norm_backward(c(), dx, dy, x, stats, Tensor());
  EXPECT_EQ(from_device(y), Doubles(4, 0.0));
  EXPECT_EQ(from_device(dx), Doubles(4, 0.0));
}

struct MapShape {
  std::int64_t samples, space, channels;
  int groups;
};
constexpr MapShape kMapShapes[] = {{1, 1, 8, 2}, {2, 3, 6, 3},    {1, 31, 33, 11}, {2, 7, 257, 1},
                                   {2, 5, 8, 8}, {1, 210, 40, 4}, {2, 33, 320, 32}};

TEST_P(NormCuda, GroupNormMatchesTheReference) {
  for (const auto& [samples, space, channels, groups] : kMapShapes) {
    for (const int variant : {0, 1, 2, 3}) {  // bit 0: gain and bias, bit 1: SiLU
      if (channels > 100 && variant % 3 != 0) continue;
      if (samples * space * channels > 5000 && !takes_large()) continue;
      SCOPED_TRACE(join(samples, " ", space, " ", channels, " ", groups, " ", variant));
      const bool silu = variant & 2;
      const DType stored = silu ? type() : DType::f32;
      const GroupNormSpec spec{groups, 1e-5F, silu ? NormThen::silu : NormThen::nothing};
      const Tensor x = spread({samples, space, channels}, 1, -0.2, 2, type()), dy = random(x.shape(), 4);
      const Tensor g = variant & 1 ? gain(channels, stored) : Tensor(),
                   b = variant & 1 ? bias(channels, stored) : Tensor();
      const ref::NormInput<double> in{from_device(x), optional(g), optional(b), double(1e-5F)};
      const ref::NormLayout layout{samples, space, channels, groups};
      Tensor y = garbage(x.shape()), stats = garbage({samples, groups, 2}, DType::f32),
             dx = garbage(x.shape());
      group_norm_forward(c(), y, stats, x, g, b, spec);
      EXPECT_TRUE(close(from_device(stats), ref::norm_stats(in, layout), kStats));
      EXPECT_TRUE(close_to(y, ref::norm_forward(in, layout, true, silu)));
      const auto want = ref::norm_backward(in, layout, from_device(dy), true, silu);
      group_norm_backward(c(), dx, dy, x, stats, g, b, spec);
      EXPECT_TRUE(close_to(dx, want.dx));
      Tensor dgain = zeros_on_device(channels), dbias = zeros_on_device(channels);
      group_norm_param_grad(c(), {dgain, dbias}, dy, x, stats, g, b, spec);
      group_norm_param_grad(c(), {dgain, dbias}, dy, x, stats, g, b, spec);  // adds
      EXPECT_TRUE(close(from_device(dgain), twice(want.dgain), kStats));
      EXPECT_TRUE(close(from_device(dbias), twice(want.dbias), kStats));
      Tensor inside = to_device(dy.shape(), from_device(dy));
      group_norm_backward(c(), inside, inside, x, stats, g, b, spec);
      EXPECT_EQ(bytes_from_device(inside), bytes_from_device(dx));
      inside = to_device(x.shape(), from_device(x));
      group_norm_forward(c(), inside, stats, inside, g, b, spec);
      EXPECT_EQ(bytes_from_device(inside), bytes_from_device(y));
    }
  }
}

// Mean 100 with deviation 0.1: sums of x and x^2 would lose every digit of the variance. Numbers that bf16
// can tell apart lie lower. The table's tolerance holds.
TEST_P(NormCuda, MeanFarAboveDeviation) {
  const double mean = type() == DType::bf16 ? 16 : 100;
  const double spread_by = 0.1 * std::sqrt(3.0) * (type() == DType::f32 ? 1 : 4);
  const Tensor x = spread({2, 90, 16}, 1, mean, spread_by, type());
  const ref::NormInput<double> in{from_device(x), {}, {}, double(1e-5F)};
  Tensor y = garbage(x.shape()), stats = garbage({2, 2, 2}, DType::f32),
         row_stats = garbage({180, 2}, DType::f32);
  group_norm_forward(c(), y, stats, x, Tensor(), Tensor(), {2, 1e-5F, NormThen::nothing});
  EXPECT_TRUE(close(from_device(stats), ref::norm_stats(in, {2, 90, 16, 2}), kStats));
  EXPECT_TRUE(close_to(y, ref::norm_forward(in, {2, 90, 16, 2}, true, false)));
  layer_norm_forward(c(), y, row_stats, x, Tensor(), Tensor(), 1e-5F);
  EXPECT_TRUE(close_to(y, ref::norm_forward(in, {180, 1, 16, 1}, true, false)));
  Tensor odd = garbage(x.shape()), buffer = garbage({x.numel() + 1}), shifted = buffer.flat(1, x.shape());
  layer_norm_forward(c(), shifted, row_stats, x, Tensor(), Tensor(), 1e-5F);
  EXPECT_TRUE(close_to(shifted, ref::norm_forward(in, {180, 1, 16, 1}, true, false)));
}

// S of the y that was stored, and y and statistics to the bit as without S: for ranks of one tile, of several
// and beyond what the kernel takes; rows that stay in registers, longer ones, and too long ones; few rows; a
// down factor that begins anywhere.
TEST_P(NormCuda, NormsLeaveTheMiddleOfTheirAdapters) {
  if (type() == DType::f32) return;
  struct Case {
    std::int64_t rows, cols, rank, shift = 0;
  };
  for (const auto& [rows, cols, rank, shift] : {Case{8, 8, 1},
                                                {9, 40, 8, 3},
                                                {33, 264, 16},
                                                {17, 1288, 24},
                                                {10, 1280, 64},
                                                {18, 72, 47, 1},
                                                {9, 2312, 4},
                                                {9, 8200, 2},
                                                {9, 72, 72}}) {
    if (rows * cols > 10000 && !takes_large()) continue;
    for (const bool centred : {true, false}) {
      SCOPED_TRACE(join(rows, " ", cols, " ", rank, " ", centred));
      const Tensor x = spread({rows, cols}, 1, 0.3, 1, type());
      const Tensor down = random({shift + rank * cols}, 5).flat(shift, {rank, cols});
      const Tensor g = gain(cols, centred ? DType::f32 : type()), b = centred ? bias(cols, type()) : Tensor();
      Tensor y = garbage(x.shape()), plain = garbage(x.shape()), s = garbage({rows, rank});
      Tensor stats = garbage(centred ? Shape{rows, 2} : Shape{rows}, DType::f32),
             plain_stats = garbage(stats.shape(), DType::f32);
      if (centred) {
        layer_norm_forward_with_middle(c(), y, stats, x, g, b, 1e-5F, {s, down});
        layer_norm_forward(c(), plain, plain_stats, x, g, b, 1e-5F);
      } else {
        rms_norm_forward_with_middle(c(), y, stats, x, g, 1e-5F, {s, down});
        rms_norm_forward(c(), plain, plain_stats, x, g, 1e-5F);
      }
      EXPECT_EQ(bytes_from_device(y), bytes_from_device(plain));
      EXPECT_EQ(bytes_from_device(stats), bytes_from_device(plain_stats));
      EXPECT_TRUE(close_to(s, middle_of(from_device(y), from_device(down), cols)));
    }
  }
}

TEST_P(NormCuda, PlanForecastsTheMemory) {
  const DType t = type();
  expect_forecast([t](const Context& c) {
    Tensor x = c.empty({70, 40}, "x", t), stats = c.empty({70, 2}, "stats"), d = c.empty({40}, "d");
    layer_norm_param_grad(c, d, d, x, x, stats);
  });
  expect_forecast([t](const Context& c) {
    Tensor x = c.empty({70, 40}, "x", t), rstd = c.empty({70}, "rstd"), d = c.empty({40}, "d");
    rms_norm_param_grad(c, d, x, x, rstd);
  });
  for (const bool backward : {false, true}) {
    expect_forecast([t, backward](const Context& c) {
      const Tensor none;
      Tensor x = c.empty({2, 70, 40}, "x", t), stats = c.empty({2, 4, 2}, "stats"), d = c.empty({40}, "d");
      if (backward) return group_norm_param_grad(c, {d, d}, x, x, stats, none, none, {4, 1e-5F});
      group_norm_forward(c, x, stats, x, none, none, {4, 1e-5F});
    });
  }
}

TEST_P(NormCuda, EmptyAndWrongTensors) {
  Tensor none, nothing = c().empty({0, 6}, "x", type()), no_stats = c().empty({0, 2}, "stats");
  EXPECT_NO_THROW(layer_norm_forward(c(), nothing, no_stats, nothing, none, none, 1e-5F));
  EXPECT_NO_THROW(layer_norm_backward(c(), nothing, nothing, nothing, no_stats, none));
  const DType other_type = type() == DType::f16 ? DType::bf16 : DType::f16;
  Tensor x = garbage({2, 6}), mixed = garbage({2, 6}, other_type), stats = garbage({2, 2}, DType::f32),
         rstd = garbage({2}, DType::f32), vec = garbage({6}, other_type),
         map_stats = garbage({2, 3, 2}, DType::f32);
  expect_shape_error("layer_norm_forward",
                     [&] { layer_norm_forward(c(), mixed, stats, x, none, none, 1e-5F); });
  expect_shape_error("layer_norm_forward", [&] { layer_norm_forward(c(), x, stats, x, vec, none, 1e-5F); });
  expect_shape_error("layer_norm_backward", [&] { layer_norm_backward(c(), x, mixed, x, stats, none); });
  expect_shape_error("layer_norm_param_grad", [&] { layer_norm_param_grad(c(), vec, none, x, x, stats); });
  expect_shape_error("rms_norm_forward", [&] { rms_norm_forward(c(), x, stats, x, none, 1e-5F); });
  expect_shape_error("rms_norm_backward", [&] { rms_norm_backward(c(), mixed, x, x, rstd, none); });
  expect_shape_error("group_norm_forward", [&] {
    group_norm_forward(c(), mixed, map_stats, x, none, none, {3, 1e-5F});
  });
  expect_shape_error("group_norm_param_grad", [&] {
    group_norm_param_grad(c(), {vec, vec}, x, x, map_stats, none, none, {3, 1e-5F});
  });
}

}  // namespace
}  // namespace rankine
