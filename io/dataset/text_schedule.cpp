#include "io/dataset/text_schedule.h"

#include <algorithm>
#include <limits>
#include <numeric>
#include <stdexcept>
#include <utility>

#include "engine/core/error.h"
#include "engine/core/philox.h"
#include "io/dataset/packing.h"
#include "io/dataset/text_encode.h"

namespace rankine {

TextSchedule::TextSchedule(std::span<const TokenSequence> sequences, const TextScheduleOptions& options)
    : options_(options) {
  require<std::invalid_argument>(
      options.batch_size >= 1 && options.accumulation >= 1 && options.max_length >= 1,
      "TextSchedule: batch_size ", options.batch_size, ", accumulation ", options.accumulation,
      ", max_length ", options.max_length);
  require<DataError>(!sequences.empty(), "there are no samples to train on");
  require<DataError>(sequences.size() < std::numeric_limits<std::uint32_t>::max(), "more than 2^32 samples");
  if (options.packing) {
    std::vector<std::int64_t> lengths;
    for (const TokenSequence& one : sequences) lengths.push_back(static_cast<std::int64_t>(one.ids.size()));
    rows_ = pack(lengths, options.max_length);
  } else {
    for (std::size_t i = 0; i < sequences.size(); ++i) rows_.push_back({i});
  }
  for (const std::vector<std::size_t>& row : rows_) {
    std::int64_t trained = 0;
    for (const std::size_t i : row) trained += trained_tokens(sequences[i]);
    trained_.push_back(trained);
  }
}

std::int64_t TextSchedule::steps_per_epoch() const {
  const std::int64_t per_step = std::int64_t{options_.batch_size} * options_.accumulation;
  return (rows_per_epoch() + per_step - 1) / per_step;
}

void TextSchedule::shuffle(std::int64_t epoch) {
  if (order_epoch_ == epoch) return;
  order_.resize(rows_.size());
  std::iota(order_.begin(), order_.end(), std::size_t{0});
  HostRandom random({options_.seed, purpose("text order"), static_cast<std::uint32_t>(epoch), 0});
  for (std::size_t i = order_.size(); i > 1; --i) {
    std::swap(order_[i - 1], order_[random.below(static_cast<std::uint32_t>(i))]);
  }
  order_epoch_ = epoch;
}

TextStep TextSchedule::step(std::int64_t step) {
  require<std::invalid_argument>(step >= 0, "TextSchedule: step ", step);
  TextStep out;
  out.epoch = step / steps_per_epoch();
  shuffle(out.epoch);
  const auto batch = static_cast<std::size_t>(options_.batch_size);
  const std::size_t per_step = batch * static_cast<std::size_t>(options_.accumulation);
  const std::size_t first = static_cast<std::size_t>(step % steps_per_epoch()) * per_step;
  const std::size_t last = std::min(first + per_step, order_.size());
  for (std::size_t i = first; i < last; ++i) {
    if ((i - first) % batch == 0) out.micro_batches.emplace_back();
    out.micro_batches.back().push_back(rows_[order_[i]]);
    out.trained_tokens += trained_[order_[i]];
  }
  return out;
}

}  // namespace rankine
