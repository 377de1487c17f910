// Quantised blocks against known answers of ggml, the `gguf` package and the published table of bitsandbytes.
#include "engine/core/block_formats.h"

#include <cmath>
#include <limits>
#include <numeric>

#include "engine/core/error.h"
#include "engine/core/nf4.h"
#include "io/formats/safetensors.h"
#include "tests/formats/format_files.h"

namespace rankine {
namespace {

constexpr DType kBlockTypes[] = {DType::q4_0,     DType::q4_1,     DType::q5_0,   DType::q5_1,
                                 DType::q8_0,     DType::q2_k,     DType::q3_k,   DType::q4_k,
                                 DType::q5_k,     DType::q6_k,     DType::iq4_nl, DType::q4_0_f32,
                                 DType::q4_1_f32, DType::q8_0_f32, DType::nf4,    DType::nf4_dq};

const SafetensorsFile& golden() {
  static const SafetensorsFile file(std::string(RANKINE_SOURCE_DIR) + "/tests/goldens/blocks.safetensors");
  return file;
}
std::span<const std::byte> golden_bytes(DType type, const char* what) {
  return golden().at(join(name_of(type), what)).bytes;
}

// Byte i of the block is 37 i + 11; its half-precision scales, in order, are 0.125 and 0.0625.
struct KnownAnswer {
  DType type;
  std::vector<std::size_t> halves;
  float first[4], middle, last, sum;
};
const std::vector<KnownAnswer>& known_answers() {
  static const std::vector<KnownAnswer> all = {
      {DType::q4_0, {0}, {-0.375F, 0.25F, 0.875F, -0.5F}, -0.375F, 0.0F, -2.625F},
      {DType::q4_1, {0, 2}, {1.9375F, 0.5625F, 1.1875F, 1.8125F}, 1.1875F, 1.5625F, 32.625F},
      {DType::q5_0, {0}, {1.125F, -0.25F, 0.375F, -1.0F}, 1.75F, 0.125F, 1.875F},
      {DType::q5_1, {0, 2}, {2.4375F, 3.0625F, 3.6875F, 2.3125F}, 2.4375F, 0.6875F, 65.125F},
      {DType::q8_0, {0}, {10.625F, 15.25F, -12.125F, -7.5F}, -11.375F, -6.0F, -22.0F},
      {DType::iq4_nl, {0}, {-4.375F, 3.125F, 14.125F, -6.125F}, -4.375F, 0.125F, -32.125F},
      {DType::q2_k, {80, 82}, {4.125F, 0.0F, 1.375F, 2.75F}, 0.9375F, 0.5625F, 257.375F},
      {DType::q3_k, {108}, {10.125F, -13.5F, 3.375F, -6.75F}, 0.25F, 5.25F, 119.75F},
      {DType::q4_k, {0, 2}, {39.4375F, -3.1875F, 16.1875F, 35.5625F}, 52.875F, 6.0625F, 6805.0F},
      {DType::q5_k, {0, 2}, {101.4375F, -3.1875F, 78.1875F, 35.5625F}, 130.875F, 13.5625F, 14527.0F},
      {DType::q6_k, {208}, {-178.875F, 212.0F, 72.875F, -66.25F}, -43.875F, -7.5F, 576.5F}};
  return all;
}

TEST(BlockFormats, KnownAnswersOfGgml) {
  for (const KnownAnswer& want : known_answers()) {
    const BlockShape shape = block_of(want.type);
    std::vector<std::byte> block(shape.bytes);
    for (std::size_t i = 0; i < block.size(); ++i) block[i] = static_cast<std::byte>(37 * i + 11);
    std::uint16_t half = 0x3000;  // 0.125, then 0x2C00 = 0.0625
    for (const std::size_t at : want.halves) {
      std::memcpy(&block[at], &half, 2);
      half = 0x2C00;
    }
    std::vector<float> y(static_cast<std::size_t>(shape.elements));
    decode_blocks(want.type, block.data(), y);
    for (std::size_t i = 0; i < 4; ++i) EXPECT_EQ(y[i], want.first[i]) << shape.name << " " << i;
    EXPECT_EQ(y[y.size() / 2], want.middle) << shape.name;
    EXPECT_EQ(y.back(), want.last) << shape.name;
    EXPECT_EQ(std::accumulate(y.begin(), y.end(), 0.0F), want.sum) << shape.name;  // all multiples of 1/16
  }
}

TEST(BlockFormats, DecodesEveryTypeBitForBit) {
  for (const DType type : kBlockTypes) {
    const auto blocks = golden_bytes(type, "/blocks"), want = golden_bytes(type, "/decoded");
    std::vector<std::byte> shifted(blocks.size() + 1);  // files give no alignment
    std::memcpy(shifted.data() + 1, blocks.data(), blocks.size());
    std::vector<float> y(want.size() / 4);
    ASSERT_EQ(bytes_of(type, static_cast<std::int64_t>(y.size())), blocks.size()) << name_of(type);
    decode_blocks(type, shifted.data() + 1, y);
    EXPECT_EQ(std::memcmp(y.data(), want.data(), want.size()), 0) << name_of(type);
  }
}

TEST(BlockFormats, EncodesBitForBit) {
  const std::vector<float> values = read_as_float(golden(), "values");
  int encoders = 0;
  for (const DType type : kBlockTypes) {
    if (!can_encode(type)) continue;
    ++encoders;
    const auto want = golden_bytes(type, "/encoded");
    std::vector<std::byte> blocks(bytes_of(type, static_cast<std::int64_t>(values.size())));
    ASSERT_EQ(blocks.size(), want.size()) << name_of(type);
    encode_blocks(type, values, blocks.data());
    for (std::size_t i = 0; i < blocks.size(); ++i)
      ASSERT_EQ(blocks[i], want[i]) << name_of(type) << ", block " << i / block_of(type).bytes << ", byte "
                                    << i % block_of(type).bytes;
  }
  EXPECT_EQ(encoders, 7);
}

TEST(BlockFormats, TheScaleMapIsThePublishedOne) {
  const auto& map = kNf4ScaleMap;
  const auto want = golden().at("nf4_scale_map").bytes;
  ASSERT_EQ(want.size(), sizeof(map));
  EXPECT_EQ(std::memcmp(map.data(), want.data(), want.size()), 0);
  // Numbers as bitsandbytes prints them.
  EXPECT_EQ(map[0], -0.992968738079071F);
  EXPECT_EQ(map[126], -5.500000384017767e-07F);
  EXPECT_EQ(map[127], 0.0F);
  EXPECT_EQ(map[137], 0.0003812500217463821F);
  EXPECT_EQ(map[159], 0.011406250298023224F);
  EXPECT_EQ(map[191], 0.10703125596046448F);
  EXPECT_EQ(map[207], 0.3320312500F);
  EXPECT_EQ(map[255], 1.0F);
}

TEST(BlockFormats, NearestCodes) {
  for (std::size_t i = 0; i < 256; ++i) EXPECT_EQ(nearest_nf4_scale(kNf4ScaleMap[i]), i);
  for (std::size_t i = 0; i + 1 < 16; ++i) {
    const float middle = (kNf4Table[i] + kNf4Table[i + 1]) / 2.0F;
    EXPECT_EQ(nearest_nf4(kNf4Table[i]), i);
    EXPECT_EQ(nearest_nf4(middle), i);
    EXPECT_EQ(nearest_nf4(std::nextafter(middle, 2.0F)), i + 1);
  }
  EXPECT_EQ(nearest_nf4(-5.0F), 0);
  EXPECT_EQ(nearest_nf4(5.0F), 15);
  EXPECT_EQ(nearest_nf4(std::numeric_limits<float>::quiet_NaN()), 0);
}

// Half a step of the code, and the rounding of d to half precision, bound the error.
TEST(BlockFormats, EncodedNumbersComeBackNear) {
  std::vector<float> x(256), y(256);
  for (std::size_t i = 0; i < x.size(); ++i) x[i] = std::sin(static_cast<float>(i) * 0.7F) + 0.2F;
  const std::pair<DType, float> bounds[] = {{DType::q4_0, 0.16F}, {DType::q4_1, 0.09F}, {DType::q5_0, 0.08F},
                                            {DType::q5_1, 0.05F}, {DType::q8_0, 0.01F}, {DType::nf4, 0.19F},
                                            {DType::nf4_dq, 0.2F}};
  for (const auto& [type, bound] : bounds) {
    std::vector<std::byte> blocks(bytes_of(type, 256));
    encode_blocks(type, x, blocks.data());
    decode_blocks(type, blocks.data(), y);
    for (std::size_t i = 0; i < x.size(); ++i) EXPECT_NEAR(x[i], y[i], bound) << name_of(type) << " " << i;
  }
}

TEST(BlockFormats, NumbersThatAreNotFinite) {
  std::vector<float> x(256, 1.0F);
  x[3] = std::numeric_limits<float>::quiet_NaN();
  x[70] = std::numeric_limits<float>::infinity();
  x[140] = -std::numeric_limits<float>::infinity();
  for (const DType type : kBlockTypes) {
    if (!can_encode(type)) continue;
    std::vector<std::byte> blocks(bytes_of(type, 256));
    EXPECT_NO_THROW(encode_blocks(type, x, blocks.data())) << name_of(type);  // and no undefined conversion
  }
}

TEST(BlockFormats, Refusals) {
  std::vector<float> x(48);
  std::vector<std::byte> blocks(200);
  const std::string part =
      test::message_of<ShapeError>([&] { decode_blocks(DType::q4_0, blocks.data(), x); });
  EXPECT_EQ(part, "decode_blocks: q4_0 holds 32 numbers in a block, got 48");
  EXPECT_THROW(decode_blocks(DType::f16, blocks.data(), x), ShapeError);
  EXPECT_THROW(encode_blocks(DType::q4_k, std::vector<float>(256), blocks.data()), ShapeError);
  EXPECT_THROW(encode_blocks(DType::q4_0, x, blocks.data()), ShapeError);
  EXPECT_NO_THROW(encode_blocks(DType::nf4_dq, {}, blocks.data()));
}

}  // namespace
}  // namespace rankine
