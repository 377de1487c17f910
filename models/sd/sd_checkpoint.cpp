#include "models/sd/sd_checkpoint.h"

#include <algorithm>
#include <charconv>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>

#include "io/formats/open_source.h"
#include "models/names/names.h"

namespace rankine {
namespace fs = std::filesystem;
namespace {

constexpr const char* kUnet = "model.diffusion_model.";
constexpr const char* kVae = "first_stage_model.";

// The rules of each family that stand in no file.
void apply_family(SdCheckpoint& k) {
  switch (k.family) {
    case SdFamily::sd_v1:
      k.latent_scale = 0.18215F;
      k.prediction = Prediction::epsilon;
      k.native_side = 512;
      break;
    case SdFamily::sd_v2:
      k.latent_scale = 0.18215F;
      k.prediction = Prediction::v;
      k.native_side = 768;
      break;
    case SdFamily::sdxl:
      k.latent_scale = 0.13025F;
      k.prediction = Prediction::epsilon;
      k.native_side = 1024;
      break;
  }
}

SdFamily family_of(const UNetConfig& unet) {
  const std::string name = unet.family();
  return name == "sdxl" ? SdFamily::sdxl : name == "sd_v2" ? SdFamily::sd_v2 : SdFamily::sd_v1;
}

SdTextEncoder encoder(const std::shared_ptr<const TensorSource>& source, const std::string& prefix,
                      ClipNaming naming, ClipWant want, std::int32_t pad) {
  const Naming names = naming == ClipNaming::hugging_face         ? prefixed(prefix)
                       : naming == ClipNaming::early_hugging_face ? early_clip_naming(prefix)
                                                                  : open_clip_naming(prefix);
  return {detect_clip(*source, prefix, naming), {source, names}, want, pad};
}

constexpr ClipWant kLastNormed{1, true, false};
constexpr ClipWant kPenultimateNormed{2, true, false};
constexpr ClipWant kPenultimate{2, false, false};
constexpr ClipWant kPenultimatePooled{2, false, true};

void find_text_encoders(SdCheckpoint& k, const std::shared_ptr<const TensorSource>& file) {
  const std::string hf = "cond_stage_model.transformer.", open = "cond_stage_model.model.";
  const std::string xl1 = "conditioner.embedders.0.transformer.", xl2 = "conditioner.embedders.1.model.";
  if (k.family == SdFamily::sdxl) {
    k.text_encoders.push_back(encoder(file, xl1, ClipNaming::hugging_face, kPenultimate, -1));
    k.text_encoders.push_back(encoder(file, xl2, ClipNaming::open_clip, kPenultimatePooled, 0));
  } else if (file->contains(open + "token_embedding.weight")) {
    k.text_encoders.push_back(encoder(file, open, ClipNaming::open_clip, kPenultimateNormed, 0));
    k.text_encoders.back().config.projection = 0;  // SD 2 reads the hidden state only
  } else if (file->contains(hf + "text_model.embeddings.token_embedding.weight")) {
    k.text_encoders.push_back(encoder(file, hf, ClipNaming::hugging_face, kLastNormed, -1));
  } else if (file->contains(hf + "embeddings.token_embedding.weight")) {
    k.text_encoders.push_back(encoder(file, hf, ClipNaming::early_hugging_face, kLastNormed, -1));
  } else {
    throw DataError(join(file->describe(), ": no text encoder found under ", hf, " or ", open));
  }
}

// A whole number of the file's metadata, checked: it is input like any other.
int number_in(const TensorSource& source, const char* key, int fallback, int low, int high) {
  const auto it = source.metadata().find(key);
  if (it == source.metadata().end()) return fallback;
  int value = 0;
  const char* end = it->second.data() + it->second.size();
  const auto [at, error] = std::from_chars(it->second.data(), end, value);
  require<DataError>(error == std::errc() && at == end && value >= low && value <= high, source.describe(),
                     ": metadata ", key, ": expected a number from ", low, " to ", high, ", got \"",
                     it->second, "\"");
  return value;
}

SdCheckpoint open_single_file(const fs::path& path) {
  const auto file = open_tensor_source(path);
  require<DataError>(file->contains(std::string(kUnet) + "input_blocks.0.0.weight"), path.string(),
                     ": not a Stable Diffusion checkpoint: no key \"", kUnet, "input_blocks.0.0.weight\"");
  require<DataError>(!file->contains("conditioner.embedders.0.model.transformer.resblocks.9.mlp.c_proj.bias"),
                     path.string(), ": this is an SDXL refiner; only base models can be trained");
  SdCheckpoint k;
  k.path = path;
  k.unet_config = detect_unet(*file, kUnet);
  k.family = family_of(k.unet_config);
  apply_family(k);
  k.unet = {file, prefixed(kUnet)};
  k.vae_config = detect_vae(*file, kVae);
  k.vae = {file, prefixed(kVae)};
  find_text_encoders(k, file);
  if (const auto it = file->metadata().find(kMergesKey); it != file->metadata().end()) k.merges = it->second;
  k.native_side = number_in(*file, kNativeSideKey, k.native_side, 8, 4096);
  k.unet_config.norm_groups = k.vae_config.norm_groups = number_in(*file, kNormGroupsKey, 32, 1, 32);
  return k;
}

// ---- diffusers folders ----

nlohmann::json read_json(const fs::path& path) {
  std::ifstream in(path);
  require<IoError>(in.good(), path.string(), ": cannot be read");
  try {
    return nlohmann::json::parse(in);
  } catch (const nlohmann::json::exception& e) {
    throw DataError(join(path.string(), ": not valid JSON: ", e.what()));
  }
}

// A field that is one number or one per level.
std::vector<int> per_level(const nlohmann::json& j, const char* key, std::size_t levels, int fallback) {
  if (!j.contains(key) || j[key].is_null()) return std::vector<int>(levels, fallback);
  if (j[key].is_array()) return j[key].get<std::vector<int>>();
  return std::vector<int>(levels, j[key].get<int>());
}

UNetConfig unet_from_json(const nlohmann::json& j) {
  UNetConfig c;
  const auto channels = j.at("block_out_channels").get<std::vector<int>>();
  const auto types = j.at("down_block_types").get<std::vector<std::string>>();
  c.in_channels = j.value("in_channels", 4);
  c.out_channels = j.value("out_channels", 4);
  c.model_channels = channels.at(0);
  c.channel_mult.clear();
  for (const int width : channels) c.channel_mult.push_back(width / c.model_channels);
  c.res_blocks = j.value("layers_per_block", 2);
  c.norm_groups = j.value("norm_num_groups", 32);
  c.context_dim = j.at("cross_attention_dim").get<int>();
  c.linear_projection = j.contains("use_linear_projection") && j["use_linear_projection"].is_boolean() &&
                        j["use_linear_projection"].get<bool>();
  c.transformer_depth = per_level(j, "transformer_layers_per_block", channels.size(), 1);
  c.middle_depth = c.transformer_depth.back();
  for (std::size_t l = 0; l < types.size(); ++l) {
    if (types[l] == "DownBlock2D") c.transformer_depth[l] = 0;
  }
  // The field is named head_dim but holds the number of heads.
  const std::vector<int> heads = per_level(j, "attention_head_dim", channels.size(), 8);
  const bool same = std::all_of(heads.begin(), heads.end(), [&](int h) { return h == heads[0]; });
  c.num_heads = same ? heads[0] : 0;
  c.head_dim = same ? 0 : channels[0] / heads[0];
  if (j.contains("projection_class_embeddings_input_dim") &&
      j["projection_class_embeddings_input_dim"].is_number()) {
    c.adm_channels = j["projection_class_embeddings_input_dim"].get<int>();
  }
  return c;
}

SdTextEncoder folder_encoder(const fs::path& folder, ClipWant want, std::int32_t pad) {
  const auto source = open_tensor_source(folder);
  SdTextEncoder e = encoder(source, "", ClipNaming::hugging_face, want, pad);
  const nlohmann::json j = read_json(folder / "config.json");
  e.config.heads = j.value("num_attention_heads", e.config.heads);
  e.config.activation = j.value("hidden_act", "quick_gelu") == "quick_gelu" ? Gelu::quick : Gelu::erf;
  if (!want.pooled) e.config.projection = 0;
  return e;
}

std::string read_text(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  std::ostringstream text;
  text << in.rdbuf();
  return std::move(text).str();
}

SdCheckpoint open_folder(const fs::path& path) {
  SdCheckpoint k;
  k.path = path;
  try {
    k.unet_config = unet_from_json(read_json(path / "unet" / "config.json"));
  } catch (const nlohmann::json::exception& e) {
    throw DataError(join((path / "unet/config.json").string(), ": ", e.what()));
  }
  k.family = family_of(k.unet_config);
  apply_family(k);
  const auto unet = open_tensor_source(path / "unet");
  k.unet = {unet, diffusers_unet_naming(k.unet_config)};
  replace_vae(k, path / "vae");
  if (k.family == SdFamily::sdxl) {
    k.text_encoders.push_back(folder_encoder(path / "text_encoder", kPenultimate, -1));
    k.text_encoders.push_back(folder_encoder(path / "text_encoder_2", kPenultimatePooled, 0));
  } else {
    // A diffusers folder of SD 2 has already dropped the last layer: its last hidden state is LDM's
    // penultimate.
    k.text_encoders.push_back(
        folder_encoder(path / "text_encoder", kLastNormed, k.family == SdFamily::sd_v2 ? 0 : -1));
  }
  const fs::path scheduler = path / "scheduler" / "scheduler_config.json";
  if (fs::exists(scheduler)) {
    const bool v = read_json(scheduler).value("prediction_type", "epsilon") == "v_prediction";
    k.prediction = v ? Prediction::v : Prediction::epsilon;
  }
  if (fs::exists(path / "tokenizer" / "merges.txt")) k.merges = read_text(path / "tokenizer" / "merges.txt");
  return k;
}

}  // namespace

std::string_view name_of(SdFamily family) {
  switch (family) {
    case SdFamily::sd_v1:
      return "sd_v1";
    case SdFamily::sd_v2:
      return "sd_v2";
    case SdFamily::sdxl:
      return "sdxl";
  }
  return "?";
}

SdCheckpoint published_sizes(SdFamily family) {
  SdCheckpoint k;
  k.family = family;
  apply_family(k);
  switch (family) {
    case SdFamily::sd_v1:
      k.unet_config = UNetConfig::sd15();
      k.text_encoders.push_back({ClipTextConfig::vit_l(), {}, kLastNormed, -1});
      break;
    case SdFamily::sd_v2:
      k.unet_config = UNetConfig::sd21();
      k.text_encoders.push_back({ClipTextConfig::vit_h(), {}, kPenultimateNormed, 0});
      break;
    case SdFamily::sdxl:
      k.unet_config = UNetConfig::sdxl();
      k.text_encoders.push_back({ClipTextConfig::vit_l(), {}, kPenultimate, -1});
      k.text_encoders.push_back({ClipTextConfig::big_g(), {}, kPenultimatePooled, 0});
      break;
  }
  return k;
}

void replace_vae(SdCheckpoint& k, const fs::path& path) {
  const bool folder = fs::is_directory(path);
  const auto source = open_tensor_source(path);
  const bool diffusers = source->contains("encoder.down_blocks.0.resnets.0.conv1.weight");
  if (diffusers) {
    // The same layer counts as LDM, read under its own spelling.
    int levels = 0, blocks = 0;
    const auto block = [](int l, int b) {
      return "encoder.down_blocks." + std::to_string(l) + ".resnets." + std::to_string(b) + ".conv1.weight";
    };
    VaeConfig config;
    config.channels = static_cast<int>(source->at("encoder.conv_in.weight").shape.at(0));
    config.latent_channels = static_cast<int>(source->at("encoder.conv_out.weight").shape.at(0)) / 2;
    config.channel_mult.clear();
    for (; source->contains(block(levels, 0)); ++levels) {
      config.channel_mult.push_back(static_cast<int>(source->at(block(levels, 0)).shape.at(0)) /
                                    config.channels);
    }
    while (source->contains(block(0, blocks))) ++blocks;
    config.res_blocks = blocks;
    k.vae_config = config;
    k.vae = {source, diffusers_vae_naming(*source, levels)};
    const fs::path json = path / "config.json";
    if (folder && fs::exists(json)) {
      const nlohmann::json config = read_json(json);
      k.latent_scale = config.value("scaling_factor", k.latent_scale);
      k.vae_config.norm_groups = config.value("norm_num_groups", 32);
    }
    return;
  }
  const std::string prefix = source->contains(std::string(kVae) + "encoder.conv_in.weight") ? kVae : "";
  k.vae_config = detect_vae(*source, prefix);
  k.vae = {source, prefixed(prefix)};
}

SdCheckpoint open_sd_checkpoint(const fs::path& path) {
  if (fs::is_directory(path)) return open_folder(path);
  require<IoError>(fs::exists(path), path.string(), ": no such file or folder");
  return open_single_file(path);
}

}  // namespace rankine
