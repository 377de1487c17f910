#include "io/formats/peft_adapter.h"

#include <algorithm>
#include <cmath>
#include <set>

#include "engine/core/error.h"
#include "io/files/atomic_folder.h"
#include "io/files/atomic_write.h"
#include "io/formats/peft_config.h"
#include "io/formats/safetensors.h"

namespace rankine {
namespace {

using peft_detail::PeftScales;

constexpr const char* kConfig = "adapter_config.json";
constexpr const char* kWeights = "adapter_model.safetensors";
constexpr std::string_view kPrefix = "base_model.model.";

float alpha_of(const AdapterWeights& m, bool rank_stabilised) {
  const auto r = static_cast<float>(m.rank());
  const float alpha = m.scale * (rank_stabilised ? std::sqrt(r) : r);
  // Scales come from whole alphas mostly, and a division lost them.
  return std::abs(alpha - std::round(alpha)) < 1e-5F * std::abs(alpha) ? std::round(alpha) : alpha;
}

template <class T>
T most_frequent(const std::vector<T>& values) {
  std::map<T, int> counts;
  for (const T& v : values) ++counts[v];
  return std::max_element(counts.begin(), counts.end(),
                          [](const auto& a, const auto& b) { return a.second < b.second; })
      ->first;
}

std::string last_component(const std::string& path) { return path.substr(path.rfind('.') + 1); }

std::vector<std::string> targets_of(const std::vector<AdapterWeights>& modules,
                                    const std::vector<std::string>& linears) {
  std::set<std::string> adapted, incomplete, targets;
  for (const AdapterWeights& m : modules) adapted.insert(m.module);
  for (const std::string& path : linears)
    if (!adapted.contains(path)) incomplete.insert(last_component(path));
  for (const std::string& path : adapted) {
    const std::string last = last_component(path);
    targets.insert(incomplete.contains(last) ? path : last);
  }
  return {targets.begin(), targets.end()};
}

void check_described(const PeftAdapter& adapter, const std::string& where) {
  const PeftScales scales(adapter.config, where);
  for (const AdapterWeights& m : adapter.modules) {
    require<DataError>(m.rank() == scales.rank(m.module), where, ": ", m.module, " has rank ", m.rank(),
                       ", the configuration says ", scales.rank(m.module));
    const float scale = scales.scale(m.module);
    require<DataError>(std::abs(m.scale - scale) <= 1e-5F * std::abs(scale), where, ": ", m.module,
                       " has scale ", m.scale, ", the configuration says ", scale);
    require<DataError>(
        m.magnitude.empty() != adapter.config.dora, where, ": ", m.module,
        adapter.config.dora ? " has no magnitude (use_dora)" : " has a magnitude without use_dora");
  }
}

// A tensor's module and what it is of it.
struct Part {
  enum class Kind { a, b, magnitude } kind;
  std::string module;
};

Part parse(const std::string& key, const std::string& where) {
  struct Suffix {
    std::string_view text;
    Part::Kind kind;
  };
  // ".default" is the adapter's name, which saved files have only when something other than PEFT wrote them.
  static constexpr Suffix kSuffixes[] = {{".lora_A.weight", Part::Kind::a},
                                         {".lora_B.weight", Part::Kind::b},
                                         {".lora_A.default.weight", Part::Kind::a},
                                         {".lora_B.default.weight", Part::Kind::b},
                                         {".lora_magnitude_vector", Part::Kind::magnitude},
                                         {".lora_magnitude_vector.weight", Part::Kind::magnitude},
                                         {".lora_magnitude_vector.default.weight", Part::Kind::magnitude}};
  for (const Suffix& s : kSuffixes) {
    if (!key.starts_with(kPrefix) || !key.ends_with(s.text) || key.size() <= kPrefix.size() + s.text.size())
      continue;
    return {s.kind, key.substr(kPrefix.size(), key.size() - kPrefix.size() - s.text.size())};
  }
  throw DataError(join(where, ": \"", key, "\" is no part of a LoRA of linear maps; expected ", kPrefix,
                       "MODULE.lora_A.weight, .lora_B.weight or .lora_magnitude_vector"));
}

std::vector<float> magnitudes(const TensorSource& source, const std::string& key) {
  const auto& shape = source.at(key).shape;
  require<DataError>(shape.size() == 1, source.describe(), ": ", key, ": expected a vector, got ",
                     shape.size(), " dimensions: not of a linear map");
  return read_as_float(source, key);
}

std::vector<AdapterWeights> read_modules(const TensorSource& source) {
  std::map<std::string, AdapterWeights> modules;
  for (const auto& [key, info] : source.tensors()) {
    const Part part = parse(key, source.describe());
    AdapterWeights& m = modules[part.module];
    m.module = part.module;
    const bool taken = part.kind == Part::Kind::a   ? m.a.rows != 0
                       : part.kind == Part::Kind::b ? m.b.rows != 0
                                                    : !m.magnitude.empty();
    require<DataError>(!taken, source.describe(), ": \"", key, "\" stands twice under different names");
    if (part.kind == Part::Kind::magnitude)
      m.magnitude = magnitudes(source, key);
    else
      (part.kind == Part::Kind::a ? m.a : m.b) = adapter_matrix(source, key);
  }
  std::vector<AdapterWeights> all;
  for (auto& [name, m] : modules) {
    require<DataError>(m.a.rows != 0 && m.b.rows != 0, source.describe(), ": ", name, " has no lora_",
                       m.a.rows == 0 ? "A" : "B");
    all.push_back(std::move(m));
  }
  return all;
}

std::vector<TensorToWrite> tensors_of(const PeftAdapter& adapter, FileDType dtype) {
  std::vector<TensorToWrite> tensors;
  for (const AdapterWeights& m : adapter.modules) {
    const std::string path = std::string(kPrefix) + m.module;
    tensors.push_back(tensor_to_write(path + ".lora_A.weight", {m.a.rows, m.a.cols}, m.a.values, dtype));
    tensors.push_back(tensor_to_write(path + ".lora_B.weight", {m.b.rows, m.b.cols}, m.b.values, dtype));
    if (!m.magnitude.empty())
      tensors.push_back(tensor_to_write(path + ".lora_magnitude_vector", {m.b.rows}, m.magnitude, dtype));
  }
  sort_for_writing(tensors);
  return tensors;
}

}  // namespace

PeftAdapter peft_adapter(std::vector<AdapterWeights> modules, const PeftOptions& options) {
  check_adapter(modules, FileDType::f32, "adapter");
  PeftConfig config;
  config.base_model = options.base_model;
  config.dropout = options.dropout;
  config.rank_stabilised = options.rank_stabilised;
  config.dora = !modules.front().magnitude.empty();
  config.target_modules = targets_of(modules, options.linears);
  std::vector<int> ranks;
  std::vector<float> alphas;
  for (const AdapterWeights& m : modules) {
    ranks.push_back(static_cast<int>(m.rank()));
    alphas.push_back(alpha_of(m, config.rank_stabilised));
  }
  config.rank = most_frequent(ranks);
  config.alpha = most_frequent(alphas);
  for (std::size_t i = 0; i < modules.size(); ++i) {
    if (ranks[i] == config.rank && alphas[i] == config.alpha) continue;
    // Both: PEFT before 0.14 takes the first key it meets in either table for both.
    config.rank_pattern.emplace_back(modules[i].module, ranks[i]);
    config.alpha_pattern.emplace_back(modules[i].module, alphas[i]);
  }
  PeftAdapter adapter{std::move(config), std::move(modules)};
  check_described(adapter, "adapter");
  return adapter;
}

void write_peft_adapter(const std::filesystem::path& folder, const PeftAdapter& adapter, FileDType dtype) {
  check_adapter(adapter.modules, dtype, folder.string());
  check_described(adapter, folder.string());
  write_folder_atomically(
      folder,
      [&](const std::filesystem::path& made) {
        write_safetensors(made / kWeights, tensors_of(adapter, dtype), {{"format", "pt"}});
        write_file_atomically(made / kConfig, peft_detail::to_json(adapter.config));
      },
      [&](const std::filesystem::path& made) {
        check_reloaded(adapter.modules, read_peft_adapter(made).modules, dtype, folder.string());
      });
}

PeftAdapter read_peft_adapter(const std::filesystem::path& folder, const TensorSource& weights) {
  PeftAdapter adapter{peft_detail::read_config(folder / kConfig), read_modules(weights)};
  const PeftScales scales(adapter.config, (folder / kConfig).string());
  for (AdapterWeights& m : adapter.modules) m.scale = scales.scale(m.module);
  check_adapter(adapter.modules, FileDType::f32, weights.describe());
  check_described(adapter, folder.string());
  return adapter;
}

PeftAdapter read_peft_adapter(const std::filesystem::path& folder) {
  std::error_code error;
  const bool safe = std::filesystem::exists(folder / kWeights, error);
  require<DataError>(safe || !std::filesystem::exists(folder / "adapter_model.bin", error), folder.string(),
                     ": holds adapter_model.bin; only adapter_model.safetensors is opened by name");
  return read_peft_adapter(folder, SafetensorsFile(folder / kWeights));
}

}  // namespace rankine
