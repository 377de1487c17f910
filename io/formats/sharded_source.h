// One model in several files under an index: `model.safetensors.index.json`, `pytorch_model.bin.index.json`.
#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <string>

#include "io/formats/tensor_source.h"

namespace rankine {

// The index is {"weight_map": {"tensor": "file name"}, ...}. The files may be of any kind that
// open_tensor_file() reads, must lie in the folder of the index, and hold the tensors that the index says.
// Tensors that the index does not name are left out; metadata is that of all files together, of the first in
// name order where they disagree.
class ShardedSource final : public TensorSource {
 public:
  explicit ShardedSource(const std::filesystem::path& index);  // throws DataError, IoError
  std::string describe() const override { return index_.string(); }
  const TensorTable& tensors() const override { return tensors_; }
  const MetadataTable& metadata() const override { return metadata_; }
  TensorBytes load(std::string_view name) const override;

 private:
  std::filesystem::path index_;
  std::map<std::string, std::shared_ptr<const TensorSource>> shards_;
  std::map<std::string, const TensorSource*, std::less<>> shard_of_;  // of each tensor
  TensorTable tensors_;
  MetadataTable metadata_;
};

}  // namespace rankine
