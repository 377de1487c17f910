// GGUF: what is written comes back; what is wrong is refused with the reason.
#include "io/formats/gguf.h"

#include "engine/core/block_formats.h"
#include "engine/core/error.h"
#include "io/formats/ggml_legacy.h"
#include "io/formats/ggml_vocab.h"
#include "tests/formats/format_files.h"
#include "tests/formats/ggml_files.h"

namespace rankine {
namespace {

using test::Bytes;
using test::gguf;
using test::message_of;
using test::tensor;

std::string refusal(const Bytes& file) {
  return message_of<DataError>([&] { parse_gguf(test::as_bytes(file.data), "f"); });
}
void expect_refusal(const Bytes& file, const std::string& part) {
  const std::string message = refusal(file);
  EXPECT_TRUE(message.starts_with("f: byte ")) << message;
  EXPECT_NE(message.find(part), std::string::npos) << message;
}

const std::vector<GgufEntry>& entries() {
  static const std::vector<GgufEntry> all = {
      {"general.architecture", std::string("llama")},
      {"a.u8", std::uint8_t{200}},
      {"a.i8", std::int8_t{-3}},
      {"a.u16", std::uint16_t{65535}},
      {"a.i16", std::int16_t{-300}},
      {"a.u32", std::uint32_t{4000000000}},
      {"a.i32", std::int32_t{-70000}},
      {"a.f32", 1e-5F},
      {"a.bool", true},
      {"a.u64", std::uint64_t{1} << 63},
      {"a.i64", std::int64_t{-5000000000}},
      {"a.f64", 0.1},
      {"l.u8", std::vector<std::uint8_t>{1, 2, 255}},
      {"l.i8", std::vector<std::int8_t>{-1}},
      {"l.u16", std::vector<std::uint16_t>{}},
      {"l.i16", std::vector<std::int16_t>{-2, 2}},
      {"l.u32", std::vector<std::uint32_t>(9, 7)},
      {"l.i32", std::vector<std::int32_t>{1, -1, 6}},
      {"l.f32", std::vector<float>{0.5F, -2.0F}},
      {"l.bool", std::vector<bool>{true, false}},
      {"l.text", std::vector<std::string>{"", "\xE2\x96\x81the", std::string(3, '\0')}},
      {"l.u64", std::vector<std::uint64_t>{1}},
      {"l.i64", std::vector<std::int64_t>{-1}},
      {"l.f64", std::vector<double>{0.1, 0.2}}};
  return all;
}

TEST(Gguf, KeysOfEveryTypeComeBack) {
  const test::TemporaryFolder folder;
  write_gguf(folder.path() / "m.gguf", entries(), {});
  const GgufFile file(folder.path() / "m.gguf");
  ASSERT_EQ(file.values().size(), entries().size());
  for (const auto& [key, value] : entries()) {
    ASSERT_NE(file.value(key), nullptr) << key;
    EXPECT_EQ(*file.value(key), value) << key;
  }
  EXPECT_EQ(folder.names(), std::vector<std::string>{"m.gguf"});
}

TEST(Gguf, KeysAreReadAsWhatTheyCanBe) {
  const test::TemporaryFolder folder;
  write_gguf(folder.path() / "m.gguf", entries(), {});
  const GgufFile file(folder.path() / "m.gguf");
  EXPECT_EQ(file.get<std::uint32_t>("a.u8"), 200U);
  EXPECT_EQ(file.get<std::int32_t>("a.i8"), -3);
  EXPECT_EQ(file.get<std::uint64_t>("a.u64"), std::uint64_t{1} << 63);
  EXPECT_EQ(file.get<std::int64_t>("a.u32"), 4000000000);
  EXPECT_EQ(file.get<float>("a.f64"), 0.1F);
  EXPECT_EQ(file.get<double>("a.f32"), static_cast<double>(1e-5F));
  EXPECT_EQ(file.get<bool>("a.bool"), true);
  EXPECT_EQ(file.get<std::string>("general.architecture"), "llama");
  EXPECT_EQ(file.get<std::vector<std::int32_t>>("l.u8"), (std::vector<std::int32_t>{1, 2, 255}));
  EXPECT_EQ(file.get<std::vector<std::uint32_t>>("l.u16"), std::vector<std::uint32_t>());
  EXPECT_EQ(file.get<std::uint32_t>("absent"), std::nullopt);
  EXPECT_EQ(file.need<std::uint32_t>("a.u16"), 65535U);

  const std::string path = (folder.path() / "m.gguf").string();
  EXPECT_EQ(message_of<DataError>([&] { file.get<std::uint32_t>("a.i8"); }),
            path + ": key 'a.i8' is i8 '-3', which is not what it should be");
  EXPECT_THROW(file.get<std::int32_t>("a.u32"), DataError);
  EXPECT_THROW(file.get<std::uint32_t>("a.f32"), DataError);
  EXPECT_THROW(file.get<float>("a.u32"), DataError);
  EXPECT_THROW(file.get<bool>("a.u8"), DataError);
  EXPECT_THROW(file.get<std::string>("l.text"), DataError);
  EXPECT_THROW(file.get<std::vector<std::uint32_t>>("l.i32"), DataError);
  EXPECT_EQ(message_of<DataError>([&] { file.need<bool>("absent"); }), path + ": no key 'absent'");

  EXPECT_EQ(file.metadata().at("a.u8"), "200");
  EXPECT_EQ(file.metadata().at("a.bool"), "true");
  EXPECT_EQ(file.metadata().at("l.i32"), "[1, -1, 6]");
  EXPECT_EQ(file.metadata().at("l.u32"), "[9 of u32]");
}

TEST(Gguf, TensorsComeBackFromOneWriteAfterAnother) {
  const test::TemporaryFolder folder;
  std::vector<float> x(2 * 64);
  for (std::size_t i = 0; i < x.size(); ++i) x[i] = static_cast<float>(i) - 60.0F;
  std::vector<std::byte> blocks(bytes_of(DType::q4_0, 128));
  encode_blocks(DType::q4_0, x, blocks.data());
  const auto floats = std::as_bytes(std::span(x));
  const std::vector<TensorOutput> tensors = {borrowed("q", FileDType::q4_0, {2, 64}, blocks),
                                             {"pieces",
                                              FileDType::f32,
                                              {2, 32, 2},
                                              [&](const AppendBytes& append) {
                                                append(floats.first(100));
                                                append(floats.subspan(100));
                                              }},
                                             borrowed("v", FileDType::f32, {3}, floats.first(12)),
                                             borrowed("scalar", FileDType::f32, {}, floats.first(4))};
  write_gguf(folder.path() / "m.gguf", {}, tensors);
  const GgufFile file(folder.path() / "m.gguf");
  ASSERT_EQ(file.tensors().size(), 4U);
  EXPECT_EQ(file.at("q").shape, (std::vector<std::int64_t>{2, 64}));
  EXPECT_EQ(file.at("pieces").shape, (std::vector<std::int64_t>{2, 32, 2}));
  EXPECT_EQ(file.at("scalar").shape, std::vector<std::int64_t>());
  EXPECT_EQ(read_as_float(file, "pieces"), x);
  EXPECT_EQ(read_as_float(file, "v"), std::vector<float>(x.begin(), x.begin() + 3));
  std::vector<float> decoded(128);
  decode_blocks(DType::q4_0, blocks.data(), decoded);
  EXPECT_EQ(read_as_float(file, "q"), decoded);
  for (const auto& [name, info] : file.tensors())
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(info.bytes.data()) % 32, 0U)
        << name;  // the map is page-aligned

  write_gguf(folder.path() / "copy.gguf", {},
             std::vector<TensorOutput>{taken_from(file, "q"), taken_from(file, "pieces"),
                                       taken_from(file, "v"), taken_from(file, "scalar")});
  EXPECT_EQ(test::read_all(folder.path() / "copy.gguf"), test::read_all(folder.path() / "m.gguf"));
}

TEST(Gguf, TheWriterRefuses) {
  const test::TemporaryFolder folder;
  const auto path = folder.path() / "m.gguf";
  const std::vector<float> x(64);
  const auto bytes = std::as_bytes(std::span(x));
  const auto write = [&](const TensorOutput& t) { write_gguf(path, {}, std::vector<TensorOutput>{t}); };
  EXPECT_THROW(write(borrowed("t", FileDType::f32, {65}, bytes)), DataError);      // too few bytes
  EXPECT_THROW(write(borrowed("t", FileDType::q4_0, {2, 16}, bytes)), DataError);  // part of a block
  EXPECT_THROW(write(borrowed("t", FileDType::nf4, {64}, bytes.first(36))), DataError);
  EXPECT_THROW(write(borrowed("t", FileDType::f32, {1, 1, 1, 1, 64}, bytes)), DataError);
  EXPECT_THROW(write(borrowed("t", FileDType::f32, {-1, -64}, bytes)), DataError);
  EXPECT_THROW(write(borrowed("t", FileDType::f32, {1LL << 40, 1LL << 40}, bytes)), DataError);
  EXPECT_THROW(write(borrowed(std::string(64, 'n'), FileDType::f32, {64}, bytes)), DataError);
  const TensorOutput good = borrowed("t", FileDType::f32, {64}, bytes);
  EXPECT_THROW(write_gguf(path, {}, std::vector<TensorOutput>{good, good}), DataError);
  const GgufEntry key = {"k", true};
  EXPECT_THROW(write_gguf(path, std::vector<GgufEntry>{key, key}, {}), DataError);
  EXPECT_THROW(write_gguf(path, std::vector<GgufEntry>{{"general.alignment", std::uint32_t{64}}}, {}),
               DataError);
  EXPECT_EQ(folder.names(), std::vector<std::string>());
}

// Found by fuzzing: the other extents of an empty tensor may be of any size.
TEST(Gguf, AnEmptyTensorOfAbsurdExtentsIsEmpty) {
  Bytes file = gguf(1, 0);
  tensor(file, "m", {0, std::uint64_t{1} << 53, 4161565}, 0, 0).align(32);
  EXPECT_EQ(parse_gguf(test::as_bytes(file.data), "f").tensors.at("m").numel(), 0);
}

TEST(Gguf, HostileHeaders) {
  EXPECT_TRUE(is_gguf(test::as_bytes(gguf(0, 0).data)));
  EXPECT_FALSE(is_gguf(test::as_bytes(std::string("GGU"))));
  EXPECT_FALSE(is_ggml(test::as_bytes(gguf(0, 0).data)));
  EXPECT_TRUE(is_ggml(test::as_bytes(test::Legacy().bytes())));
  expect_refusal(Bytes().raw("GGU"), "not a GGUF file");
  expect_refusal(Bytes().raw("GGML").u32(3), "not a GGUF file");
  expect_refusal(gguf(0, 0, 1), "version 1");
  expect_refusal(gguf(0, 0, 4), "version 4");
  expect_refusal(gguf(0, 0, 0), "version 0");
  expect_refusal(gguf(0, 0, 0x03000000), "big-endian");
  expect_refusal(gguf(~0ULL, 0), "tensors of at least");
  expect_refusal(gguf(0, ~0ULL), "keys of at least");
  expect_refusal(gguf(1ULL << 61, 0), "tensors of at least");  // times 24 wraps
  expect_refusal(gguf(0, 1).text("").u32(4).u32(1), "empty key");
  expect_refusal(gguf(0, 1).u64(~0ULL).raw(std::string(40, 'k')), "a key of");
  expect_refusal(gguf(0, 1).text("k").u32(13).u32(1), "value type 13");
  expect_refusal(gguf(0, 1).text("k").u32(9).u32(9).u64(1).u32(4).u64(0), "arrays of arrays");
  expect_refusal(gguf(0, 1).text("k").u32(9).u32(4).u64(1ULL << 62).u64(0), "array elements");
  expect_refusal(gguf(0, 1).text("k").u32(9).u32(8).u64(3).text("abcdefgh").text("b"), "does not fit");
  expect_refusal(gguf(0, 1).text("k").u32(9).u32(8).u64(2).text("").u64(1ULL << 40), "a text of");
  expect_refusal(gguf(0, 2).text("k").u32(4).u32(1).text("k").u32(4).u32(1), "'k' appears twice");
}

TEST(Gguf, HostileAlignments) {
  const auto aligned = [](std::uint32_t type, std::uint32_t value) {
    return gguf(0, 1).text("general.alignment").u32(type).u32(value);
  };
  expect_refusal(aligned(4, 0), "not a power of two");
  expect_refusal(aligned(4, 24), "not a power of two");
  expect_refusal(aligned(5, 32), "must be a u32");
  EXPECT_NO_THROW(parse_gguf(test::as_bytes(aligned(4, 1U << 31).data), "f"));  // nothing to align

  Bytes file = gguf(2, 1).text("general.alignment").u32(4).u32(8);
  tensor(file, "a", {3}, 0, 0);
  tensor(file, "b", {1}, 0, 16).align(8).raw(std::string(20, 'x'));
  const GgufHeader header = parse_gguf(test::as_bytes(file.data), "f");
  EXPECT_EQ(header.tensors.at("b").bytes.data() - header.tensors.at("a").bytes.data(), 16);
}

TEST(Gguf, HostileTensors) {
  const auto one = [](const std::vector<std::uint64_t>& extents, std::uint32_t type, std::uint64_t offset,
                      std::size_t data) {
    Bytes file = gguf(1, 0);
    return tensor(file, "t", extents, type, offset).align(32).raw(std::string(data, 'x'));
  };
  EXPECT_NO_THROW(parse_gguf(test::as_bytes(one({32}, 2, 0, 18).data), "f"));
  expect_refusal(one({33}, 2, 0, 36), "whole Q4_0 blocks of 32");
  expect_refusal(one({32}, 4, 0, 18), "type 4 is unknown or was removed");
  expect_refusal(one({32}, ~0U, 0, 18), "is unknown");
  expect_refusal(one({32}, 9, 0, 36), "type 9");
  expect_refusal(one({32}, 2, 32, 64), "offset 32");
  expect_refusal(one({32}, 2, ~0ULL - 31, 64), "offset");
  expect_refusal(one({32}, 2, 0, 17), "may be cut short");
  expect_refusal(one({1ULL << 40, 1ULL << 40}, 0, 0, 64), "overflow");
  expect_refusal(one({~0ULL}, 0, 0, 64), "overflow");
  expect_refusal(one({1ULL << 60}, 28, 0, 64), "do not fit");
  expect_refusal(one({1ULL << 60, 0, 1ULL << 60, 1ULL << 60}, 0, 16, 64), "offset 16");
  expect_refusal(one({1, 1, 1, 1, 1}, 0, 0, 64), "5 dimensions");
  expect_refusal(one(std::vector<std::uint64_t>(1, 0), 0, 32, 0), "offset 32");
  Bytes twice = gguf(2, 0);
  tensor(twice, "t", {8}, 0, 0);
  tensor(twice, "t", {8}, 0, 32).align(32).raw(std::string(64, 'x'));
  expect_refusal(twice, "'t' appears twice");
  Bytes nameless = gguf(1, 0);
  expect_refusal(tensor(nameless, "", {8}, 0, 0).align(32).raw(std::string(32, 'x')), "name of 0 bytes");
  Bytes strange = gguf(1, 0);
  expect_refusal(tensor(strange, std::string(64, '\x1b'), {8}, 0, 0).align(32).raw(std::string(32, 'x')),
                 "??");
}

TEST(Gguf, TypesThatAreNotDecodedAreNamedWhenLoaded) {
  const test::TemporaryFolder folder;
  Bytes bytes = gguf(2, 0);
  tensor(bytes, "t", {256, 2}, 16, 0);
  tensor(bytes, "u", {8}, 0, 160).align(32).raw(std::string(192, '\0'));
  const auto path = folder.file("m.gguf", bytes.data);
  const GgufFile file(path);
  EXPECT_EQ(file.at("t").dtype, FileDType::other);
  EXPECT_EQ(file.at("t").shape, (std::vector<std::int64_t>{2, 256}));
  EXPECT_EQ(read_as_float(file, "u"), std::vector<float>(8));
  const std::string message = message_of<DataError>([&] { file.load("t"); });
  EXPECT_TRUE(message.starts_with(path.string() + ": tensor 't' is IQ2_XXS")) << message;
}

std::vector<GgufEntry> split(std::uint16_t part, std::uint16_t parts, std::int32_t tensors) {
  return {{"split.no", part}, {"split.count", parts}, {"split.tensors.count", tensors}};
}

TEST(Gguf, SplitFiles) {
  const test::TemporaryFolder folder;
  const std::vector<float> x = {1, 2, 3, 4};
  const auto t = [&](const char* name) {
    return std::vector<TensorOutput>{borrowed(name, FileDType::f32, {4}, std::as_bytes(std::span(x)))};
  };
  const auto path = [&](int part) { return folder.path() / join("m-0000", part, "-of-00003.gguf"); };
  write_gguf(path(1), split(0, 3, 3), t("a"));
  write_gguf(path(2), split(1, 3, 3), t("b"));
  EXPECT_THROW(GgufFile{path(1)}, IoError);  // the third is missing
  write_gguf(path(3), split(2, 3, 3), t("c"));
  const GgufFile file(path(1));
  EXPECT_EQ(file.tensors().size(), 3U);
  EXPECT_EQ(read_as_float(file, "c"), x);
  EXPECT_NE(message_of<DataError>([&] { GgufFile{path(2)}; }).find("part 2 of 3"), std::string::npos);

  write_gguf(path(3), split(2, 3, 3), t("b"));
  EXPECT_NE(message_of<DataError>([&] { GgufFile{path(1)}; }).find("'b' is also in"), std::string::npos);
  write_gguf(path(3), split(1, 3, 3), t("c"));
  EXPECT_NE(message_of<DataError>([&] { GgufFile{path(1)}; }).find("should be 2 and 3"), std::string::npos);
  write_gguf(path(3), split(2, 3, 3), {});
  EXPECT_NE(message_of<DataError>([&] { GgufFile{path(1)}; }).find("split.tensors.count says 3"),
            std::string::npos);
  write_gguf(folder.path() / "renamed.gguf", split(0, 3, 3), t("a"));
  EXPECT_NE(message_of<DataError>([&] { GgufFile{folder.path() / "renamed.gguf"}; }).find("keep its name"),
            std::string::npos);
}

TEST(Gguf, Heads) {
  const test::TemporaryFolder folder;
  const auto check = [&](std::uint32_t width, std::uint32_t heads, std::uint32_t shared,
                         bool own_size = false) {
    std::vector<GgufEntry> keys = {{"general.architecture", std::string("qwen3")},
                                   {"qwen3.embedding_length", width},
                                   {"qwen3.attention.head_count", heads},
                                   {"qwen3.attention.head_count_kv", shared}};
    if (own_size) keys.emplace_back("qwen3.attention.key_length", std::uint32_t{16});
    write_gguf(folder.path() / "m.gguf", keys, {});
    check_gguf_heads(GgufFile(folder.path() / "m.gguf"));
  };
  EXPECT_NO_THROW(check(64, 8, 4));
  EXPECT_NO_THROW(check(60, 8, 8, true));
  EXPECT_THROW(check(60, 8, 8), DataError);
  EXPECT_THROW(check(64, 8, 3), DataError);
  EXPECT_THROW(check(64, 8, 16), DataError);
  EXPECT_THROW(check(64, 0, 1), DataError);
  EXPECT_THROW(check(64, 8, 0), DataError);
}

TEST(Gguf, Vocabulary) {
  const test::TemporaryFolder folder;
  const auto path = folder.path() / "v.gguf";
  std::vector<GgufEntry> keys = {{"tokenizer.ggml.model", std::string("llama")},
                                 {"tokenizer.ggml.tokens", std::vector<std::string>{"<unk>", "<s>", "a"}},
                                 {"tokenizer.ggml.scores", std::vector<float>{0, 0, -1}},
                                 {"tokenizer.ggml.token_type", std::vector<std::int32_t>{2, 3, 1}},
                                 {"tokenizer.ggml.bos_token_id", std::uint32_t{1}},
                                 {"tokenizer.ggml.padding_token_id", ~std::uint32_t{0}},
                                 {"tokenizer.ggml.add_bos_token", true}};
  write_gguf(path, keys, {});
  const GgufVocab vocab = vocab_of(GgufFile(path));
  EXPECT_EQ(vocab.model, "llama");
  EXPECT_EQ(vocab.pre, "");
  EXPECT_EQ(vocab.tokens, (std::vector<std::string>{"<unk>", "<s>", "a"}));
  EXPECT_EQ(vocab.scores, (std::vector<float>{0, 0, -1}));
  EXPECT_EQ(vocab.types, (std::vector<std::int32_t>{2, 3, 1}));
  EXPECT_TRUE(vocab.merges.empty());
  EXPECT_EQ(vocab.bos, 1);
  EXPECT_EQ(vocab.pad, std::nullopt);
  EXPECT_EQ(vocab.add_bos, true);
  EXPECT_EQ(vocab.add_space_prefix, std::nullopt);

  keys[4].second = std::uint32_t{3};
  write_gguf(path, keys, {});
  EXPECT_THROW(vocab_of(GgufFile(path)), DataError);
  keys[4].second = std::uint32_t{1};
  keys[2].second = std::vector<float>{0};
  write_gguf(path, keys, {});
  EXPECT_THROW(vocab_of(GgufFile(path)), DataError);
  write_gguf(path, {}, {});
  EXPECT_THROW(vocab_of(GgufFile(path)), DataError);
}

}  // namespace
}  // namespace rankine
