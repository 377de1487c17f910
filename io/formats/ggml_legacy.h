// LLaMA models in the containers before GGUF (llama.cpp, March to August 2023): ggml, ggmf 1, ggjt 1 to 3.
//
//   u32 magic, u32 version (not ggml), u32 vocabulary, embd, mult, head, layer, rot, ftype
//   token:   u32 length, bytes, f32 score (not ggml)
//   tensor:  i32 rank (1 or 2), i32 length of the name, i32 type, i32 extents (innermost first), name, data;
//            ggjt: data from the next multiple of 32 of the file
//
// ggml and ggmf models may lie in several files (model.bin, model.bin.1, ...), each with a slice of every
// matrix. Blocks before ggjt 2 have another order of half bytes, before ggjt 3 some have fp32 scales. Tensor
// names are Meta's (layers.0.attention.wq.weight), rows of wq and wk in the order of interleaved rotation.
#pragma once

#include <filesystem>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "io/files/mapped_file.h"
#include "io/formats/tensor_output.h"
#include "io/formats/tensor_source.h"
#include "io/text/tokenizer_sources.h"

namespace rankine {

struct GgmlHyperparameters {
  std::uint32_t n_vocab = 0, n_embd = 0, n_mult = 0, n_head = 0, n_layer = 0, n_rot = 0, ftype = 0;
  bool operator==(const GgmlHyperparameters&) const = default;
};

enum class GgmlContainer { ggml, ggmf, ggjt };

struct GgmlTensor {
  TensorInfo info;        // as stored, in the type it has after load()
  bool adjacent = false;  // half bytes hold neighbours, as before ggjt 2: load() reorders them
};

struct GgmlHeader {
  GgmlContainer container = GgmlContainer::ggml;
  std::uint32_t version = 0;  // 0 for the container ggml
  GgmlHyperparameters hyperparameters;
  GgmlVocab vocab;
  std::map<std::string, GgmlTensor, std::less<>> tensors;  // bytes point into the parsed file
};

bool is_ggml(std::span<const std::byte> head);  // by the first 4 bytes

// Parses and checks a whole file in memory; never reads outside `file`. Throws DataError "name: byte N: what
// is wrong" for lengths and extents beyond the file, unknown types, Q4_2 and Q4_3 (April 2023, without a
// reader today), the Q4 layout of before 11 March 2023 (all scales of a row first), repeated names, rows that
// are not whole blocks. A file of the container ggml may say 32001 tokens and hold 32000 (GPT4All); it gets
// an empty one.
GgmlHeader parse_ggml(std::span<const std::byte> file, const std::string& name);

class GgmlFile final : public TensorSource {
 public:
  // The first file; the others are found beside it. Throws IoError, and as parse_ggml.
  explicit GgmlFile(const std::filesystem::path& path);
  std::string describe() const override { return path_.string(); }
  // Bytes are empty where the file has them in another order or in several files: use load().
  const std::map<std::string, TensorInfo, std::less<>>& tensors() const override { return tensors_; }
  const std::map<std::string, std::string, std::less<>>& metadata() const override { return metadata_; }
  TensorBytes load(std::string_view name) const override;

  GgmlContainer container() const { return parts_.front().container; }
  std::uint32_t version() const { return parts_.front().version; }
  const GgmlHyperparameters& hyperparameters() const { return parts_.front().hyperparameters; }
  const GgmlVocab& vocab() const { return parts_.front().vocab; }
  std::size_t parts() const { return parts_.size(); }

 private:
  void open_others();
  void join_parts();

  std::filesystem::path path_;
  std::vector<MappedFile> files_;
  std::vector<GgmlHeader> parts_;
  std::map<std::string, TensorInfo, std::less<>> tensors_;
  std::map<std::string, std::string, std::less<>> metadata_;
};

// Writes ggjt version 3 durably, one tensor in memory at a time. `vocab` must have n_vocab tokens and scores,
// tensors one or two dimensions. Throws DataError and IoError.
void write_ggjt(const std::filesystem::path& path, const GgmlHyperparameters& hyperparameters,
                const GgmlVocab& vocab, std::span<const TensorOutput> tensors);

// Width of the feed-forward layers that the header implies: 2/3 of 4 n_embd, rounded up to n_mult.
std::int64_t ggml_feed_forward(const GgmlHyperparameters& h);

}  // namespace rankine
