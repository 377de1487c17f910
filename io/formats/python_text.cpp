#include "io/formats/python_text.h"

#include <array>
#include <charconv>
#include <cmath>
#include <nlohmann/json.hpp>

#include "engine/core/error.h"

namespace rankine {
namespace {

using Json = nlohmann::ordered_json;

std::string quoted(const std::string& text) {
  try {
    return Json(text).dump(-1, ' ', /*ensure_ascii=*/true);
  } catch (const Json::exception&) {
    throw DataError("metadata: a text is not valid UTF-8");
  }
}

}  // namespace

std::string python_str(bool value) { return value ? "True" : "False"; }
std::string python_str(std::int64_t value) { return std::to_string(value); }

std::string python_str(double value) {
  if (std::isnan(value)) return "nan";
  if (std::isinf(value)) return value < 0 ? "-inf" : "inf";
  std::array<char, 32> buffer;
  const double size = std::abs(value);
  // Python turns to an exponent below 1e-4 and from 1e16 on; to_chars would where that is shorter.
  const auto form =
      size != 0 && (size < 1e-4 || size >= 1e16) ? std::chars_format::scientific : std::chars_format::fixed;
  const auto end = std::to_chars(buffer.begin(), buffer.end(), value, form).ptr;
  std::string text(buffer.begin(), end);
  if (text.find_first_of(".e") == std::string::npos) text += ".0";
  return text;
}

std::string python_json(const Json& value) {
  std::string text, between;
  if (value.is_object()) {
    for (const auto& [key, item] : value.items()) {
      text += between + quoted(key) + ": " + python_json(item);
      between = ", ";
    }
    return "{" + text + "}";
  }
  if (value.is_array()) {
    for (const Json& item : value) {
      text += between + python_json(item);
      between = ", ";
    }
    return "[" + text + "]";
  }
  if (value.is_string()) return quoted(value.get<std::string>());
  if (!value.is_number_float()) return value.dump();
  const double number = value.get<double>();
  if (std::isnan(number)) return "NaN";
  if (std::isinf(number)) return number < 0 ? "-Infinity" : "Infinity";
  return python_str(number);
}

}  // namespace rankine
