// What tokenizers with a table of tokens have in common; implementation side of io/text/tokenizer.h.
#pragma once

#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "io/text/byte_trie.h"
#include "io/text/token.h"
#include "io/text/tokenizer.h"

namespace rankine {

// Where a part of the text stands: at the start of a sequence, behind an added token, or anywhere else.
enum class PartPlace { opening, after_token, inside };

// Everything of a vocabulary but the rule that cuts text.
struct Vocabulary {
  std::vector<Token> tokens;                                  // index = id
  std::vector<AddedToken> added;                              // their ids may lie beyond the tokens
  std::vector<std::pair<std::string, std::int32_t>> aliases;  // further names for control()
  Tokenizer::Specials specials;  // stops are completed here from the names of known turn ends
  std::string file;              // for messages
};

class VocabularyTokenizer : public Tokenizer {
 public:
  std::int32_t vocab_size() const final { return static_cast<std::int32_t>(tokens_.size()); }
  std::vector<std::int32_t> encode(std::string_view text, bool begin) const final;
  std::string decode(std::span<const std::int32_t> ids) const final;
  std::string piece(std::int32_t id) const final;
  std::optional<std::int32_t> control(std::string_view text) const final;
  const Specials& specials() const final { return specials_; }
  std::string fingerprint() const final { return fingerprint_; }

 protected:
  // Throws DataError naming vocabulary.file: too many tokens, a token too long, a score that is not finite,
  // an added token with an id far outside or a text that is not its token's, a special id outside.
  explicit VocabularyTokenizer(Vocabulary vocabulary);
  VocabularyTokenizer(const VocabularyTokenizer&) = delete;
  VocabularyTokenizer& operator=(const VocabularyTokenizer&) = delete;

  // Appends the ids of a part without added tokens; valid UTF-8, never empty.
  virtual void encode_part(std::string_view text, PartPlace place, std::vector<std::int32_t>& ids) const = 0;
  // The text of a token that is neither control nor added.
  virtual std::string token_bytes(std::int32_t id) const = 0;
  virtual bool has_dummy_prefix() const = 0;  // decode then takes one space off the front

  const std::vector<Token>& tokens() const { return tokens_; }
  const std::string& file() const { return file_; }
  bool is_added(std::int32_t id) const { return added_ids_.contains(id); }
  // Ends the construction: `rules` is what decides ids besides the tokens.
  void set_fingerprint(std::string_view rules);

 private:
  void add_tokens(const std::vector<AddedToken>& added);
  void index_controls(const std::vector<std::pair<std::string, std::int32_t>>& aliases);
  void check_specials();

  std::vector<Token> tokens_;
  std::vector<AddedToken> in_text_;  // the added tokens that are not special
  ByteTrie in_text_trie_;            // -> index in in_text_
  std::unordered_map<std::int32_t, bool> added_ids_;
  std::unordered_map<std::string, std::int32_t> controls_;
  Specials specials_;
  std::string file_, fingerprint_;
};

// A text from a file in quotes, cut after 60 bytes, fit for a message on one line.
std::string shown_token(std::string_view text);

}  // namespace rankine
