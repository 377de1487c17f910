// A vocabulary of bytes and control tokens whose ids tell where text was cut into pieces.
#pragma once

#include <algorithm>
#include <string>
#include <vector>

#include "io/dataset/chat_renderer.h"
#include "io/text/tokenizer.h"

namespace rankine::testing_support {

// Ids: bytes 0..255; 256 opens a piece that opens a text ("^"), 257 any other ("~"); control tokens from 258.
class ToyTokenizer : public Tokenizer {
 public:
  // bos and eos are the controls "<s>" and "</s>" where those are among `controls`.
  explicit ToyTokenizer(std::vector<std::string> controls, bool add_bos = true)
      : controls_(std::move(controls)) {
    specials_.bos = control("<s>");
    specials_.eos = control("</s>");
    specials_.add_bos = add_bos;
    if (specials_.eos) specials_.stops = {*specials_.eos};
  }

  std::int32_t vocab_size() const override { return 258 + static_cast<std::int32_t>(controls_.size()); }
  std::vector<std::int32_t> encode(std::string_view text, bool begin = true) const override {
    std::vector<std::int32_t> ids{begin ? 256 : 257};
    for (const char c : text) ids.push_back(static_cast<unsigned char>(c));
    return ids;
  }
  std::string decode(std::span<const std::int32_t> ids) const override {
    std::string text;
    for (const std::int32_t id : ids) {
      if (id < 256) text += static_cast<char>(id);
    }
    return text;
  }
  std::string piece(std::int32_t id) const override {
    if (id < 256) return std::string(1, static_cast<char>(id));
    if (id < 258) return id == 256 ? "^" : "~";
    return controls_[static_cast<std::size_t>(id) - 258];
  }
  std::optional<std::int32_t> control(std::string_view text) const override {
    const auto found = std::find(controls_.begin(), controls_.end(), text);
    if (found == controls_.end()) return std::nullopt;
    return 258 + static_cast<std::int32_t>(found - controls_.begin());
  }
  const Specials& specials() const override { return specials_; }
  std::string fingerprint() const override { return "toy"; }

 private:
  std::vector<std::string> controls_;
  Specials specials_;
};

// All pieces one behind the other, what is trained between "{" and "}".
inline std::string marked(const TokenSequence& sequence, const Tokenizer& tokenizer) {
  std::string out;
  bool trained = false;
  for (std::size_t i = 0; i < sequence.ids.size(); ++i) {
    const bool now = sequence.trained[i] != 0;
    if (now != trained) out += now ? "{" : "}";
    trained = now;
    out += tokenizer.piece(sequence.ids[i]);
  }
  return trained ? out + "}" : out;
}

inline Conversation chat(std::vector<std::string> turns, std::string system = {}) {
  Conversation row;
  row.system = std::move(system);
  row.where = "f:1";
  for (std::size_t i = 0; i < turns.size(); ++i) {
    row.messages.push_back({i % 2 == 0 ? Role::user : Role::assistant, std::move(turns[i]), {}, i % 2 == 1});
  }
  return row;
}

inline Conversation completion(std::string text) {
  Conversation row;
  row.where = "f:1";
  row.messages.push_back({Role::text, std::move(text), {}, true});
  return row;
}

}  // namespace rankine::testing_support
