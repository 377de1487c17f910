#include "models/sd/lora_network.h"

#include <algorithm>
#include <set>

namespace rankine {
namespace {

// Both spellings of a U-Net module, kohya's own first.
struct Spelling {
  std::string name, alternative;
};
using Speller = std::function<Spelling(const std::string& path)>;

std::string underscored(std::string path) {
  std::replace(path.begin(), path.end(), '.', '_');
  return path;
}

}  // namespace

std::optional<LoraSpec> LoraPlan::choose(const LoraTarget& t) const {
  if (!patterns.empty() && std::none_of(patterns.begin(), patterns.end(), [&](const std::string& p) {
        return t.name.find(p) != std::string::npos || t.path.find(p) != std::string::npos;
      })) {
    return std::nullopt;
  }
  if (t.text_encoder) return t.kind == TargetKind::attention ? text_encoder : std::nullopt;
  switch (t.kind) {
    case TargetKind::attention:
      return unet;
    case TargetKind::conv_linear:
      return conv ? std::optional(unet) : std::nullopt;
    case TargetKind::conv:
      return conv;
    case TargetKind::none:
      break;
  }
  return std::nullopt;
}

// Walks one model and hangs adapter sets on its layers.
class LoraNetwork::Attacher final : public ModelVisitor {
 public:
  Attacher(LoraNetwork& network, const LoraChooser& choose, Speller spell,
           TargetKind (*kind)(const std::string&), bool text)
      : network_(network), choose_(choose), spell_(std::move(spell)), kind_(kind), text_(text) {}

  void linear(SharedLinear& layer) override {
    auto set = std::make_unique<LoraSet>(layer.path(0), Shape{layer.in_features()});
    for (int i = 0; i < layer.outputs(); ++i)
      add(*set, layer.path(i), i, layer.out_features(i), layer.layout());
    keep(std::move(set), layer.adapters());
  }
  void conv(Conv2d& layer) override {
    const std::int64_t k = layer.window().size;
    auto set = std::make_unique<LoraSet>(layer.path(), Shape{k, k, layer.in_channels()});
    add(*set, layer.path(), 0, layer.out_channels(), FileLayout::conv);
    keep(std::move(set), layer.adapters());
  }

 private:
  void add(LoraSet& set, const std::string& path, int output, std::int64_t features, FileLayout layout) {
    const TargetKind kind = kind_(path);
    if (kind == TargetKind::none) return;
    const Spelling s = spell_(path);
    auto spec = choose_({s.name, path, kind, text_});
    if (!spec && s.alternative != s.name) spec = choose_({s.alternative, path, kind, text_});
    if (!spec) return;
    network_.slots_.push_back({&set, set.members().size(), s.alternative, layout});
    set.add(s.name, output, features, *spec);
    ++(text_ ? network_.text_modules_ : network_.unet_modules_);
  }
  void keep(std::unique_ptr<LoraSet> set, LoraSets& adapters) {
    if (set->members().empty()) return;
    network_.sets_.push_back(set.get());
    adapters.push_back(std::move(set));
  }

  LoraNetwork& network_;
  const LoraChooser& choose_;
  Speller spell_;
  TargetKind (*kind_)(const std::string&);
  bool text_;
};

void LoraNetwork::attach(UNet& unet, const LoraChooser& choose) {
  const UNetConfig config = unet.config();
  const Speller spell = [config](const std::string& path) {
    const std::string ldm = "lora_unet_" + underscored(path);
    const std::string diffusers = "lora_unet_" + underscored(diffusers_unet_name(config, path));
    const std::string name = kohya_unet_name(config, path);
    return Spelling{name, name == ldm ? diffusers : ldm};
  };
  Attacher attacher(*this, choose, spell, unet_target_kind, false);
  unet.visit(attacher);
}

void LoraNetwork::attach(ClipText& encoder, int index, int encoders, const LoraChooser& choose) {
  const Speller spell = [index, encoders](const std::string& path) {
    const std::string name = kohya_clip_name(index, encoders, path);
    return Spelling{name, name};
  };
  Attacher attacher(*this, choose, spell, clip_target_kind, true);
  encoder.visit(attacher);
}

std::vector<Param*> LoraNetwork::params() {
  std::vector<Param*> all;
  for (LoraSet* set : sets_) {
    const std::vector<Param*> own = set->params();
    all.insert(all.end(), own.begin(), own.end());
  }
  return all;
}

void LoraNetwork::init(const Context& c, std::uint64_t seed) {
  for (LoraSet* set : sets_) set->init(c, seed);
}

void LoraNetwork::allocate(const Context& c) {
  for (Param* p : params()) place(c, *p);
}

void LoraNetwork::set_strength(float strength) {
  for (LoraSet* set : sets_) set->set_strength(strength);
}

namespace {

// A rank-r factor in the shapes of adapter files.
std::vector<std::int64_t> down_file_shape(const Tensor& down, FileLayout layout) {
  if (layout == FileLayout::conv) return {down.dim(0), down.dim(3), down.dim(1), down.dim(2)};
  if (layout == FileLayout::conv_1x1) return {down.dim(0), down.dim(1), 1, 1};
  return {down.dim(0), down.dim(1)};
}

std::vector<std::int64_t> up_file_shape(const Tensor& up, FileLayout layout) {
  if (layout == FileLayout::same) return {up.dim(0), up.dim(1)};
  return {up.dim(0), up.dim(1), 1, 1};
}

// The numbers of `down` in memory's order.
std::vector<float> from_file_order(const std::vector<float>& from, const Shape& down, FileLayout layout) {
  if (layout != FileLayout::conv) return from;
  std::vector<float> out(from.size());
  const std::int64_t rows = down[0], k = down[1] * down[2], in = down[3];
  for (std::int64_t r = 0; r < rows; ++r) {
    for (std::int64_t p = 0; p < k; ++p) {
      for (std::int64_t i = 0; i < in; ++i) out[(r * k + p) * in + i] = from[(r * in + i) * k + p];
    }
  }
  return out;
}

}  // namespace

std::vector<AdapterModule> LoraNetwork::to_file() const {
  std::vector<AdapterModule> modules;
  for (const Slot& slot : slots_) {
    const LoraMember& m = slot.get();
    const Tensor down = slot.set->down_value(m);
    AdapterModule& module = modules.emplace_back();
    module.name = m.name;
    module.down = to_file_order(down, slot.layout);
    module.down_shape = down_file_shape(down, slot.layout);
    module.up = to_file_order(m.up.value, FileLayout::same);
    module.up_shape = up_file_shape(m.up.value, slot.layout);
    module.alpha = m.spec.scale() * static_cast<float>(m.spec.rank);
  }
  return modules;
}

void LoraNetwork::from_file(const AdapterFile& file) {
  std::map<std::string, const AdapterModule*> by_name;
  for (const AdapterModule& m : file.modules) by_name[m.name] = &m;
  std::set<std::string> taken;
  std::string problems;
  for (Slot& slot : slots_) {
    LoraMember& m = slot.set->members()[slot.member];
    auto it = by_name.find(m.name);
    if (it == by_name.end()) it = by_name.find(slot.alternative);
    if (it == by_name.end()) {
      problems += "\n  " + m.name + " is not in the file";
      continue;
    }
    taken.insert(it->first);
    const Tensor down = slot.set->down_value(m);
    const AdapterModule& from = *it->second;
    if (from.down.size() != static_cast<std::size_t>(down.numel()) ||
        from.up.size() != static_cast<std::size_t>(m.up.value.numel())) {
      problems += "\n  " + m.name + " has another shape or rank in the file";
      continue;
    }
    slot.set->set_factors(m, from_file_order(from.down, down.shape(), slot.layout), from.up);
  }
  for (const auto& [name, module] : by_name) {
    if (!taken.contains(name)) problems += "\n  " + name + " has no place in this model";
  }
  require<DataError>(problems.empty(), "adapter does not fit:", problems);
}

LoraChooser chooser_from_file(const AdapterFile& file) {
  std::map<std::string, LoraSpec> specs;
  for (const AdapterModule& m : file.modules) {
    LoraSpec spec;
    spec.rank = static_cast<int>(m.down_shape.at(0));
    spec.alpha = m.alpha;
    specs[m.name] = spec;
  }
  return [specs = std::move(specs)](const LoraTarget& t) -> std::optional<LoraSpec> {
    const auto it = specs.find(t.name);
    return it == specs.end() ? std::nullopt : std::optional(it->second);
  };
}

}  // namespace rankine
