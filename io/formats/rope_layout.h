// The two orders of the rows of q and k, by how rotary positions pair them. Per head of D rows:
//
//   halves       (Hugging Face)                     row i turns with row i + D/2
//   interleaved  (Meta, ggml files, GGUF "llama")   row 2i turns with row 2i + 1
//
// Interleaved row 2i is row i in halves, 2i + 1 is i + D/2. It holds for weights, biases and the B of a LoRA;
// A, V and the output map stay. Whole rows move, so stored blocks stay whole.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "io/formats/adapter_weights.h"

namespace rankine {

// Where row `row` of the interleaved order stands in halves. `rows` is that of the whole matrix, of `heads`
// heads.
std::int64_t row_in_halves(std::int64_t row, std::int64_t rows, int heads);

// Rows of equal bytes to the other order; `from` and `to` do not overlap. Throw DataError when heads do not
// divide the rows into an even number each.
void permute_rows_to_interleaved(std::span<const std::byte> from, std::span<std::byte> to, std::int64_t rows,
                                 int heads);
void permute_rows_to_halves(std::span<const std::byte> from, std::span<std::byte> to, std::int64_t rows,
                            int heads);

AdapterMatrix permute_rows_to_interleaved(const AdapterMatrix& b, int heads);
AdapterMatrix permute_rows_to_halves(const AdapterMatrix& b, int heads);

}  // namespace rankine
