#include "models/tasks/base_shape.h"

#include <map>

#include "models/decoder/published_decoders.h"
#include "models/nn/shape_source.h"
#include "models/unet/unet.h"

namespace rankine {
namespace {

const std::map<std::string, SdFamily, std::less<>>& families() {
  static const std::map<std::string, SdFamily, std::less<>> names{
      {"sd15", SdFamily::sd_v1}, {"sd21", SdFamily::sd_v2}, {"sdxl", SdFamily::sdxl}};
  return names;
}

std::string_view name_in(std::string_view base_model) { return base_model.substr(kShapePrefix.size()); }

[[noreturn]] void refuse(const std::string& base_model, const char* task) {
  std::string known;
  for (const std::string& name : shape_names()) known += (known.empty() ? "" : ", ") + name;
  throw ConfigError(
      join("base_model: ", base_model, " is not a known shape of ", task, "; known shapes: ", known));
}

// All weights of a component, found under their own paths.
template <class Model>
SdComponent component(Model model, const std::string& name) {
  const auto source = std::make_shared<ShapeSource>(name);
  source->add(model);
  return {source, prefixed("")};
}

}  // namespace

bool is_shape(const std::string& base_model) { return base_model.starts_with(kShapePrefix); }

std::vector<std::string> shape_names() {
  std::vector<std::string> names;
  for (const auto& [name, family] : families()) names.push_back(name);
  for (const std::string_view name : published_decoder_names()) names.emplace_back(name);
  return names;
}

bool is_decoder_shape(const std::string& base_model) {
  return is_shape(base_model) && published_decoder(name_in(base_model)).has_value();
}

SdCheckpoint sd_shape(const std::string& base_model) {
  const auto family = families().find(name_in(base_model));
  if (family == families().end()) refuse(base_model, "pictures");
  SdCheckpoint k = published_sizes(family->second);
  k.path = base_model;
  k.unet = component(UNet(k.unet_config), base_model);
  k.vae = component(Vae(k.vae_config), base_model);
  for (SdTextEncoder& e : k.text_encoders) e.at = component(ClipText(e.config), base_model);
  return k;
}

DecoderCheckpoint decoder_shape(const std::string& base_model) {
  const auto config = published_decoder(name_in(base_model));
  if (!config) refuse(base_model, "text");
  DecoderCheckpoint k;
  k.path = base_model;
  k.format = "sizes alone";
  k.config = *config;
  k.names = k.file_names = names_of(k.config);
  Runtime plan(Device::cpu().planned(), Memory::kUnlimited, 1);
  Decoder model(Context(plan), k.config, k.names);
  const auto source = std::make_shared<ShapeSource>(base_model);
  source->add(model);
  k.source = source;
  return k;
}

}  // namespace rankine
