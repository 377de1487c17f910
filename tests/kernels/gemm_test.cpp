// The product engine under every instruction set this machine has, the portable one included.
#include "kernels/matmul/gemm.h"

#include "kernels/common/simd_targets.h"

#include <hwy/highway.h>
#include <hwy/targets.h>

#include "kernels/conv/conv.h"
#include "kernels/conv/conv_ref.h"
#include "kernels/lowrank/lowrank.h"
#include "kernels/lowrank/lowrank_ref.h"
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

TEST_P(EveryTarget, LowRankGradientsMatchReference) {
  const Machine m;
  for (const std::int64_t rank : {1, 5, 8, 19}) {
    for (const std::int64_t out : {1, 30, 333}) {
      SCOPED_TRACE(join("rank ", rank, " out ", out));
      const Tensor dy = m.random({133, out}, 1), s = m.random({133, rank}, 2), up = m.random({out, rank}, 3);
      Tensor ds = m.garbage({133, rank}), dup = m.random({out, rank}, 4);
      std::vector<double> want_ds(static_cast<std::size_t>(ds.numel())), want_dup = to_double(dup);
      ref::lowrank_up_backward(want_ds, want_dup, to_double(dy),
                               {to_double(s), rank, 0, to_double(up), rank, 0.5});
      lowrank_up_backward(m.c, {ds, dup}, dy, {s, 0, up, 0.5F});
      EXPECT_TRUE(matches(ds, want_ds));
      EXPECT_TRUE(matches(dup, want_dup));
    }
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

// A product that is cut into blocks of rows, columns and K, its left side copied in lines, against the same
// product in pieces, each of which is one block of rows and columns and copied in rows: to the bit.
class Cuts {
 public:
  explicit Cuts(const Machine& m) : m_(m) {}

  // `left(row)` is the left side, of k columns, from that row on, a multiple of kPieceRows; a second term is
  // an adapter's.
  static constexpr std::int64_t kPieceRows = 64;
  template <class Left>
  void expect_same(std::int64_t rows, std::int64_t k, const Left& left, bool by_row) {
    const Tensor w = stored_as(m_.c, m_.random(by_row ? Shape{k, kCols} : Shape{kCols, k}, 3), DType::f16);
    const Tensor s = m_.random({rows, kRank}, 4), up = m_.random({kCols, kRank}, 5),
                 bias = m_.random({kCols}, 6);
    Tensor whole = m_.random({rows, kCols}, 7), pieces = m_.random({rows, kCols}, 7);
    Tensor scratch = m_.c.workspace({m_.c.pool().size(), cpu::gemm_scratch(rows)}, "scratch");
    const auto multiply = [&](Tensor& c, std::int64_t row, std::int64_t count, std::int64_t col,
                              std::int64_t width) {
      const auto* b = w.data<Half>() + (by_row ? col : col * k);
      const cpu::Term terms[] = {
          {left(row),
           by_row ? cpu::Right::by_row(DType::f16, b, kCols) : cpu::Right::by_column(DType::f16, b, k), k},
          {{cpu::Gather::plain(s.data<float>() + row * kRank, count, kRank, kRank)},
           cpu::Right::by_column(DType::f32, up.data<float>() + col * kRank, kRank, 0.5F),
           kRank}};
      cpu::gemm(
          m_.c.pool(),
          {count, width, terms, {c.data<float>() + row * kCols + col, kCols}, bias.data<float>() + col, true},
          scratch.data<float>());
    };
    multiply(whole, 0, rows, 0, kCols);
    for (std::int64_t row = 0; row < rows; row += kPieceRows) {
      for (std::int64_t col = 0; col < kCols; col += kPieceCols)
        multiply(pieces, row, std::min(kPieceRows, rows - row), col, std::min(kPieceCols, kCols - col));
    }
    EXPECT_TRUE(same_bits(whole, pieces));
  }

 private:
  static constexpr std::int64_t kCols = 2 * cpu::kBlockN + 19, kRank = 5, kPieceCols = 61;
  const Machine& m_;
};

TEST_P(EveryTarget, CutsChangeNoBit) {
  const Machine m(1);
  constexpr std::int64_t kRows = cpu::kBlockM + 9, kDepth = cpu::kBlockDepth + 37;
  const Tensor x = m.random({kRows, kDepth}, 1);
  for (const bool by_row : {false, true}) {
    Cuts(m).expect_same(
        kRows, kDepth,
        [&](std::int64_t row) {
          return cpu::Left{cpu::Gather::plain(x.data<float>() + row * kDepth, kRows - row, kDepth, kDepth)};
        },
        by_row);
  }
}

// Windows of 3x3 with stride 2 that hang over all edges; an image is a piece.
TEST_P(EveryTarget, CutsOfWindowsChangeNoBit) {
  const Machine m(1);
  constexpr std::int64_t kImages = 12, kSide = 15, kGrid = 8, kChannels = 44;
  static_assert(kGrid * kGrid == Cuts::kPieceRows);
  const Tensor x = m.random({kImages, kSide, kSide, kChannels}, 2);
  const cpu::Axis axis{kSide, kGrid, 2, -1, 1, 3};
  Cuts(m).expect_same(
      kImages * Cuts::kPieceRows, 9 * kChannels,
      [&](std::int64_t row) {
        const float* image = x.data<float>() + row / Cuts::kPieceRows * kSide * kSide * kChannels;
        return cpu::Left{{image, kChannels, kChannels, axis, axis}};
      },
      false);
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
