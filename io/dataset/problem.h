// What is wrong with a dataset, for a person to repair.
#pragma once

#include <cstdint>
#include <string>

namespace rankine {

enum class Severity : std::uint8_t {
  warning,  // the sample is used
  error     // the sample is not used
};

struct Problem {
  Severity severity = Severity::error;
  std::string file;  // path as the user would find it
  int line = 0;      // from 1; 0 when the whole file is meant
  std::string text;

  // "file:line: text" or "file: text".
  std::string to_string() const {
    return file + (line > 0 ? ':' + std::to_string(line) : std::string()) + ": " + text;
  }
};

}  // namespace rankine
