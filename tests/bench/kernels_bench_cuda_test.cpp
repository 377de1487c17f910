// rankine-bench kernels on CUDA at tiny sizes: every operation runs and has a cost, on a card or emulated.
#include <gtest/gtest.h>

#include "bench/kernels_bench.h"
#include "engine/core/cuda_device.h"

namespace rankine::bench {
namespace {

class KernelsBenchCuda : public ::testing::TestWithParam<std::string> {
 protected:
  void SetUp() override {
    if (rankine::cuda::device_count() == 0) GTEST_SKIP() << "no CUDA device: the bench was NOT run on one";
  }
};
INSTANTIATE_TEST_SUITE_P(Types, KernelsBenchCuda, ::testing::Values("fp16", "bf16"),
                         [](const auto& info) { return info.param; });

TEST_P(KernelsBenchCuda, EveryCaseRuns) {
  KernelsOptions o;
  o.device = "cuda";
  o.type = GetParam();
  o.quick = true;
  o.seconds = 1e-4;
  const KernelsResult result = measure_kernels(o);
  EXPECT_EQ(result.lines.size(), kernel_cases({.cuda = true, .quick = true}).size());
  for (const KernelLine& l : result.lines) {
    SCOPED_TRACE(l.what.label());
    EXPECT_TRUE(l.skipped.empty()) << l.skipped;
    EXPECT_GT(l.cost.bytes, 0);
    EXPECT_GT(l.time.seconds, 0);
    EXPECT_GT(l.bound.seconds, 0);
  }
  for (const char* name : {"mma.sync", "own product 64", "copy", "pinned host to device"})
    EXPECT_GT(result.ceilings.value_of(name), 0) << name;
  EXPECT_GE(result.ceilings.flops, result.ceilings.mma_flops);
}

}  // namespace
}  // namespace rankine::bench
