// A tensor on its way into a file, its bytes made or borrowed when their turn comes: writing a model takes
// the memory of one tensor.
#pragma once

#include <cstddef>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "io/files/atomic_write.h"
#include "io/formats/tensor_source.h"

namespace rankine {

struct TensorOutput {
  std::string name;
  FileDType dtype = FileDType::f32;
  std::vector<std::int64_t> shape;  // row-major, outermost first
  // Appends the bytes of the tensor, in as many pieces as it likes.
  std::function<void(const AppendBytes&)> write;

  std::uint64_t bytes()
      const;                   // throws DataError for a shape that is no shape, or a part of a block in a row
  std::uint64_t rows() const;  // numbers other than those along the last axis; 1 for a vector
  std::int64_t row() const;    // numbers along the last axis
};

// Bytes that live until the file is written.
TensorOutput borrowed(std::string name, FileDType dtype, std::vector<std::int64_t> shape,
                      std::span<const std::byte> bytes);
// A tensor of a source, as it is.
TensorOutput taken_from(const TensorSource& source, std::string_view name);

// Calls t.write and throws DataError when it appended another number of bytes than t.bytes().
void append_tensor(const TensorOutput& t, const AppendBytes& append);

}  // namespace rankine
