// Blocks of the containers before ggjt 2, in which byte j of a block holds numbers 2j and 2j + 1.
#pragma once

#include <cstddef>
#include <span>

#include "io/formats/tensor_source.h"

namespace rankine {

bool has_half_bytes(FileDType dtype);  // q4_0, q4_1, q5_0, q5_1 and those with fp32 scales
// Reorders whole blocks in place to numbers j and j + 16 in byte j. The values stay the same.
void split_half_bytes(FileDType dtype, std::span<std::byte> blocks);

// Whether a row of Q4_0 or Q4_1 blocks with fp32 scales cannot be that: too many of the scales are no sizes a
// weight has. It is then of the layout before 11 March 2023, all scales of a row before all half bytes.
bool looks_row_wise(FileDType dtype, std::span<const std::byte> row);

}  // namespace rankine
