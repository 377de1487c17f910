// GGUF and ggla adapters, and the order of rows they have.
#include "io/formats/gguf_adapter.h"

#include <cstring>
#include <map>
#include <numeric>

#include "io/formats/gguf.h"
#include "io/formats/rope_layout.h"
#include "io/formats/safetensors.h"
#include "tests/formats/adapter_samples.h"
#include "tests/formats/format_files.h"

namespace rankine {
namespace {
using namespace test;

const std::string kQ = "model.layers.0.self_attn.q_proj", kV = "model.layers.0.self_attn.v_proj",
                  kHead = "model.embed_tokens";

GgufAdapterNames names_of(std::map<std::string, std::string> pairs, bool interleaved) {
  GgufAdapterNames names;
  names.architecture = "llama";
  names.tensor_of = [pairs](const std::string& module) -> std::optional<std::string> {
    const auto at = pairs.find(module);
    return at == pairs.end() ? std::nullopt : std::optional(at->second);
  };
  names.module_of = [pairs](const std::string& tensor) -> std::optional<std::string> {
    for (const auto& [module, name] : pairs)
      if (name == tensor) return module;
    return std::nullopt;
  };
  if (interleaved) names.interleaved_heads = [](const std::string& module) { return module == kQ ? 2 : 0; };
  return names;
}
GgufAdapterNames gguf_names() {
  return names_of({{kQ, "blk.0.attn_q.weight"}, {kV, "blk.0.attn_v.weight"}, {kHead, "token_embd.weight"}},
                  true);
}

TEST(RopeLayout, PairsComeTogether) {
  // Two heads of six rows each, numbered.
  AdapterMatrix b{12, 1, std::vector<float>(12)};
  std::iota(b.values.begin(), b.values.end(), 0.0F);
  const AdapterMatrix y = permute_rows_to_interleaved(b, 2);
  EXPECT_EQ(y.values, (std::vector<float>{0, 3, 1, 4, 2, 5, 6, 9, 7, 10, 8, 11}));
  EXPECT_EQ(permute_rows_to_halves(y, 2), b);
  const AdapterMatrix wide = sample_matrix(24, 5, 1);
  EXPECT_EQ(permute_rows_to_halves(permute_rows_to_interleaved(wide, 3), 3), wide);
  EXPECT_EQ(permute_rows_to_interleaved(permute_rows_to_halves(wide, 3), 3), wide);
  EXPECT_THROW(permute_rows_to_halves(b, 5), DataError);
  EXPECT_THROW(permute_rows_to_halves(b, 4), DataError) << "three rows have no pairs";
  EXPECT_THROW(permute_rows_to_halves(b, 0), DataError);
}

TEST(GgufAdapter, IsWhatLlamaCppExpects) {
  const TemporaryFolder folder;
  const auto path = folder.path() / "a.gguf";
  const std::vector<AdapterWeights> modules{sample_module(kQ, 4, 2), sample_module(kV, 4, 0.5F)};
  write_gguf_adapter(path, modules, gguf_names(), FileDType::f32);
  const GgufFile file(path);
  EXPECT_EQ(file.need<std::string>("general.type"), "adapter");
  EXPECT_EQ(file.need<std::string>("general.architecture"), "llama");
  EXPECT_EQ(file.need<std::string>("adapter.type"), "lora");
  EXPECT_EQ(std::get<float>(file.values().find("adapter.lora.alpha")->second), 4);
  EXPECT_EQ(file.tensors().size(), 4U);
  EXPECT_EQ(adapter_matrix(file, "blk.0.attn_q.weight.lora_a"), modules[0].a);
  AdapterMatrix q = permute_rows_to_interleaved(modules[0].b, 2), v = modules[1].b;
  for (float& x : q.values) x *= 2;
  for (float& x : v.values) x *= 0.5F;
  EXPECT_EQ(adapter_matrix(file, "blk.0.attn_q.weight.lora_b"), q);
  EXPECT_EQ(adapter_matrix(file, "blk.0.attn_v.weight.lora_b"), v);

  const std::vector<AdapterWeights> back = read_gguf_adapter(path, gguf_names());
  check_reloaded(modules, back, FileDType::f32, "back");
  EXPECT_EQ(back[0].scale, 1);
  EXPECT_EQ(folder.names(), std::vector<std::string>{"a.gguf"});
}

// llama.cpp divides the one alpha by the rank of each tensor.
TEST(GgufAdapter, RanksMayDiffer) {
  const TemporaryFolder folder;
  const std::vector<AdapterWeights> modules{sample_module(kQ, 2, 3), sample_module(kV, 4, 3)};
  for (const FileDType dtype : {FileDType::f32, FileDType::f16}) {
    write_gguf_adapter(folder.path() / "a.gguf", modules, gguf_names(), dtype);
    const GgufFile file(folder.path() / "a.gguf");
    const float alpha = file.need<float>("adapter.lora.alpha");
    EXPECT_EQ(file.at("blk.0.attn_q.weight.lora_b").dtype, dtype);
    const std::vector<float> b = read_as_float(file, "blk.0.attn_q.weight.lora_b");
    EXPECT_NEAR(b[0] * alpha / 2, 3 * modules[0].b.values[0], 3e-3);
    check_reloaded(modules, read_gguf_adapter(folder.path() / "a.gguf", gguf_names()), dtype, "back");
  }
}

TEST(GgufAdapter, RefusesToWriteWhatItCannotHold) {
  const TemporaryFolder folder;
  const auto refusal = [&](AdapterWeights m, FileDType dtype = FileDType::f32) {
    return message_of<DataError>(
        [&] { write_gguf_adapter(folder.path() / "a.gguf", {m}, gguf_names(), dtype); });
  };
  EXPECT_NE(refusal(sample_module(kQ, 2, 1, true)).find("DoRA"), std::string::npos);
  EXPECT_NE(refusal(sample_module(kHead, 2, 1)).find("no place"), std::string::npos);
  EXPECT_NE(refusal(sample_module("lm_head", 2, 1)).find("no place"), std::string::npos);
  EXPECT_NE(refusal(sample_module(kQ, 2, 1), FileDType::bf16).find("BF16"), std::string::npos);
  EXPECT_NE(refusal(sample_module(kQ, 2, 1e6F), FileDType::f16).find("finite in F16"), std::string::npos)
      << "the scale is folded in before the numbers are judged";
  AdapterWeights zero = sample_module(kQ, 2, 1);
  std::fill(zero.b.values.begin(), zero.b.values.end(), 0.0F);
  EXPECT_NE(refusal(zero).find("changes nothing"), std::string::npos);
  EXPECT_TRUE(folder.names().empty());
}

TEST(GgufAdapter, RefusesToReadWhatIsNone) {
  const TemporaryFolder folder;
  const auto path = folder.path() / "a.gguf";
  const std::vector<float> numbers(64, 1.0F);
  const auto write = [&](std::map<std::string, GgufValue> changes, std::vector<std::string> tensors) {
    std::map<std::string, GgufValue> values{{"general.type", std::string("adapter")},
                                            {"general.architecture", std::string("llama")},
                                            {"adapter.type", std::string("lora")},
                                            {"adapter.lora.alpha", 8.0F}};
    for (const auto& [key, value] : changes) values[key] = value;
    std::vector<TensorOutput> outputs;
    for (const std::string& name : tensors)
      outputs.push_back(borrowed(name, FileDType::f32, {8, 8}, std::as_bytes(std::span(numbers))));
    write_gguf(path, std::vector<GgufEntry>(values.begin(), values.end()), outputs);
  };
  const std::vector<std::string> good{"blk.0.attn_v.weight.lora_a", "blk.0.attn_v.weight.lora_b"};
  write({}, good);
  EXPECT_EQ(read_gguf_adapter(path, gguf_names())[0].scale, 1);
  write({{"adapter.lora.alpha", 0.0F}}, good);
  EXPECT_EQ(read_gguf_adapter(path, gguf_names())[0].scale, 1) << "alpha 0 leaves the scale to the user";
  write({{"adapter.lora.alpha", 4.0F}}, {good[0], good[1], "blk.0.attn_norm.weight"});
  EXPECT_EQ(read_gguf_adapter(path, gguf_names())[0].scale, 0.5F);
  const auto refused = [&](std::map<std::string, GgufValue> changes, std::vector<std::string> tensors,
                           const char* word) {
    write(std::move(changes), std::move(tensors));
    const std::string message = message_of<DataError>([&] { read_gguf_adapter(path, gguf_names()); });
    EXPECT_NE(message.find(word), std::string::npos) << message;
  };
  refused({{"general.type", std::string("model")}}, good, "model");
  refused({{"adapter.type", std::string("control")}}, good, "control");
  refused({{"general.architecture", std::string("qwen2")}}, good, "qwen2");
  refused({{"adapter.alora.invocation_tokens", std::vector<std::uint32_t>{1}}}, good, "aLoRA");
  refused({{"adapter.lora.alpha", 1e39}}, good, "scale");
  refused({}, {good[0]}, "only one half");
  refused({}, {good[0], good[1], "blk.0.attn_v.weight"}, "no half");
  refused({}, {"blk.9.attn_v.weight.lora_a", "blk.9.attn_v.weight.lora_b"}, "blk.9.attn_v.weight");
  refused({}, {}, "no adapted module");
}

std::string number(std::int32_t x) {
  std::string bytes(4, '\0');
  std::memcpy(bytes.data(), &x, 4);
  return bytes;
}

// One tensor of a ggla file at position `at` of it.
std::string ggla_tensor(std::size_t at, const std::string& name, const AdapterMatrix& m) {
  std::string out = number(2) + number(static_cast<std::int32_t>(name.size())) + number(0) +
                    number(static_cast<std::int32_t>(m.cols)) + number(static_cast<std::int32_t>(m.rows)) +
                    name;
  out.resize(out.size() + (32 - (at + out.size()) % 32) % 32);
  return out.append(reinterpret_cast<const char*>(m.values.data()), m.values.size() * 4);
}

std::string ggla_file(const AdapterWeights& m) {
  AdapterMatrix a{m.a.cols, m.a.rows, {}};  // transposed there
  for (std::int64_t i = 0; i < m.a.cols; ++i) {
    for (std::int64_t j = 0; j < m.a.rows; ++j) a.values.push_back(m.a.values[j * m.a.cols + i]);
  }
  std::string file = "algg" + number(1) + number(static_cast<std::int32_t>(m.rank())) + number(6);
  file += ggla_tensor(file.size(), "layers.0.attention.wq.weight.loraA", a);
  return file + ggla_tensor(file.size(), "layers.0.attention.wq.weight.loraB", m.b);
}

TEST(GglaAdapter, ReadsTheFilesOf2023) {
  const TemporaryFolder folder;
  const GgufAdapterNames names = names_of({{kQ, "layers.0.attention.wq.weight"}}, false);
  const AdapterWeights module = sample_module(kQ, 3, 2);
  const std::string bytes = ggla_file(module);
  const std::vector<AdapterWeights> back = read_ggla_adapter(folder.file("a.bin", bytes), names);
  ASSERT_EQ(back.size(), 1U);
  EXPECT_EQ(back[0].module, kQ);
  EXPECT_EQ(back[0].a, module.a);
  EXPECT_EQ(back[0].b, module.b);
  EXPECT_EQ(back[0].scale, 2) << "alpha 6 over rank 3";
}

TEST(GglaAdapter, EveryCutIsRefused) {
  const TemporaryFolder folder;
  const GgufAdapterNames names = names_of({{kQ, "layers.0.attention.wq.weight"}}, false);
  const std::string bytes = ggla_file(sample_module(kQ, 3, 2));
  for (std::size_t n = 0; n < bytes.size(); n += 3) {
    const auto path = folder.file("a.bin", bytes.substr(0, n));
    EXPECT_THROW(read_ggla_adapter(path, names), DataError) << n;
  }
  for (std::size_t at = 0; at < 40; ++at) {
    std::string changed = bytes;
    changed[at] = static_cast<char>(changed[at] ^ 0x80);
    const auto path = folder.file("a.bin", changed);
    try {
      read_ggla_adapter(path, names);
      EXPECT_TRUE(at >= 12 && at < 16) << "only alpha may be any number; byte " << at;
    } catch (const DataError&) {
    }
  }
}

}  // namespace
}  // namespace rankine
