// The containers before GGUF. Expected values come from the definition of each era's blocks, not from the
// reader.
#include "io/formats/ggml_legacy.h"

#include <cmath>
#include <random>

#include "engine/core/block_formats.h"
#include "engine/core/error.h"
#include "io/formats/ggml_vocab.h"
#include "tests/formats/format_files.h"
#include "tests/formats/ggml_files.h"

namespace rankine {
namespace {

using test::Bytes;
using test::Legacy;
using test::message_of;

constexpr std::uint32_t kGgml = 0x67676d6c, kGgmf = 0x67676d66, kGgjt = 0x67676a74;

// One block of an era with random codes, and the numbers it stands for.
struct Block {
  std::string bytes;
  std::vector<float> numbers;
};
enum class HalfBytes { adjacent, split };
struct Layout {
  std::uint32_t type;  // 2 Q4_0, 3 Q4_1, 6 Q5_0, 7 Q5_1, 8 Q8_0
  bool f32_scales;
  HalfBytes order;
};

Block random_block(const Layout& layout, std::mt19937& random) {
  const bool offset = layout.type == 3 || layout.type == 7, five = layout.type >= 6;
  const float d = 0.25F, m = -1.5F;  // exact in half precision
  int codes[32];
  std::string qs(16, '\0');
  std::uint32_t fifths = 0;
  for (int i = 0; i < 32; ++i) {
    codes[i] = static_cast<int>(random() % (five ? 32 : 16));
    const int byte = layout.order == HalfBytes::adjacent ? i / 2 : i % 16;
    const bool high = layout.order == HalfBytes::adjacent ? i % 2 == 1 : i >= 16;
    qs[static_cast<std::size_t>(byte)] |= static_cast<char>((codes[i] & 15) << (high ? 4 : 0));
    fifths |= static_cast<std::uint32_t>(codes[i] >> 4) << i;
  }
  Bytes out;
  for (const float scale : offset ? std::vector<float>{d, m} : std::vector<float>{d})
    layout.f32_scales ? out.put(scale) : out.put(to_half(scale).bits);
  if (five) out.u32(fifths);
  Block block{out.raw(qs).data, {}};
  for (const int q : codes)
    block.numbers.push_back(offset ? static_cast<float>(q) * d + m
                                   : static_cast<float>(q - (five ? 16 : 8)) * d);
  return block;
}

// A matrix of `rows` rows of `blocks` blocks.
Block random_matrix(const Layout& layout, int rows, int blocks, std::mt19937& random) {
  Block all;
  for (int i = 0; i < rows * blocks; ++i) {
    const Block one = random_block(layout, random);
    all.bytes += one.bytes;
    all.numbers.insert(all.numbers.end(), one.numbers.begin(), one.numbers.end());
  }
  return all;
}

std::string float_bytes(const std::vector<float>& x) {
  Bytes out;
  for (const float v : x) out.put(v);
  return out.data;
}

struct Era {
  std::uint32_t magic, version;
  Layout layout;
};

TEST(GgmlLegacy, BlocksOfEveryEra) {
  const Era eras[] = {
      {kGgml, 0, {2, true, HalfBytes::adjacent}},  {kGgml, 0, {3, true, HalfBytes::adjacent}},
      {kGgmf, 1, {2, true, HalfBytes::adjacent}},  {kGgjt, 1, {2, true, HalfBytes::adjacent}},
      {kGgjt, 1, {3, true, HalfBytes::adjacent}},  {kGgjt, 1, {6, false, HalfBytes::adjacent}},
      {kGgjt, 1, {7, false, HalfBytes::adjacent}}, {kGgjt, 2, {2, true, HalfBytes::split}},
      {kGgjt, 2, {3, true, HalfBytes::split}},     {kGgjt, 2, {6, false, HalfBytes::split}},
      {kGgjt, 2, {7, false, HalfBytes::split}},    {kGgjt, 3, {2, false, HalfBytes::split}},
      {kGgjt, 3, {3, false, HalfBytes::split}},    {kGgjt, 3, {6, false, HalfBytes::split}},
      {kGgjt, 3, {7, false, HalfBytes::split}}};
  const test::TemporaryFolder folder;
  std::mt19937 random(1);
  for (const Era& era : eras) {
    const Block matrix = random_matrix(era.layout, 3, 2, random);
    Legacy file{era.magic, era.version};
    file.tensors = {{"w", {64, 3}, era.layout.type, matrix.bytes}, {"n", {2}, 0, float_bytes({0.5F, -7.0F})}};
    const GgmlFile read(folder.file("m.bin", file.bytes()));
    const std::string what =
        join(std::hex, era.magic, std::dec, " version ", era.version, " type ", era.layout.type);
    EXPECT_EQ(read.at("w").shape, (std::vector<std::int64_t>{3, 64})) << what;
    EXPECT_EQ(read_as_float(read, "w"), matrix.numbers) << what;
    EXPECT_EQ(read_as_float(read, "n"), (std::vector<float>{0.5F, -7.0F})) << what;
    EXPECT_EQ(read.at("w").bytes.empty(), era.layout.order == HalfBytes::adjacent) << what;
    EXPECT_EQ(read.version(), era.version) << what;
    EXPECT_EQ(read.vocab().tokens, file.tokens) << what;
    EXPECT_EQ(read.vocab().scores.size(), file.scored() ? 3U : 0U) << what;
  }
}

TEST(GgmlLegacy, EightBitBlocks) {
  const test::TemporaryFolder folder;
  for (const std::uint32_t version : {1U, 2U, 3U}) {
    Bytes block;
    version < 3 ? block.put(0.5F) : block.put(to_half(0.5F).bits);
    std::vector<float> want;
    for (int i = 0; i < 32; ++i) {
      block.put(static_cast<std::int8_t>(i * 8 - 128));
      want.push_back(static_cast<float>(i * 8 - 128) * 0.5F);
    }
    Legacy file{kGgjt, version};
    file.tensors = {{"w", {32, 1}, 8, block.data}};
    const GgmlFile read(folder.file("m.bin", file.bytes()));
    EXPECT_EQ(read.at("w").dtype, version < 3 ? FileDType::q8_0_f32 : FileDType::q8_0);
    EXPECT_EQ(read_as_float(read, "w"), want) << version;
  }
}

// Two parts: embedding, wo and w2 are cut by columns, the rest by rows, vectors are in both.
TEST(GgmlLegacy, TwoParts) {
  const test::TemporaryFolder folder;
  std::mt19937 random(2);
  const Layout q4{2, true, HalfBytes::adjacent};
  Legacy parts[2] = {{kGgmf, 1}, {kGgmf, 1}};
  std::vector<float> embedding(3 * 128), wo(2 * 128), wq;
  for (Legacy& part : parts) {
    part.n_embd = 128;
    const std::size_t p = static_cast<std::size_t>(&part - parts);
    std::vector<float> own(3 * 64);
    for (std::size_t i = 0; i < own.size(); ++i) {
      own[i] = static_cast<float>(1000 * p + i);
      embedding[i / 64 * 128 + p * 64 + i % 64] = own[i];
    }
    const Block o = random_matrix(q4, 2, 2, random), q = random_matrix(q4, 2, 4, random);
    for (std::size_t i = 0; i < o.numbers.size(); ++i) wo[i / 64 * 128 + p * 64 + i % 64] = o.numbers[i];
    wq.insert(wq.end(), q.numbers.begin(), q.numbers.end());
    part.tensors = {{"tok_embeddings.weight", {64, 3}, 0, float_bytes(own)},
                    {"norm.weight", {2}, 0, float_bytes({1, 2})},
                    {"layers.0.attention.wo.weight", {64, 2}, 2, o.bytes},
                    {"layers.0.attention.wq.weight", {128, 2}, 2, q.bytes}};
  }
  const auto path = folder.file("m.bin", parts[0].bytes());
  EXPECT_THROW(GgmlFile{path}, IoError);  // the second is missing
  folder.file("m.bin.1", parts[1].bytes());
  const GgmlFile file(path);
  EXPECT_EQ(file.parts(), 2U);
  EXPECT_EQ(file.at("tok_embeddings.weight").shape, (std::vector<std::int64_t>{3, 128}));
  EXPECT_EQ(file.at("layers.0.attention.wq.weight").shape, (std::vector<std::int64_t>{4, 128}));
  EXPECT_EQ(read_as_float(file, "tok_embeddings.weight"), embedding);
  EXPECT_EQ(read_as_float(file, "layers.0.attention.wo.weight"), wo);
  EXPECT_EQ(read_as_float(file, "layers.0.attention.wq.weight"), wq);
  EXPECT_EQ(read_as_float(file, "norm.weight"), (std::vector<float>{1, 2}));

  parts[1].tensors[3].name = "layers.1.attention.wq.weight";
  folder.file("m.bin.1", parts[1].bytes());
  EXPECT_NE(message_of<DataError>([&] {
              GgmlFile{path};
            }).find("m.bin.1: tensor 'layers.0.attention.wq.weight' is"),
            std::string::npos);
  parts[1].n_vocab = 2, parts[1].tokens.pop_back();
  folder.file("m.bin.1", parts[1].bytes());
  EXPECT_NE(message_of<DataError>([&] { GgmlFile{path}; }).find("hyperparameters differ"), std::string::npos);
}

TEST(GgmlLegacy, OneTokenLessThanTheHeaderSays) {
  Legacy file{kGgml, 0};
  file.n_vocab = 32001;
  file.tokens.assign(32000, "t");
  file.tensors = {{"tok_embeddings.weight", {64, 1}, 0, std::string(256, '\0')}};
  const GgmlHeader header = parse_ggml(test::as_bytes(file.bytes()), "f");
  EXPECT_EQ(header.vocab.tokens.size(), 32001U);
  EXPECT_EQ(header.vocab.tokens.back(), "");
  EXPECT_TRUE(header.tensors.contains("tok_embeddings.weight"));
  file.tokens.emplace_back("last");
  EXPECT_EQ(parse_ggml(test::as_bytes(file.bytes()), "f").vocab.tokens.back(), "last");
  file.tokens.resize(31999);
  EXPECT_THROW(parse_ggml(test::as_bytes(file.bytes()), "f"), DataError);
}

void expect_refusal(const Legacy& file, const std::string& part) {
  const std::string bytes = file.bytes();
  const std::string message = message_of<DataError>([&] { parse_ggml(test::as_bytes(bytes), "f"); });
  EXPECT_TRUE(message.starts_with("f: byte ")) << message;
  EXPECT_NE(message.find(part), std::string::npos) << message;
}

Legacy with(std::uint32_t magic, std::uint32_t version, const test::LegacyTensor& tensor) {
  Legacy file{magic, version};
  file.tensors = {tensor};
  return file;
}

TEST(GgmlLegacy, Refusals) {
  expect_refusal(with(kGgjt, 1, {"w", {16, 1}, 4, std::string(10, 'x')}), "Q4_2 was removed");
  expect_refusal(with(kGgjt, 1, {"w", {16, 1}, 5, std::string(12, 'x')}), "Q4_3 was removed");
  expect_refusal(with(kGgjt, 2, {"w", {256, 1}, 12, std::string(144, 'x')}),
                 "exists only since ggjt version 3");
  expect_refusal(with(kGgjt, 3, {"w", {32, 1}, 20, std::string(18, 'x')}), "type 20 is unknown");
  expect_refusal(with(kGgjt, 3, {"w", {33, 1}, 2, std::string(36, 'x')}), "not whole Q4_0 blocks");
  expect_refusal(with(kGgjt, 3, {"w", {0, 1}, 0, ""}), "extents 0 and 1");
  expect_refusal(with(kGgjt, 3, {"w", {~0U, ~0U}, 0, ""}), "extents");
  expect_refusal(with(kGgjt, 3, {"w", {1U << 30, 1U << 30}, 0, "x"}), "may be cut short");
  expect_refusal(with(kGgjt, 3, {"w", {1, 1, 1}, 0, "xxxx"}), "3 dimensions");
  expect_refusal(with(kGgjt, 3, {"", {1}, 0, "xxxx"}), "name of 0 bytes");
  expect_refusal(with(kGgjt, 4, {"w", {1}, 0, "xxxx"}), "ggjt version 4");
  expect_refusal(with(kGgmf, 2, {"w", {1}, 0, "xxxx"}), "ggmf version 2");
  expect_refusal(with(0x67676c61, 1, {"w", {1}, 0, "xxxx"}), "ggla adapter");
  expect_refusal(with(0x12345678, 1, {"w", {1}, 0, "xxxx"}), "no ggml");
  Legacy twice = with(kGgjt, 3, {"w", {1}, 0, "xxxx"});
  twice.tensors.push_back(twice.tensors[0]);
  expect_refusal(twice, "'w' appears twice");
  Legacy many;
  many.n_vocab = ~0U;
  expect_refusal(many, "tokens of at least 8");
  Legacy odd;
  odd.n_embd = 66;
  expect_refusal(odd, "do not describe a transformer");
}

// Before 11 March 2023 a row of 4096 numbers was 128 scales and then 2048 bytes of codes.
TEST(GgmlLegacy, RowWiseLayoutIsRefused) {
  std::mt19937 random(3);
  std::normal_distribution<double> normal(7.5, 2.5);
  const auto code = [&] { return static_cast<unsigned>(std::clamp(normal(random), 0.0, 15.0)); };
  Bytes row_wise, block_wise;
  for (int i = 0; i < 128; ++i) row_wise.put(0.003F + 0.0001F * static_cast<float>(i % 7));
  for (int i = 0; i < 2048; ++i) row_wise.put(static_cast<std::uint8_t>(code() | code() << 4));
  for (int i = 0; i < 128; ++i) {
    block_wise.put(0.003F);
    for (int j = 0; j < 16; ++j) block_wise.put(static_cast<std::uint8_t>(code() | code() << 4));
  }
  expect_refusal(with(kGgml, 0, {"w", {4096, 1}, 2, row_wise.data}), "before 11 March 2023");
  const std::string good = with(kGgml, 0, {"w", {4096, 1}, 2, block_wise.data}).bytes();
  EXPECT_NO_THROW(parse_ggml(test::as_bytes(good), "f"));
}

TEST(GgmlLegacy, WhatTheWriterWritesComesBack) {
  const test::TemporaryFolder folder;
  const auto path = folder.path() / "m.bin";
  std::vector<float> x(3 * 256);
  for (std::size_t i = 0; i < x.size(); ++i) x[i] = std::sin(static_cast<float>(i));
  std::vector<std::byte> q4(bytes_of(DType::q4_0, 768));
  encode_blocks(DType::q4_0, x, q4.data());
  const GgmlHyperparameters h{3, 256, 32, 4, 1, 64, 2};
  const GgmlVocab vocab{{"", " the", "\xff"}, {0, -1, -2.5F}};
  const std::vector<TensorOutput> tensors = {
      borrowed("norm.weight", FileDType::f32, {3}, std::as_bytes(std::span(x).first(3))),
      borrowed("output.weight", FileDType::q4_0, {3, 256}, q4)};
  write_ggjt(path, h, vocab, tensors);
  const GgmlFile file(path);
  EXPECT_EQ(file.hyperparameters(), h);
  EXPECT_EQ(file.version(), 3U);
  EXPECT_EQ(file.container(), GgmlContainer::ggjt);
  EXPECT_EQ(vocab_of(file).tokens, vocab.tokens);
  EXPECT_EQ(vocab_of(file).scores, vocab.scores);
  std::vector<float> decoded(768);
  decode_blocks(DType::q4_0, q4.data(), decoded);
  EXPECT_EQ(read_as_float(file, "output.weight"), decoded);
  EXPECT_EQ(read_as_float(file, "norm.weight"), std::vector<float>(x.begin(), x.begin() + 3));
  const auto offset = reinterpret_cast<std::uintptr_t>(file.at("output.weight").bytes.data());
  EXPECT_EQ(offset % 32, 0U);
  EXPECT_EQ(file.metadata().at("n_embd"), "256");

  EXPECT_THROW(write_ggjt(path, h, {{"a"}, {0}}, tensors), DataError);
  EXPECT_THROW(write_ggjt(path, h, vocab, std::vector<TensorOutput>{tensors[0], tensors[0]}), DataError);
  EXPECT_THROW(write_ggjt(path, h, vocab,
                          std::vector<TensorOutput>{
                              borrowed("x", FileDType::bf16, {2}, std::as_bytes(std::span(x).first(1)))}),
               DataError);
  EXPECT_EQ(GgmlFile(path).tensors().size(), 2U);  // the good one still stands
  EXPECT_EQ(folder.names(), std::vector<std::string>{"m.bin"});
}

TEST(GgmlLegacy, FeedForwardOfLlama) {
  EXPECT_EQ(ggml_feed_forward({32000, 4096, 256, 32, 32, 128, 2}), 11008);
  EXPECT_EQ(ggml_feed_forward({32000, 5120, 256, 40, 40, 128, 2}), 13824);
  EXPECT_EQ(ggml_feed_forward({512, 64, 4, 8, 5, 8, 0}), 172);
}

}  // namespace
}  // namespace rankine
