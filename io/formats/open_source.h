// Opens the weights of a model, whatever container they are in.
#pragma once

#include <filesystem>
#include <memory>

#include "io/formats/tensor_source.h"

namespace rankine {

// One file that holds tensors itself, recognised by its content, whatever it is called:
//   safetensors                          SafetensorsFile
//   torch.save, zip or before torch 1.6  TorchCheckpoint
// Throws DataError for any other content, saying what it may be, IoError when it cannot be read, and whatever
// the reader throws.
std::shared_ptr<const TensorSource> open_tensor_file(const std::filesystem::path& path);

// Such a file, an index of shards (a JSON file, see ShardedSource), or a folder with either. In a folder
// these names are looked for, in this order:
//   model, diffusion_pytorch_model       each .safetensors, .safetensors.index.json, .fp16.safetensors
//   pytorch_model, diffusion_pytorch_model   each .bin, .bin.index.json, .fp16.bin
// and, when none of them is there, the one *.safetensors, *.bin, *.pt, *.pth or *.ckpt file, if there is but
// one. Throws DataError naming what was looked for.
std::shared_ptr<const TensorSource> open_tensor_source(const std::filesystem::path& path);

}  // namespace rankine
