#include <map>

#include "engine/core/error.h"
#include "io/formats/ggml_reader.h"
#include "io/formats/ggml_types.h"
#include "io/formats/gguf.h"
#include "io/formats/gguf_adapter.h"
#include "io/formats/rope_layout.h"

namespace rankine {
namespace {

struct LoraHalf {
  std::string tensor;
  bool is_a;
};

LoraHalf half_of(const std::string& key, std::string_view a, std::string_view b, const std::string& where) {
  for (const std::string_view suffix : {a, b}) {
    if (key.ends_with(suffix) && key.size() > suffix.size())
      return {key.substr(0, key.size() - suffix.size()), suffix == a};
  }
  throw DataError(join(where, ": tensor ", printable(key), " is no half of a LoRA (", a, ", ", b, ")"));
}

void check_kind(const GgufFile& file, const GgufAdapterNames& names) {
  const auto type = file.need<std::string>("general.type"), kind = file.need<std::string>("adapter.type"),
             architecture = file.need<std::string>("general.architecture");
  require<DataError>(type == "adapter" && kind == "lora", file.describe(), ": is a \"", type, "\" of type \"",
                     kind, "\"; expected an adapter of type lora");
  require<DataError>(architecture == names.architecture, file.describe(), ": is for architecture ",
                     architecture, ", the base is ", names.architecture);
  require<DataError>(file.value("adapter.alora.invocation_tokens") == nullptr, file.describe(),
                     ": adapter.alora.invocation_tokens: an aLoRA acts on a part of the text only");
}

// Scale and row order of what was read.
std::vector<AdapterWeights> finished(std::map<std::string, AdapterWeights>&& modules,
                                     const GgufAdapterNames& names, float alpha, const std::string& where) {
  std::vector<AdapterWeights> all;
  for (auto& [name, m] : modules) {
    require<DataError>(m.a.rows != 0 && m.b.rows != 0, where, ": ", name, " has only one half");
    m.module = name;
    m.scale = alpha == 0 ? 1 : alpha / static_cast<float>(m.rank());
    const int heads = names.heads(name);
    if (heads > 0) m.b = permute_rows_to_halves(m.b, heads);
    all.push_back(std::move(m));
  }
  check_adapter(all, FileDType::f32, where);
  return all;
}

std::string module_of(const std::string& tensor, const GgufAdapterNames& names, const std::string& where) {
  const auto module = names.module_of(tensor);
  require<DataError>(module.has_value(), where, ": \"", tensor,
                     "\" is no adaptable tensor of the base model");
  return *module;
}

// The matrix of a module that a tensor is, not yet filled.
AdapterMatrix& place_of(const LoraHalf& half, std::map<std::string, AdapterWeights>& modules,
                        const GgufAdapterNames& names, const std::string& where) {
  AdapterWeights& m = modules[module_of(half.tensor, names, where)];
  AdapterMatrix& to = half.is_a ? m.a : m.b;
  require<DataError>(to.rows == 0, where, ": two tensors are one half of ", printable(half.tensor));
  return to;
}

AdapterMatrix transposed(const AdapterMatrix& m) {
  AdapterMatrix t{m.cols, m.rows, std::vector<float>(m.values.size())};
  for (std::int64_t i = 0; i < m.rows; ++i) {
    for (std::int64_t j = 0; j < m.cols; ++j) t.values[j * m.rows + i] = m.values[i * m.cols + j];
  }
  return t;
}

// One tensor of a ggla file: its name and its numbers as they lie.
std::pair<std::string, AdapterMatrix> read_ggla_tensor(GgmlReader& in) {
  constexpr std::uint32_t kMaxName = 256;
  const auto rank = in.number<std::uint32_t>("the rank of a tensor");
  const auto length = in.number<std::uint32_t>("the length of a name");
  const auto id = in.number<std::uint32_t>("a tensor type");
  in.check(rank == 2, "a tensor of ", rank, " dimensions; adapters have 2");
  in.check(length >= 1 && length <= kMaxName, "a tensor name of ", length, " bytes; 1 to ", kMaxName,
           " are allowed");
  const auto cols = in.number<std::uint32_t>("an extent"), rows = in.number<std::uint32_t>("an extent");
  const std::string name = in.text(length, "a tensor name");
  in.check(id <= 1, "tensor ", printable(name), ": type ", id, "; F32 (0) and F16 (1) are known");
  in.check(cols > 0 && rows > 0 && cols < 1U << 31 && rows < 1U << 31, "tensor ", printable(name),
           ": extents ", cols, " and ", rows);
  in.align(32);
  TensorInfo info{id == 0 ? FileDType::f32 : FileDType::f16, {rows, cols}, {}};
  info.bytes = in.bytes(std::uint64_t{cols} * rows * size_of(info.dtype), "tensor " + printable(name));
  AdapterMatrix m{rows, cols, std::vector<float>(static_cast<std::size_t>(info.numel()))};
  read_as_float(info, m.values);
  return {name, std::move(m)};
}

}  // namespace

int GgufAdapterNames::heads(const std::string& module) const {
  return interleaved_heads ? interleaved_heads(module) : 0;
}

std::vector<AdapterWeights> read_gguf_adapter(const std::filesystem::path& path,
                                              const GgufAdapterNames& names) {
  const GgufFile file(path);
  const std::string where = file.describe();
  check_kind(file, names);
  const float alpha = file.get<float>("adapter.lora.alpha").value_or(0);
  std::map<std::string, AdapterWeights> modules;
  for (const auto& [key, info] : file.tensors()) {
    if (key.ends_with("_norm.weight")) continue;  // llama.cpp passes these over, too
    place_of(half_of(key, ".lora_a", ".lora_b", where), modules, names, where) = adapter_matrix(file, key);
  }
  return finished(std::move(modules), names, alpha, where);
}

std::vector<AdapterWeights> read_ggla_adapter(const std::filesystem::path& path,
                                              const GgufAdapterNames& names) {
  constexpr std::uint32_t kMagic = 0x67676c61;
  const MappedFile file(path);
  const std::string where = path.string();
  GgmlReader in(file.bytes(), where);
  in.check(in.number<std::uint32_t>("the magic") == kMagic, "this is no ggla adapter");
  const auto version = in.number<std::uint32_t>("the version");
  in.check(version == 1, "ggla version ", version, " is unknown; 1 is known");
  const auto rank = in.number<std::int32_t>("r"), alpha = in.number<std::int32_t>("alpha");
  in.check(rank > 0, "rank ", rank);
  std::map<std::string, AdapterWeights> modules;
  while (in.left() > 0) {
    auto [name, m] = read_ggla_tensor(in);
    const LoraHalf half = half_of(name, ".loraA", ".loraB", where);
    AdapterMatrix& to = place_of(half, modules, names, where);
    to = half.is_a ? transposed(m) : std::move(m);
    in.check((half.is_a ? to.rows : to.cols) == rank, "tensor ", printable(name), " has another rank than ",
             rank);
  }
  return finished(std::move(modules), names, static_cast<float>(alpha), where);
}

}  // namespace rankine
