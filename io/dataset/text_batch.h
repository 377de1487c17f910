// Token sequences side by side, as the model takes them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "io/dataset/chat_renderer.h"

namespace rankine {

struct TextBatchOptions {
  std::int32_t pad_id = 0;
  int multiple = 8;              // columns are rounded up to it
  int window = 0;                // sliding attention: a token sees itself and window - 1 before it; 0: all
  bool block_positions = false;  // the two-dimensional positions of ChatGLM-6B
};

// One sample's place in the batch.
struct TextSegment {
  std::int32_t row = 0, begin = 0, length = 0;
  std::size_t sequence = 0;
};

// rows x columns, row-major. Samples of a row stand one behind the other, then padding.
//
// visible: key columns [begin, end) of the same row that a token sees. For token t of a sample that starts at
// s and has a prefix of p tokens: begin = s, end = s + max(t - s + 1, p). Padding sees itself. positions: 0,
// 1, 2, ... from the start of each sample; 0 for padding. With block_positions (llm: GLM, Du et al. 2022)
// tokens from the prefix's end c on have position c - 1 and block position 1, 2, 3, ...; 0 before. targets:
// the next token of the same sample; 0 with weight 0 where there is none. weights: 1 where predicting the
// target is trained, else 0.
struct TextBatch {
  std::int32_t rows = 0, columns = 0;
  std::vector<std::int32_t> ids, positions;
  std::vector<std::int32_t> block_positions;  // empty unless asked for
  std::vector<std::int32_t> visible;          // rows x columns x 2
  std::vector<std::int32_t> targets;
  std::vector<float> weights;
  std::vector<TextSegment> segments;
  std::int64_t trained_tokens = 0;  // sum of the weights
};

// rows[r] lists the sequences of row r: several where samples are packed, one where they are not. Throws
// std::invalid_argument for an index outside or a row without tokens.
TextBatch make_text_batch(std::span<const TokenSequence> sequences,
                          const std::vector<std::vector<std::size_t>>& rows,
                          const TextBatchOptions& options = {});

}  // namespace rankine
