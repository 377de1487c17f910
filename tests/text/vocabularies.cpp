#include "tests/text/vocabularies.h"

#include <cstdlib>

#include "io/text/bytelevel_tokenizer.h"

namespace rankine::test {

GgufVocab small_bytelevel(const std::vector<std::string>& merges, const std::string& pre) {
  GgufVocab v;
  v.model = "gpt2";
  v.pre = pre;
  for (int b = 0; b < 256; ++b) v.tokens.push_back(symbols_of_bytes(std::string(1, static_cast<char>(b))));
  for (const std::string& merge : merges) {
    const std::size_t space = merge.find(' ');
    v.tokens.push_back(merge.substr(0, space) + merge.substr(space + 1));
  }
  v.merges = merges;
  v.types.assign(v.tokens.size(), 1);
  v.tokens.insert(v.tokens.end(), {"<|end|>", "<think>"});
  v.types.insert(v.types.end(), {3, 4});
  v.eos = static_cast<std::int32_t>(v.tokens.size()) - 2;
  return v;
}

TemporaryFolder::TemporaryFolder() {
  std::string pattern = (std::filesystem::temp_directory_path() / "tokenizer-XXXXXX").string();
  if (mkdtemp(pattern.data()) == nullptr) throw IoError("no temporary folder at " + pattern);
  path_ = pattern;
}

}  // namespace rankine::test
