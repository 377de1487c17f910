#include "io/formats/rope_layout.h"

#include <cstring>

#include "engine/core/error.h"

namespace rankine {
namespace {

// Calls move(row in halves, interleaved row) for every row.
template <class Move>
void each_pair(std::int64_t rows, int heads, Move&& move) {
  require<DataError>(heads > 0 && rows > 0 && rows % heads == 0 && rows / heads % 2 == 0,
                     "rows of q or k: ", rows, " rows are not ", heads, " heads of an even number each");
  for (std::int64_t row = 0; row < rows; ++row) move(row_in_halves(row, rows, heads), row);
}

std::size_t row_bytes(std::span<const std::byte> from, std::span<std::byte> to, std::int64_t rows) {
  const auto n = static_cast<std::size_t>(rows);
  require<DataError>(rows > 0 && from.size() == to.size() && from.size() % n == 0,
                     "rows of q or k: ", from.size(), " and ", to.size(), " bytes are not ", rows, " rows");
  return from.size() / n;
}

}  // namespace

std::int64_t row_in_halves(std::int64_t row, std::int64_t rows, int heads) {
  const std::int64_t size = rows / heads, within = row % size;
  return row - within + within / 2 + within % 2 * (size / 2);
}

void permute_rows_to_interleaved(std::span<const std::byte> from, std::span<std::byte> to, std::int64_t rows,
                                 int heads) {
  const std::size_t n = row_bytes(from, to, rows);
  each_pair(rows, heads, [&](std::int64_t half, std::int64_t interleaved) {
    std::memcpy(to.data() + static_cast<std::size_t>(interleaved) * n,
                from.data() + static_cast<std::size_t>(half) * n, n);
  });
}

void permute_rows_to_halves(std::span<const std::byte> from, std::span<std::byte> to, std::int64_t rows,
                            int heads) {
  const std::size_t n = row_bytes(from, to, rows);
  each_pair(rows, heads, [&](std::int64_t half, std::int64_t interleaved) {
    std::memcpy(to.data() + static_cast<std::size_t>(half) * n,
                from.data() + static_cast<std::size_t>(interleaved) * n, n);
  });
}

AdapterMatrix permute_rows_to_interleaved(const AdapterMatrix& b, int heads) {
  AdapterMatrix y = b;
  permute_rows_to_interleaved(std::as_bytes(std::span(b.values)), std::as_writable_bytes(std::span(y.values)),
                              b.rows, heads);
  return y;
}

AdapterMatrix permute_rows_to_halves(const AdapterMatrix& b, int heads) {
  AdapterMatrix y = b;
  permute_rows_to_halves(std::as_bytes(std::span(b.values)), std::as_writable_bytes(std::span(y.values)),
                         b.rows, heads);
  return y;
}

}  // namespace rankine
