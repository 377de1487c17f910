// What is in a text dataset and what is odd about it, before anything is trained on it.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "io/dataset/chat_renderer.h"
#include "io/dataset/text_encode.h"
#include "io/dataset/text_rows.h"

namespace rankine {

// One kind of oddity: how often, and where it shows first; rows that were cut or left out, the longest first.
struct TextFinding {
  std::string what;
  std::size_t count = 0;
  std::vector<std::string> examples;  // at most 10, "file:line: ..."
};

struct TextReport {
  std::size_t rows = 0, sequences = 0;
  std::int64_t tokens = 0, trained_tokens = 0;
  // Tokens of the rows before anything was cut: smallest, 50th, 90th, 95th, 99th percentile (nearest rank),
  // largest.
  std::array<std::int64_t, 6> lengths{};
  std::vector<std::pair<std::int64_t, std::size_t>> histogram;  // rows up to this length, powers of two
  std::vector<TextFinding> findings;                            // those with a count above 0

  std::string to_string() const;  // for people; several lines
};

struct TextReportInput {
  std::span<const Conversation> rows;  // what was encoded
  const EncodedText& encoded;
  const ChatRenderer& chat;
  std::span<const Conversation> eval;  // may be empty
};

// Findings: rows that repeat another word for word; questions with more than one answer; rows that were cut;
// rows that were left out; rows whose earlier answers the template does not train; answers that do not end
// with a token that ends them; placeholders such as {{name}} that somebody forgot to fill in; rows of the
// evaluation set that are trained on word for word, and those whose question is.
TextReport text_report(const TextReportInput& input);

}  // namespace rankine
