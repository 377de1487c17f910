// A merges file up to the first NUL, then a prompt.
#include "io/text/clip_tokenizer.h"

#include "fuzz/fuzz.h"

void rankine::fuzz::read(Bytes input) {
  const std::string_view text = text_of(input);
  const std::size_t end = std::min(text.find('\0'), text.size());
  const ClipTokenizer tokenizer(text.substr(0, end), "f");
  const ClipTokenizer again(tokenizer.merges_text(), "g");
  expect(again.vocab_size() == tokenizer.vocab_size(), "another vocabulary after writing and reading");
  const std::string_view prompt = text.substr(std::min(end + 1, text.size()));
  const auto ids = tokenizer.encode(prompt);
  for (const std::int32_t id : ids) expect(id >= 0 && id < tokenizer.vocab_size(), "token ", id);
  expect(ids == again.encode(prompt), "other tokens after writing and reading");
  expect(tokenize_prompt(tokenizer, prompt, 150, tokenizer.eos()).windows.size() == 2, "not two windows");
}

std::vector<std::string> rankine::fuzz::seeds() {
  const std::string merges = "#version: 0.2\nc a\nca t</w>\nd o\ndo g</w>\n' s</w>\n";
  const std::string nul(1, '\0');
  return {merges + nul + "A cat's &amp;amp; DOG 42 <|endoftext|> caf\xC3\xA9 \xE7\x8C\xAB",
          nul + "plain <|startoftext|> text\t\n x&#x41;&#0;&lt;", merges, "a b\na b\n", "x</w> y\n"};
}
