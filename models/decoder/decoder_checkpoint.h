// Opens the file a user has: a language model as a Hugging Face or THUDM folder, a GGUF file, or a ggml, ggmf
// or ggjt file of 2023; says what it is and where each weight stands.
#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "io/text/tokenizer_sources.h"
#include "models/decoder/decoder.h"
#include "models/nn/load.h"

namespace rankine {

// What a run file says where the model file is silent or wrong.
struct DecoderOverrides {
  std::optional<double> rope_theta, norm_eps;
  std::optional<std::int64_t> context_length;
};

enum class DecoderContainer : std::uint8_t { hugging_face, gguf, ggml };

struct DecoderCheckpoint {
  std::filesystem::path path;  // file, or folder
  DecoderContainer container = DecoderContainer::hugging_face;
  std::string format;  // for people: "GGUF 3", "ggjt 3", "safetensors folder"
  std::shared_ptr<const TensorSource> source;
  DecoderConfig config;
  DecoderNames names;                // what the model's layers are called
  DecoderNames file_names;           // what the file calls them
  bool interleaved = false;          // rows of q and k in Meta's order, where Hugging Face's file has halves
  std::vector<std::string> assumed;  // what the file does not say, and what was taken: for the user to see

  Naming naming() const;
};

// Throws DataError naming the file and what is wrong: an unknown architecture, a field that is missing, sizes
// that do not fit the tensors.
DecoderCheckpoint open_decoder_checkpoint(const std::filesystem::path& path,
                                          const DecoderOverrides& overrides = {});

// The vocabulary that came with the model, or `explicit_path`. Throws DataError, or ConfigError saying where
// one was looked for.
std::shared_ptr<const Tokenizer> load_tokenizer(const DecoderCheckpoint& checkpoint,
                                                const std::optional<std::string>& explicit_path);

// Whether a path holds a language model of a kind that this opens: for `inspect`. Looks at names and magic
// only.
bool is_decoder_file(const std::filesystem::path& path);

}  // namespace rankine
