// rope.h on CUDA: see rope_test.cpp for the same on the CPU.
#include "kernels/rope/rope.h"
#include "kernels/rope/rope_ref.h"
#include "tests/kernels/gpu_support.h"

namespace rankine {
namespace {
using namespace testing_support;

class RopeCuda : public OnGpu {
 protected:
  Tensor positions(const std::vector<std::int32_t>& values) const {
    Tensor t = host_.c.empty({static_cast<std::int64_t>(values.size())}, "positions", DType::i32);
    std::copy(values.begin(), values.end(), t.data<std::int32_t>());
    return raw_to_device(t);
  }
  Tensor frequencies(std::int64_t rotary_dims) const {
    const std::vector<float> f = rope_inv_freq(10000, rotary_dims);
    return to_device({rotary_dims / 2}, Doubles(f.begin(), f.end()), DType::f32);
  }
  Tensor table_of(std::int64_t rows, std::int64_t rotary_dims) const {
    std::vector<std::int32_t> at;
    for (std::int64_t r = 0; r < rows; ++r) at.push_back(static_cast<std::int32_t>(r * 37 % 4096));
    Tensor table = garbage({rows, rotary_dims}, DType::f32);
    rope_table(c(), table, positions(at), frequencies(rotary_dims));
    return table;
  }
};
INSTANTIATE_TEST_SUITE_P(Types, RopeCuda, gpu_float_types(), gpu_case_name);

// Eights and single numbers, all turned and some passing through, before and behind.
const RopeSpec kSpecs[] = {{1, 2, 0, 2, RopeSpec::half},          {3, 10, 0, 10, RopeSpec::half},
                           {2, 32, 0, 32, RopeSpec::half},        {2, 48, 16, 16, RopeSpec::half},
                           {2, 21, 3, 10, RopeSpec::half},        {1, 2, 0, 2, RopeSpec::interleaved},
                           {3, 9, 1, 6, RopeSpec::interleaved},   {2, 40, 8, 16, RopeSpec::interleaved},
                           {5, 64, 0, 64, RopeSpec::interleaved}, {2, 75, 5, 66, RopeSpec::interleaved}};

TEST_P(RopeCuda, MatchesTheReferenceBothWaysAndInPlace) {
  for (const RopeSpec& s : kSpecs) {
    SCOPED_TRACE(join(s.heads, " ", s.head_dim, " ", s.first, " ", s.rotary_dims, " ", int(s.pairing)));
    constexpr std::int64_t kRows = 6;
    const Tensor table = table_of(kRows, s.rotary_dims), x = random({2, 3, s.heads * s.head_dim}, 1);
    Tensor y = garbage(x.shape()), dx = garbage(x.shape());
    rope_forward(c(), y, x, table, s);
    rope_backward(c(), dx, x, table, s);
    Doubles want = from_device(x), dwant = want;
    const Doubles angles = from_device(table);
    for (std::int64_t r = 0; r < kRows; ++r) {
      ref::rope_row(s, want.data() + r * x.cols(), angles.data() + r * s.rotary_dims, 1.0);
      ref::rope_row(s, dwant.data() + r * x.cols(), angles.data() + r * s.rotary_dims, -1.0);
    }
    EXPECT_TRUE(close_to(y, want));
    EXPECT_TRUE(close_to(dx, dwant));
    Tensor inside = to_device(x.shape(), from_device(x));
    rope_forward(c(), inside, inside, table, s);
    EXPECT_EQ(bytes_from_device(inside), bytes_from_device(y));
  }
}

// A head whose rows do not lie on 16 bytes has the bits of one whose rows do.
TEST_P(RopeCuda, AlignmentChangesNoBit) {
  const RopeSpec s{2, 32, 0, 32, RopeSpec::half};
  const Tensor table = table_of(3, 32), x = random({3, 64}, 1);
  Doubles shifted{0};
  for (const double v : from_device(x)) shifted.push_back(v);
  Tensor y = garbage(x.shape()), moved = to_device({193}, shifted).flat(1, x.shape());
  rope_forward(c(), y, x, table, s);
  rope_forward(c(), moved, moved, table, s);
  EXPECT_EQ(from_device(moved), from_device(y));
}

TEST_P(RopeCuda, AnglesAreExactFarOut) {
  const std::vector<std::int32_t> at{0, 1, 1000, 123457, 1000000};
  const std::vector<float> inv_freq = rope_inv_freq(10000, 16);
  Tensor table = garbage({5, 16}, DType::f32);
  rope_table(c(), table, positions(at), frequencies(16), 1.5F);
  Doubles want(5 * 16);
  for (std::size_t r = 0; r < 5; ++r)
    for (std::size_t i = 0; i < 8; ++i) {
      const float angle = static_cast<float>(at[r]) * inv_freq[i];
      want[r * 16 + i] = 1.5 * std::cos(double(angle));
      want[r * 16 + 8 + i] = 1.5 * std::sin(double(angle));
    }
  // One rounding to fp32 of a number up to 1.5.
  EXPECT_TRUE(close(from_device(table), want, {6e-8, 6e-8}));
}

TEST_P(RopeCuda, TheDoorRefuses) {
  const DType other = type() == DType::f16 ? DType::bf16 : DType::f16;
  const RopeSpec s{2, 8, 0, 8};
  const Tensor table = table_of(6, 8), short_table = table_of(5, 8), x = random({6, 16}, 1);
  Tensor y = garbage(x.shape()), mixed = garbage(x.shape(), other);
  expect_shape_error("rope_forward", [&] { rope_forward(c(), y, x, short_table, s); });
  expect_shape_error("rope_forward", [&] { rope_forward(c(), mixed, x, table, s); });
  expect_shape_error("rope_forward", [&] {
    rope_forward(c(), y, x, random({6, 8}, 1, 1, type() == DType::f32 ? other : type()), s);
  });
  expect_shape_error("rope_backward", [&] { rope_backward(c(), y, mixed, table, s); });
}

TEST_P(RopeCuda, NoRows) {
  Tensor x = garbage({0, 16}), table = garbage({0, 8}, DType::f32);
  rope_table(c(), table, positions({}), frequencies(8));
  rope_forward(c(), x, x, table, {2, 8, 0, 8});
  EXPECT_EQ(x.numel(), 0);
}

}  // namespace
}  // namespace rankine
