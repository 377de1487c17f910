// diffusers folders: the tiny model of the example, written out under diffusers' own names, loads to the same
// weights. The names are held to an independent list where it lies beside the repository.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "io/formats/safetensors.h"
#include "models/names/names.h"
#include "models/sd/stable_diffusion.h"

namespace rankine {
namespace {
namespace fs = std::filesystem;

class Collector final : public ModelVisitor {
 public:
  explicit Collector(Naming naming) : naming_(std::move(naming)) {}
  void weight(Weight& w) override {
    names[w.path()] = naming_(w).name;
    if (w.value().defined()) values[w.path()] = to_file_order(w.value(), w.layout());
    if (w.value().defined()) {
      tensors.push_back(tensor_to_write(naming_(w).name, file_shape(w), values[w.path()], FileDType::f16));
    }
  }
  std::map<std::string, std::string> names;
  std::map<std::string, std::vector<float>> values;
  std::vector<TensorToWrite> tensors;

 private:
  Naming naming_;
};

class NoTensors final : public TensorSource {
 public:
  std::string describe() const override { return "nothing"; }
  const TensorTable& tensors() const override { return tensors_; }
  const MetadataTable& metadata() const override { return metadata_; }

 private:
  TensorTable tensors_;
  MetadataTable metadata_;
};

void write_json(const fs::path& path, const nlohmann::json& json) {
  fs::create_directories(path.parent_path());
  std::ofstream(path) << json.dump(2);
}

template <class Model>
std::map<std::string, std::vector<float>> values_of(Model& model) {
  Collector c(prefixed(""));
  model.visit(c);
  return c.values;
}

TEST(DiffusersFolder, LoadsToTheSameWeights) {
  Runtime runtime(Device::cpu());
  const Context c(runtime);
  const SdCheckpoint single =
      open_sd_checkpoint(fs::path(RANKINE_SOURCE_DIR) / "examples/sd-style/tiny-sd.safetensors");
  const auto tokenizer = std::make_shared<const ClipTokenizer>(single.merges);
  StableDiffusion sd(single, tokenizer);
  sd.load(c);

  const fs::path folder = fs::path(::testing::TempDir()) / "diffusers_folder";
  fs::remove_all(folder);
  fs::create_directories(folder / "tokenizer");
  std::ofstream(folder / "tokenizer/merges.txt") << single.merges;
  write_json(folder / "unet/config.json",
             {{"block_out_channels", {32, 64, 64, 64}},
              {"down_block_types",
               {"CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"}},
              {"layers_per_block", 2},
              {"cross_attention_dim", 128},
              {"attention_head_dim", 8},
              {"norm_num_groups", 8}});
  write_json(folder / "vae/config.json", {{"scaling_factor", 0.18215}, {"norm_num_groups", 8}});
  write_json(folder / "text_encoder/config.json", {{"num_attention_heads", 2}, {"hidden_act", "quick_gelu"}});
  write_json(folder / "scheduler/scheduler_config.json", {{"prediction_type", "v_prediction"}});
  Collector unet(diffusers_unet_naming(single.unet_config)), vae(diffusers_vae_naming(NoTensors(), 4)),
      text(prefixed(""));
  sd.unet.visit(unet);
  sd.vae.visit(vae);
  sd.text.encoders[0].model->visit(text);
  write_safetensors(folder / "unet/diffusion_pytorch_model.safetensors", unet.tensors, {});
  write_safetensors(folder / "vae/diffusion_pytorch_model.safetensors", vae.tensors, {});
  write_safetensors(folder / "text_encoder/model.safetensors", text.tensors, {});

  const SdCheckpoint opened = open_sd_checkpoint(folder);
  EXPECT_EQ(opened.family, SdFamily::sd_v1);
  EXPECT_EQ(opened.prediction, Prediction::v);
  EXPECT_EQ(opened.merges, single.merges);
  StableDiffusion back(opened, tokenizer);
  back.load(c);
  EXPECT_EQ(values_of(back.unet), values_of(sd.unet));
  EXPECT_EQ(values_of(back.vae), values_of(sd.vae));
  EXPECT_EQ(values_of(*back.text.encoders[0].model), values_of(*sd.text.encoders[0].model));
}

TEST(DiffusersFolder, NamesAgreeWithAnIndependentList) {
  const fs::path list =
      fs::path(RANKINE_SOURCE_DIR).parent_path() / "shared/data/names/stable_diffusion_sd1.json";
  if (!fs::exists(list)) GTEST_SKIP() << "SKIPPED: no name list at " << list;
  std::ifstream in(list);
  const auto map = nlohmann::json::parse(in).at("ldm_diffusers_keymap");
  const auto check = [&](auto& model, const Naming& naming, const std::string& ldm,
                         const std::string& theirs) {
    Collector c(naming);
    model.visit(c);
    for (const auto& [path, name] : c.names)
      EXPECT_EQ(theirs + name, map.at(ldm + path).template get<std::string>()) << path;
    return c.names.size();
  };
  UNet unet(UNetConfig::sd15());
  Vae vae(VaeConfig{});
  EXPECT_EQ(check(unet, diffusers_unet_naming(UNetConfig::sd15()), "model.diffusion_model.", "unet_"), 686U);
  EXPECT_EQ(check(vae, diffusers_vae_naming(NoTensors(), 4), "first_stage_model.", "vae_"), 248U);
}

}  // namespace
}  // namespace rankine
