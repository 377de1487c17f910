// Frozen weights in quantised blocks: every product has the bits of the same product with the decoded weight.
#include "kernels/common/simd_targets.h"

#include <hwy/highway.h>
#include <hwy/targets.h>

#include "kernels/common/row_decoder.h"
#include "kernels/conv/conv.h"
#include "kernels/embedding/embedding.h"
#include "kernels/lowrank/lowrank.h"
#include "kernels/matmul/gemm.h"
#include "kernels/matmul/matmul.h"
#include "kernels/matmul/matmul_ref.h"
#include "tests/kernels/block_support.h"
#include "tests/kernels/products_support.h"

namespace rankine {
namespace {

using namespace testing_support;

// Every test runs under every instruction set this machine has, the portable one included.
class Quantised : public ::testing::TestWithParam<std::int64_t> {
 protected:
  void SetUp() override { choose(GetParam()); }
  void TearDown() override { choose(0); }
  static void choose(std::int64_t target) {
    hwy::SetSupportedTargetsForTest(target);
    hwy::GetChosenTarget().Update(hwy::SupportedTargets());
  }
  Machine m{2};
};
std::string target_name(const ::testing::TestParamInfo<std::int64_t>& info) {
  return hwy::TargetName(info.param);
}
INSTANTIATE_TEST_SUITE_P(Simd, Quantised, ::testing::ValuesIn(hwy::SupportedAndGeneratedTargets()),
                         target_name);

struct Sizes {
  std::int64_t rows, in, out;
};
// Rows below, at and above the path for few rows; blocks of K and N (320), tiles of 14 x 32 or 6 x 16 all cut
// somewhere. A type takes the sizes whose `in` is whole blocks of it.
constexpr Sizes kSizes[] = {{1, 32, 1},    {3, 352, 7},    {5, 64, 33},  {8, 416, 13},
                            {9, 352, 45},  {15, 704, 5},   {1, 768, 19}, {7, 1280, 37},
                            {23, 768, 41}, {29, 256, 330}, {9, 512, 17}};
bool fits(DType t, const Sizes& s) { return s.in % block_of(t).elements == 0; }
std::string trace(DType t, const Sizes& s) { return join(name_of(t), " ", s.rows, "x", s.in, "x", s.out); }

TEST_P(Quantised, RowsDecodeBitForBitInAnyWindow) {
  for (const DType t : kBlockTypes) {
    SCOPED_TRACE(name_of(t));
    const std::int64_t n = 512, blocks = n / block_of(t).elements;
    const Tensor w = random_blocks(m.c, {blocks, block_of(t).elements}, t, 1), want = decoded_blocks(m.c, w);
    const cpu::RowDecoder decode = cpu::row_decoder(t);
    for (std::int64_t first = 0; first < n; first += cpu::kDecodeGroup) {
      for (std::int64_t last = first + cpu::kDecodeGroup; last <= n; last += 3 * cpu::kDecodeGroup) {
        std::vector<float> y(static_cast<std::size_t>(last - first) + 1, 77);
        decode(w.raw(), first, last - first, y.data());
        ASSERT_EQ(std::memcmp(y.data(), want.data<float>() + first, (y.size() - 1) * sizeof(float)), 0)
            << first << " to " << last;
        ASSERT_EQ(y.back(), 77) << "written beyond the end";
      }
    }
  }
}

// Scales that are zero of either sign, subnormal, or the largest: signs of zeros and rare halves come out
// right.
TEST_P(Quantised, ExtremeScalesDecodeBitForBit) {
  for (const DType t : kBlockTypes) {
    SCOPED_TRACE(name_of(t));
    const ScaleFields fields = scale_fields(t);
    for (const std::uint16_t bits : {0x0000, 0x8000, 0x0001, 0x83FF, 0x7BFF, 0xFBFF}) {
      Tensor w = random_blocks(m.c, {3, 256}, t, bits);
      auto* bytes = static_cast<std::uint8_t*>(w.raw());
      const float scale = to_float(Half{bits});
      for (std::size_t at = 0; at < w.bytes(); at += block_of(t).bytes) {
        if (fields.halves)
          std::memcpy(bytes + at + fields.first, &bits, sizeof bits);
        else
          std::memcpy(bytes + at + fields.first, &scale, sizeof scale);
      }
      const Tensor want = decoded_blocks(m.c, w);
      std::vector<float> y(3 * 256);
      cpu::row_decoder(t)(w.raw(), 0, 3 * 256, y.data());
      ASSERT_EQ(std::memcmp(y.data(), want.raw(), y.size() * sizeof(float)), 0) << std::hex << bits;
    }
  }
}

TEST_P(Quantised, LinearHasTheBitsOfTheDecodedWeight) {
  for (const DType t : kBlockTypes) {
    for (const Sizes& s : kSizes) {
      if (!fits(t, s)) continue;
      SCOPED_TRACE(trace(t, s));
      const Tensor w = random_blocks(m.c, {s.out, s.in}, t, 1), plain = decoded_blocks(m.c, w);
      const Tensor x = m.random({s.rows, s.in}, 2), dy = m.random({s.rows, s.out}, 3),
                   bias = m.random({s.out}, 4);
      Tensor y = m.garbage({s.rows, s.out}), want_y = m.garbage({s.rows, s.out});
      linear_forward(m.c, y, x, w, bias);
      linear_forward(m.c, want_y, x, plain, bias);
      EXPECT_TRUE(same_bits(y, want_y));
      Tensor dx = m.random({s.rows, s.in}, 5), want_dx = m.random({s.rows, s.in}, 5);
      linear_adjoint(m.c, dx, dy, w, Write::accumulate);
      linear_adjoint(m.c, want_dx, dy, plain, Write::accumulate);
      EXPECT_TRUE(same_bits(dx, want_dx));
      EXPECT_TRUE(
          matches(y, ref::linear_forward(to_double(x), to_double(plain), to_double(bias), s.in, s.out)));
    }
  }
}

// Terms of ranks 5 and 16 in one middle: the last block of K ends in columns of no block type.
struct Adapters {
  Tensor middle, factors[2];
  std::vector<LowRankTerm> terms;
  Adapters(const Machine& m, std::int64_t rows, std::int64_t features, bool up)
      : middle(m.random({rows, 21}, 60)) {
    for (int i = 0; i < 2; ++i) {
      const std::int64_t rank = i == 0 ? 5 : 16;
      factors[i] =
          m.random(up ? Shape{features, rank} : Shape{rank, features}, static_cast<std::uint32_t>(61 + i));
      terms.push_back({middle, i == 0 ? 0 : 5, factors[i], i == 0 ? 0.5F : 2.0F});
    }
  }
};

TEST_P(Quantised, AdaptersHaveTheBitsOfTheDecodedWeight) {
  for (const DType t : kBlockTypes) {
    for (const Sizes& s : {Sizes{3, 768, 45}, {23, 768, 45}, {9, 512, 37}}) {
      SCOPED_TRACE(trace(t, s));
      const Tensor w = random_blocks(m.c, {s.out, s.in}, t, 1), plain = decoded_blocks(m.c, w);
      const Tensor x = m.random({s.rows, s.in}, 2), dy = m.random({s.rows, s.out}, 3),
                   bias = m.random({s.out}, 4);
      const Adapters up(m, s.rows, s.out, true), down(m, s.rows, s.in, false);
      Tensor y = m.garbage({s.rows, s.out}), want_y = m.garbage({s.rows, s.out});
      lowrank_linear_forward(m.c, y, x, w, bias, up.terms);
      lowrank_linear_forward(m.c, want_y, x, plain, bias, up.terms);
      EXPECT_TRUE(same_bits(y, want_y));
      Tensor dx = m.garbage({s.rows, s.in}), want_dx = m.garbage({s.rows, s.in});
      lowrank_linear_adjoint(m.c, dx, dy, w, down.terms, Write::overwrite);
      lowrank_linear_adjoint(m.c, want_dx, dy, plain, down.terms, Write::overwrite);
      EXPECT_TRUE(same_bits(dx, want_dx));
    }
  }
}

TEST_P(Quantised, AdjointIsTheAdjoint) {
  for (const DType t : kBlockTypes) {
    SCOPED_TRACE(name_of(t));
    for (const std::int64_t rows : {3, 17}) {
      const Tensor w = random_blocks(m.c, {70, 512}, t, 1), x = m.random({rows, 512}, 2),
                   y = m.random({rows, 70}, 3);
      Tensor wx = m.garbage({rows, 70}), wty = m.garbage({rows, 512});
      linear_forward(m.c, wx, x, w, {});
      linear_adjoint(m.c, wty, y, w, Write::overwrite);
      EXPECT_TRUE(same_inner_product(wx, y, x, wty));
    }
  }
}

TEST_P(Quantised, EmbeddingRowsAreTheDecodedRows) {
  for (const DType t : kBlockTypes) {
    SCOPED_TRACE(name_of(t));
    const Tensor table = random_blocks(m.c, {19, 512}, t, 1), plain = decoded_blocks(m.c, table);
    Tensor ids = m.c.empty({2, 20}, "ids", DType::i32);
    for (std::int32_t i = 0; i < 40; ++i) ids.data<std::int32_t>()[i] = i * 7 % 19;
    Tensor y = m.garbage({2, 20, 512}), want = m.garbage({2, 20, 512});
    embedding_forward(m.c, y, table, ids);
    embedding_forward(m.c, want, plain, ids);
    EXPECT_TRUE(same_bits(y, want));
  }
}

// Windows that begin and end anywhere, through the product engine itself.
TEST_P(Quantised, WindowsNeedNotFallOnBlockBorders) {
  constexpr std::int64_t kRows = 11, kIn = 512, kOut = 40, kDepth = 37;
  const Tensor a = m.random({kRows, kIn}, 1), lead = m.random({kRows, kDepth}, 2),
               other = m.random({kOut, kDepth}, 3);
  Tensor scratch = m.c.workspace({m.c.pool().size(), cpu::gemm_scratch(kRows)}, "scratch");
  for (const DType t : kBlockTypes) {
    SCOPED_TRACE(name_of(t));
    const Tensor w = random_blocks(m.c, {kOut, kIn}, t, 1), plain = decoded_blocks(m.c, w);
    const auto product = [&](const Tensor& b) {
      const cpu::Term terms[] = {{{cpu::Gather::plain(lead.data<float>(), kRows, kDepth, kDepth)},
                                  cpu::Right::by_column(DType::f32, other.data<float>(), kDepth),
                                  kDepth},
                                 {{cpu::Gather::plain(a.data<float>(), kRows, kIn, kIn)},
                                  cpu::Right::by_column(b.dtype(), b.raw(), kIn, 0.5F),
                                  kIn - 3}};
      Tensor c = m.garbage({kRows, kOut});
      cpu::gemm(m.c.pool(), {kRows, kOut, terms, {c.data<float>(), kOut}}, scratch.data<float>());
      return c;
    };
    EXPECT_TRUE(same_bits(product(w), product(plain)));
  }
}

TEST(QuantisedChecks, ThreadsChangeNoBit) {
  for (const DType t : {DType::q4_0, DType::q6_k, DType::nf4_dq}) {
    for (const std::int64_t rows : {1, 6, 150}) {
      SCOPED_TRACE(join(name_of(t), " ", rows));
      std::vector<std::unique_ptr<Machine>> machines;
      std::vector<Tensor> ys, dxs;
      for (const int threads : {1, 3}) {
        const Machine& m = *machines.emplace_back(std::make_unique<Machine>(threads));
        const Tensor w = random_blocks(m.c, {402, 768}, t, 1);
        const Tensor x = m.random({rows, 768}, 2), dy = m.random({rows, 402}, 3);
        linear_forward(m.c, ys.emplace_back(m.garbage({rows, 402})), x, w, {});
        linear_adjoint(m.c, dxs.emplace_back(m.garbage({rows, 768})), dy, w, Write::overwrite);
      }
      EXPECT_TRUE(same_bits(ys[0], ys[1]));
      EXPECT_TRUE(same_bits(dxs[0], dxs[1]));
    }
  }
}

// A row of y depends on its row of x alone, whatever the number of rows beside it on the same path.
TEST(QuantisedChecks, RowsOfOnePathAreIndependent) {
  const Machine m;
  const Tensor w = random_blocks(m.c, {77, 1280}, DType::q4_0, 1), x = m.random({20, 1280}, 2);
  Tensor few = m.garbage({1, 77}), many = m.garbage({20, 77});
  linear_forward(m.c, many, x, w, {});
  linear_forward(m.c, few, x.slice(3, 4), w, {});
  for (std::int64_t rows = 2; rows <= 20; ++rows) {
    Tensor y = m.garbage({rows, 77});
    const std::int64_t first = std::min<std::int64_t>(3, rows - 1);
    linear_forward(m.c, y, x.slice(3 - first, 3 - first + rows), w, {});
    const Tensor want = rows <= cpu::kFewRows ? few : many.slice(3, 4);
    EXPECT_TRUE(same_bits(y.slice(first, first + 1), want)) << rows;
  }
}

TEST(QuantisedChecks, CostCountsStoredBytes) {
  const Cost cost = planned_like_real([](const Machine& m) {
    const Tensor x = m.c.empty({10, 64}, "x"), w = m.c.empty({30, 64}, "w", DType::q4_0);
    Tensor y = m.c.empty({10, 30}, "y");
    linear_forward(m.c, y, x, w, {});
  });
  EXPECT_EQ(cost.flops, 2.0 * 10 * 64 * 30);
  EXPECT_EQ(cost.bytes, 4.0 * (10 * 64 + 10 * 30) + 18.0 * 2 * 30);
}

TEST(QuantisedChecks, FiltersAreNotQuantised) {
  const Machine m;
  const Tensor x = m.random({1, 4, 4, 32}, 1), w = random_blocks(m.c, {8, 3, 3, 32}, DType::q4_0, 1);
  Tensor y = m.garbage({1, 4, 4, 8}), dw = random_blocks(m.c, {8, 32}, DType::q4_0, 1);
  expect_shape_error("conv2d_forward", [&] { conv2d_forward(m.c, y, x, w, {}, {3, 1, 1, 1}); });
  expect_shape_error("linear_weight_grad", [&] {
    linear_weight_grad(m.c, dw, m.random({5, 8}, 1), m.random({5, 32}, 2));
  });
}

}  // namespace
}  // namespace rankine
