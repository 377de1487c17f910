// random.h on CUDA: see random_test.cpp for the same on the CPU.
#include "kernels/random/random.h"

#include "kernels/random/random_ref.h"
#include "tests/kernels/gpu_support.h"

namespace rankine {
namespace {
using namespace testing_support;

constexpr RandomStream kStream{0x123456789ABCDEFULL, purpose("noise"), 41, 3};
constexpr std::int64_t kSizes[] = {1, 3, 8, 40, 257, 1031};

class RandomCuda : public OnGpu {
 protected:
  // fp32 numbers as a tensor of this test's type holds them.
  std::vector<std::byte> stored(const std::vector<float>& values) const {
    const auto n = static_cast<std::int64_t>(values.size());
    const Tensor t =
        stored_as(host_.c, tensor_of(host_.c, {n}, Doubles(values.begin(), values.end())), type());
    const auto* bytes = static_cast<const std::byte*>(t.raw());
    return {bytes, bytes + t.bytes()};
  }
};
INSTANTIATE_TEST_SUITE_P(Types, RandomCuda, gpu_float_types(), gpu_case_name);

// The host's words: its bits, rounded where the type is a half.
TEST_P(RandomCuda, UniformIsTheHostsToTheBit) {
  for (const std::int64_t n : kSizes) {
    SCOPED_TRACE(n);
    std::vector<float> want;
    for (std::int64_t i = 0; i < n; ++i) want.push_back(ref::uniform(kStream, i, 0.0F, 1.0F));
    Tensor y = garbage({n});
    fill_uniform(c(), y, kStream, 0, 1);
    EXPECT_EQ(bytes_from_device(y), stored(want));
    Tensor buffer = garbage({n + 1}), shifted = buffer.flat(1, {n});  // one number at a time
    fill_uniform(c(), shifted, kStream, 0, 1);
    EXPECT_EQ(bytes_from_device(shifted), stored(want));
    fill_uniform(c(), y, kStream, -3, 5);
    Doubles ranged;
    for (std::int64_t i = 0; i < n; ++i) ranged.push_back(ref::uniform(kStream, i, -3.0, 5.0));
    EXPECT_TRUE(close_to(y, ranged));
  }
}

TEST_P(RandomCuda, NormalIsTheHostsUpToLastPlaces) {
  for (const std::int64_t n : kSizes) {
    Doubles want;
    for (std::int64_t i = 0; i < n; ++i) want.push_back(ref::normal(kStream, i));
    Tensor y = garbage({n});
    fill_normal(c(), y, kStream);
    EXPECT_TRUE(close_to(y, want)) << n;
  }
}

TEST_P(RandomCuda, DropoutKeepsByTheStream) {
  for (const float p : {0.0F, 0.1F, 0.9F}) {
    for (const std::int64_t n : {3, 40, 257}) {
      SCOPED_TRACE(join(p, " ", n));
      const Tensor x = random({n}, 1);
      const Doubles in = from_device(x);
      Doubles want;
      for (std::int64_t i = 0; i < n; ++i) want.push_back(ref::dropout(in[i], kStream, i, p));
      Tensor y = garbage({n}), inside = to_device({n}, in);
      dropout(c(), y, x, kStream, p);
      EXPECT_TRUE(close_to(y, want));
      for (std::int64_t i = 0; i < n; ++i) EXPECT_EQ(from_device(y)[i] == 0, want[i] == 0);
      dropout(c(), inside, inside, kStream, p);
      EXPECT_EQ(bytes_from_device(inside), bytes_from_device(y));
    }
  }
}

TEST_P(RandomCuda, WrongTensorsAreNamed) {
  Tensor ids = c().empty({3}, "ids", DType::i32), y = garbage({3}), none;
  Tensor mixed = garbage({3}, type() == DType::f16 ? DType::bf16 : DType::f16);
  expect_shape_error("fill_uniform", [&] { fill_uniform(c(), ids, kStream, 0, 1); });
  expect_shape_error("fill_normal", [&] { fill_normal(c(), none, kStream); });
  expect_shape_error("dropout", [&] { dropout(c(), y, mixed, kStream, 0.5F); });
  expect_shape_error("dropout", [&] { dropout(c(), y, y, kStream, 1.0F); });
}

}  // namespace
}  // namespace rankine
