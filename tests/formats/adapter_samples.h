// Small adapters with numbers that show where each one went.
#pragma once

#include "engine/core/philox.h"
#include "io/formats/adapter_weights.h"

namespace rankine::test {

inline AdapterMatrix sample_matrix(std::int64_t rows, std::int64_t cols, std::uint32_t id) {
  AdapterMatrix m{rows, cols, {}};
  HostRandom random({77, purpose("adapter sample"), 0, id});
  for (std::int64_t i = 0; i < rows * cols; ++i) m.values.push_back(2 * random.uniform() - 1);
  return m;
}

inline AdapterWeights sample_module(std::string module, std::int64_t rank, float scale, bool dora = false) {
  const auto id = static_cast<std::uint32_t>(module.size());
  AdapterWeights m{
      std::move(module), sample_matrix(rank, 8, id), sample_matrix(12, rank, id + 50), scale, {}};
  if (dora) m.magnitude = sample_matrix(1, 12, id + 90).values;
  return m;
}

}  // namespace rankine::test
