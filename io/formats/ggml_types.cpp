#include "io/formats/ggml_types.h"

#include <algorithm>

#include "engine/core/error.h"

namespace rankine {
namespace {

constexpr GgmlType kTypes[] = {{0, "F32", 1, 4, FileDType::f32},
                               {1, "F16", 1, 2, FileDType::f16},
                               {2, "Q4_0", 32, 18, FileDType::q4_0},
                               {3, "Q4_1", 32, 20, FileDType::q4_1},
                               {6, "Q5_0", 32, 22, FileDType::q5_0},
                               {7, "Q5_1", 32, 24, FileDType::q5_1},
                               {8, "Q8_0", 32, 34, FileDType::q8_0},
                               {10, "Q2_K", 256, 84, FileDType::q2_k},
                               {11, "Q3_K", 256, 110, FileDType::q3_k},
                               {12, "Q4_K", 256, 144, FileDType::q4_k},
                               {13, "Q5_K", 256, 176, FileDType::q5_k},
                               {14, "Q6_K", 256, 210, FileDType::q6_k},
                               {16, "IQ2_XXS", 256, 66, FileDType::other},
                               {17, "IQ2_XS", 256, 74, FileDType::other},
                               {18, "IQ3_XXS", 256, 98, FileDType::other},
                               {19, "IQ1_S", 256, 50, FileDType::other},
                               {20, "IQ4_NL", 32, 18, FileDType::iq4_nl},
                               {21, "IQ3_S", 256, 110, FileDType::other},
                               {22, "IQ2_S", 256, 82, FileDType::other},
                               {23, "IQ4_XS", 256, 136, FileDType::other},
                               {24, "I8", 1, 1, FileDType::i8},
                               {25, "I16", 1, 2, FileDType::i16},
                               {26, "I32", 1, 4, FileDType::i32},
                               {27, "I64", 1, 8, FileDType::i64},
                               {28, "F64", 1, 8, FileDType::f64},
                               {29, "IQ1_M", 256, 56, FileDType::other},
                               {30, "BF16", 1, 2, FileDType::bf16},
                               {34, "TQ1_0", 256, 54, FileDType::other},
                               {35, "TQ2_0", 256, 66, FileDType::other},
                               {39, "MXFP4", 32, 17, FileDType::other},
                               {40, "NVFP4", 64, 36, FileDType::other}};

}  // namespace

const GgmlType* ggml_type(std::uint32_t id) {
  const auto* found =
      std::find_if(std::begin(kTypes), std::end(kTypes), [&](const GgmlType& t) { return t.id == id; });
  return found == std::end(kTypes) ? nullptr : found;
}

std::uint32_t ggml_type_id(FileDType dtype, std::string_view where) {
  for (const GgmlType& type : kTypes)
    if (type.dtype == dtype && dtype != FileDType::other) return type.id;
  throw DataError(join(where, ": ", name_of(dtype), " has no place in a ggml file"));
}

std::optional<std::uint64_t> ggml_bytes(const GgmlType& type, std::uint64_t row, std::uint64_t rows) {
  std::uint64_t bytes = 0;
  if (row % type.elements != 0) return std::nullopt;
  if (__builtin_mul_overflow(row / type.elements, type.bytes, &bytes)) return std::nullopt;
  if (__builtin_mul_overflow(bytes, rows, &bytes)) return std::nullopt;
  return bytes;
}

}  // namespace rankine
