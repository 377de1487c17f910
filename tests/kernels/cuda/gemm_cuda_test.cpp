// The product of the CUDA kernels itself: every tile in every layout, segments with scales, strides of a
// batch, and the choices that matmul.h makes by itself.
#include "kernels/matmul/gemm_cuda.h"

#include "tests/kernels/gpu_support.h"

namespace rankine {
namespace {
using namespace testing_support;
using cuda::Gemm;
using cuda::GemmSum;
using cuda::Major;

struct Layout {
  Major a, b;
};
constexpr Layout kLayouts[] = {
    {Major::k, Major::k}, {Major::k, Major::mn}, {Major::mn, Major::mn}, {Major::mn, Major::k}};
constexpr GemmTile kTiles[] = {GemmTile::m128n128, GemmTile::m128n64, GemmTile::m64n64, GemmTile::m128n32,
                               GemmTile::m32n128};

class GemmCuda : public OnGpu {
 protected:
  // Two segments of K and what they come to; C is fp32 or of the operands' type.
  struct Problem {
    std::int64_t m, n, k[2];
    Tensor a[2], b[2];
    Doubles want;
    static constexpr float kScale[2] = {0.75F, -1.5F};
  };
  Problem problem(std::int64_t m, std::int64_t n, std::int64_t k0, std::int64_t k1, Layout l) const {
    Problem p{m, n, {k0, k1}, {}, {}, Doubles(static_cast<std::size_t>(m * n))};
    for (int i = 0; i < 2; ++i) {
      const std::int64_t k = p.k[i];
      p.a[i] = random(l.a == Major::k ? Shape{m, k} : Shape{k, m}, 1 + i);
      p.b[i] = random(l.b == Major::k ? Shape{n, k} : Shape{k, n}, 3 + i);
      const Doubles a = from_device(p.a[i]), b = from_device(p.b[i]);
      for (std::int64_t at = 0; at < m * n; ++at) {
        const std::int64_t row = at / n, column = at % n;
        for (std::int64_t j = 0; j < k; ++j)
          p.want[at] += Problem::kScale[i] * a[l.a == Major::k ? row * k + j : j * m + row] *
                        b[l.b == Major::k ? column * k + j : j * n + column];
      }
    }
    return p;
  }
  Gemm gemm_of(const Problem& p, Layout l, Tensor& out) const {
    Gemm g{.type = type(),
           .a = l.a,
           .b = l.b,
           .m = p.m,
           .n = p.n,
           .segments = {},
           .count = 2,
           .out = {out.raw(), out.dtype(), p.n}};
    for (int i = 0; i < 2; ++i)
      g.segments[i] = {p.a[i].raw(), p.a[i].cols(), p.b[i].raw(), p.b[i].cols(), p.k[i], Problem::kScale[i]};
    return g;
  }
  void run(const Gemm& g) const { cuda::gemm(c().cuda_stream(), "gemm", g); }
};
INSTANTIATE_TEST_SUITE_P(Types, GemmCuda, gpu_types(), gpu_case_name);

// More than one tile each way, with ragged edges; the tile changes no bit.
TEST_P(GemmCuda, EveryTileInEveryLayout) {
  for (const Layout l : kLayouts) {
    const Problem p = problem(136, 144, 16, 40, l);
    std::vector<std::byte> first;
    for (const GemmTile tile : kTiles) {
      SCOPED_TRACE(join("tile ", int(tile), ", A ", int(l.a), ", B ", int(l.b)));
      Tensor out = garbage({p.m, p.n});
      Gemm g = gemm_of(p, l, out);
      g.tile = tile;
      run(g);
      EXPECT_TRUE(close_to(out, p.want));
      if (first.empty()) first = bytes_from_device(out);
      EXPECT_EQ(bytes_from_device(out), first);
    }
  }
}

TEST_P(GemmCuda, SumsInFp16) {
  const Layout l{Major::k, Major::k};
  const Problem p = problem(40, 136, 16, 168, l);
  Tensor out = garbage({p.m, p.n});
  Gemm g = gemm_of(p, l, out);
  g.sum = GemmSum::fp16;
  run(g);
  EXPECT_TRUE(close_to(out, p.want));
}

// fp32 out with a pitch, added to, plus a bias of either type.
TEST_P(GemmCuda, WideOutputsAndBiases) {
  const Layout l{Major::k, Major::mn};
  const Problem p = problem(20, 24, 8, 16, l);
  for (const DType bias_type : {DType::f32, type()}) {
    Tensor out = random({20, 40}, 7, 1.0F, DType::f32), bias = random({24}, 8, 1.0F, bias_type);
    Doubles want = from_device(out);
    const Doubles b = from_device(bias);
    for (int i = 0; i < 20 * 24; ++i) want[i / 24 * 40 + i % 24] += p.want[i] + b[i % 24];
    Gemm g = gemm_of(p, l, out);
    g.out.pitch = 40;
    g.out.accumulate = true;
    g.bias = {bias.raw(), bias_type};
    run(g);
    EXPECT_TRUE(close(from_device(out), want, kernel_tolerance(DType::f32)));
  }
}

// Nobody's kernel is missing: asked for cuBLASLt, a build without it computes the product itself.
TEST_P(GemmCuda, EitherComputesIt) {
  const Layout l{Major::k, Major::k};
  const Problem p = problem(24, 40, 8, 16, l);
  for (const GemmBy by : {GemmBy::own, GemmBy::cublaslt}) {
    Tensor out = garbage({p.m, p.n});
    Gemm g = gemm_of(p, l, out);
    g.by = by;
    run(g);
    EXPECT_TRUE(close_to(out, p.want));
  }
}

TEST(GemmPlan, TilesFollowTheSizes) {
  constexpr GemmTile kForward[] = {GemmTile::m128n128, GemmTile::m128n64, GemmTile::m64n64,
                                   GemmTile::m128n32};
  EXPECT_EQ(gemm_tile({4096, 4096, 4096}, 1, 82, kForward), GemmTile::m128n128);
  EXPECT_EQ(gemm_tile({16384, 320, 320}, 1, 82, kForward), GemmTile::m128n64);
  EXPECT_EQ(gemm_tile({4096, 16, 4096}, 4, 82, kForward), GemmTile::m128n32);
  EXPECT_NE(gemm_tile({16, 4096, 4096}, 1, 82, kForward), GemmTile::m128n128);
}

TEST(GemmTable, CardsOfOneTensorPathUseOurKernel) {
  const GemmSizes large{4096, 4096, 4096}, small{64, 64, 64};
  EXPECT_FALSE(cublaslt_is_faster(86, large));
  EXPECT_FALSE(cublaslt_is_faster(89, large));
  EXPECT_TRUE(cublaslt_is_faster(90, large));
  EXPECT_FALSE(cublaslt_is_faster(90, small));
  EXPECT_FALSE(cublaslt_is_faster(120, large));  // not in the table
}

}  // namespace
}  // namespace rankine
