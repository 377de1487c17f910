// For the peer test of language-model adapters: hangs adapters on the linears of a checkpoint in Hugging
// Face's names, trains none of them but moves their numbers, writes what users get, and records what our
// layers say.
//   peft_dump MODEL.safetensors FOLDER VARIANT HEADS KV_HEADS     VARIANT: lora rslora dora pissa mixed
//   peft_dump read FOLDER                                         FOLDER/adapter of PEFT ->
//   FOLDER/deltas.safetensors
// FOLDER then has adapter/ (PEFT), adapter.gguf (not of dora) and recorded.safetensors: x.N and for each
// module its y on x of its width.
#include <cstdio>
#include <exception>
#include <set>

#include "engine/train/param_arena.h"
#include "io/formats/gguf_adapter.h"
#include "io/formats/peft_adapter.h"
#include "io/formats/safetensors.h"
#include "kernels/elementwise/elementwise.h"
#include "kernels/random/random.h"
#include "models/nn/adapter_weights.h"
#include "models/nn/linear.h"

namespace rankine {
namespace {

constexpr std::int64_t kTokens = 5;

LoraSpec spec_of(const std::string& variant, const std::string& module) {
  LoraSpec spec;
  spec.rank = variant == "mixed" && module.find("down_proj") != std::string::npos ? 2 : 4;
  spec.alpha = variant == "mixed" && module.find("layers.1") != std::string::npos ? 3 : 6;
  spec.rank_stabilised = variant == "rslora";
  spec.dora = variant == "dora";
  if (variant == "pissa") spec.init = LoraInit::pissa;
  return spec;
}

class WeightFiller final : public ModelVisitor {
 public:
  WeightFiller(const Context& c, const TensorSource& source) : c_(c), source_(source) {}
  void weight(Weight& w) override {
    Tensor t = c_.empty(w.shape(), w.path());
    read_as_float(source_.at(w.path()), t.span<float>());
    w.set_value(t);
  }

 private:
  const Context& c_;
  const TensorSource& source_;
};

Tensor noise(const Context& c, Shape shape, const std::string& name, float size) {
  Tensor t = c.empty(shape, name);
  fill_normal(c, t, RandomStream{3, purpose(name), 0, 0});
  scale(c, t, t, size);
  return t;
}

TensorToWrite stored(const std::string& name, const Tensor& t) {
  const auto dims = t.shape().dims();
  return tensor_to_write(name, {dims.begin(), dims.end()}, t.span<float>(), FileDType::f32);
}

// One module: its adapter for the files, and its output.
AdapterWeights run_module(const Context& c, const TensorSource& source, const std::string& module,
                          const std::string& variant, std::vector<TensorToWrite>& recorded) {
  const auto& shape = source.at(module + ".weight").shape;
  SharedLinear layer(shape[1], {{module, shape[0], false}});
  WeightFiller filler(c, source);
  layer.visit(filler);
  layer.adapters().push_back(std::make_unique<LoraSet>(module, Shape{shape[1]}));
  LoraSet& set = *layer.adapters()[0];
  set.add(module, 0, shape[0], spec_of(variant, module));
  ParamArena arena(c, set.params());
  layer.init_adapters(c, 9);
  Tensor value = arena.value();
  add(c, value, value, noise(c, {arena.numel()}, module + ".moved", 0.1F));
  const Tensor x = noise(c, {kTokens, shape[1]}, join("x.", shape[1]), 1);
  recorded.push_back(stored(module, layer.forward(c, x)[0]));
  return adapter_weights(set, set.members()[0], module);
}

// blk.N.KIND.weight of llama.cpp.
std::string gguf_name(const std::string& module) {
  static constexpr std::pair<const char*, const char*> kKinds[] = {
      {"q_proj", "attn_q"},      {"k_proj", "attn_k"},  {"v_proj", "attn_v"},     {"o_proj", "attn_output"},
      {"gate_proj", "ffn_gate"}, {"up_proj", "ffn_up"}, {"down_proj", "ffn_down"}};
  const std::string layer = module.substr(13, module.find('.', 13) - 13);  // after "model.layers."
  for (const auto& [theirs, ours] : kKinds)
    if (module.ends_with(theirs)) return "blk." + layer + "." + ours + ".weight";
  throw DataError(module + " has no name in GGUF");
}

GgufAdapterNames gguf_names(const std::vector<AdapterWeights>& modules, int heads, int kv_heads) {
  GgufAdapterNames names{"llama", {}, {}, {}};
  names.tensor_of = [](const std::string& module) { return std::optional(gguf_name(module)); };
  names.module_of = [modules](const std::string& tensor) -> std::optional<std::string> {
    for (const AdapterWeights& m : modules)
      if (gguf_name(m.module) == tensor) return m.module;
    return std::nullopt;
  };
  names.interleaved_heads = [heads, kv_heads](const std::string& module) {
    return module.ends_with("q_proj") ? heads : module.ends_with("k_proj") ? kv_heads : 0;
  };
  return names;
}

void dump(const std::filesystem::path& model, const std::filesystem::path& folder, const std::string& variant,
          int heads, int kv_heads) {
  Runtime runtime(Device::cpu());
  const Context c(runtime);
  const SafetensorsFile source(model);
  std::vector<AdapterWeights> modules;
  std::vector<TensorToWrite> recorded;
  std::set<std::int64_t> widths;
  for (const auto& [name, info] : source.tensors()) {
    if (!name.ends_with("_proj.weight")) continue;
    const std::string module = name.substr(0, name.size() - 7);
    modules.push_back(run_module(c, source, module, variant, recorded));
    widths.insert(info.shape[1]);
  }
  for (const std::int64_t width : widths)
    recorded.push_back(stored(join("x.", width), noise(c, {kTokens, width}, join("x.", width), 1)));
  sort_for_writing(recorded);
  write_safetensors(folder / "recorded.safetensors", std::move(recorded), {});
  PeftOptions options;
  options.base_model = model.parent_path().string();
  options.rank_stabilised = variant == "rslora";
  write_peft_adapter(folder / "adapter", peft_adapter(modules, options), FileDType::f32);
  if (variant == "dora") return;
  write_gguf_adapter(folder / "adapter.gguf", modules, gguf_names(modules, heads, kv_heads), FileDType::f32);
}

// The other way: a folder that PEFT saved, as one matrix scale · B · A per module and its magnitudes.
void read(const std::filesystem::path& folder) {
  Runtime runtime(Device::cpu());
  const Context c(runtime);
  std::vector<TensorToWrite> deltas;
  for (const AdapterWeights& m : read_peft_adapter(folder / "adapter").modules) {
    std::vector<float> delta(static_cast<std::size_t>(m.b.rows * m.a.cols));
    for (std::int64_t o = 0; o < m.b.rows; ++o) {
      for (std::int64_t r = 0; r < m.rank(); ++r) {
        const float b = m.scale * m.b.values[o * m.rank() + r];
        for (std::int64_t k = 0; k < m.a.cols; ++k)
          delta[o * m.a.cols + k] += b * m.a.values[r * m.a.cols + k];
      }
    }
    deltas.push_back(tensor_to_write(m.module, {m.b.rows, m.a.cols}, delta, FileDType::f32));
    if (m.magnitude.empty()) continue;
    deltas.push_back(tensor_to_write(m.module + ".magnitude", {m.b.rows}, m.magnitude, FileDType::f32));
  }
  write_safetensors(folder / "deltas.safetensors", std::move(deltas), {});
}

}  // namespace
}  // namespace rankine

int main(int argc, char** argv) {
  const bool reading = argc == 3 && std::string(argv[1]) == "read";
  if (argc != 6 && !reading) {
    std::fprintf(
        stderr,
        "usage: peft_dump MODEL.safetensors FOLDER VARIANT HEADS KV_HEADS, or peft_dump read FOLDER\n");
    return 2;
  }
  try {
    if (reading)
      rankine::read(argv[2]);
    else
      rankine::dump(argv[1], argv[2], argv[3], std::atoi(argv[4]), std::atoi(argv[5]));
  } catch (const std::exception& e) {
    std::fprintf(stderr, "peft_dump: %s\n", e.what());
    return 1;
  }
}
