// The product engine under every instruction set this machine has, the portable one included.
#include "kernels/matmul/gemm.h"

#include "kernels/common/simd_targets.h"

#include <hwy/highway.h>
#include <hwy/targets.h>

#include "kernels/conv/conv.h"
#include "kernels/conv/conv_ref.h"
#include "kernels/matmul/matmul.h"
#include "kernels/matmul/matmul_ref.h"
#include "tests/kernels/products_support.h"

namespace rankine {
namespace {

using namespace testing_support;

class EveryTarget : public ::testing::TestWithParam<std::int64_t> {
 protected:
  void SetUp() override { choose(GetParam()); }
  void TearDown() override { choose(0); }
  static void choose(std::int64_t target) {
    hwy::SetSupportedTargetsForTest(target);
    hwy::GetChosenTarget().Update(hwy::SupportedTargets());
  }
};

TEST_P(EveryTarget, LinearMatchesReference) {
  const Machine m;
  for (const DType t : {DType::f32, DType::f16, DType::bf16}) {
    const Tensor x = m.random({23, 330}, 1), dy = m.random({23, 45}, 2),
                 w = stored_as(m.c, m.random({45, 330}, 3), t);
    Tensor y = m.garbage({23, 45}), dx = m.garbage({23, 330}), dw = m.zeros({45, 330});
    linear_forward(m.c, y, x, w, {});
    linear_adjoint(m.c, dx, dy, w, Write::overwrite);
    linear_weight_grad(m.c, dw, dy, x);
    const std::vector<double> zero_x(23 * 330), zero_w(45 * 330);
    EXPECT_TRUE(matches(y, ref::linear_forward(to_double(x), decoded(w), {}, 330, 45)));
    EXPECT_TRUE(matches(dx, ref::linear_adjoint(zero_x, to_double(dy), decoded(w), 330, 45)));
    EXPECT_TRUE(matches(dw, ref::linear_weight_grad(zero_w, to_double(dy), to_double(x), 330, 45)));
  }
}

TEST_P(EveryTarget, ConvMatchesReference) {
  const Machine m;
  const ref::ConvShape kDirect{2, 5, 4, 20, 37, {3, 1, 1, 1}}, kTransformed{1, 12, 13, 20, 37, {3, 1, 1, 1}},
      kFewTiles{1, 5, 8, 340, 37, {3, 1, 1, 1}}, kMoreTiles{3, 9, 9, 150, 37, {3, 1, 1, 1}};
  for (const ref::ConvShape& s : {kDirect, kTransformed, kFewTiles, kMoreTiles}) {
    for (const DType t : {DType::f32, DType::f16, DType::bf16}) {
      const Tensor x = m.random({s.images, s.height, s.width, s.in}, 1);
      const Tensor dy = m.random({s.images, s.height, s.width, s.out}, 2);
      const Tensor w = stored_as(m.c, m.random({s.out, 3, 3, s.in}, 3), t);
      Tensor y = m.garbage(dy.shape()), dx = m.garbage(x.shape());
      conv2d_forward(m.c, y, x, w, {}, s.window);
      conv2d_adjoint(m.c, dx, dy, w, s.window, Write::overwrite);
      const std::vector<double> zero(static_cast<std::size_t>(x.numel()));
      EXPECT_TRUE(matches(y, ref::conv2d_forward(to_double(x), decoded(w), {}, s)));
      EXPECT_TRUE(matches(dx, ref::conv2d_adjoint(zero, to_double(dy), decoded(w), s)));
    }
  }
}

std::string target_name(const ::testing::TestParamInfo<std::int64_t>& info) {
  return hwy::TargetName(info.param);
}
INSTANTIATE_TEST_SUITE_P(Simd, EveryTarget, ::testing::ValuesIn(hwy::SupportedAndGeneratedTargets()),
                         target_name);

// Every finite half, subnormals and both zeros included, comes out as itself: the weight times the identity.
TEST(Gemm, DecodesEveryHalf) {
  const Machine m(1);
  constexpr std::int64_t kOut = 62, kIn = 1024;  // 2 signs x 31 exponents, 1024 mantissas
  Tensor w = m.c.empty({kOut, kIn}, "halves", DType::f16);
  for (std::int64_t i = 0; i < w.numel(); ++i) {
    w.data<Half>()[i] = {static_cast<std::uint16_t>(i < 31 * kIn ? i : 0x8000 + i - 31 * kIn)};
  }
  Tensor out_identity = m.zeros({kOut, kOut}), in_identity = m.zeros({kIn, kIn});
  for (std::int64_t i = 0; i < kOut; ++i) out_identity.data<float>()[i * kOut + i] = 1;
  for (std::int64_t i = 0; i < kIn; ++i) in_identity.data<float>()[i * kIn + i] = 1;
  Tensor by_row = m.garbage({kOut, kIn}), by_column = m.garbage({kIn, kOut});
  linear_adjoint(m.c, by_row, out_identity, w, Write::overwrite);
  linear_forward(m.c, by_column, in_identity, w, {});
  for (std::int64_t i = 0; i < w.numel(); ++i) {
    const float want = to_float(w.data<Half>()[i]);
    ASSERT_EQ(by_row.data<float>()[i], want) << i;
    ASSERT_EQ(by_column.data<float>()[i % kIn * kOut + i / kIn], want) << i;
  }
}

}  // namespace
}  // namespace rankine
