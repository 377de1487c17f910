#include "io/formats/strided_copy.h"

#include <algorithm>
#include <cstring>

#include "engine/core/error.h"

namespace rankine {

std::string problem_of(const StridedView& v) {
  const auto negative = [](std::int64_t x) { return x < 0; };
  if (v.offset < 0) return join("a negative offset, ", v.offset);
  if (std::any_of(v.shape.begin(), v.shape.end(), negative)) return "a negative size";
  if (std::any_of(v.strides.begin(), v.strides.end(), negative)) return "a negative stride";
  const bool empty = std::find(v.shape.begin(), v.shape.end(), 0) != v.shape.end();
  const auto elements = static_cast<std::int64_t>(v.storage.size() / v.element_size);
  std::int64_t count = 1, last = v.offset;
  for (std::size_t k = 0; k < v.shape.size(); ++k) {
    std::int64_t reach = 0;
    // A zero among the sizes must not hide that the others overflow.
    if (__builtin_mul_overflow(count, std::max<std::int64_t>(v.shape[k], 1), &count))
      return "its size overflows";
    if (empty) continue;
    if (__builtin_mul_overflow(v.shape[k] - 1, v.strides[k], &reach) ||
        __builtin_add_overflow(last, reach, &last))
      return "its place in the storage overflows";
  }
  std::int64_t bytes = 0;
  if (__builtin_mul_overflow(count, static_cast<std::int64_t>(v.element_size), &bytes))
    return "its size overflows";
  if (empty || last < elements) return "";
  return join("it reaches element ", last, " of a storage of ", elements);
}

std::int64_t numel(const StridedView& v) {
  std::int64_t n = 1;
  for (const std::int64_t extent : v.shape) n *= extent;
  return n;
}

bool is_contiguous(const StridedView& v) {
  if (numel(v) == 0) return true;
  std::int64_t expected = 1;
  for (std::size_t k = v.shape.size(); k-- > 0;) {
    if (v.shape[k] == 1) continue;
    if (v.strides[k] != expected) return false;
    expected *= v.shape[k];
  }
  return true;
}

std::vector<std::byte> gather(const StridedView& v) {
  const std::size_t size = v.element_size, rank = v.shape.size();
  std::vector<std::byte> out(static_cast<std::size_t>(numel(v)) * size);
  std::vector<std::int64_t> index(rank, 0);
  std::int64_t at = v.offset;
  for (std::size_t n = 0; n < out.size(); n += size) {
    std::memcpy(out.data() + n, v.storage.data() + static_cast<std::size_t>(at) * size, size);
    for (std::size_t k = rank; k-- > 0;) {  // an odometer, the last dimension first
      at += v.strides[k];
      if (++index[k] < v.shape[k]) break;
      at -= v.strides[k] * v.shape[k];
      index[k] = 0;
    }
  }
  return out;
}

}  // namespace rankine
