// Whatever the bytes of a vocabulary: it is refused with a DataError, or it encodes and decodes.
#include <gtest/gtest.h>

#include <cctype>
#include <cmath>
#include <random>

#include "io/text/spm_tokenizer.h"
#include "io/text/tiktoken_file.h"
#include "io/text/tokenizer_json.h"
#include "tests/text/vocabularies.h"

namespace rankine {
namespace {

using test::golden;
using test::Ids;
using test::read_file;

const std::vector<std::string>& pieces() {
  static const std::vector<std::string> all = {"{",
                                               "}",
                                               "[",
                                               "]",
                                               ",",
                                               ":",
                                               "\"",
                                               "\\u0000",
                                               "\\ud800",
                                               "-1",
                                               "1e9",
                                               "null",
                                               "true",
                                               "4294967296",
                                               "\"id\":",
                                               "\"vocab\":",
                                               "\"merges\":",
                                               "\"Regex\":",
                                               "\xff",
                                               "\xe2\x96\x81",
                                               std::string(4, '\xff'),
                                               std::string(1, '\0'),
                                               std::string("\0\0\xc0\x7f", 4),
                                               " 0\n",
                                               "YQ== 1\n",
                                               "=",
                                               "\n",
                                               " ",
                                               "\x0a\x80\x80\x80\x80\x10",
                                               "\x18\x04",
                                               "[[[[[[[[[[[[[[[[[[[["};
  return all;
}

class Mutator {
 public:
  explicit Mutator(std::uint32_t seed) : random_(seed) {}

  // `gentle`: one letter or digit becomes another, so that the file stays well-formed.
  std::string next(const std::string& seed, bool gentle) {
    std::string file = seed;
    if (gentle) {
      std::size_t at = below(file.size());
      while (!std::isalnum(static_cast<unsigned char>(file[at]))) at = (at + 1) % file.size();
      file[at] = "0123456789abcdefXYZ"[below(19)];
      return file;
    }
    for (std::size_t n = 1 + below(3); n > 0; --n) change(file);
    return file;
  }
  std::size_t below(std::size_t n) { return random_() % n; }

 private:
  void change(std::string& file) {
    if (file.empty()) return;
    const std::size_t at = below(file.size());
    switch (below(6)) {
      case 0:
        file[at] = static_cast<char>(random_());
        break;
      case 1:
        file.erase(at, 1 + below(8));
        break;
      case 2:
        file.insert(at, pieces()[below(pieces().size())]);
        break;
      case 3:
        file.insert(at, file.substr(below(file.size()), below(40)));
        break;
      case 4:
        file.resize(at);
        break;
      case 5:
        file[at] = static_cast<char>('0' + below(10));
        break;
    }
  }
  std::mt19937 random_;
};

void use(const Tokenizer& t) {
  for (const std::string& text :
       {std::string("The  value\n of x\u0301 is 12345 "), std::string("\u4f60\u597d<n>\U0001F600'S"),
        std::string(300, 'e'), std::string(90, ' ')}) {
    const Ids ids = t.encode(text);
    for (const std::int32_t id : ids) ASSERT_TRUE(id >= 0 && id < t.vocab_size()) << id;
    t.decode(ids);
  }
  for (const auto& role : {t.specials().bos, t.specials().eos, t.specials().pad, t.specials().unk})
    ASSERT_TRUE(role.value_or(0) >= 0 && role.value_or(0) < t.vocab_size());
}

struct Verdicts {
  int accepted = 0, refused = 0;
};

template <class Make>
Verdicts fuzz(const std::string& seed, int count, Make&& make) {
  Mutator mutator(20240607);
  Verdicts verdicts;
  for (int i = 0; i < count; ++i) {
    const std::string file = mutator.next(seed, i % 2 == 0);
    std::shared_ptr<const Tokenizer> t;
    try {
      t = make(file);
    } catch (const DataError&) {
      ++verdicts.refused;
      continue;
    }
    ++verdicts.accepted;
    use(*t);
  }
  return verdicts;
}

std::shared_ptr<const Tokenizer> from_spm(const std::string& bytes) {
  Vocabulary rest;
  rest.file = "f";
  return std::make_shared<SpmTokenizer>(read_spm_model(bytes, "f"), std::move(rest));
}

std::shared_ptr<const Tokenizer> from_json(const std::string& bytes) {
  return read_tokenizer_json(bytes, {}, "f");
}

std::shared_ptr<const Tokenizer> from_tiktoken(const std::string& bytes) {
  Vocabulary rest;
  rest.file = "f";
  return make_tiktoken_tokenizer(read_tiktoken(bytes, "f"), std::move(rest));
}

// Both verdicts must happen often, or the mutations test nothing.
void expect_both(const Verdicts& v) {
  EXPECT_GT(v.accepted, 30);
  EXPECT_GT(v.refused, 100);
}

TEST(TokenizerFuzz, SentencePieceBpe) { expect_both(fuzz(read_file(golden("bpe.model")), 5000, from_spm)); }
TEST(TokenizerFuzz, SentencePieceUnigram) {
  expect_both(fuzz(read_file(golden("unigram.model")), 5000, from_spm));
}
TEST(TokenizerFuzz, ByteLevelJson) { expect_both(fuzz(read_file(golden("llama3.json")), 3000, from_json)); }
TEST(TokenizerFuzz, FallbackJson) { expect_both(fuzz(read_file(golden("metaspace.json")), 3000, from_json)); }
TEST(TokenizerFuzz, Tiktoken) { expect_both(fuzz(read_file(golden("tiktoken.model")), 5000, from_tiktoken)); }

// Only the charsmap is damaged: the trie and the replacements.
TEST(TokenizerFuzz, Charsmaps) {
  const SpmModel good = read_spm_model(read_file(golden("unigram.model")), "f");
  ASSERT_GT(good.charsmap.size(), 100U);
  const auto make = [&](const std::string& charsmap) -> std::shared_ptr<const Tokenizer> {
    SpmModel model = good;
    model.charsmap = charsmap;
    Vocabulary rest;
    rest.file = "f";
    return std::make_shared<SpmTokenizer>(std::move(model), std::move(rest));
  };
  expect_both(fuzz(good.charsmap, 5000, make));
}

TEST(TokenizerFuzz, GgufAndGgmlVocabularies) {
  std::mt19937 random(7);
  const auto below = [&](std::size_t n) { return static_cast<std::size_t>(random() % n); };
  const auto text = [&] {
    std::string out;
    for (std::size_t n = below(5); n > 0; --n) out += pieces()[below(pieces().size())];
    return out;
  };
  Verdicts verdicts;
  const auto attempt = [&](const auto& vocab) {
    try {
      use(*make_tokenizer(vocab, "f"));
      ++verdicts.accepted;
    } catch (const DataError&) {
      ++verdicts.refused;
    }
  };
  for (int i = 0; i < 3000; ++i) {
    GgufVocab v = test::small_bytelevel({"a b", "e e", "ee ee"}, i % 2 == 0 ? "llama3" : "qwen2");
    if (i % 4 == 0) v.model = "llama", v.merges.clear();
    for (std::size_t n = 1 + below(3); n > 0; --n) {
      const std::size_t at = below(v.tokens.size());
      if (below(3) == 0) v.tokens[at] = text();
      if (below(3) == 0) v.types[at] = static_cast<std::int32_t>(below(9)) - 1;
      if (below(6) == 0) v.scores.assign(v.tokens.size(), below(2) == 0 ? -1.F : std::nanf(""));
      if (below(6) == 0) v.merges.push_back(text());
      if (below(6) == 0) v.unk = static_cast<std::int32_t>(random());
      if (below(9) == 0) v.tokens.resize(at);
    }
    attempt(v);
    GgmlVocab old;
    old.tokens = v.tokens;
    if (below(2) == 0) old.scores.assign(v.tokens.size() + below(2), 1.F);
    attempt(old);
  }
  expect_both(verdicts);
}

TEST(TokenizerFuzz, EveryTruncation) {
  for (const char* name : {"unknown.model", "unigram.model"}) {
    const std::string file = read_file(golden(name));
    for (std::size_t size = 0; size < file.size(); size += 1 + size % 7) {
      try {
        use(*from_spm(file.substr(0, size)));  // a cut between two pieces leaves a smaller model
      } catch (const DataError&) {
      }
    }
  }
  const std::string json = read_file(golden("gpt2.json"));
  for (std::size_t size = 0; size + 2 < json.size(); size += 13)
    EXPECT_THROW(from_json(json.substr(0, size)), DataError);
}

}  // namespace
}  // namespace rankine
