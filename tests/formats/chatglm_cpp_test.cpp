// The container of chatglm.cpp.
#include "io/formats/chatglm_cpp.h"

#include <random>

#include "engine/core/error.h"
#include "tests/formats/format_files.h"
#include "tests/formats/ggml_files.h"

namespace rankine {
namespace {

using test::Bytes;
using test::message_of;

struct Container {
  std::int32_t model = 3, version = 2, heads = 4;
  std::string vocabulary = "proto";

  Bytes bytes() const {
    Bytes out;
    out.raw("ggml").put(model);
    for (const std::int32_t x : {version, 2, 65024, 64, heads, 2, 1, 172}) out.put(x);
    out.put(1e-5F).put(std::int32_t{0}).put(1e4F);
    for (const std::int32_t x : {8192, 2, -1}) out.put(x);
    return out.put(static_cast<std::int32_t>(vocabulary.size())).raw(vocabulary);
  }
};

Bytes& add(Bytes& to, const std::string& name, const std::vector<std::int32_t>& shape, std::int32_t type,
           const std::string& data) {
  to.put(static_cast<std::int32_t>(name.size())).raw(name).put(static_cast<std::int32_t>(shape.size()));
  for (const std::int32_t extent : shape) to.put(extent);
  return to.put(type).align(16).raw(data);
}

void expect_refusal(const Bytes& file, const std::string& part) {
  const std::string message =
      message_of<DataError>([&] { parse_chatglm_cpp(test::as_bytes(file.data), "f"); });
  EXPECT_TRUE(message.starts_with("f: byte ")) << message;
  EXPECT_NE(message.find(part), std::string::npos) << message;
}

TEST(ChatGlmCpp, ReadsConfigurationVocabularyAndTensors) {
  const test::TemporaryFolder folder;
  Bytes bytes = Container().bytes();
  const std::vector<float> norm = {1, 2, 3};
  add(bytes, "norm", {3}, 0, std::string(reinterpret_cast<const char*>(norm.data()), 12));
  std::string block("\x00\x38", 2);                               // d = 0.5
  for (int j = 0; j < 16; ++j) block += static_cast<char>(0x19);  // 9, then 1
  add(bytes, "matrix", {2, 32}, 2, block + block);
  const ChatGlmCppFile file(folder.file("m.bin", bytes.data));
  EXPECT_TRUE(is_chatglm_cpp(test::as_bytes(bytes.data)));
  EXPECT_EQ(file.model(), 3);
  EXPECT_EQ(file.config().kv_heads, 2);
  EXPECT_EQ(file.config().rope_theta, 1e4F);
  EXPECT_EQ(file.config().pad_id, -1);
  EXPECT_EQ(file.vocabulary().size(), 5U);
  EXPECT_EQ(file.metadata().at("hidden_size"), "64");
  EXPECT_EQ(read_as_float(file, "norm"), norm);
  EXPECT_EQ(file.at("matrix").shape, (std::vector<std::int64_t>{2, 32}));
  const std::vector<float> y = read_as_float(file, "matrix");
  EXPECT_EQ(y[0], 0.5F);
  EXPECT_EQ(y[16], -3.5F);
  EXPECT_EQ(y[63], -3.5F);
}

TEST(ChatGlmCpp, Refusals) {
  EXPECT_FALSE(is_chatglm_cpp(test::as_bytes(std::string("lmgg\1\0\0\0\2\0\0\0", 12))));  // LLaMA's ggml
  expect_refusal(Bytes().raw("lmgg").u32(1), "no chatglm.cpp file");
  Container c;
  c.version = 1;
  expect_refusal(c.bytes(), "configuration of version 1");
  c = {};
  c.model = 9;
  expect_refusal(c.bytes(), "the model is 9");
  c = {};
  c.heads = 0;
  expect_refusal(c.bytes(), "a size of 0");
  c.heads = 3;
  expect_refusal(c.bytes(), "do not fit each other");
  Bytes cut = Container().bytes();
  cut.data.resize(cut.data.size() - 1);
  expect_refusal(cut, "the vocabulary");
  const auto one = [](const std::vector<std::int32_t>& shape, std::int32_t type) {
    Bytes bytes = Container().bytes();
    return add(bytes, "t", shape, type, std::string(8, 'x'));
  };
  expect_refusal(one({3}, 0), "may be cut short");
  expect_refusal(one({-1}, 0), "an extent is -1");
  expect_refusal(one({2, 33}, 2), "not whole Q4_0 blocks");
  expect_refusal(one({2}, 99), "type 99");
  expect_refusal(one({0x7FFFFFFF, 0x7FFFFFFF, 0x7FFFFFFF, 1}, 0), "overflow");
  expect_refusal(one({1, 1, 1, 1, 1}, 0), "the rank of a tensor is 5");
  Bytes twice = one({2}, 0);
  expect_refusal(add(twice, "t", {2}, 0, std::string(8, 'x')), "'t' appears twice");
}

TEST(ChatGlmCpp, MutatedFiles) {
  Bytes seed = Container().bytes();
  add(seed, "norm", {3}, 0, std::string(12, 'd'));
  add(seed, "matrix", {2, 32}, 2, std::string(36, 'd'));
  std::mt19937 random(5);
  int accepted = 0, refused = 0;
  for (int i = 0; i < 20'000; ++i) {
    std::string file = seed.data;
    for (std::size_t n = 1 + random() % 3; n > 0; --n)
      file[random() % file.size()] ^= static_cast<char>(1 << random() % 8);
    if (random() % 4 == 0) file.resize(random() % file.size());
    try {
      for (const auto& [name, info] : parse_chatglm_cpp(test::as_bytes(file), "f").tensors)
        ASSERT_EQ(info.bytes.size(), bytes_of(info.dtype, static_cast<std::uint64_t>(info.numel())));
      ++accepted;
    } catch (const DataError&) {
      ++refused;
    }
  }
  EXPECT_GT(accepted, 1'000);
  EXPECT_GT(refused, 4'000);
}

}  // namespace
}  // namespace rankine
