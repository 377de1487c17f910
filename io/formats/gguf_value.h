// The typed values of GGUF metadata.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace rankine {

using GgufVariant =
    std::variant<std::uint8_t, std::int8_t, std::uint16_t, std::int16_t, std::uint32_t, std::int32_t, float,
                 bool, std::string, std::uint64_t, std::int64_t, double, std::vector<std::uint8_t>,
                 std::vector<std::int8_t>, std::vector<std::uint16_t>, std::vector<std::int16_t>,
                 std::vector<std::uint32_t>, std::vector<std::int32_t>, std::vector<float>, std::vector<bool>,
                 std::vector<std::string>, std::vector<std::uint64_t>, std::vector<std::int64_t>,
                 std::vector<double>>;

// A scalar, a text, or an array of one of them. Arrays of arrays are in no file that ggml reads. Copying and
// destroying is kept out of line: inlined in a list of values it takes the compiler gigabytes.
struct GgufValue : GgufVariant {
  using GgufVariant::GgufVariant;
  GgufValue();
  GgufValue(const GgufValue& other);
  GgufValue(GgufValue&& other) noexcept;
  GgufValue& operator=(const GgufValue& other);
  GgufValue& operator=(GgufValue&& other) noexcept;
  ~GgufValue();
};
bool operator==(const GgufValue& a, const GgufValue& b);
using GgufTable = std::map<std::string, GgufValue, std::less<>>;

inline constexpr int kGgufArray = 9;  // the type number of every array
// The number of a scalar type in files, for T of the first half of GgufValue; of the elements for an array.
int gguf_type_id(const GgufValue& value);
bool is_array(const GgufValue& value);
std::string gguf_type_name(const GgufValue& value);  // "u32", "text", "array of f32"
// For people and for TensorSource::metadata(): "7", "true", a text as it is, "[1, 2]", "[32000 of text]".
std::string shown(const GgufValue& value);

// The value as T, when it can be said without loss: integers of any width that hold it, f32 and f64 for each
// other (f64 rounds to float), everything else only as itself; arrays by the same rule. T: std::uint32_t,
// std::int32_t, std::uint64_t, std::int64_t, float, double, bool, std::string, and std::vector of these.
template <class T>
std::optional<T> gguf_as(const GgufValue& value);

}  // namespace rankine
