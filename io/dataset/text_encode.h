// A dataset as token sequences no longer than the model is trained at.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "io/dataset/chat_renderer.h"
#include "io/dataset/problem.h"
#include "io/dataset/text_rows.h"

namespace rankine {

// What happens to a conversation of more than max_length tokens. Completions are cut into windows whatever
// the policy, each of which begins with the last token of the one before, so that every token is predicted
// once (of a prefix-LM, behind the tokens that open a text).
enum class Truncation : std::uint8_t {
  // The prompt gives way, oldest first, and the last answer stays whole: first the oldest exchanges go, then
  // the beginning of the last question's input, then of the question. The system text stays. Dropped when
  // the answer does not fit even so.
  left_prompt,
  right,  // the end is cut off, and with it the end of the answer
  drop,   // not used
  error   // refuses the dataset
};

struct EncodeOptions {
  int max_length = 2048;
  Truncation truncation = Truncation::left_prompt;
  RenderOptions render;
  int threads = 2;
};

struct EncodedText {
  std::vector<TokenSequence> sequences;  // in the order of the rows; at least one trained token each
  std::vector<Problem> problems;         // a warning for each row that was cut, an error for each dropped one
  std::vector<std::size_t> problem_rows;                         // the row of each problem
  std::vector<std::size_t> whole_lengths;                        // tokens of each row before anything was cut
  std::size_t cut = 0, dropped_long = 0, dropped_untrained = 0;  // rows
  std::size_t windows = 0;                                       // sequences beyond the first of a completion
};

// Nothing is cut or dropped without being counted and listed. The result does not depend on the number of
// threads. Throws DataError when no sequence is left, and under Truncation::error the first 20 rows that are
// too long and how many more; std::invalid_argument on max_length < 8 or threads < 1.
EncodedText encode_text(std::span<const Conversation> rows, const ChatRenderer& chat,
                        const EncodeOptions& options);

// Tokens that count in the loss: the trained ones but the first, which nothing predicts.
std::int64_t trained_tokens(const TokenSequence& sequence);

}  // namespace rankine
