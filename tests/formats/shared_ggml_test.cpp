// Files made elsewhere, where they are at hand.
#include <nlohmann/json.hpp>

#include "engine/core/error.h"
#include "io/formats/ggml_vocab.h"
#include "io/formats/safetensors.h"
#include "tests/formats/format_files.h"

namespace rankine {
namespace {

TEST(SharedFiles, MalformedGguf) {
  const auto folder = test::shared_data() / "malformed/gguf";
  if (!exists(folder)) GTEST_SKIP() << "SKIPPED: no recorded files in " << folder;
  const auto index = nlohmann::json::parse(test::read_all(folder / "INDEX.json"));
  ASSERT_GE(index.size(), 20U);
  for (const auto& [name, facts] : index.items()) {
    bool accepted = true;
    std::string message;
    try {
      const GgufFile file(folder / name);
      check_gguf_heads(file);
    } catch (const DataError& e) {
      accepted = false;
      message = e.what();
    }
    const bool either = facts.at("expect") == "either";
    EXPECT_TRUE(either || accepted == (facts.at("expect") == "accept"))
        << name << ": " << facts.at("why") << "; " << message;
    EXPECT_TRUE(accepted || message.starts_with((folder / name).string())) << message;
  }
}

constexpr std::int64_t kHeads = 8, kHeadSize = 8, kLayers = 5;

// Rows of a head as files of ggml have them (interleaved rotation) from those of Hugging Face (halves).
std::vector<float> interleaved(const std::vector<float>& hf, std::int64_t columns) {
  const std::int64_t rows = static_cast<std::int64_t>(hf.size()) / columns;
  std::vector<float> out(hf.size());
  for (std::int64_t r = 0; r < rows; ++r) {
    const std::int64_t head = r / kHeadSize, i = r % kHeadSize;
    const std::int64_t from = head * kHeadSize + i / 2 + i % 2 * (kHeadSize / 2);
    std::copy_n(hf.begin() + from * columns, columns, out.begin() + r * columns);
  }
  return out;
}

// The four key-value heads said twice each, as a format without their number needs it.
std::vector<float> repeated(const std::vector<float>& x, std::int64_t columns) {
  std::vector<float> out;
  const std::int64_t size = kHeadSize * columns;
  for (std::int64_t h = 0; h < kHeads; ++h)
    out.insert(out.end(), x.begin() + h / 2 * size, x.begin() + (h / 2 + 1) * size);
  return out;
}

struct Name {
  const char *hf, *gguf, *meta;
};
constexpr Name kLayer[] = {
    {"input_layernorm", "attn_norm", "attention_norm"},  {"self_attn.q_proj", "attn_q", "attention.wq"},
    {"self_attn.k_proj", "attn_k", "attention.wk"},      {"self_attn.v_proj", "attn_v", "attention.wv"},
    {"self_attn.o_proj", "attn_output", "attention.wo"}, {"post_attention_layernorm", "ffn_norm", "ffn_norm"},
    {"mlp.gate_proj", "ffn_gate", "feed_forward.w1"},    {"mlp.up_proj", "ffn_up", "feed_forward.w3"},
    {"mlp.down_proj", "ffn_down", "feed_forward.w2"}};

struct Compared {
  int tensors = 0;
  double worst = 0.0;  // largest difference over the largest magnitude of the tensor
};

void compare(Compared& all, const TensorSource& file, const std::string& name,
             const std::vector<float>& want) {
  ASSERT_TRUE(file.contains(name)) << name;
  const std::vector<float> got = read_as_float(file, name);
  ASSERT_EQ(got.size(), want.size()) << name;
  double difference = 0.0, size = 0.0;
  for (std::size_t i = 0; i < got.size(); ++i) {
    difference = std::max(difference, std::abs(static_cast<double>(got[i]) - want[i]));
    size = std::max(size, std::abs(static_cast<double>(want[i])));
  }
  all.worst = std::max(all.worst, difference / size);
  ++all.tensors;
}

Compared compare_model(const TensorSource& file, const TensorSource& hf, bool legacy) {
  Compared all;
  const auto model = [&](const char* name) {
    return read_as_float(hf, std::string("model.") + name + ".weight");
  };
  compare(all, file, legacy ? "tok_embeddings.weight" : "token_embd.weight", model("embed_tokens"));
  compare(all, file, legacy ? "norm.weight" : "output_norm.weight", model("norm"));
  for (std::int64_t layer = 0; layer < kLayers; ++layer)
    for (const Name& name : kLayer) {
      const std::string hf_name = join("model.layers.", layer, ".", name.hf, ".weight");
      const std::int64_t columns = hf.at(hf_name).shape.back();
      std::vector<float> want = read_as_float(hf, hf_name);
      const std::string_view kind = name.gguf;
      if (kind == "attn_q" || kind == "attn_k") want = interleaved(want, columns);
      if (legacy && (kind == "attn_k" || kind == "attn_v")) want = repeated(want, columns);
      compare(all, file,
              legacy ? join("layers.", layer, ".", name.meta, ".weight")
                     : join("blk.", layer, ".", name.gguf, ".weight"),
              want);
    }
  return all;
}

TEST(SharedFiles, TheSameLlamaInEveryContainer) {
  const auto folder = test::shared_data() / "llama";
  if (!exists(folder)) GTEST_SKIP() << "SKIPPED: no recorded files in " << folder;
  const SafetensorsFile hf(folder / "stories260K.hf.safetensors");
  // F16 rounds to 11 bits. Q8_0: half a step of 1/127 and the rounding of d. Q4_0: a step of 1/8 of the
  // largest number, of which the other sign may be cut by a whole one.
  const std::pair<const char*, double> gguf[] = {
      {"F32.gguf", 0.0}, {"F16.gguf", 0.0005}, {"Q8_0.gguf", 0.0045}, {"Q4_0.gguf", 0.126}};
  for (const auto& [name, bound] : gguf) {
    const GgufFile file(folder / (std::string("stories260K.") + name));
    const Compared all = compare_model(file, hf, false);
    EXPECT_EQ(all.tensors, 47) << name;
    EXPECT_LE(all.worst, bound) << name;
    EXPECT_EQ(file.need<std::uint32_t>("llama.attention.head_count_kv"), 4U);
    EXPECT_EQ(vocab_of(file).tokens.size(), 512U);
  }
  const std::pair<const char*, double> ggjt[] = {{"F32.bin", 0.0}, {"Q4_0.bin", 0.126}};
  for (const auto& [name, bound] : ggjt) {
    const GgmlFile file(folder / (std::string("stories260K.ggjt3.") + name));
    const Compared all = compare_model(file, hf, true);
    EXPECT_EQ(all.tensors, 47) << name;
    EXPECT_LE(all.worst, bound) << name;
    EXPECT_EQ(file.vocab().tokens.size(), 512U);
    EXPECT_EQ(file.vocab().scores.size(), 512U);
    EXPECT_EQ(ggml_feed_forward(file.hyperparameters()), 172);
  }
}

// Read and written again, in the order of the file, every byte is the same.
TEST(SharedFiles, GgjtComesOutAsItCameIn) {
  const auto folder = test::shared_data() / "llama";
  if (!exists(folder)) GTEST_SKIP() << "SKIPPED: no recorded files in " << folder;
  const test::TemporaryFolder out;
  for (const char* name : {"stories260K.ggjt3.F32.bin", "stories260K.ggjt3.Q4_0.bin"}) {
    const GgmlFile file(folder / name);
    std::vector<std::string> names;
    for (const auto& entry : file.tensors()) names.push_back(entry.first);
    std::sort(names.begin(), names.end(), [&](const std::string& a, const std::string& b) {
      return file.at(a).bytes.data() < file.at(b).bytes.data();
    });
    std::vector<TensorOutput> tensors;
    for (const std::string& tensor : names) tensors.push_back(taken_from(file, tensor));
    write_ggjt(out.path() / name, file.hyperparameters(), file.vocab(), tensors);
    EXPECT_TRUE(test::read_all(out.path() / name) == test::read_all(folder / name)) << name;
  }
}

TEST(SharedFiles, Vocabularies) {
  const auto folder = test::shared_data() / "tokenizers";
  if (!exists(folder)) GTEST_SKIP() << "SKIPPED: no recorded files in " << folder;
  int files = 0;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    if (entry.path().extension() != ".gguf") continue;
    ++files;
    const GgufVocab vocab = vocab_of(GgufFile(entry.path()));
    EXPECT_EQ(vocab.types.size(), vocab.tokens.size()) << entry.path();
    EXPECT_TRUE(vocab.bos.has_value()) << entry.path();
    EXPECT_NE(vocab.scores.empty(), vocab.merges.empty()) << entry.path();  // SentencePiece or byte-level
  }
  EXPECT_GE(files, 2);
}

}  // namespace
}  // namespace rankine
