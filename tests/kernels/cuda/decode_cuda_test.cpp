// decode_cuda.h: every stored type to every type of activations, bit for bit what the host decodes and
// rounds.
#include "kernels/matmul/decode_cuda.h"

#include "tests/kernels/block_support.h"
#include "tests/kernels/gpu_support.h"

namespace rankine {
namespace {
using namespace testing_support;

// The parameter's type is what is decoded to.
class DecodeCuda : public OnGpu {
 protected:
  Tensor decode(const Tensor& w, DType to) const {
    Tensor y = garbage(w.shape(), to);
    cuda::decode_weight(c().cuda_stream(), y.raw(), to, raw_to_device(w).raw(), w.dtype(), w.dim(0),
                        w.dim(1));
    return y;
  }
  // The host's own: decoded in fp32, rounded once.
  std::vector<std::byte> expected(const Tensor& w, DType to) const {
    const Tensor y = stored_as(host_.c, decoded_blocks(host_.c, w), to);
    const auto* bytes = static_cast<const std::byte*>(y.raw());
    return {bytes, bytes + y.bytes()};
  }
};
INSTANTIATE_TEST_SUITE_P(Types, DecodeCuda, gpu_float_types(), gpu_case_name);

TEST_P(DecodeCuda, EveryBlockTypeHasTheBitsOfTheHost) {
  for (const DType t : kBlockTypes) {
    SCOPED_TRACE(name_of(t));
    const std::int64_t block = block_of(t).elements;
    for (const Shape& shape : {Shape{1, block}, Shape{7, 3 * block}}) {
      const Tensor w = random_blocks(host_.c, shape, t, 1);
      const Tensor y = decode(w, type());
      EXPECT_EQ(bytes_from_device(y), expected(w, type()));
      EXPECT_EQ(bytes_from_device(decode(w, type())), bytes_from_device(y));
    }
  }
}

// Scales that are zero of either sign, subnormal or the largest.
TEST_P(DecodeCuda, ExtremeScalesHaveTheBitsOfTheHost) {
  for (const DType t : kBlockTypes) {
    SCOPED_TRACE(name_of(t));
    const ScaleFields fields = scale_fields(t);
    const std::int64_t block = block_of(t).elements;
    for (const std::uint16_t bits : {0x0000, 0x8000, 0x0001, 0x83FF, 0x7BFF, 0xFBFF}) {
      Tensor w = random_blocks(host_.c, {1, 256}, t, bits);
      auto* bytes = static_cast<std::uint8_t*>(w.raw());
      const float scale = to_float(Half{bits});
      for (std::int64_t at = 0; at < 256 / block * std::int64_t(block_of(t).bytes);
           at += std::int64_t(block_of(t).bytes)) {
        if (fields.halves)
          std::memcpy(bytes + at + fields.first, &bits, sizeof bits);
        else
          std::memcpy(bytes + at + fields.first, &scale, sizeof scale);
      }
      EXPECT_EQ(bytes_from_device(decode(w, type())), expected(w, type())) << std::hex << bits;
    }
  }
}

TEST_P(DecodeCuda, EveryScaleCodeOfDoubleQuantisation) {
  Tensor w = random_blocks(host_.c, {64, 256}, DType::nf4_dq, 3);
  auto* bytes = static_cast<std::uint8_t*>(w.raw());
  for (int i = 0; i < 256; ++i) bytes[i / 4 * 140 + 128 + i % 4] = static_cast<std::uint8_t>(i);
  EXPECT_EQ(bytes_from_device(decode(w, type())), expected(w, type()));
}

TEST_P(DecodeCuda, PlainWeightsAreRoundedOnce) {
  for (const DType t : {DType::f32, DType::f16, DType::bf16}) {
    for (const Shape& shape : {Shape{1, 1}, Shape{3, 7}, Shape{5, 48}}) {
      SCOPED_TRACE(join(name_of(t), " ", shape));
      const Tensor w = stored_as(host_.c, random_tensor(host_.c, shape, 4), t);
      Tensor wide = host_.c.empty(shape, "wide");
      for (std::int64_t i = 0; i < w.numel(); ++i)
        wide.data<float>()[i] = t == DType::f32   ? w.data<float>()[i]
                                : t == DType::f16 ? to_float(w.data<Half>()[i])
                                                  : to_float(w.data<BFloat16>()[i]);
      const Tensor want = stored_as(host_.c, wide, type());
      const auto got = bytes_from_device(decode(w, type()));
      ASSERT_EQ(got.size(), want.bytes());
      EXPECT_EQ(std::memcmp(got.data(), want.raw(), got.size()), 0);
    }
  }
}

// Rows of a larger weight, as when a part of a stacked one is used: blocks of any alignment they can have.
TEST_P(DecodeCuda, AnyRowsOfAWeight) {
  for (const DType t : {DType::q4_0, DType::q3_k, DType::q6_k, DType::nf4}) {
    SCOPED_TRACE(name_of(t));
    const std::int64_t in = block_of(t).elements;
    const Tensor w = random_blocks(host_.c, {9, in}, t, 5), on_device = raw_to_device(w);
    const std::vector<std::byte> all = expected(w, type());
    const std::size_t row = all.size() / 9;
    for (const std::int64_t first : {1, 4, 7}) {
      Tensor y = garbage({1, in});
      cuda::decode_weight(c().cuda_stream(), y.raw(), type(), on_device.slice(first, first + 1).raw(), t, 1,
                          in);
      const auto got = bytes_from_device(y);
      EXPECT_EQ(std::memcmp(got.data(), all.data() + std::size_t(first) * row, row), 0) << first;
    }
  }
}

TEST_P(DecodeCuda, OtherTypesAreRefused) {
  const Tensor ids = c().empty({1, 32}, "ids", DType::i32);
  Tensor y = garbage({1, 32});
  const auto decode = [&](void* to, DType to_type, DType from) {
    cuda::decode_weight(c().cuda_stream(), to, to_type, ids.raw(), from, 1, 32);
  };
  expect_shape_error("decode_weight", [&] { decode(y.raw(), type(), DType::i32); });
  expect_shape_error("decode_weight", [&] { decode(y.raw(), DType::q4_0, DType::q4_0); });
  expect_shape_error("decode_weight",
                     [&] { decode(static_cast<std::byte*>(y.raw()) + 4, type(), DType::q4_0); });
}

}  // namespace
}  // namespace rankine
