#include <algorithm>

#include "engine/core/error.h"
#include "io/text/clip_tokenizer.h"

namespace rankine {

PromptTokens tokenize_prompt(const ClipTokenizer& tokenizer, std::string_view prompt, int max_tokens,
                             std::int32_t pad_id) {
  constexpr std::size_t kMiddle = 75;
  require<ConfigError>(max_tokens == 75 || max_tokens == 150 || max_tokens == 225,
                       "prompt: at most 75, 150 or 225 ", "tokens are allowed, not ", max_tokens);
  require<ConfigError>(pad_id >= 0 && pad_id < tokenizer.vocab_size(), "prompt: padding token ", pad_id,
                       " is not in a vocabulary of ", tokenizer.vocab_size());
  std::vector<std::int32_t> ids = tokenizer.encode(prompt);
  ids.resize(std::min(ids.size(), static_cast<std::size_t>(max_tokens)));

  PromptTokens tokens;
  for (std::size_t begin = 0; begin < static_cast<std::size_t>(max_tokens); begin += kMiddle) {
    auto& window = tokens.windows.emplace_back();
    window.fill(pad_id);
    window[0] = tokenizer.bos();
    const std::size_t count = std::min(kMiddle, ids.size() - std::min(begin, ids.size()));
    std::copy_n(ids.begin() + static_cast<std::ptrdiff_t>(std::min(begin, ids.size())), count,
                window.begin() + 1);
    window[1 + count] = tokenizer.eos();
  }
  return tokens;
}

}  // namespace rankine
