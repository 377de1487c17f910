// Models of chatglm.cpp (li-plus/chatglm.cpp), the container with its configuration of version 2:
//
//   "ggml", i32 model (1 ChatGLM, 2 ChatGLM2, 3 ChatGLM3, 4 GLM-4), configuration (56 bytes, below)
//   i32 length, vocabulary (a SentencePiece model; tiktoken lines for GLM-4)
//   tensor:  i32 length, name; i32 rank, i32 extents (outermost first); i32 type; data from the next multiple
//            of 16 of the file
//
// Names are those of Hugging Face; types those of ggml. ChatGLM-6B has no lm_head: it is the embedding.
#pragma once

#include <filesystem>
#include <map>
#include <span>
#include <string>

#include "io/files/mapped_file.h"
#include "io/formats/tensor_source.h"

namespace rankine {

struct ChatGlmCppConfig {
  std::int32_t version = 0, type = 0, vocab_size = 0, hidden_size = 0, heads = 0, kv_heads = 0, layers = 0,
               intermediate_size = 0;
  float norm_eps = 0.0F;
  std::int32_t virtual_tokens = 0;  // of P-tuning
  float rope_theta = 0.0F;
  std::int32_t max_length = 0, eos_id = 0, pad_id = 0;  // -1: none
};

struct ChatGlmCppHeader {
  std::int32_t model = 0;
  ChatGlmCppConfig config;
  std::span<const std::byte> vocabulary;  // points into the parsed file, as the tensors' bytes
  std::map<std::string, TensorInfo, std::less<>> tensors;
};

bool is_chatglm_cpp(std::span<const std::byte> head);  // by the first 12 bytes

// Parses and checks a whole file in memory; never reads outside `file`. Throws DataError "name: byte N: what
// is wrong" for another version of the configuration, sizes that are not positive or lie beyond the file,
// types that are not decoded, repeated names.
ChatGlmCppHeader parse_chatglm_cpp(std::span<const std::byte> file, const std::string& name);

class ChatGlmCppFile final : public TensorSource {
 public:
  explicit ChatGlmCppFile(const std::filesystem::path& path);  // throws IoError, and as parse_chatglm_cpp
  std::string describe() const override { return file_.path().string(); }
  const std::map<std::string, TensorInfo, std::less<>>& tensors() const override { return header_.tensors; }
  const std::map<std::string, std::string, std::less<>>& metadata() const override { return metadata_; }

  std::int32_t model() const { return header_.model; }
  const ChatGlmCppConfig& config() const { return header_.config; }
  std::span<const std::byte> vocabulary() const { return header_.vocabulary; }

 private:
  MappedFile file_;
  ChatGlmCppHeader header_;
  std::map<std::string, std::string, std::less<>> metadata_;
};

}  // namespace rankine
