#include <fmt/core.h>

#include <map>
#include <nlohmann/json.hpp>

#include "apps/rankine/commands.h"
#include "apps/rankine/exit_code.h"
#include "apps/rankine/inspect_text.h"
#include "engine/train/checkpoint.h"
#include "io/formats/adapter_file.h"
#include "io/formats/open_source.h"
#include "models/sd/stable_diffusion.h"

namespace rankine::app {
namespace fs = std::filesystem;
namespace {

using Json = nlohmann::ordered_json;

// Tensors, numbers and bytes per element type.
Json dtype_histogram(const TensorSource& source) {
  struct Row {
    std::int64_t tensors = 0, numbers = 0, bytes = 0;
  };
  std::map<std::string, Row> rows;
  for (const auto& [name, info] : source.tensors()) {
    Row& row = rows[std::string(name_of(info.dtype))];
    ++row.tensors;
    row.numbers += info.numel();
    row.bytes += static_cast<std::int64_t>(info.bytes.size());
  }
  Json json = Json::object();
  for (const auto& [name, row] : rows) {
    json[name] = {{"tensors", row.tensors}, {"numbers", row.numbers}, {"bytes", row.bytes}};
  }
  return json;
}

Json metadata_of(const TensorSource& source) {
  Json json = Json::object();
  for (const auto& [key, value] : source.metadata()) json[key] = value;
  return json;
}

class Counter final : public ModelVisitor {
 public:
  void weight(Weight& w) override { numbers += w.shape().numel(); }
  std::int64_t numbers = 0;
};

template <class Module>
std::int64_t count(Module& module) {
  Counter counter;
  module.visit(counter);
  return counter.numbers;
}

// ---- what a file can be ----

Json inspect_model(const fs::path& path) {
  const SdCheckpoint k = open_sd_checkpoint(path);
  // Built, never loaded: the shapes are enough, and any vocabulary will do.
  StableDiffusion sd(k, std::make_shared<const ClipTokenizer>(""));
  Json components = Json::object();
  components["unet"] = {{"parameters", count(sd.unet)},
                        {"model_channels", k.unet_config.model_channels},
                        {"channel_mult", k.unet_config.channel_mult},
                        {"context_dim", k.unet_config.context_dim},
                        {"dtypes", dtype_histogram(*k.unet.source)}};
  components["vae"] = {{"parameters", count(sd.vae)},
                       {"channels", k.vae_config.channels},
                       {"latent_channels", k.vae_config.latent_channels},
                       {"downscale", k.vae_config.downscale()},
                       {"latent_scale", k.latent_scale}};
  for (std::size_t i = 0; i < k.text_encoders.size(); ++i) {
    const ClipTextConfig& text = k.text_encoders[i].config;
    components[fmt::format("text_encoder_{}", i + 1)] = {{"parameters", count(*sd.text.encoders[i].model)},
                                                         {"width", text.width},
                                                         {"layers", text.layers},
                                                         {"vocabulary", text.vocab}};
  }
  return {{"path", path.string()},
          {"kind", "stable diffusion model"},
          {"family", name_of(k.family)},
          {"native_side", k.native_side},
          {"prediction", k.prediction == Prediction::v ? "v" : "epsilon"},
          {"has_vocabulary", !k.merges.empty()},
          {"components", components},
          {"metadata", metadata_of(*k.unet.source)}};
}

bool looks_like_adapter(const TensorSource& source) {
  for (const auto& [name, info] : source.tensors()) {
    if (name.find("lora") != std::string::npos) return true;
  }
  return false;
}

Json inspect_adapter(const TensorSource& source) {
  const AdapterFile adapter = read_adapter(source);
  std::map<std::string, int> ranks, alphas;
  std::int64_t unet = 0, text = 0, parameters = 0;
  Json modules = Json::array();
  for (const AdapterModule& m : adapter.modules) {
    ++ranks[std::to_string(m.rank())];
    ++alphas[fmt::format("{}", m.alpha)];
    (m.name.rfind("lora_unet", 0) == 0 ? unet : text) += 1;
    parameters += static_cast<std::int64_t>(m.down.size() + m.up.size());
    modules.push_back({{"name", m.name},
                       {"rank", m.rank()},
                       {"alpha", m.alpha},
                       {"down", m.down_shape},
                       {"up", m.up_shape}});
  }
  return {{"path", source.describe()},
          {"kind", "lora adapter"},
          {"parameters", parameters},
          {"unet_modules", unet},
          {"text_encoder_modules", text},
          {"ranks", ranks},
          {"alphas", alphas},
          {"dtypes", dtype_histogram(source)},
          {"modules", modules},
          {"metadata", metadata_of(source)}};
}

Json inspect_checkpoint(const fs::path& folder) {
  const Checkpoint checkpoint = verify_checkpoint(folder);
  return {{"path", folder.string()},
          {"kind", "training checkpoint"},
          {"intact", true},
          {"step", checkpoint.commit.step},
          {"seconds", checkpoint.commit.seconds},
          {"run", checkpoint.commit.fingerprint}};
}

Json inspect_tensors(const TensorSource& source, const std::string& why) {
  Json tensors = Json::array();
  for (const auto& [name, info] : source.tensors()) {
    tensors.push_back({{"name", name}, {"dtype", name_of(info.dtype)}, {"shape", info.shape}});
  }
  return {{"path", source.describe()},         {"kind", "tensors"},  {"not_a_model", why},
          {"dtypes", dtype_histogram(source)}, {"tensors", tensors}, {"metadata", metadata_of(source)}};
}

Json inspect(const fs::path& path) {
  require<IoError>(fs::exists(path), path.string(), ": no such file or folder");
  if (fs::is_directory(path) && fs::exists(path / "commit.json")) return inspect_checkpoint(path);
  if (const auto language = inspect_language_file(path)) return *language;
  if (fs::is_directory(path)) return inspect_model(path);
  const auto file = open_tensor_source(path);
  if (looks_like_adapter(*file)) return inspect_adapter(*file);
  try {
    return inspect_model(path);
  } catch (const DataError& e) {
    return inspect_tensors(*file, e.what());
  }
}

// ---- text ----

constexpr std::size_t kLongestValue = 100;

std::string scalar_text(const Json& value) {
  std::string text = value.is_string() ? value.get<std::string>()
                                       : value.dump(-1, ' ', false, Json::error_handler_t::replace);
  std::replace(text.begin(), text.end(), '\n', ' ');
  if (text.size() > kLongestValue) text = text.substr(0, kLongestValue) + "...";
  return text;
}

// Long lists are for --json; here they count.
void print_tree(const Json& json, int indent) {
  for (const auto& [key, value] : json.items()) {
    const std::string head = std::string(static_cast<std::size_t>(indent), ' ') + key;
    const bool long_list = value.is_array() && !value.empty() && value[0].is_object();
    if (value.is_object() && !value.empty()) {
      fmt::print("{}\n", head);
      print_tree(value, indent + 2);
    } else if (long_list) {
      fmt::print("{:<28} {} (listed with --json)\n", head, value.size());
    } else if (!value.is_object()) {
      fmt::print("{:<28} {}\n", head, scalar_text(value));
    }
  }
}

}  // namespace

int run_inspect(const InspectCommand& command, Console&) {
  const Json json = inspect(command.path);
  if (command.json) {
    fmt::print("{}\n", json.dump(2, ' ', false, Json::error_handler_t::replace));
  } else {
    print_tree(json, 0);
  }
  return kFinished;
}

}  // namespace rankine::app
