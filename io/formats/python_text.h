// Values in the spelling of Python's str() and json.dumps(): tools that read training metadata expect it.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>

namespace rankine {

// "True", "False".
std::string python_str(bool value);
std::string python_str(std::int64_t value);
// The shortest digits that give the number back: "0.0001", "1e-05", "8.0", "1e+16", "inf", "nan".
std::string python_str(double value);
inline std::string python_str(const std::string& value) { return value; }
inline std::string python_str(const char* value) { return value; }
template <class T>
std::string python_str(const std::optional<T>& value) {
  return value ? python_str(*value) : "None";
}

// json.dumps(value): one line, ", " and ": " between, everything outside ASCII as \uXXXX. Throws DataError
// for text that is not UTF-8.
std::string python_json(const nlohmann::ordered_json& value);

}  // namespace rankine
