// For the peer test: encodes texts with a vocabulary as users have it, or learns one.
//   tokenizer_dump VOCABULARY TEXTS.json [FAMILY]     prints the ids of each text and what they decode to
//
//   tokenizer_dump --train TEXTS.json FILE SIZE       writes a SentencePiece model of SIZE pieces
#include <cstdio>
#include <exception>
#include <fstream>
#include <iostream>
#include <nlohmann/json.hpp>

#include "io/files/atomic_write.h"
#include "io/text/spm_trainer.h"
#include "io/text/tokenizer_sources.h"

namespace rankine {
namespace {

void dump(const char* vocabulary, const char* texts, const char* family) {
  TokenizerOptions options;
  options.family = tokenizer_family(family);
  const auto tokenizer = load_tokenizer(vocabulary, options);
  const auto json = nlohmann::json::parse(std::ifstream(texts));
  nlohmann::json out = nlohmann::json::array();
  for (const auto& text : json) {
    const auto ids = tokenizer->encode(text.get<std::string>());
    out.push_back({{"ids", ids}, {"text", tokenizer->decode(ids)}});
  }
  std::cout << out.dump(-1, ' ', true, nlohmann::json::error_handler_t::replace) << "\n";
}

void train(const char* texts, const char* file, const char* size) {
  const auto list = nlohmann::json::parse(std::ifstream(texts)).get<std::vector<std::string>>();
  SpmTrainerOptions options;
  options.vocab_size = std::stoi(size);
  options.controls = {"<|im_start|>", "<|im_end|>"};
  write_file_atomically(file, write_spm_model(train_spm(list, options)));
}

}  // namespace
}  // namespace rankine

int main(int argc, char** argv) {
  try {
    if (argc == 5 && std::string_view(argv[1]) == "--train") {
      rankine::train(argv[2], argv[3], argv[4]);
      return 0;
    }
    if (argc < 3 || argc > 4)
      throw std::runtime_error("usage: tokenizer_dump VOCABULARY TEXTS.json [FAMILY]");
    rankine::dump(argv[1], argv[2], argc == 4 ? argv[3] : "auto");
  } catch (const std::exception& e) {
    std::fprintf(stderr, "tokenizer_dump: %s\n", e.what());
    return 1;
  }
  return 0;
}
