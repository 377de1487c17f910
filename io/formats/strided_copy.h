// Tensors as strided views of a flat storage, and their row-major copies.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace rankine {

// Element (i0, i1, ...) is element offset + Σ i_k · strides_k of the storage. All numbers may come from a
// file.
struct StridedView {
  std::span<const std::byte> storage;
  std::size_t element_size = 1;
  std::int64_t offset = 0;
  std::vector<std::int64_t> shape, strides;  // of equal length
};

// What is wrong with a view: negative numbers, a count that overflows, elements outside of the storage. Empty
// when nothing is; the functions below need that.
std::string problem_of(const StridedView& view);

std::int64_t numel(const StridedView& view);
// Row-major without gaps; dimensions of size 1 may have any stride.
bool is_contiguous(const StridedView& view);
// The elements in row-major order: numel × element_size bytes.
std::vector<std::byte> gather(const StridedView& view);

}  // namespace rankine
