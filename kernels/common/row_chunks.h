// How sums over many rows are cut: into chunks whose size follows from the sizes alone, so that the order of
// the additions, and every bit of the result, is the same for any number of threads.
#pragma once

#include <algorithm>
#include <cstdint>

namespace rankine {

// Work per thread below which starting another thread costs more than it saves, in elements.
inline constexpr std::int64_t kGrain = 16384;

// `kGrain` elements as a number of items of `size` elements.
constexpr std::int64_t grain_of(std::int64_t size) {
  return std::max<std::int64_t>(1, kGrain / std::max<std::int64_t>(1, size));
}

// `rows` rows of `cols` elements in chunks of about kGrain elements; at least 64 rows, so that one partial
// row per chunk is a small fraction of the input; at most 1024, which bounds the rounding of a chunk's fp32
// sums.
struct RowChunks {
  std::int64_t rows, cols;
  constexpr std::int64_t height() const { return std::clamp<std::int64_t>(grain_of(cols), 64, 1024); }
  constexpr std::int64_t count() const { return (rows + height() - 1) / height(); }
  constexpr std::int64_t begin(std::int64_t chunk) const { return chunk * height(); }
  constexpr std::int64_t end(std::int64_t chunk) const { return std::min(rows, (chunk + 1) * height()); }
  // Chunks per thread worth starting a thread for.
  constexpr std::int64_t grain() const { return grain_of(std::min(rows, height()) * cols); }
};

}  // namespace rankine
