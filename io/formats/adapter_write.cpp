#include <algorithm>
#include <cmath>

#include "engine/core/error.h"
#include "engine/core/half.h"
#include "io/formats/adapter_file.h"

namespace rankine {
namespace {

float stored(float x, FileDType dtype) {
  if (dtype == FileDType::f16) return to_float(to_half(x));
  return dtype == FileDType::bf16 ? to_float(to_bfloat16(x)) : x;
}

void add(std::vector<TensorToWrite>& tensors, const std::string& name, const std::vector<std::int64_t>& shape,
         std::span<const float> values, FileDType dtype) {
  const bool finite =
      std::all_of(values.begin(), values.end(), [dtype](float x) { return std::isfinite(stored(x, dtype)); });
  require<DataError>(finite, "adapter: ", name, " holds a number that is not finite in ", name_of(dtype));
  tensors.push_back(tensor_to_write(name, shape, values, dtype));
}

}  // namespace

void write_adapter(const std::filesystem::path& path, const AdapterFile& file, FileDType dtype) {
  require<DataError>(dtype == FileDType::f16 || dtype == FileDType::bf16 || dtype == FileDType::f32,
                     "adapter: is written as F16, BF16 or F32, not ", name_of(dtype));
  require<DataError>(!file.modules.empty(), path.string(), ": an adapter without modules is not written");
  std::vector<TensorToWrite> tensors;
  for (const AdapterModule& m : file.modules) {
    add(tensors, m.name + ".lora_down.weight", m.down_shape, m.down, dtype);
    add(tensors, m.name + ".lora_up.weight", m.up_shape, m.up, dtype);
    add(tensors, m.name + ".alpha", {}, std::span(&m.alpha, 1), dtype);
  }
  sort_for_writing(tensors);
  MetadataTable metadata = file.metadata;
  metadata.erase("lora_adapter_metadata");  // its alpha is in the alpha tensors now
  const std::string hash = payload_sha256(tensors);
  metadata["format"] = "pt";
  metadata["sshs_model_hash"] = hash;
  metadata["sshs_legacy_hash"] = legacy_hash(tensors, metadata);
  if (metadata.find("modelspec.sai_model_spec") != metadata.end())
    metadata["modelspec.hash_sha256"] = "0x" + hash;
  write_safetensors(path, std::move(tensors), metadata);
}

}  // namespace rankine
