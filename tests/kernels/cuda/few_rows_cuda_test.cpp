// few_rows_cuda.h: products of 1 to 8 rows with weights of every stored type.
#include "kernels/matmul/few_rows_cuda.h"

#include "kernels/matmul/matmul_ref.h"
#include "tests/kernels/block_support.h"
#include "tests/kernels/gpu_support.h"

namespace rankine {
namespace {
using namespace testing_support;

constexpr std::int64_t kMostRows = cuda::kFewRows;

class FewRowsCuda : public OnGpu {
 protected:
  Tensor multiply(const Tensor& x, const Tensor& w, const Tensor& bias = {}) const {
    Tensor y = garbage({x.rows(), w.dim(0)}, x.dtype());
    cuda::few_rows_forward(
        c().cuda_stream(),
        {y.raw(), x.raw(), x.dtype(), w.raw(), w.dtype(), bias.defined() ? bias.raw() : nullptr,
         bias.defined() ? bias.dtype() : DType::f32, x.rows(), w.dim(1), w.dim(0)});
    return y;
  }
};
INSTANTIATE_TEST_SUITE_P(Types, FewRowsCuda, gpu_float_types(), gpu_case_name);

// Odd numbers of rows and outputs, `in` an odd number of blocks.
TEST_P(FewRowsCuda, EveryBlockType) {
  std::int64_t rows = 0;
  for (const DType t : kBlockTypes) {
    SCOPED_TRACE(name_of(t));
    rows = rows % kMostRows + 1;
    const std::int64_t in = 3 * block_of(t).elements;
    const Tensor w = random_blocks(host_.c, {5, in}, t, 1), x = random({rows, in}, 2);
    const Tensor plain = decoded_blocks(host_.c, w), on_device = raw_to_device(w);
    const Tensor y = multiply(x, on_device);
    EXPECT_TRUE(close_to(y, ref::linear_forward(from_device(x), to_double(plain), {}, in, 5)));
    EXPECT_EQ(bytes_from_device(y), bytes_from_device(multiply(x, raw_to_device(plain))))
        << "not the bits of the decoded weight";
    EXPECT_EQ(bytes_from_device(y), bytes_from_device(multiply(x, on_device))) << "second run";
  }
}

// Every number of rows; more outputs than a block of threads computes; a bias of either type.
TEST_P(FewRowsCuda, EveryNumberOfRows) {
  constexpr std::int64_t kIn = 288, kOut = 19;
  const Tensor w = random_blocks(host_.c, {kOut, kIn}, DType::q4_0, 3), on_device = raw_to_device(w);
  const Doubles plain = to_double(decoded_blocks(host_.c, w));
  for (std::int64_t rows = 1; rows <= kMostRows; ++rows) {
    SCOPED_TRACE(rows);
    const Tensor x = random({rows, kIn}, 4);
    const Tensor bias = random({kOut}, 5, 1.0F, rows % 2 ? DType::f32 : type());
    EXPECT_TRUE(close_to(multiply(x, on_device, bias),
                         ref::linear_forward(from_device(x), plain, from_device(bias), kIn, kOut)));
  }
}

// Plain weights of any length: whole eights, tails, rows that no 16-byte load can read.
TEST_P(FewRowsCuda, PlainWeights) {
  for (const DType t : {DType::f32, DType::f16, DType::bf16}) {
    for (const std::int64_t in : {1, 7, 40, 301}) {
      SCOPED_TRACE(join(name_of(t), " ", in));
      const Tensor w = random({3, in}, 6, 1.0F, t), x = random({2, in}, 7);
      EXPECT_TRUE(close_to(multiply(x, w), ref::linear_forward(from_device(x), from_device(w), {}, in, 3)));
    }
  }
}

// `in` beyond what shared memory keeps at a time, for each of the kernels.
TEST_P(FewRowsCuda, LongRows) {
  for (const auto& [rows, in] : {std::pair{1, 4096 + 288}, {2, 2048 + 32}, {8, 1024 + 32}}) {
    SCOPED_TRACE(in);
    const Tensor w = random_blocks(host_.c, {2, in}, DType::q8_0, 8), x = random({rows, in}, 9);
    EXPECT_TRUE(
        close_to(multiply(x, raw_to_device(w)),
                 ref::linear_forward(from_device(x), to_double(decoded_blocks(host_.c, w)), {}, in, 2)));
  }
}

TEST_P(FewRowsCuda, ARowIsTheSameBesideAnyOthers) {
  const Tensor w = raw_to_device(random_blocks(host_.c, {3, 512}, DType::q4_k, 10)), x = random({8, 512}, 11);
  const std::vector<std::byte> all = bytes_from_device(multiply(x, w));
  const std::size_t row = all.size() / 8;
  for (const std::int64_t rows : {1, 3, 6}) {
    const auto part = bytes_from_device(multiply(x.slice(8 - rows, 8), w));
    EXPECT_EQ(std::memcmp(part.data(), all.data() + (8 - std::size_t(rows)) * row, part.size()), 0) << rows;
  }
}

TEST_P(FewRowsCuda, RefusesWhatItCannotDo) {
  const Tensor many = random({9, 32}, 1), few = random({2, 32}, 1), w = random({3, 32}, 2);
  const Tensor ids = c().empty({3, 32}, "ids", DType::i32);
  expect_shape_error("few_rows_forward", [&] { multiply(many, w); });
  expect_shape_error("few_rows_forward", [&] { multiply(few, ids); });
}

}  // namespace
}  // namespace rankine
