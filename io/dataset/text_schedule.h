// Which samples are trained in which step: a pure function of the samples, the options and the step, so that
// a resumed run needs the step number and nothing else.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "io/dataset/chat_renderer.h"

namespace rankine {

struct TextScheduleOptions {
  int batch_size = 1;    // rows of a micro-batch
  int accumulation = 1;  // micro-batches of an optimizer step
  bool packing = true;   // rows hold as many samples as fit into max_length; else one
  std::int64_t max_length = 2048;
  std::uint64_t seed = 0;
};

// The rows of a micro-batch: what make_text_batch takes.
using TextRows = std::vector<std::vector<std::size_t>>;

struct TextStep {
  std::int64_t epoch = 0;
  std::vector<TextRows> micro_batches;  // 1 .. accumulation of them, of 1 .. batch_size rows
  std::int64_t trained_tokens = 0;      // of the whole step: what its loss is divided by
};

// Every sample occurs once in an epoch. Samples are packed once (packing.h); each epoch shuffles the rows
// (Fisher-Yates with Philox of (seed, "text order", epoch)) and deals them out in order; the last step of an
// epoch may be short. The same rows in a step whatever batch_size x accumulation makes them, if the product
// is the same.
class TextSchedule {
 public:
  // Throws std::invalid_argument on a number below 1 or, packing, a sequence above max_length; DataError when
  // there are no sequences. `sequences` is not kept.
  TextSchedule(std::span<const TokenSequence> sequences, const TextScheduleOptions& options);

  std::int64_t rows_per_epoch() const { return static_cast<std::int64_t>(rows_.size()); }
  std::int64_t steps_per_epoch() const;
  // Step 0, 1, 2, ... The order of the last epoch asked for is kept: not for several threads at once.
  TextStep step(std::int64_t step);

 private:
  void shuffle(std::int64_t epoch);

  TextScheduleOptions options_;
  TextRows rows_;
  std::vector<std::int64_t> trained_;  // tokens of each row
  std::vector<std::size_t> order_;
  std::int64_t order_epoch_ = -1;
};

}  // namespace rankine
