// Text to token ids and back, whatever the vocabulary.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace rankine {

// Implementations are immutable: any number of threads may use one at the same time.
class Tokenizer {
 public:
  virtual ~Tokenizer() = default;

  // Ids are 0 .. vocab_size() - 1. A model may have more rows than that (padding).
  virtual std::int32_t vocab_size() const = 0;

  // Ids of plain text: nothing in it is taken for a control token, and neither BOS nor EOS is added. `begin`
  // says that the text opens a sequence: SentencePiece puts its dummy prefix there (and drops spaces before
  // it, where its model drops extra spaces). Throws DataError for text that is not UTF-8.
  virtual std::vector<std::int32_t> encode(std::string_view text, bool begin = true) const = 0;

  // Bytes of the ids, control tokens left out; may end inside a UTF-8 sequence. The space that a dummy prefix
  // put in front is taken away again, so decode(encode(text)) is the text where the vocabulary permits. Ids
  // from vocab_size() on stand for no text; a negative one is a DataError.
  virtual std::string decode(std::span<const std::int32_t> ids) const = 0;

  // As shown to people: "<|im_end|>", "▁the", "Ġthe", "<0x0A>"; "[151700]" for an id without a token.
  virtual std::string piece(std::int32_t id) const = 0;

  // Id of a control or added token by its text.
  virtual std::optional<std::int32_t> control(std::string_view text) const = 0;

  // Tokens with a role; unset when the vocabulary has none. `stops` are the ids that end an answer: EOS and
  // the ends of a turn, ascending. `add_bos`: sequences of this vocabulary start with BOS.
  struct Specials {
    std::optional<std::int32_t> bos, eos, pad, unk;
    std::vector<std::int32_t> stops;
    bool add_bos = false;
  };
  virtual const Specials& specials() const = 0;

  // SHA-256 of what decides ids: vocabularies that differ in anything that could change an id differ here.
  virtual std::string fingerprint() const = 0;
};

}  // namespace rankine
