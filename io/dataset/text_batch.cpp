#include "io/dataset/text_batch.h"

#include <algorithm>
#include <limits>
#include <stdexcept>

#include "engine/core/error.h"

namespace rankine {

namespace {

class BatchWriter {
 public:
  BatchWriter(std::span<const TokenSequence> sequences, const TextBatchOptions& options)
      : sequences_(sequences), options_(options) {}

  TextBatch write(const std::vector<std::vector<std::size_t>>& rows) {
    allocate(rows);
    for (std::size_t r = 0; r < rows.size(); ++r) {
      std::int32_t at = 0;
      for (const std::size_t sequence : rows[r]) {
        const auto length = static_cast<std::int32_t>(sequences_[sequence].ids.size());
        write_sample({static_cast<std::int32_t>(r), at, length, sequence});
        at += length;
      }
    }
    return std::move(batch_);
  }

 private:
  void allocate(const std::vector<std::vector<std::size_t>>& rows) {
    std::size_t longest = 0;
    for (const std::vector<std::size_t>& row : rows) {
      std::size_t length = 0;
      for (const std::size_t i : row) {
        require<std::invalid_argument>(i < sequences_.size(), "make_text_batch: sequence ", i, " of ",
                                       sequences_.size());
        length += sequences_[i].ids.size();
      }
      require<std::invalid_argument>(length > 0, "make_text_batch: a row without tokens");
      longest = std::max(longest, length);
    }
    const auto multiple = static_cast<std::size_t>(options_.multiple);
    const std::size_t columns = (longest + multiple - 1) / multiple * multiple, count = rows.size() * columns;
    require<std::invalid_argument>(count <= std::numeric_limits<std::int32_t>::max() / 2,
                                   "make_text_batch: ", rows.size(), " rows of ", columns,
                                   " tokens are too many");
    batch_.rows = static_cast<std::int32_t>(rows.size());
    batch_.columns = static_cast<std::int32_t>(columns);
    batch_.ids.assign(count, options_.pad_id);
    batch_.positions.assign(count, 0);
    if (options_.block_positions) batch_.block_positions.assign(count, 0);
    batch_.targets.assign(count, 0);
    batch_.weights.assign(count, 0.0F);
    batch_.visible.resize(2 * count);
    for (std::size_t i = 0; i < count; ++i) {
      batch_.visible[2 * i] = static_cast<std::int32_t>(i % columns);
      batch_.visible[2 * i + 1] = static_cast<std::int32_t>(i % columns) + 1;
    }
  }

  void write_sample(const TextSegment& segment) {
    const TokenSequence& sample = sequences_[segment.sequence];
    const std::size_t first =
        static_cast<std::size_t>(segment.row) * static_cast<std::size_t>(batch_.columns) +
        static_cast<std::size_t>(segment.begin);
    for (std::int32_t t = 0; t < segment.length; ++t) {
      const auto i = static_cast<std::size_t>(t);
      const std::size_t at = first + i;
      batch_.ids[at] = sample.ids[i];
      write_position(at, t, sample.prefix);
      const std::int32_t oldest = options_.window > 0 ? std::max(0, t - options_.window + 1) : 0;
      batch_.visible[2 * at] = segment.begin + oldest;
      batch_.visible[2 * at + 1] = segment.begin + std::max(t + 1, std::min(sample.prefix, segment.length));
      if (t + 1 == segment.length) break;
      const bool trained = sample.trained[i + 1] != 0;
      batch_.targets[at] = sample.ids[i + 1];
      batch_.weights[at] = trained ? 1.0F : 0.0F;
      batch_.trained_tokens += trained;
    }
    batch_.segments.push_back(segment);
  }

  void write_position(std::size_t at, std::int32_t t, std::int32_t prefix) {
    const bool in_block = options_.block_positions && prefix > 0 && t >= prefix;
    batch_.positions[at] = in_block ? prefix - 1 : t;
    if (in_block) batch_.block_positions[at] = t - prefix + 1;
  }

  std::span<const TokenSequence> sequences_;
  const TextBatchOptions& options_;
  TextBatch batch_;
};

}  // namespace

TextBatch make_text_batch(std::span<const TokenSequence> sequences,
                          const std::vector<std::vector<std::size_t>>& rows,
                          const TextBatchOptions& options) {
  require<std::invalid_argument>(options.multiple >= 1 && options.window >= 0, "make_text_batch: multiple ",
                                 options.multiple, ", window ", options.window);
  return BatchWriter(sequences, options).write(rows);
}

}  // namespace rankine
