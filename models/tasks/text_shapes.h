// The sizes that a micro-batch of text is given.
#pragma once

#include <cstdint>

namespace rankine {

// Exact sizes: columns are tokens rounded up to a multiple of 8, targets are as many as are trained.
//
// Sizes that recur, for steps that are recorded and played again (engine/core/step_graph.h): of rows of all
// lengths hardly two micro-batches have the same exact sizes. Columns are rounded up to eighths of the power
// of two below (8 sizes from 512 to 1024: on average 4 % of the columns are padding, at most 12.5 %), targets
// to quarters of the columns (they cost the head and the loss alone).
class TextShapes {
 public:
  static constexpr std::int64_t kMultiple = 8;

  TextShapes() = default;  // exact
  // None above the exact size of `most_tokens`, which is that of the largest micro-batch: a plan of that one
  // covers all.
  static TextShapes recurring(std::int64_t most_tokens);

  // At least the exact size, which is 8 for no tokens.
  std::int64_t columns(std::int64_t tokens) const;
  // trained <= columns, which columns() made; at most the columns, and 0 of 0.
  std::int64_t targets(std::int64_t trained, std::int64_t columns) const;

 private:
  std::int64_t most_ = 0;  // 0: exact
};

}  // namespace rankine
