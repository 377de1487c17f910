#include "kernels/dora/dora.h"

#include <gtest/gtest.h>

#include "kernels/dora/dora_ref.h"
#include "tests/kernels/pointwise_support.h"

namespace rankine {
namespace {
using namespace testing_support;

TEST(Dora, InverseNormsAreTheReferences) {
  const Cpu cpu(2);
  for (const auto& [out, rank] : {std::pair<std::int64_t, std::int64_t>{1, 1}, {7, 3}, {2100, 8}}) {
    SCOPED_TRACE(join(out, " ", rank));
    const Tensor cross = random_tensor(cpu.c, {rank, out}, 2), up = random_tensor(cpu.c, {out, rank}, 3),
                 gram = random_tensor(cpu.c, {out, rank}, 4);
    Tensor base = random_tensor(cpu.c, {out}, 1), inverse = cpu.c.empty({out}, "inverse");
    base.data<float>()[0] = 0;
    dora_inverse_norms(cpu.c, inverse, {base, cross, up, gram, 0.5F});
    const Doubles n = to_double(base), a = to_double(cross), b = to_double(up), g = to_double(gram);
    Doubles want;
    for (std::int64_t i = 0; i < out; ++i)
      want.push_back(ref::dora_inverse_norm(n[i], &a[i], out, &b[i * rank], &g[i * rank], rank, 0.5));
    EXPECT_TRUE(close(to_double(inverse), want, kernel_tolerance(DType::f32)));
  }
}

TEST(Dora, MagnitudeGradientIsTheReferencesWhateverTheThreads) {
  for (const auto& [rows, cols] : {std::pair<std::int64_t, std::int64_t>{1, 1}, {70, 33}, {40, 300}}) {
    SCOPED_TRACE(join(rows, " ", cols));
    std::vector<float> bits;
    for (const int threads : {1, 3}) {
      const Cpu cpu(threads);
      const Tensor dy = random_tensor(cpu.c, {rows, cols}, 1), y = random_tensor(cpu.c, {rows, cols}, 2),
                   inverse = random_tensor(cpu.c, {cols}, 4);
      Tensor dm = random_tensor(cpu.c, {cols}, 3);
      const Doubles d = to_double(dy), v = to_double(y), n = to_double(inverse);
      Doubles want = to_double(dm);
      for (std::int64_t j = 0; j < cols; ++j)
        want[j] += ref::dora_magnitude_grad(&d[j], &v[j], rows, cols, n[j]);
      dora_magnitude_grad(cpu.c, dm, dy, y, inverse);
      EXPECT_TRUE(close(to_double(dm), want, kernel_tolerance(DType::f32)));
      const std::vector<float> got(dm.data<float>(), dm.data<float>() + cols);
      if (!bits.empty()) EXPECT_EQ(got, bits);
      bits = got;
    }
  }
}

}  // namespace
}  // namespace rankine
