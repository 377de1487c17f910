// LoRA adapters in ggml's containers: GGUF as llama.cpp loads it (llama-adapter.cpp), and the "ggla" files of
// 2023.
//
// GGUF: general.type "adapter", general.architecture of the base, adapter.type "lora", adapter.lora.alpha,
// and for each adapted tensor T of the base (a name with ".weight"): T.lora_a (r, in), T.lora_b (out, r).
// llama.cpp adds alpha / r · b · a with r of each T and one alpha for the file, so the scales of modules are
// folded into b: written is alpha = r, or the largest r where ranks differ.
//
// ggla: "algg", i32 version 1, i32 r, i32 alpha, then per tensor i32 rank 2, length of the name, type (0 F32,
// 1 F16), i32 extents (innermost first), name, data from the next multiple of 32 of the file. Names are
// T.loraA (stored transposed: in, r) and T.loraB with Meta's T ("layers.0.attention.wq.weight").
#pragma once

#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "io/formats/adapter_weights.h"

namespace rankine {

// What adapter files of one base model are spelled by.
struct GgufAdapterNames {
  std::string architecture;  // general.architecture of the base: "llama"
  // Name of the base tensor, with ".weight", of a module ("model.layers.0.self_attn.q_proj" ->
  // "blk.0.attn_q.weight"), and back; nothing where there is none.
  std::function<std::optional<std::string>(const std::string& module)> tensor_of;
  std::function<std::optional<std::string>(const std::string& tensor)> module_of;
  // Heads of a module whose rows the file has interleaved (io/formats/rope_layout.h): q and k of "llama", k
  // by its own number of heads. 0 for the others. Null: no module.
  std::function<int(const std::string& module)> interleaved_heads;
  int heads(const std::string& module) const;
};

// Writes durably, tensors as `dtype` (F32 or F16), then reads back and compares (check_reloaded) before the
// file is in place. Throws DataError as check_adapter, for a module without a name, for DoRA, whose
// magnitudes have no place there, and for the token embedding, which llama.cpp wants transposed; IoError.
void write_gguf_adapter(const std::filesystem::path& path, const std::vector<AdapterWeights>& modules,
                        const GgufAdapterNames& names, FileDType dtype);

// Throws DataError naming file and tensor for another type or architecture, aLoRA, tensors that are no halves
// of a module, and as check_adapter. b is as in the file, the scale is alpha / r (1 for alpha 0, as llama.cpp
// takes it).
std::vector<AdapterWeights> read_gguf_adapter(const std::filesystem::path& path,
                                              const GgufAdapterNames& names);

// The converter of 2023 left the rows of q and k as its source had them: for adapters trained in Hugging
// Face's layout leave interleaved_heads null. `architecture` is not in such files.
std::vector<AdapterWeights> read_ggla_adapter(const std::filesystem::path& path,
                                              const GgufAdapterNames& names);

}  // namespace rankine
