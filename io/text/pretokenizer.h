// How byte-level BPE cuts text into words before anything is merged.
#pragma once

#include <cstddef>
#include <optional>
#include <string_view>
#include <vector>

namespace rankine {

// Each is one regular expression, tried at every position, first alternative first (\s \p{L} \p{N} of
// Unicode):
//   gpt2    's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+
//   llama3  (?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|
//           \s*[\r\n]+|\s+(?!\S)|\s+                                            (also GLM-4)
//   qwen2   llama3 with \p{N} for \p{N}{1,3}
//   digits  numbers singly, gpt2 between them                                   (SmolLM, StarCoder)
//   whole   the text is one word
enum class PreTokenizer { gpt2, llama3, qwen2, digits, whole };

// The ends of the words of a text, ascending; the last one is text.size(). Takes time linear in the text.
std::vector<std::size_t> cut_words(std::u32string_view text, PreTokenizer rule);

// By the regular expression as tokenizer.json spells it, by the name in GGUF's tokenizer.ggml.pre; nothing
// when it is not one of those above.
std::optional<PreTokenizer> pretokenizer_of_regex(std::string_view regex);
std::optional<PreTokenizer> pretokenizer_of_gguf(std::string_view name);
extern const std::string_view kGgufPreTokenizers;  // the known names, for messages

}  // namespace rankine
