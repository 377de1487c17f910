// Checkpoints written by torch.save: .bin, .ckpt, .pt, .pth (pytorch/pytorch, torch/serialization.py). The
// pickle inside is read as data (pickle.h): nothing of it can run.
//
//   zip file (torch >= 1.6)   NAME/data.pkl, NAME/data/KEY (bytes of one storage), NAME/version,
//   NAME/byteorder before that               five pickles (magic, version, system, object, keys), then per
//   key: i64 count, bytes
#pragma once

#include <deque>
#include <filesystem>
#include <string>
#include <vector>

#include "io/files/mapped_file.h"
#include "io/formats/tensor_source.h"

namespace rankine {

struct TorchContents {
  TensorTable tensors;  // bytes point into the parsed file, or into `gathered`
  // Copies of those tensors that are no contiguous part of their storage (transposed and strided views); all
  // of them together are no larger than the file.
  std::deque<std::vector<std::byte>> gathered;
};

// True when the bytes begin like a checkpoint of torch before 1.6.
bool is_legacy_torch(std::span<const std::byte> bytes);

// The tensors of a whole file in memory; never reads outside `file`. Where the saved object is a dict with a
// dict "state_dict", "model_state_dict", "model", "module", "params_ema" or "params" in it, that one is taken
// (again and again, as in {"model": {"state_dict": ...}}). Dicts inside are flattened with dots between the
// keys; whatever is no tensor or Parameter, and keys that are no text, are left out. Element types that the
// engine cannot decode are FileDType::other.
// Throws DataError, naming file and offset or tensor, for what pickle.h and zip_archive.h refuse, TorchScript
// archives, big-endian data, storages that are missing or too short, views that reach outside of their
// storage (also by a negative stride), lazily conjugated or negated tensors, a name twice, and files without
// tensors.
TorchContents parse_torch_checkpoint(std::span<const std::byte> file, const std::string& name);

class TorchCheckpoint final : public TensorSource {
 public:
  explicit TorchCheckpoint(const std::filesystem::path& path);  // throws IoError, and as above
  std::string describe() const override { return file_.path().string(); }
  const TensorTable& tensors() const override { return contents_.tensors; }
  const MetadataTable& metadata() const override { return metadata_; }  // empty: the format has none

 private:
  MappedFile file_;
  TorchContents contents_;
  MetadataTable metadata_;
};

}  // namespace rankine
