// dora.h on CUDA.
#include "kernels/dora/dora.h"

#include "kernels/dora/dora_ref.h"
#include "kernels/elementwise/elementwise.h"
#include "tests/kernels/gpu_support.h"

namespace rankine {
namespace {
using namespace testing_support;

class DoraCuda : public OnGpu {};
INSTANTIATE_TEST_SUITE_P(Types, DoraCuda, gpu_float_types(), gpu_case_name);

TEST_P(DoraCuda, InverseNormsAreTheReferences) {
  for (const auto& [out, rank] : {std::pair<std::int64_t, std::int64_t>{1, 1}, {7, 3}, {300, 8}}) {
    SCOPED_TRACE(join(out, " ", rank));
    const float scale = 2.0F;
    Tensor base = random({out}, 1, 1.0F, DType::f32);
    const Tensor cross = random({rank, out}, 2, 0.3F), up = random({out, rank}, 3, 0.3F),
                 gram = random({out, rank}, 4, 0.3F);
    Doubles norms = from_device(base);
    for (double& n : norms) n = 1 + std::abs(n);
    norms[0] = 0;  // a row of zeros stays zero, unless the adapter says otherwise
    base = to_device({out}, norms, DType::f32);
    Tensor inverse = garbage({out}, DType::f32);
    dora_inverse_norms(c(), inverse, {base, cross, up, gram, scale});
    const Doubles a = from_device(cross), b = from_device(up), g = from_device(gram);
    Doubles want;
    for (std::int64_t i = 0; i < out; ++i)
      want.push_back(ref::dora_inverse_norm(norms[i], &a[i], out, &b[i * rank], &g[i * rank], rank, 2.0));
    EXPECT_TRUE(close_to(inverse, want));
    EXPECT_EQ(c().memory().held(Account::workspace), 0U);
  }
}

TEST_P(DoraCuda, MagnitudeGradientIsTheReferences) {
  for (const auto& shape : {std::pair<std::int64_t, std::int64_t>{1, 1}, {5, 24}, {70, 33}, {3, 520}}) {
    const std::int64_t rows = shape.first, cols = shape.second;
    SCOPED_TRACE(join(rows, " ", cols));
    const Tensor dy = random({rows, cols}, 1), y = random({rows, cols}, 2),
                 start = random({cols}, 3, 1, DType::f32), inverse = random({cols}, 4, 1, DType::f32);
    const Doubles d = from_device(dy), v = from_device(y), n = from_device(inverse);
    Doubles want = from_device(start);
    for (std::int64_t j = 0; j < cols; ++j)
      want[j] += ref::dora_magnitude_grad(&d[j], &v[j], rows, cols, n[j]);
    const auto run = [&] {
      Tensor dm = garbage({cols}, DType::f32);
      copy(c(), dm, start);
      dora_magnitude_grad(c(), dm, dy, y, inverse);
      return dm;
    };
    const Tensor dm = run();
    EXPECT_TRUE(close_to(dm, want));
    EXPECT_EQ(bytes_from_device(dm), bytes_from_device(run()));
  }
}

TEST_P(DoraCuda, WrongShapesAndTypesAreNamed) {
  Tensor dm = garbage({8}, DType::f32), short_dm = garbage({7}, DType::f32);
  const Tensor y = random({4, 8}, 1), inverse = random({8}, 2, 1, DType::f32);
  EXPECT_THROW(dora_magnitude_grad(c(), short_dm, y, y, inverse), ShapeError);
  EXPECT_THROW(dora_magnitude_grad(c(), dm, random({4, 7}, 1), y, inverse), ShapeError);
  const Tensor up = random({8, 2}, 3), cross = random({2, 8}, 4);
  EXPECT_THROW(dora_inverse_norms(c(), dm, {inverse, up, up, up, 1}), ShapeError);
  EXPECT_THROW(dora_inverse_norms(c(), short_dm, {inverse, cross, up, up, 1}), ShapeError);
}

}  // namespace
}  // namespace rankine
