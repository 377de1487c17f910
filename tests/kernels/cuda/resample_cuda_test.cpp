// resample.h on CUDA: see resample_test.cpp for the same on the CPU.
#include "kernels/resample/resample.h"

#include "kernels/resample/resample_ref.h"
#include "tests/kernels/gpu_support.h"

namespace rankine {
namespace {
using namespace testing_support;

class ResampleCuda : public OnGpu {};
INSTANTIATE_TEST_SUITE_P(Types, ResampleCuda, gpu_float_types(), gpu_case_name);

constexpr ref::MapSize kSizes[] = {{1, 1, 1, 1, 1, 1}, {1, 1, 1, 3, 2, 7},  {2, 3, 5, 6, 10, 33},
                                   {3, 3, 4, 7, 5, 2}, {1, 5, 3, 5, 8, 16}, {2, 4, 4, 8, 8, 40},
                                   {1, 1, 7, 2, 14, 8}};

Shape small(const ref::MapSize& s) { return {s.samples, s.in_h, s.in_w, s.channels}; }
Shape large(const ref::MapSize& s) { return {s.samples, s.out_h, s.out_w, s.channels}; }

TEST_P(ResampleCuda, ForwardCopiesAndAdjointSums) {
  for (const ref::MapSize& s : kSizes) {
    SCOPED_TRACE(join(s.in_h, "x", s.in_w, " to ", s.out_h, "x", s.out_w, " channels ", s.channels));
    const Tensor x = random(small(s), 1), dy = random(large(s), 2);
    Tensor y = garbage(large(s)), dx = garbage(small(s));
    upsample_nearest_forward(c(), y, x);
    EXPECT_EQ(from_device(y), ref::upsample_nearest(from_device(x), s));
    upsample_nearest_adjoint(c(), dx, dy);
    EXPECT_TRUE(close_to(dx, ref::upsample_nearest_adjoint(from_device(dy), s)));
    Tensor again = garbage(small(s));
    upsample_nearest_adjoint(c(), again, dy);
    EXPECT_EQ(bytes_from_device(again), bytes_from_device(dx));
  }
}

// Views that begin off 16 bytes.
TEST_P(ResampleCuda, AnyAddress) {
  constexpr ref::MapSize s{1, 2, 3, 4, 6, 8};
  const Tensor x = random({small(s).numel() + 1}, 1).flat(1, small(s));
  const Tensor dy = random({large(s).numel() + 1}, 2).flat(1, large(s));
  Tensor y = garbage(large(s)), dx = garbage(small(s));
  upsample_nearest_forward(c(), y, x);
  upsample_nearest_adjoint(c(), dx, dy);
  EXPECT_EQ(from_device(y), ref::upsample_nearest(from_device(x), s));
  EXPECT_TRUE(close_to(dx, ref::upsample_nearest_adjoint(from_device(dy), s)));
}

TEST_P(ResampleCuda, WrongTensorsAreNamed) {
  const DType other = type() == DType::f32 ? DType::f16 : DType::f32;
  Tensor x = garbage({1, 4, 4, 2}), smaller = garbage({1, 3, 8, 2}), wide = garbage({1, 8, 8, 2}, other);
  expect_shape_error("upsample_nearest_forward", [&] { upsample_nearest_forward(c(), smaller, x); });
  expect_shape_error("upsample_nearest_forward", [&] { upsample_nearest_forward(c(), wide, x); });
  expect_shape_error("upsample_nearest_adjoint", [&] { upsample_nearest_adjoint(c(), x, wide); });
}

}  // namespace
}  // namespace rankine
