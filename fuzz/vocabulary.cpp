// Vocabularies of language models; the first byte of the input chooses the kind. What is read must also work.
#include "fuzz/fuzz.h"
#include "io/text/spm_model.h"
#include "io/text/spm_tokenizer.h"
#include "io/text/tiktoken_file.h"
#include "io/text/tokenizer_config.h"
#include "io/text/tokenizer_json.h"
#include "io/text/tokenizer_sources.h"

namespace rankine::fuzz {
namespace {

void use(const Tokenizer& tokenizer) {
  const std::vector<std::int32_t> ids = tokenizer.encode("a b\n\xC3\xA9 12 <|x|>", true);
  for (const std::int32_t id : ids) {
    expect(id >= 0 && id < tokenizer.vocab_size(), "id ", id, " of ", tokenizer.vocab_size());
    tokenizer.piece(id);
  }
  tokenizer.decode(ids);
}

void read_spm(std::string_view bytes) {
  SpmModel model = read_spm_model(bytes, "f");
  Vocabulary rest;
  rest.file = "f";
  use(SpmTokenizer(std::move(model), rest));
}

// Tokens and scores as lines, in place of GGUF's arrays.
void read_lists(std::string_view text, const char* kind) {
  GgufVocab vocab;
  vocab.model = kind;
  vocab.pre = "default";
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t end = std::min(text.find('\n', at), text.size());
    const std::string line(text.substr(at, end - at));
    (line.find(' ') != std::string::npos && vocab.model == "gpt2" ? vocab.merges : vocab.tokens)
        .push_back(line);
    at = end + 1;
  }
  for (std::size_t i = 0; i < vocab.tokens.size(); ++i) {
    vocab.scores.push_back(-static_cast<float>(i));
    vocab.types.push_back(1 + static_cast<std::int32_t>(vocab.tokens[i].size() % 6));
  }
  use(*make_tokenizer(vocab, "f"));
}

}  // namespace

void read(Bytes input) {
  if (input.empty()) return;
  const std::string_view text = text_of(input.subspan(1));
  switch (text_of(input)[0]) {
    case 's':
      return read_spm(text);
    case 'j':
      return use(*read_tokenizer_json(text, {}, "f"));
    case 't': {
      const auto tokens = read_tiktoken(text, "f");
      expect(tokens.size() <= text.size(), tokens.size(), " tokens");
      return;
    }
    case 'l':
      return read_lists(text, "llama");
    case 'g':
      return read_lists(text, "gpt2");
    default:
      return;
  }
}

std::vector<std::string> seeds() {
  SpmModel spm;
  spm.kind = SpmKind::bpe;
  spm.pieces = {{"<unk>", 0, TokenType::unknown},
                {"<s>", 0, TokenType::control},
                {"</s>", 0, TokenType::control},
                {"a", -1, TokenType::normal},
                {"\xE2\x96\x81", -2, TokenType::normal},
                {"\xE2\x96\x81"
                 "a",
                 -3, TokenType::normal}};
  SpmModel unigram = spm;
  unigram.kind = SpmKind::unigram;
  return {
      "s" + write_spm_model(spm),
      "s" + write_spm_model(unigram),
      R"(j{"added_tokens":[{"id":3,"content":"<|x|>","special":true}],"pre_tokenizer":{"type":"ByteLevel",)"
      R"("add_prefix_space":false},"model":{"type":"BPE","vocab":{"a":0,"b":1,"ab":2},"merges":["a b"]}})",
      "tYQ== 0\nYg== 1\nYWI= 2\n",
      "l<unk>\n<s>\n</s>\na\n\xE2\x96\x81\n",
      "ga\nb\nab\na b\n"};
}

}  // namespace rankine::fuzz
