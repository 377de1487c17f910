#include "io/formats/ggml_vocab.h"

#include "engine/core/error.h"

namespace rankine {
namespace {

constexpr std::string_view kPrefix = "tokenizer.ggml.";

template <class T>
std::optional<T> get(const GgufFile& file, const char* key) {
  return file.get<T>(std::string(kPrefix) + key);
}

template <class T>
std::vector<T> list(const GgufFile& file, const char* key, std::size_t size) {
  auto found = get<std::vector<T>>(file, key).value_or(std::vector<T>());
  require<DataError>(found.empty() || size == 0 || found.size() == size, file.describe(), ": ", kPrefix, key,
                     " has ", found.size(), " elements for ", size, " tokens");
  return found;
}

std::optional<std::int32_t> id(const GgufFile& file, const char* key, std::size_t tokens) {
  const auto found = get<std::int64_t>(file, key);
  if (!found || *found == -1 || *found == 0xFFFFFFFF) return std::nullopt;
  require<DataError>(*found >= 0 && static_cast<std::uint64_t>(*found) < tokens, file.describe(), ": ",
                     kPrefix, key, ' ', *found, " is none of the ", tokens, " tokens");
  return static_cast<std::int32_t>(*found);
}

}  // namespace

GgufVocab vocab_of(const GgufFile& file) {
  GgufVocab vocab;
  vocab.model = get<std::string>(file, "model").value_or("");
  vocab.pre = get<std::string>(file, "pre").value_or("");
  vocab.tokens = list<std::string>(file, "tokens", 0);
  const std::size_t n = vocab.tokens.size();
  require<DataError>(n > 0 && n < std::size_t{1} << 31, file.describe(), ": no vocabulary (", kPrefix,
                     "tokens)");
  vocab.scores = list<float>(file, "scores", n);
  vocab.types = list<std::int32_t>(file, "token_type", n);
  vocab.merges = list<std::string>(file, "merges", 0);
  vocab.bos = id(file, "bos_token_id", n);
  vocab.eos = id(file, "eos_token_id", n);
  vocab.unk = id(file, "unknown_token_id", n);
  vocab.pad = id(file, "padding_token_id", n);
  vocab.eot = id(file, "eot_token_id", n);
  vocab.add_bos = get<bool>(file, "add_bos_token");
  vocab.add_space_prefix = get<bool>(file, "add_space_prefix");
  return vocab;
}

GgmlVocab vocab_of(const GgmlFile& file) { return file.vocab(); }

}  // namespace rankine
