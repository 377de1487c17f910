// One model in every container: what is written and opened again gives the same logits, rows of q and k in
// whatever order; and real files beside the repository say what PyTorch recorded of them.
#include <unistd.h>

#include "engine/train/param_arena.h"
#include "io/formats/rope_layout.h"
#include "models/decoder/decoder_export.h"
#include "models/decoder/decoder_lora.h"
#include "models/decoder/generate.h"
#include "models/decoder/vocabulary_export.h"
#include "tests/models/model_support.h"

namespace rankine {
namespace {
namespace fs = std::filesystem;
using namespace testing_support;

class DecoderFiles : public ::testing::Test {
 protected:
  DecoderFiles() : folder(fs::temp_directory_path() / ("rankine-decoder-" + std::to_string(::getpid()))) {
    fs::remove_all(folder);
    fs::create_directories(folder / "hf");
    source.config.vocab = 260;
    source.config.width = 64;
    source.config.mlp = 192;
    source.config.layers = 2;
    source.config.heads = source.config.kv_heads = 4;
    source.config.head_dim = source.config.rotary_dims = 16;
    source.names = source.file_names = llama_names();
    vocabulary.spm = byte_vocabulary();
    for (int i = 0; i < 20; ++i) ids.push_back((i * 37 + 5) % 260);
  }
  ~DecoderFiles() override { fs::remove_all(folder); }

  std::unique_ptr<Decoder> random_model() {
    auto model = std::make_unique<Decoder>(c, source.config, source.names);
    init_weights(c, *model, 9, DType::f32, [](const std::string&) { return false; });
    return model;
  }
  std::vector<float> logits(Decoder& model) {
    const Tensor t = sequence_logits(c, model, ids);
    return {t.span<float>().begin(), t.span<float>().end()};
  }
  std::vector<float> logits_of(const fs::path& path) {
    const DecoderCheckpoint k = open_decoder_checkpoint(path);
    Decoder model(c, k.config, k.names);
    load_weights(c, model, *k.source, k.naming(), {k.source, nullptr});
    return logits(model);
  }
  static double distance(const std::vector<float>& a, const std::vector<float>& b) {
    return relative_l2(std::span<const float>(a), std::span<const float>(b));
  }

  Runtime runtime{Device::cpu()};
  Context c{runtime};
  fs::path folder;
  DecoderCheckpoint source;
  ExportVocabulary vocabulary;
  std::vector<std::int32_t> ids;
};

TEST_F(DecoderFiles, EveryContainerHoldsTheSameModel) {
  const auto model = random_model();
  const std::vector<float> want = logits(*model);
  const DecoderExport out(*model, source);
  out.write_hugging_face(folder / "hf", FileDType::f32, vocabulary, {});
  out.write_gguf(folder / "m.gguf", FileDType::f32, vocabulary);
  out.write_ggjt(folder / "m.bin", FileDType::f32, vocabulary);
  EXPECT_EQ(logits_of(folder / "hf"), want);
  // Interleaved pairs: the same numbers in another order of summation inside q k.
  EXPECT_LE(distance(logits_of(folder / "m.gguf"), want), 1e-5);
  EXPECT_EQ(logits_of(folder / "m.bin"), logits_of(folder / "m.gguf"));
}

TEST_F(DecoderFiles, QuantisedFilesAgreeWithEachOtherAndResembleTheModel) {
  const auto model = random_model();
  const std::vector<float> want = logits(*model);
  const DecoderExport out(*model, source);
  for (const FileDType type : {FileDType::q8_0, FileDType::q4_0}) {
    fs::remove(folder / "m.gguf");
    fs::remove(folder / "m.bin");
    out.write_gguf(folder / "m.gguf", type, vocabulary);
    out.write_ggjt(folder / "m.bin", type, vocabulary);
    const std::vector<float> got = logits_of(folder / "m.gguf");
    EXPECT_EQ(logits_of(folder / "m.bin"), got);
    const double error = distance(got, want);
    EXPECT_GT(error, 0);
    EXPECT_LT(error, type == FileDType::q8_0 ? 0.02 : 0.25);
  }
}

TEST_F(DecoderFiles, MatricesAreMappedNotCopied) {
  const auto model = random_model();
  DecoderExport(*model, source).write_gguf(folder / "m.gguf", FileDType::q4_0, vocabulary);
  const DecoderCheckpoint k = open_decoder_checkpoint(folder / "m.gguf");
  Runtime fresh(Device::cpu());
  Decoder mapped(c, k.config, k.names);
  load_weights(Context(fresh), mapped, *k.source, k.naming(), {k.source, nullptr});
  const std::size_t vectors =
      4 * static_cast<std::size_t>((2 * source.config.layers + 1) * source.config.width);
  EXPECT_EQ(fresh.memory().held(Account::weights), vectors);
  EXPECT_GT(fresh.memory().held(Account::mapped), 50'000U);
}

// The adapter that a merged file holds is the adapter: base + adapter = merged.
TEST_F(DecoderFiles, MergedModelIsModelAndAdapter) {
  const auto model = random_model();
  DecoderExport(*model, source).write_gguf(folder / "m.gguf", FileDType::f32, vocabulary);
  const DecoderCheckpoint k = open_decoder_checkpoint(folder / "m.gguf");
  Decoder base(c, k.config, k.names);
  load_weights(c, base, *k.source, k.naming(), {k.source, nullptr});
  DecoderLora network;
  LoraSpec spec;
  spec.rank = 3;
  network.attach(base, [&](const std::string& path) {
    return path == k.names.head ? std::nullopt : std::optional(spec);
  });
  network.allocate(c);
  network.init(c, 4);
  HostRandom random({7, purpose("test"), 0, 0});
  for (Param* p : network.params()) {
    for (float& v : p->value.span<float>()) v += 0.1F * (random.uniform() - 0.5F);
  }
  const std::vector<float> adapted = logits(base);
  EXPECT_GT(distance(adapted, logits(*model)), 1e-3);
  // The order of files is Hugging Face's; this model's rows are interleaved.
  std::vector<AdapterWeights> adapter = network.to_file();
  for (AdapterWeights& m : adapter) {
    if (const int heads = reordered_heads(k.config, k.names, m.module); heads > 0)
      m.b = permute_rows_to_halves(m.b, heads);
  }
  DecoderExport(base, k, adapter).write_hugging_face(folder / "hf", FileDType::f32, vocabulary, {});
  EXPECT_LE(distance(logits_of(folder / "hf"), adapted), 1e-5);
}

// ---- real files ----

class SharedDecoder : public DecoderFiles {
 protected:
  void SetUp() override {
    if (!fs::exists(shared_data() / "llama/stories260K.F32.gguf"))
      GTEST_SKIP() << "no " << shared_data() / "llama"
                   << ": real models are not tested";
  }
};

TEST_F(SharedDecoder, StoriesTellTheRecordedStoryFromEveryFile) {
  const fs::path llama = shared_data() / "llama";
  fs::copy(llama / "stories260K.hf.config.json", folder / "hf/config.json");
  fs::copy(llama / "stories260K.hf.safetensors", folder / "hf/model.safetensors");
  const SafetensorsFile expected(llama / "stories260K_expected.safetensors");
  const std::vector<float> wanted_ids = values_of(expected, "greedy_ids");
  const std::vector<float> first = values_of(expected, "logits_first16");
  for (const fs::path& file :
       {folder / "hf", llama / "stories260K.F32.gguf", llama / "stories260K.ggjt3.F32.bin"}) {
    const DecoderCheckpoint k = open_decoder_checkpoint(file);
    Decoder model(c, k.config, k.names);
    load_weights(c, model, *k.source, k.naming(), {k.source, nullptr});
    std::vector<std::int32_t> start;
    for (int i = 0; i < 16; ++i)
      start.push_back(static_cast<std::int32_t>(wanted_ids[static_cast<std::size_t>(i)]));
    EXPECT_TRUE(matches(sequence_logits(c, model, start), first)) << file;
    GenerateRequest r;
    r.prompt = {start.front()};
    r.max_new_tokens = static_cast<std::int64_t>(wanted_ids.size()) - 1;
    const Generated story = generate(c, model, r);
    ASSERT_EQ(story.ids.size() + 1, wanted_ids.size());
    for (std::size_t i = 0; i < story.ids.size(); ++i)
      ASSERT_EQ(story.ids[i], static_cast<std::int32_t>(wanted_ids[i + 1])) << file << " token " << i + 1;
  }
  // The same blocks in both containers.
  EXPECT_LE(
      distance(logits_of(llama / "stories260K.Q4_0.gguf"), logits_of(llama / "stories260K.ggjt3.Q4_0.bin")),
      0.5);
}

TEST_F(SharedDecoder, ChatGlm2SaysWhatWasRecorded) {
  const SafetensorsFile weights(shared_data() / "reference/chatglm2/glm2_tiny.hf.safetensors");
  const SafetensorsFile expected(shared_data() / "reference/chatglm2/glm2_tiny.expected.safetensors");
  DecoderConfig k;
  k.family = DecoderFamily::chatglm2;
  k.vocab = 5, k.width = 32, k.mlp = 48, k.layers = 1, k.heads = 8, k.kv_heads = 2, k.head_dim = 4,
  k.rotary_dims = 2;
  k.pairing = RopeSpec::interleaved;
  k.qkv_bias = k.fused_qkv = k.fused_gate_up = k.tied_head = true;
  Decoder model(c, k, names_of(k));
  load_weights(c, model, weights, prefixed(""));
  const std::vector<std::int32_t> tokens{0, 1, 2, 3, 4};
  const Tensor hidden = model.forward(c, sequence_input(c, k, tokens, 0, 0));
  EXPECT_TRUE(
      matches(model.head().normed(c, hidden.reshape({5, 32})), values_of(expected, "last_hidden_state")));
}

}  // namespace
}  // namespace rankine
