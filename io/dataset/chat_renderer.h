// Conversations as the token ids that a model is trained on or goes on from.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "io/dataset/chat_template.h"
#include "io/dataset/text_rows.h"
#include "io/text/tokenizer.h"

namespace rankine {

// Tokens of one sample. trained[i] says that predicting ids[i] from what stands before it counts in the loss.
struct TokenSequence {
  std::vector<std::int32_t> ids;
  std::vector<std::uint8_t> trained;  // 0 or 1, as many as ids
  std::int32_t prefix = 0;            // the first so many tokens are visible from everywhere; 0: causal
  std::size_t row = 0;                // where it comes from: index into the conversations
};

struct RenderOptions {
  bool train_on_prompt = false;  // the loss counts everything, not only answers and their end token
  bool mask_history = false;     // only the last answer is trained, where the template trains them all
  bool thinking = false;         // a prompt leaves the thoughts to the model, where a template knows thoughts
};

// Thread-safe once made.
class ChatRenderer {
 public:
  // Resolves the control tokens. `tokenizer` must outlive the object. Throws ConfigError for a place that
  // does not exist or no {assistant}, and DataError naming the token that the vocabulary lacks.
  ChatRenderer(const ChatTemplate& chat_template, const Tokenizer& tokenizer);

  // Whole, ending with the end token of the last answer; what a template puts behind that is left out. A
  // completion is trained from its first letter to its end token. Throws std::invalid_argument when roles do
  // not take turns.
  TokenSequence render(const Conversation& row, const RenderOptions& options = {}) const;

  // Up to where the model writes: the last answer, if there is one, is left out. Nothing is trained.
  TokenSequence render_prompt(const Conversation& row, const RenderOptions& options = {}) const;

  // Ids that end an answer, ascending: the template's, EOS and those that the vocabulary names.
  const std::vector<std::int32_t>& stops() const { return stops_; }
  bool is_stop(std::int32_t id) const;
  // Whether the form of earlier answers keeps them out of the loss, whatever the options (see ChatTemplate).
  bool trains_last_answer_only() const { return last_answer_only_; }
  const std::string& name() const { return template_.name; }
  const Tokenizer& tokenizer() const { return tokenizer_; }

 private:
  friend class Rendering;
  enum class PartKind : std::uint8_t {
    text,
    token,
    bos,
    begin,
    generate,
    prefix,
    system,
    user,
    input,
    assistant,
    round,
    thought
  };
  struct Part {
    PartKind kind = PartKind::text;
    std::string text;
    std::int32_t id = 0;
  };
  using Parts = std::vector<Part>;

  Parts parse(const std::string& text, const char* field) const;
  Part place(const std::string& name, const char* field) const;
  void add_literal(Parts& parts, const std::string& text, const char* field) const;
  std::optional<std::int32_t> control_at(std::string_view text, std::size_t& length, const char* field) const;
  std::int32_t role_token(std::optional<std::int32_t> id, const char* what) const;
  void finish_assistant();
  void collect_stops();

  ChatTemplate template_;
  const Tokenizer& tokenizer_;
  Parts begin_, system_, system_in_user_, user_, user_with_input_, history_, user_after_history_, assistant_,
      end_, thought_, no_thought_, completion_;
  bool last_answer_only_ = false;
  std::vector<std::int32_t> stops_;
};

}  // namespace rankine
