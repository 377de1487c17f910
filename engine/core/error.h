// The exceptions of the engine. A message always says: which operation, what it expected, what came.
#pragma once

#include <sstream>
#include <stdexcept>
#include <string>

namespace rankine {

// Base of everything the engine throws on purpose. std::logic_error is kept for misuse of a protocol
// (tape order, unreleased memory): that is a bug in the caller, not in the user's input.
class Error : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// An operation got tensors whose shape, dtype or device it cannot take.
class ShapeError : public Error {
 public:
  using Error::Error;
};

// The run file or the command line is wrong (exit code 2).
class ConfigError : public Error {
 public:
  using Error::Error;
};

// A model, picture, caption or adapter file is wrong (exit code 3). Says file and offset or line.
class DataError : public Error {
 public:
  using Error::Error;
};

// The operating system refused to read or write (exit code 3). Says path and reason.
class IoError : public DataError {
 public:
  using DataError::DataError;
};

// An allocation would pass the memory budget. Carries the table of accounts.
class OutOfMemory : public Error {
 public:
  using Error::Error;
};

// The loss became NaN or infinite and stayed so (exit code 4).
class Diverged : public Error {
 public:
  using Error::Error;
};

// Concatenates anything that can be streamed: join("rank ", 8, " > ", 4).
template <class... Parts>
std::string join(const Parts&... parts) {
  std::ostringstream out;
  (out << ... << parts);
  return std::move(out).str();
}

// Throws E(join(parts...)) unless `ok`.
template <class E = Error, class... Parts>
void require(bool ok, const Parts&... parts) {
  if (!ok) throw E(join(parts...));
}

}  // namespace rankine
