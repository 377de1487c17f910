#include "io/formats/gguf_adapter.h"

#include <unistd.h>

#include <algorithm>

#include "engine/core/error.h"
#include "io/files/atomic_folder.h"
#include "io/formats/gguf.h"
#include "io/formats/rope_layout.h"
#include "io/formats/safetensors.h"

namespace rankine {
namespace {

constexpr std::string_view kA = ".lora_a", kB = ".lora_b";
constexpr std::string_view kEmbedding = "token_embd.weight";

std::string tensor_of(const AdapterWeights& m, const GgufAdapterNames& names, const std::string& where) {
  require<DataError>(
      m.magnitude.empty(), where, ": ", m.module,
      " has a magnitude (DoRA), which a GGUF adapter cannot hold; merge it into the model instead");
  const auto tensor = names.tensor_of(m.module);
  require<DataError>(tensor && *tensor != kEmbedding, where, ": ", m.module,
                     " has no place in a GGUF adapter of architecture ", names.architecture);
  return *tensor;
}

// B as the file has it, so that alpha / r is the scale.
AdapterMatrix folded(const AdapterWeights& m, const GgufAdapterNames& names, float alpha) {
  const int heads = names.heads(m.module);
  AdapterMatrix b = heads > 0 ? permute_rows_to_interleaved(m.b, heads) : m.b;
  const float factor = m.scale * static_cast<float>(m.rank()) / alpha;
  for (float& x : b.values) x *= factor;
  return b;
}

}  // namespace

void write_gguf_adapter(const std::filesystem::path& path, const std::vector<AdapterWeights>& modules,
                        const GgufAdapterNames& names, FileDType dtype) {
  const std::string where = path.string();
  require<DataError>(dtype == FileDType::f32 || dtype == FileDType::f16, where,
                     ": a GGUF adapter is written as F32 or F16, not ", name_of(dtype));
  check_adapter(modules, FileDType::f32, where);
  std::int64_t rank = 0;
  for (const AdapterWeights& m : modules) rank = std::max(rank, m.rank());
  const auto alpha = static_cast<float>(rank);
  std::vector<TensorToWrite> stored;
  std::vector<AdapterWeights> as_written = modules;
  for (AdapterWeights& m : as_written) {
    const std::string tensor = tensor_of(m, names, where);
    const AdapterMatrix b = folded(m, names, alpha);
    stored.push_back(tensor_to_write(tensor + std::string(kA), {m.a.rows, m.a.cols}, m.a.values, dtype));
    stored.push_back(tensor_to_write(tensor + std::string(kB), {b.rows, b.cols}, b.values, dtype));
    m.b = b;
    m.scale = alpha / static_cast<float>(m.rank());
  }
  check_adapter(as_written, dtype, where);  // the folded numbers too must fit
  std::vector<TensorOutput> tensors;
  tensors.reserve(stored.size());
  for (const TensorToWrite& t : stored) tensors.push_back(borrowed(t.name, t.dtype, t.shape, t.bytes));
  const std::vector<GgufEntry> entries{{"general.architecture", names.architecture},
                                       {"general.type", std::string("adapter")},
                                       {"adapter.type", std::string("lora")},
                                       {"adapter.lora.alpha", alpha}};
  const std::filesystem::path unchecked =
      path.parent_path() / join(".unchecked-", path.filename().string(), "-", ::getpid());
  try {
    write_gguf(unchecked, entries, tensors);
    check_reloaded(modules, read_gguf_adapter(unchecked, names), dtype, where);
    rename_durably(unchecked, path);
  } catch (...) {
    std::error_code ignored;
    std::filesystem::remove(unchecked, ignored);
    throw;
  }
}

}  // namespace rankine
