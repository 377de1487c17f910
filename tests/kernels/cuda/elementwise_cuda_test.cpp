// elementwise.h on CUDA: see elementwise_test.cpp for the same on the CPU.
#include "kernels/elementwise/elementwise.h"
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

}  // namespace
}  // namespace rankine
