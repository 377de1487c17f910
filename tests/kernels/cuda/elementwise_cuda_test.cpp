// elementwise.h on CUDA: see elementwise_test.cpp for the same on the CPU.
#include "kernels/elementwise/elementwise.h"

#include "kernels/elementwise/elementwise_ref.h"
#include "tests/kernels/gpu_support.h"

namespace rankine {
namespace {
using namespace testing_support;

class ElementwiseCuda : public OnGpu {};
INSTANTIATE_TEST_SUITE_P(Types, ElementwiseCuda, gpu_float_types(), gpu_case_name);

TEST_P(ElementwiseCuda, CopyConvertsBothWays) {
  for (const std::int64_t n : {1, 7, 256, 1031}) {
    const Tensor x = random({n}, 1);
    Tensor wide = garbage({n}, DType::f32), back = garbage({n});
    copy(c(), wide, x);
    copy(c(), back, wide);
    EXPECT_EQ(from_device(wide), from_device(x));
    EXPECT_EQ(bytes_from_device(back), bytes_from_device(x));
  }
}

TEST_P(ElementwiseCuda, CopyRoundsToNearestEvenBetweenAllTypes) {
  for (const DType from : {DType::f32, DType::f16, DType::bf16}) {
    const Tensor x = random({1031}, 2, 100.0F, from);
    Tensor y = garbage({1031});
    copy(c(), y, x);
    const Tensor want = stored_as(host_.c, tensor_of(host_.c, {1031}, from_device(x)), type());
    const auto* bytes = static_cast<const std::byte*>(want.raw());
    EXPECT_EQ(bytes_from_device(y), std::vector<std::byte>(bytes, bytes + want.bytes())) << name_of(from);
  }
}

TEST_P(ElementwiseCuda, UnaryAndBinaryMatchTheReference) {
  for (const std::int64_t n : {1, 3, 8, 40, 257, 1031}) {
    SCOPED_TRACE(n);
    const Tensor a = random({n}, 1), b = random({n}, 2);
    const Doubles da = from_device(a), db = from_device(b);
    Tensor y = garbage({n});
    fill(c(), y, 2.5F);
    EXPECT_TRUE(close_to(y, Doubles(n, 2.5)));
    scale(c(), y, a, -1.5F);
    EXPECT_TRUE(close_to(y, ref::scale(da, -1.5)));
    add(c(), y, a, b);
    EXPECT_TRUE(close_to(y, ref::add_scaled(da, db, 1.0)));
    multiply(c(), y, a, b);
    EXPECT_TRUE(close_to(y, ref::multiply(da, db)));
    y = to_device({n}, da);
    add_scaled(c(), y, b, 0.25F);
    EXPECT_TRUE(close_to(y, ref::add_scaled(da, db, 0.25)));
    y = to_device({n}, da);
    lerp(c(), y, b, 0.125F);
    EXPECT_TRUE(close_to(y, ref::lerp(da, db, 0.125)));
    Tensor inside = to_device({n}, da), apart = garbage({n});
    add(c(), apart, a, b);
    add(c(), inside, inside, b);
    EXPECT_EQ(bytes_from_device(inside), bytes_from_device(apart));
  }
}

// An address that is no multiple of 16 takes the path by single elements; neighbours are not touched.
TEST_P(ElementwiseCuda, UnalignedViewsAndTheirNeighbours) {
  Tensor buffer = garbage({64});
  fill(c(), buffer, 7.0F);
  Tensor y = buffer.flat(3, {41});
  const Tensor a = random({48}, 1);
  scale(c(), y, a.flat(1, {41}), 2.0F);
  Doubles want(64, 7.0);
  const Doubles da = from_device(a);
  for (std::size_t i = 0; i < 41; ++i) want[3 + i] = 2 * da[1 + i];
  EXPECT_EQ(from_device(buffer), want);
}

struct SampleShape {
  std::int64_t samples, space, channels;
};
constexpr SampleShape kSampleShapes[] = {{1, 1, 1},    {2, 3, 7},   {3, 1, 33},
                                         {2, 210, 40}, {5, 4, 257}, {1, 9, 16}};

TEST_P(ElementwiseCuda, PerSampleOperationsMatchTheReference) {
  for (const auto& [samples, space, channels] : kSampleShapes) {
    for (const DType vector : {type(), DType::f32}) {
      SCOPED_TRACE(join(samples, " ", space, " ", channels, " ", name_of(vector)));
      const Shape shape{samples, space, channels};
      const Tensor base = random(shape, 1), v = random({samples, channels}, 2, 1.0F, vector);
      const Doubles x = from_device(base), f = from_device(v);
      Tensor y = to_device(shape, x), dv = garbage({samples, channels}, vector);
      add_per_sample(c(), y, v);
      EXPECT_TRUE(close_to(y, ref::add_per_sample(x, f, samples, channels)));
      y = to_device(shape, x);
      multiply_per_sample(c(), y, v);
      EXPECT_TRUE(close_to(y, ref::multiply_per_sample(x, f, samples, channels)));
      sum_per_sample(c(), dv, base);
      EXPECT_TRUE(close_to(dv, ref::sum_per_sample(x, samples, channels)));
      const auto first = bytes_from_device(dv);
      sum_per_sample(c(), dv, base);
      EXPECT_EQ(bytes_from_device(dv), first);
    }
  }
}

TEST_P(ElementwiseCuda, TableOperationsMatchTheReference) {
  for (const auto& [samples, space, channels] : kSampleShapes) {
    SCOPED_TRACE(join(samples, " ", space, " ", channels));
    const Tensor base = random({samples, space, channels}, 1),
                 table = random({space, channels}, 2, 1.0F, DType::f32);
    const Doubles x = from_device(base), t = from_device(table);
    Tensor y = to_device(base.shape(), x), dtable = to_device(table.shape(), t, DType::f32);
    add_to_each_sample(c(), y, table);
    EXPECT_TRUE(close_to(y, ref::add_to_each_sample(x, t)));
    sum_over_samples(c(), dtable, base);
    EXPECT_TRUE(close(from_device(dtable), ref::sum_over_samples(t, x), kernel_tolerance(DType::f32)));
  }
}

TEST_P(ElementwiseCuda, ConcatAndSplitMoveBits) {
  for (const auto& [rows, a_cols, b_cols] :
       {SampleShape{1, 1, 1}, {3, 7, 2}, {5, 8, 24}, {3, 33, 40}, {7, 64, 32}}) {
    const Tensor a = random({rows, a_cols}, 1), b = random({rows, b_cols}, 2);
    Tensor y = garbage({rows, a_cols + b_cols}), a_back = garbage(a.shape()), b_back = garbage(b.shape());
    concat_channels(c(), y, a, b);
    EXPECT_EQ(from_device(y), ref::concat_channels(from_device(a), from_device(b), rows));
    split_channels(c(), a_back, b_back, y);
    EXPECT_EQ(bytes_from_device(a_back), bytes_from_device(a));
    EXPECT_EQ(bytes_from_device(b_back), bytes_from_device(b));
  }
}

TEST_P(ElementwiseCuda, MixUsesTheFactorsOfEachSample) {
  for (const auto& [samples, space, channels] : {SampleShape{1, 1, 1}, {3, 5, 7}, {70, 1, 8}}) {
    for (const DType in : {type(), DType::f32}) {
      const Tensor x = random({samples, space, channels}, 1, 1.0F, in), z = random(x.shape(), 2, 1.0F, in);
      Doubles left, right;
      for (std::int64_t n = 0; n < samples; ++n)
        left.push_back(0.3 + double(n)), right.push_back(1 - 0.2 * double(n));
      const Tensor a = to_device({samples}, left, DType::f32), b = to_device({samples}, right, DType::f32);
      Tensor y = garbage(x.shape());
      mix_per_sample(c(), y, a, x, b, z);
      EXPECT_TRUE(
          close_to(y, ref::mix_per_sample(from_device(a), from_device(x), from_device(b), from_device(z))));
    }
  }
}

TEST_P(ElementwiseCuda, PlanForecastsTheMemory) {
  expect_forecast([t = type()](const Context& c) {
    Tensor dy = c.empty({2, 70, 40}, "dy", t), dv = c.empty({2, 40}, "dv");
    sum_per_sample(c, dv, dy);
  });
}

TEST_P(ElementwiseCuda, EmptyTensorsAreFine) {
  Tensor y = c().empty({0, 5}, "y", type()), a = c().empty({0, 2}, "a", type()),
         b = c().empty({0, 3}, "b", type());
  EXPECT_NO_THROW(fill(c(), y, 1.0F));
  EXPECT_NO_THROW(concat_channels(c(), y, a, b));
  const Tensor none = c().empty({0}, "none", DType::f32);
  EXPECT_NO_THROW(mix_per_sample(c(), y, none, y, none, y));
}

TEST_P(ElementwiseCuda, WrongTensorsAreNamed) {
  const DType other_type = type() == DType::f16 ? DType::bf16 : DType::f16;
  Tensor y = garbage({2, 4}), other = garbage({2, 5}), mixed = garbage({2, 4}, other_type), none;
  Tensor ids = c().empty({2, 4}, "ids", DType::i32);
  const Tensor two = garbage({2}, DType::f32);
  expect_shape_error("fill", [&] { fill(c(), ids, 0); });
  expect_shape_error("scale", [&] { scale(c(), y, other, 1); });
  expect_shape_error("add", [&] { add(c(), y, y, mixed); });
  expect_shape_error("add", [&] { add(c(), none, y, y); });
  expect_shape_error("add_per_sample", [&] { add_per_sample(c(), y, mixed); });
  expect_shape_error("sum_over_samples", [&] { sum_over_samples(c(), mixed, y); });
  expect_shape_error("concat_channels", [&] { concat_channels(c(), other, y, mixed); });
  expect_shape_error("mix_per_sample", [&] { mix_per_sample(c(), y, two, y, two, mixed); });
}

}  // namespace
}  // namespace rankine
