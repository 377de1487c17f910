#include "kernels/resample/resample.h"

#include "kernels/resample/resample_ref.h"
#include "tests/kernels/pointwise_support.h"

namespace rankine {
namespace {

using namespace testing_support;

constexpr ref::MapSize kSizes[] = {{1, 1, 1, 1, 1, 1}, {1, 1, 1, 3, 2, 7},    {2, 3, 5, 6, 10, 33},
                                   {3, 3, 4, 7, 5, 2}, {1, 31, 7, 33, 13, 3}, {2, 16, 16, 32, 32, 64}};

TEST(Resample, ForwardAndAdjointMatchTheReference) {
  Cpu cpu;
  const Context& c = cpu.c;
  for (const ref::MapSize& s : kSizes) {
    SCOPED_TRACE(join(s.in_h, "x", s.in_w, " to ", s.out_h, "x", s.out_w));
    const Tensor x = random_tensor(c, {s.samples, s.in_h, s.in_w, s.channels}, 1);
    const Tensor dy = random_tensor(c, {s.samples, s.out_h, s.out_w, s.channels}, 2);
    Tensor y = c.like(dy, "y"), dx = c.like(x, "dx");
    upsample_nearest_forward(c, y, x);
    EXPECT_TRUE(matches(y, ref::upsample_nearest(to_double(x), s), {0, 0}));
    upsample_nearest_adjoint(c, dx, dy);
    EXPECT_TRUE(matches(dx, ref::upsample_nearest_adjoint(to_double(dy), s)));
    // <A x, dy> = <x, A' dy>
    EXPECT_NEAR(dot(to_double(y), to_double(dy)), dot(to_double(x), to_double(dx)), 1e-6 * double(y.numel()));
  }
}

TEST(Resample, ThreadsDoNotChangeBits) {
  expect_same_bits_for_threads([](const Context& c) {
    Tensor dx = c.empty({2, 13, 16, 64}, "dx");
    upsample_nearest_adjoint(c, dx, random_tensor(c, {2, 31, 33, 64}, 1));
    return dx;
  });
}

TEST(Resample, WrongTensorsAreNamed) {
  Cpu cpu;
  const Context& c = cpu.c;
  Tensor x = zeros(c, {1, 4, 4, 2}), smaller = zeros(c, {1, 3, 8, 2}), channels = zeros(c, {1, 8, 8, 3}),
         flat = zeros(c, {4, 2});
  expect_shape_error("upsample_nearest_forward", [&] { upsample_nearest_forward(c, smaller, x); });
  expect_shape_error("upsample_nearest_forward", [&] { upsample_nearest_forward(c, channels, x); });
  expect_shape_error("upsample_nearest_adjoint", [&] { upsample_nearest_adjoint(c, x, channels); });
  expect_shape_error("upsample_nearest_adjoint", [&] { upsample_nearest_adjoint(c, flat, x); });
}

TEST(Resample, PlanAccountsOnly) {
  const Shape small{1, 2, 2, 3}, large{1, 4, 4, 3};
  expect_planned("upsample_nearest_forward", [&](const Context& c) {
    Tensor y = c.empty(large, "y");
    upsample_nearest_forward(c, y, c.empty(small, "x"));
  });
  expect_planned("upsample_nearest_adjoint", [&](const Context& c) {
    Tensor dx = c.empty(small, "dx");
    upsample_nearest_adjoint(c, dx, c.empty(large, "dy"));
  });
}

}  // namespace
}  // namespace rankine
