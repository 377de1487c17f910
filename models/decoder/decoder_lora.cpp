#include "models/decoder/decoder_lora.h"

#include <algorithm>
#include <set>

#include "engine/tape/weight_stream.h"
#include "models/nn/adapter_weights.h"

namespace rankine {
namespace {

// `pattern` with * for any text, against the whole of `text`.
bool glob(std::string_view pattern, std::string_view text) {
  const std::size_t star = pattern.find('*');
  if (star == std::string_view::npos) return pattern == text;
  if (!text.starts_with(pattern.substr(0, star))) return false;
  pattern.remove_prefix(star + 1);
  text.remove_prefix(star);
  for (std::size_t i = 0; i <= text.size(); ++i) {
    if (glob(pattern, text.substr(i))) return true;
  }
  return false;
}

bool fits(std::string_view pattern, std::string_view path) {
  if (pattern.find('*') != std::string_view::npos) return glob(pattern, path);
  return path == pattern || (path.ends_with(pattern) && path[path.size() - pattern.size() - 1] == '.');
}

std::string list(const std::vector<std::string>& words) {
  std::string text;
  for (const std::string& w : words) text += (text.empty() ? "" : ", ") + w;
  return text;
}

}  // namespace

std::vector<std::string> default_targets(const DecoderConfig& config, const DecoderNames& names) {
  if (config.fused_qkv) return {names.qkv};
  return {names.q, names.v};
}

bool LoraTargets::matches(const DecoderConfig& config, const DecoderNames& names,
                          const std::string& path) const {
  const std::vector<std::string> wanted = patterns.empty() ? default_targets(config, names) : patterns;
  return std::any_of(wanted.begin(), wanted.end(), [&](const std::string& p) {
    return p == "all-linear" ? path != names.head : fits(p, path);
  });
}

class DecoderLora::Attacher final : public ModelVisitor {
 public:
  Attacher(DecoderLora& network, const DecoderLoraChooser& choose) : network_(network), choose_(choose) {}

  void linear(SharedLinear& layer) override {
    auto set = std::make_unique<LoraSet>(layer.path(0), Shape{layer.in_features()});
    for (int i = 0; i < layer.outputs(); ++i) {
      network_.linears_.push_back(layer.path(i));
      const auto spec = choose_(layer.path(i));
      if (!spec) continue;
      network_.slots_.push_back({&layer, set.get(), set->members().size()});
      set->add(layer.path(i), i, layer.out_features(i), *spec);
    }
    if (set->members().empty()) return;
    network_.layers_.push_back(&layer);
    layer.adapters().push_back(std::move(set));
  }
  // The kinds of linears there are, for a message.
  std::vector<std::string> kinds() const {
    std::set<std::string> kinds;
    for (const std::string& path : network_.linears_) kinds.insert(path.substr(path.rfind('.') + 1));
    return {kinds.begin(), kinds.end()};
  }

 private:
  DecoderLora& network_;
  const DecoderLoraChooser& choose_;
};

void DecoderLora::attach(Decoder& model, const DecoderLoraChooser& choose) {
  Attacher attacher(*this, choose);
  model.visit(attacher);
  require<ConfigError>(!slots_.empty(), "target_modules: no module of this model matches; it has ",
                       list(attacher.kinds()));
}

std::vector<std::string> DecoderLora::module_paths() const {
  std::vector<std::string> paths;
  for (const Slot& slot : slots_) paths.push_back(slot.get().name);
  return paths;
}

std::vector<Param*> DecoderLora::params() {
  std::vector<Param*> all;
  for (SharedLinear* layer : layers_) {
    const std::vector<Param*> own = layer->adapters().back()->params();
    all.insert(all.end(), own.begin(), own.end());
  }
  return all;
}

void DecoderLora::init(const Context& c, std::uint64_t seed) {
  const WeightPass pass(c);
  for (SharedLinear* layer : layers_) layer->init_adapters(c, seed);
}

void DecoderLora::allocate(const Context& c) {
  for (Param* p : params()) place(c, *p);
}

void DecoderLora::set_strength(float strength) {
  for (SharedLinear* layer : layers_) layer->adapters().back()->set_strength(strength);
}

std::vector<AdapterWeights> DecoderLora::to_file() const {
  std::vector<AdapterWeights> all;
  for (const Slot& slot : slots_) all.push_back(adapter_weights(*slot.set, slot.get(), slot.get().name));
  return all;
}

void DecoderLora::from_file(const std::vector<AdapterWeights>& adapter) {
  std::map<std::string, const AdapterWeights*> by_name;
  for (const AdapterWeights& m : adapter) by_name[m.module] = &m;
  std::string problems;
  for (const Slot& slot : slots_) {
    LoraMember& m = slot.set->members()[slot.member];
    const auto it = by_name.find(m.name);
    if (it == by_name.end()) {
      problems += "\n  " + m.name + " is not in the file";
      continue;
    }
    set_adapter_weights(*slot.set, m, *it->second);
    by_name.erase(it);
  }
  for (const auto& entry : by_name) problems += "\n  " + entry.first + " has no place in this model";
  require<DataError>(problems.empty(), "adapter does not fit:", problems);
}

DecoderLoraChooser chooser_from(const std::vector<AdapterWeights>& adapter, const LoraSpec& rates) {
  std::map<std::string, LoraSpec> specs;
  for (const AdapterWeights& m : adapter) {
    LoraSpec spec = rates;
    spec.rank = static_cast<int>(m.rank());
    spec.rank_stabilised = false;
    spec.alpha = m.scale * static_cast<float>(m.rank());
    spec.dora = !m.magnitude.empty();
    spec.init = LoraInit::kaiming;
    specs[m.module] = spec;
  }
  return [specs = std::move(specs)](const std::string& path) -> std::optional<LoraSpec> {
    const auto it = specs.find(path);
    return it == specs.end() ? std::nullopt : std::optional(it->second);
  };
}

}  // namespace rankine
