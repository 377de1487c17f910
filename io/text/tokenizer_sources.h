// Tokenizers from what models are shipped with: folders and files, and the vocabularies inside GGUF and GGML
// files.
#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "io/text/tokenizer.h"

namespace rankine {

// The keys tokenizer.ggml.* of a GGUF file: model, pre, tokens, scores, token_type, merges, the *_token_id,
// add_bos_token, add_space_prefix.
struct GgufVocab {
  std::string model, pre;
  std::vector<std::string> tokens;
  std::vector<float> scores;        // empty, or one a token
  std::vector<std::int32_t> types;  // empty, or one a token; as in io/text/token.h
  std::vector<std::string> merges;
  std::optional<std::int32_t> bos, eos, unk, pad, eot;
  std::optional<bool> add_bos, add_space_prefix;
};

// The vocabulary of a model file from before GGUF: raw bytes with real spaces. Token 0 is the unknown one, 1
// and 2 are BOS and EOS, 3 to 258 the bytes. Without scores the order of the ids is that of the merges, as in
// LLaMA's own.
struct GgmlVocab {
  std::vector<std::string> tokens;
  std::vector<float> scores;  // empty for the unversioned format
};

// `model` "llama" (SentencePiece BPE; all bytes in the vocabulary fall back) or "gpt2" (byte-level BPE; `pre`
// must be one of io/text/pretokenizer.h). Throws DataError naming `file` for anything else, for lists of
// different lengths, and for what the tokenizers refuse.
std::shared_ptr<const Tokenizer> make_tokenizer(const GgufVocab& vocab, const std::string& file);
std::shared_ptr<const Tokenizer> make_tokenizer(const GgmlVocab& vocab, const std::string& file);

// What a vocabulary file does not say itself. `automatic` decides by the folder's other files and by the size
// of the vocabulary; the name of a family is taken at its word.
enum class TokenizerFamily { automatic, llama, llama3, qwen2, gpt2, chatglm, chatglm2, chatglm3, glm4 };

// "chatglm3" etc.; ConfigError with the known names otherwise.
TokenizerFamily tokenizer_family(std::string_view name);

struct TokenizerOptions {
  TokenizerFamily family = TokenizerFamily::automatic;
  // Rows of the model's embedding: tells ChatGLM-6B's first vocabulary (150528) from its later one (130528)
  // where no config does.
  std::optional<std::int64_t> embedding_rows;
};

// A tokenizer.json (BPE), tokenizer.model (SentencePiece or tiktoken, told by content), ice_text.model, or a
// folder with one of these, or with vocab.json and merges.txt. tokenizer_config.json, generation_config.json
// and config.json in the folder (or beside the file) give roles, added tokens and the family. ChatGLM's files
// win over tokenizer.json, that over tokenizer.model. Throws DataError naming the file (and offset, where
// there is one) for what is damaged, not supported or undecided, IoError when a file cannot be read.
std::shared_ptr<const Tokenizer> load_tokenizer(const std::filesystem::path& file_or_folder,
                                                const TokenizerOptions& options = {});

}  // namespace rankine
