// LoRA files in all spellings, and what is written.
#include <cmath>
#include <limits>
#include <set>

#include "engine/core/error.h"
#include "io/formats/adapter_file.h"
#include "tests/formats/format_files.h"

namespace rankine {
namespace {

// Tensors in memory, as if from a file.
class MemorySource : public TensorSource {
 public:
  MemorySource& add(const std::string& name, std::vector<std::int64_t> shape, std::vector<float> values,
                    FileDType dtype = FileDType::f32) {
    const auto& kept = storage_.emplace_back(
        std::make_unique<TensorToWrite>(tensor_to_write(name, std::move(shape), values, dtype)));
    tensors_[name] = {dtype, kept->shape, kept->bytes};
    return *this;
  }
  // A module with rank 1: down [1, in], up [1, 1].
  MemorySource& pair(const std::string& down, const std::string& up, std::int64_t in = 2) {
    add(down, {1, in}, std::vector<float>(static_cast<std::size_t>(in), 0.5F));
    return add(up, {1, 1}, {2});
  }
  std::string describe() const override { return "memory"; }
  const TensorTable& tensors() const override { return tensors_; }
  const MetadataTable& metadata() const override { return metadata_; }
  MetadataTable metadata_;

 private:
  std::vector<std::unique_ptr<TensorToWrite>> storage_;
  TensorTable tensors_;
};

std::vector<std::string> names_of(const AdapterFile& file) {
  std::vector<std::string> names;
  for (const AdapterModule& m : file.modules) names.push_back(m.name);
  return names;
}

std::string error_of(const MemorySource& source) {
  return test::message_of<DataError>([&] { read_adapter(source); });
}

TEST(AdapterRead, KohyaWithMixedTypesAndMissingAlpha) {
  MemorySource s;
  s.add("lora_unet_a.lora_down.weight", {2, 3}, {1, 2, 3, 4, 5, 6}, FileDType::f16);
  s.add("lora_unet_a.lora_up.weight", {1, 2}, {7, 8}, FileDType::bf16);
  s.add("lora_unet_a.alpha", {}, {0.5F}, FileDType::f16);
  s.pair("lora_te_b.lora_down.weight", "lora_te_b.lora_up.weight");
  s.metadata_["ss_output_name"] = "x";
  const AdapterFile file = read_adapter(s);
  ASSERT_EQ(names_of(file), (std::vector<std::string>{"lora_te_b", "lora_unet_a"}));
  EXPECT_EQ(file.modules[0].alpha, 1.0F);
  EXPECT_EQ(file.modules[1].alpha, 0.5F);
  EXPECT_EQ(file.modules[1].down, (std::vector<float>{1, 2, 3, 4, 5, 6}));
  EXPECT_EQ(file.modules[1].up, (std::vector<float>{7, 8}));
  EXPECT_EQ(file.modules[1].down_shape, (std::vector<std::int64_t>{2, 3}));
  EXPECT_EQ(file.metadata.at("ss_output_name"), "x");
}

TEST(AdapterRead, AllSpellingsOfAModule) {
  const std::string block = "down_blocks.0.attentions.0.transformer_blocks.0.attn1.";
  const std::string name = "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn1_";
  struct Spelling {
    std::string down, up, module;
  };
  const std::vector<Spelling> spellings = {
      {"unet." + block + "to_q.lora_A.weight", "unet." + block + "to_q.lora_B.weight", name + "to_q"},
      {"unet." + block + "to_out.0.lora_A.weight", "unet." + block + "to_out.0.lora_B.weight",
       name + "to_out_0"},
      {"unet." + block + "to_q.lora.down.weight", "unet." + block + "to_q.lora.up.weight", name + "to_q"},
      {"unet." + block + "processor.to_out_lora.down.weight",
       "unet." + block + "processor.to_out_lora.up.weight", name + "to_out_0"},
      {block + "processor.to_v_lora.down.weight", block + "processor.to_v_lora.up.weight", name + "to_v"},
      {"base_model.model." + block + "to_k.lora_A.weight", "base_model.model." + block + "to_k.lora_B.weight",
       name + "to_k"},
      {"unet.base_model.model." + block + "to_k.lora_A.weight",
       "unet.base_model.model." + block + "to_k.lora_B.weight", name + "to_k"},
      {"diffusion_model.input_blocks.1.1.proj_in.lora_down.weight",
       "diffusion_model.input_blocks.1.1.proj_in.lora_up.weight", "lora_unet_input_blocks_1_1_proj_in"},
      {"text_encoder.text_model.encoder.layers.0.self_attn.q_proj.lora_linear_layer.down.weight",
       "text_encoder.text_model.encoder.layers.0.self_attn.q_proj.lora_linear_layer.up.weight",
       "lora_te_text_model_encoder_layers_0_self_attn_q_proj"},
      {"base_model.model.text_model.encoder.layers.0.mlp.fc1.lora_A.weight",
       "base_model.model.text_model.encoder.layers.0.mlp.fc1.lora_B.weight",
       "lora_te_text_model_encoder_layers_0_mlp_fc1"},
  };
  for (const Spelling& s : spellings) {
    MemorySource source;
    source.pair(s.down, s.up);
    EXPECT_EQ(names_of(read_adapter(source)), std::vector<std::string>{s.module}) << s.down;
  }
}

TEST(AdapterRead, FirstTextEncoderOfSdxl) {
  const std::string te = "text_encoder.text_model.x.lora_A.weight",
                    te_up = "text_encoder.text_model.x.lora_B.weight";
  const auto first_name = [&](MemorySource& s) {
    s.pair(te, te_up);
    const auto names = names_of(read_adapter(s));
    return names.front();
  };
  MemorySource two, blocks, context, sd;
  two.pair("text_encoder_2.text_model.x.lora_A.weight", "text_encoder_2.text_model.x.lora_B.weight");
  EXPECT_EQ(first_name(two), "lora_te1_text_model_x");
  EXPECT_EQ(names_of(read_adapter(two)).back(), "lora_te2_text_model_x");
  blocks.pair("unet.mid_block.attentions.0.transformer_blocks.1.attn1.to_q.lora_A.weight",
              "unet.mid_block.attentions.0.transformer_blocks.1.attn1.to_q.lora_B.weight");
  EXPECT_EQ(first_name(blocks), "lora_te1_text_model_x");
  context.pair("lora_unet_y_attn2_to_k.lora_down.weight", "lora_unet_y_attn2_to_k.lora_up.weight", 2048);
  EXPECT_EQ(first_name(context), "lora_te1_text_model_x");
  sd.pair("lora_unet_y_attn2_to_k.lora_down.weight", "lora_unet_y_attn2_to_k.lora_up.weight", 768);
  EXPECT_EQ(first_name(sd), "lora_te_text_model_x");
}

TEST(AdapterRead, AlphaFromTheConfiguration) {
  MemorySource s;
  for (const std::string m :
       {"unet.up_blocks.1.to_q", "unet.up_blocks.1.to_k", "text_encoder.text_model.x"}) {
    s.add(m + ".lora_A.weight", {4, 1}, {1, 2, 3, 4});
    s.add(m + ".lora_B.weight", {1, 4}, {1, 2, 3, 4});
  }
  s.metadata_["lora_adapter_metadata"] =
      R"({"unet.lora_alpha": 8, "unet.alpha_pattern": {"to_k": 2}, "unet.use_rslora": true, "unet.r": 4})";
  const AdapterFile file = read_adapter(s);
  ASSERT_EQ(names_of(file), (std::vector<std::string>{"lora_te_text_model_x", "lora_unet_up_blocks_1_to_k",
                                                      "lora_unet_up_blocks_1_to_q"}));
  EXPECT_EQ(file.modules[0].alpha, 4.0F);   // not said: the rank
  EXPECT_EQ(file.modules[1].alpha, 4.0F);   // 2 sqrt(4)
  EXPECT_EQ(file.modules[2].alpha, 16.0F);  // 8 sqrt(4)
  s.metadata_["lora_adapter_metadata"] = R"j({"unet.alpha_pattern": {"to_(k|q)": 2}})j";
  EXPECT_NE(error_of(s).find("regular expression"), std::string::npos);
  for (const char* bad : {"[]", "x", "{\"unet.lora_alpha\": \"8\"}", "[[[[[[[[[[[[["}) {
    s.metadata_["lora_adapter_metadata"] = bad;
    EXPECT_NE(error_of(s).find("lora_adapter_metadata"), std::string::npos) << bad;
  }
}

TEST(AdapterRead, OtherKindsAreNamed) {
  const std::vector<std::pair<std::string, std::string>> keys = {
      {"lora_unet_a.hada_w1_a", "LoHa"},
      {"lora_unet_a.lokr_w1", "LoKr"},
      {"lora_unet_a.dora_scale", "DoRA"},
      {"unet.a.lora_magnitude_vector", "DoRA"},
      {"lora_unet_a.oft_blocks", "OFT"},
      {"lora_unet_a.lora_mid.weight", "Tucker"},
      {"lora_unet_a.diff", "full difference"},
      {"lora_unet_a.on_input", "(IA)3"},
      {"base_model.model.model.layers.0.q.lora_A.weight", "PEFT"}};
  for (const auto& [key, kind] : keys) {
    MemorySource s;
    s.pair("lora_unet_a.lora_down.weight", "lora_unet_a.lora_up.weight").add(key, {1, 1}, {1});
    const std::string message = error_of(s);
    EXPECT_NE(message.find(kind), std::string::npos) << message;
    EXPECT_NE(message.find(key), std::string::npos) << message;
  }
  for (const char* key :
       {"model.weight", "lora_unet_.alpha", "lora_te3_x.lora_down.weight", "unet..lora_A.weigh"}) {
    MemorySource s;
    s.add(key, {1, 1}, {1});
    EXPECT_NE(error_of(s).find(key), std::string::npos);
  }
  EXPECT_NE(error_of(MemorySource()).find("no tensors"), std::string::npos);
}

TEST(AdapterRead, IncompleteOrWrongShapes) {
  const std::string d = "lora_unet_a.lora_down.weight", u = "lora_unet_a.lora_up.weight";
  MemorySource no_up, no_down, rank, dims, conv_up, empty, twice, alpha, nan_alpha;
  no_up.add(d, {1, 2}, {1, 2});
  EXPECT_NE(error_of(no_up).find("lora_unet_a: has no lora_up"), std::string::npos);
  no_down.add(u, {1, 2}, {1, 2}).add("lora_unet_a.alpha", {}, {1});
  EXPECT_NE(error_of(no_down).find("has no lora_down"), std::string::npos);
  rank.add(d, {1, 2}, {1, 2}).add(u, {1, 2}, {1, 2});
  EXPECT_NE(error_of(rank).find("rank 1 of lora_down differs from rank 2"), std::string::npos);
  dims.add(d, {2}, {1, 2}).add(u, {1, 2}, {1, 2});
  EXPECT_NE(error_of(dims).find("2 or 4"), std::string::npos);
  conv_up.add(d, {1, 1, 1, 1}, {1}).add(u, {1, 1, 2, 1}, {1, 2});
  EXPECT_NE(error_of(conv_up).find("1x1"), std::string::npos);
  empty.add(d, {0, 2}, {}).add(u, {1, 0}, {});
  EXPECT_NE(error_of(empty).find("is 0"), std::string::npos);
  twice.pair(d, u).add("lora_unet_a.lora_A.weight", {1, 2}, {1, 2});
  EXPECT_NE(error_of(twice).find("same part"), std::string::npos);
  alpha.pair(d, u).add("lora_unet_a.alpha", {2}, {1, 2});
  EXPECT_NE(error_of(alpha).find("alpha must be one number"), std::string::npos);
  nan_alpha.pair(d, u).add("lora_unet_a.alpha", {}, {std::nanf("")});
  EXPECT_NE(error_of(nan_alpha).find("finite"), std::string::npos);
}

AdapterFile small_adapter() {
  AdapterFile file;
  file.modules.push_back({"lora_unet_b", {1, 2, 3, 4}, {5, 6}, {1, 4, 1, 1}, {2, 1, 1, 1}, 0.5F});
  file.modules.push_back({"lora_unet_a", {0.25F, 3}, {-2}, {1, 2}, {1, 1}, 1});
  file.metadata = {{"ss_network_dim", "1"}, {"modelspec.sai_model_spec", "1.0.1"}};
  return file;
}

TEST(AdapterWrite, RoundTripInEveryType) {
  const test::TemporaryFolder folder;
  const AdapterFile file = small_adapter();
  for (const FileDType dtype : {FileDType::f16, FileDType::bf16, FileDType::f32}) {
    const auto path = folder.path() / "a.safetensors";
    write_adapter(path, file, dtype);
    const SafetensorsFile written(path);
    EXPECT_EQ(written.tensors().size(), 6U);
    for (const auto& [name, info] : written.tensors()) EXPECT_EQ(info.dtype, dtype) << name;
    EXPECT_TRUE(written.at("lora_unet_a.alpha").shape.empty());
    EXPECT_EQ(test::read_all(path).substr(8, 2), "{\"");
    const AdapterFile back = read_adapter(path);
    ASSERT_EQ(names_of(back), (std::vector<std::string>{"lora_unet_a", "lora_unet_b"}));
    EXPECT_EQ(back.modules[1].down, file.modules[0].down);
    EXPECT_EQ(back.modules[1].up, file.modules[0].up);
    EXPECT_EQ(back.modules[1].down_shape, file.modules[0].down_shape);
    EXPECT_EQ(back.modules[1].up_shape, file.modules[0].up_shape);
    EXPECT_EQ(back.modules[1].alpha, 0.5F);
    EXPECT_EQ(back.modules[0].down, file.modules[1].down);
  }
}

TEST(AdapterWrite, MetadataAndHashes) {
  const test::TemporaryFolder folder;
  const auto path = folder.path() / "a.safetensors";
  write_adapter(path, small_adapter(), FileDType::f16);
  const SafetensorsFile written(path);
  const MetadataTable& m = written.metadata();
  EXPECT_EQ(m.at("format"), "pt");
  EXPECT_EQ(m.at("ss_network_dim"), "1");
  EXPECT_EQ(m.at("sshs_model_hash").size(), 64U);
  EXPECT_EQ(m.at("sshs_legacy_hash").size(), 8U);
  EXPECT_EQ(m.at("modelspec.hash_sha256"), "0x" + m.at("sshs_model_hash"));
  AdapterFile other = small_adapter();
  other.modules[0].up[0] = 7;
  write_adapter(path, other, FileDType::f16);
  EXPECT_NE(SafetensorsFile(path).metadata().at("sshs_model_hash"), m.at("sshs_model_hash"));
}

TEST(AdapterWrite, RefusesNumbersThatAreNotFinite) {
  const test::TemporaryFolder folder;
  const auto path = folder.file("a.safetensors", "old");
  AdapterFile file = small_adapter();
  file.modules[0].up[0] = 70000;
  EXPECT_THROW(write_adapter(path, file, FileDType::f16), DataError);
  file.modules[0].up[0] = std::numeric_limits<float>::quiet_NaN();
  EXPECT_THROW(write_adapter(path, file, FileDType::f32), DataError);
  file.modules[0].up[0] = 3.4e38F;
  EXPECT_THROW(write_adapter(path, file, FileDType::bf16), DataError);
  EXPECT_THROW(write_adapter(path, small_adapter(), FileDType::f64), DataError);
  EXPECT_THROW(write_adapter(path, AdapterFile(), FileDType::f16), DataError);
  EXPECT_EQ(test::read_all(path), "old");
  file.modules[0].up[0] = 70000;
  EXPECT_NO_THROW(write_adapter(path, file, FileDType::bf16));
}

}  // namespace
}  // namespace rankine
