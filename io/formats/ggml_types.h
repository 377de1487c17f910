// The tensor types of ggml by their numbers in files (GGUF, and ggjt version 3).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "io/formats/tensor_source.h"

namespace rankine {

struct GgmlType {
  std::uint32_t id;
  std::string_view name;          // as ggml spells it: "Q4_K"
  std::uint32_t elements, bytes;  // of a block
  FileDType dtype;                // other: named here, not decoded
};

// Null for numbers that no file may have: unknown, removed (Q4_2, Q4_3) or made only while running.
const GgmlType* ggml_type(std::uint32_t id);
// The number of a type that can be written; throws DataError naming `where` for the others.
std::uint32_t ggml_type_id(FileDType dtype, std::string_view where);

// Rows of `row` numbers of this type, `rows` of them: bytes, or nothing when they overflow 64 bits or a row
// is not made of whole blocks.
std::optional<std::uint64_t> ggml_bytes(const GgmlType& type, std::uint64_t row, std::uint64_t rows);

}  // namespace rankine
