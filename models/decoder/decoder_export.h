// Writes a decoder, perhaps with an adapter folded into its weights, as a file of its own: a Hugging Face
// folder, a GGUF file, or a ggjt file of 2023.
#pragma once

#include <filesystem>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "io/formats/adapter_weights.h"
#include "io/formats/gguf.h"
#include "io/text/spm_model.h"
#include "models/decoder/decoder_checkpoint.h"

namespace rankine {

// The vocabulary as it goes into a file. SentencePiece for all containers; for GGUF also the keys of a GGUF
// file as they were.
struct ExportVocabulary {
  std::optional<SpmModel> spm;
  std::vector<GgufEntry> gguf_keys;  // tokenizer.*
};
// Of an opened checkpoint: its GGUF keys, its GGML vocabulary, or the tokenizer.model of its folder.
ExportVocabulary vocabulary_of(const DecoderCheckpoint& checkpoint);

// A SentencePiece file, or the one in a folder; nothing when it is another kind.
std::optional<SpmModel> vocabulary_in(const std::filesystem::path& file_or_folder);

// Everything of one export. Rows of q and k are turned to the order of the target.
class DecoderExport {
 public:
  // `adapter` in the order of Hugging Face's rows, as files have it; DoRA too. The model must outlive this.
  DecoderExport(Decoder& model, const DecoderCheckpoint& checkpoint,
                std::vector<AdapterWeights> adapter = {});

  // config.json, model.safetensors (every tensor as `dtype`), tokenizer.model and tokenizer_config.json where
  // the vocabulary is SentencePiece. Writes into an existing, empty folder.
  void write_hugging_face(const std::filesystem::path& folder, FileDType dtype,
                          const ExportVocabulary& vocabulary, const MetadataTable& metadata) const;
  // Matrices of two dimensions as `dtype`, others F32. Throws DataError for a family that llama.cpp has not.
  void write_gguf(const std::filesystem::path& path, FileDType dtype,
                  const ExportVocabulary& vocabulary) const;
  void write_ggjt(const std::filesystem::path& path, FileDType dtype,
                  const ExportVocabulary& vocabulary) const;

 private:
  enum class Rows : std::uint8_t { halves, interleaved };
  std::vector<float> values(const Weight& w, Rows rows) const;
  std::vector<std::byte> bytes(const Weight& w, Rows rows, FileDType dtype) const;
  void fold(std::vector<float>& w, const AdapterWeights& adapter, std::int64_t cols) const;
  int rotated_heads(const std::string& path) const;  // of q or k; 0 for other modules
  bool interleaved(Rows rows) const { return rows == Rows::interleaved; }

  const DecoderCheckpoint& checkpoint_;
  std::vector<const Weight*> weights_;
  std::vector<AdapterWeights> adapter_;
};

// GGUF's architecture of a family, where llama.cpp has one with these tensors.
std::optional<std::string> gguf_architecture(const DecoderConfig& config);

// Heads whose rows differ between Meta's order and Hugging Face's: q and k of a model whose pairs are
// interleaved in one and halves in the other; 0 for every other module.
int reordered_heads(const DecoderConfig& config, const DecoderNames& names, const std::string& module);

}  // namespace rankine
