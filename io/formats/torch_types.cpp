#include "io/formats/torch_types.h"

#include <array>

namespace rankine::torch_detail {
namespace {

struct Row {
  std::string_view storage, dtype;  // empty: there is none
  ElementType type;
};

constexpr std::array<Row, 21> kRows{{{"DoubleStorage", "float64", {FileDType::f64, 8}},
                                     {"FloatStorage", "float32", {FileDType::f32, 4}},
                                     {"HalfStorage", "float16", {FileDType::f16, 2}},
                                     {"BFloat16Storage", "bfloat16", {FileDType::bf16, 2}},
                                     {"LongStorage", "int64", {FileDType::i64, 8}},
                                     {"IntStorage", "int32", {FileDType::i32, 4}},
                                     {"ShortStorage", "int16", {FileDType::i16, 2}},
                                     {"CharStorage", "int8", {FileDType::i8, 1}},
                                     {"ByteStorage", "uint8", {FileDType::u8, 1}},
                                     {"BoolStorage", "bool", {FileDType::boolean, 1}},
                                     {"UntypedStorage", "", {FileDType::u8, 1}},
                                     {"ComplexFloatStorage", "complex64", {FileDType::other, 8}},
                                     {"ComplexDoubleStorage", "complex128", {FileDType::other, 16}},
                                     {"", "uint16", {FileDType::u16, 2}},
                                     {"", "uint32", {FileDType::u32, 4}},
                                     {"", "uint64", {FileDType::u64, 8}},
                                     {"", "float8_e4m3fn", {FileDType::f8_e4m3, 1}},
                                     {"", "float8_e5m2", {FileDType::f8_e5m2, 1}},
                                     {"", "float8_e4m3fnuz", {FileDType::other, 1}},
                                     {"", "float8_e5m2fnuz", {FileDType::other, 1}},
                                     {"", "float8_e8m0fnu", {FileDType::other, 1}}}};

}  // namespace

std::optional<ElementType> storage_type(std::string_view name) {
  for (const Row& row : kRows)
    if (!row.storage.empty() && row.storage == name) return row.type;
  return std::nullopt;
}

std::optional<ElementType> dtype_named(std::string_view name) {
  for (const Row& row : kRows)
    if (!row.dtype.empty() && row.dtype == name) return row.type;
  return std::nullopt;
}

}  // namespace rankine::torch_detail
