// The extent of a dense row-major tensor: up to five dimensions, held inline.
#pragma once

#include <array>
#include <cstdint>
#include <initializer_list>
#include <ostream>
#include <span>
#include <string>

#include "engine/core/error.h"

namespace rankine {

class Shape {
 public:
  static constexpr int kMaxRank = 5;

  Shape() = default;  // rank 0: a scalar, one element
  Shape(std::initializer_list<std::int64_t> dims) : Shape(std::span(dims.begin(), dims.size())) {}
  explicit Shape(std::span<const std::int64_t> dims) : rank_(static_cast<int>(dims.size())) {
    require<ShapeError>(rank_ <= kMaxRank, "Shape: at most ", kMaxRank, " dimensions, got ", dims.size());
    for (int i = 0; i < rank_; ++i) {
      require<ShapeError>(dims[i] >= 0, "Shape: dimension ", i, " is negative: ", dims[i]);
      dims_[i] = dims[i];
    }
  }

  int rank() const { return rank_; }
  // Negative indices count from the end: shape[-1] is the innermost dimension.
  std::int64_t operator[](int i) const {
    const int at = i < 0 ? i + rank_ : i;
    require<ShapeError>(at >= 0 && at < rank_, "Shape: no dimension ", i, " in ", to_string());
    return dims_[at];
  }
  std::int64_t numel() const {
    std::int64_t n = 1;
    for (int i = 0; i < rank_; ++i) n *= dims_[i];
    return n;
  }
  std::int64_t cols() const { return rank_ == 0 ? 1 : dims_[rank_ - 1]; }
  std::int64_t rows() const {  // product of all dimensions but the last
    std::int64_t n = 1;
    for (int i = 0; i + 1 < rank_; ++i) n *= dims_[i];
    return n;
  }
  Shape with_dim(int i, std::int64_t extent) const {
    Shape s = *this;
    const int at = i < 0 ? i + rank_ : i;
    require<ShapeError>(at >= 0 && at < rank_, "Shape: no dimension ", i, " in ", to_string());
    s.dims_[at] = extent;
    return s;
  }
  std::span<const std::int64_t> dims() const { return {dims_.data(), static_cast<std::size_t>(rank_)}; }
  std::string to_string() const {
    std::string s = "[";
    for (int i = 0; i < rank_; ++i) {
      if (i > 0) s += ',';
      s += std::to_string(dims_[i]);
    }
    s += ']';
    return s;
  }
  friend bool operator==(const Shape& a, const Shape& b) {
    if (a.rank_ != b.rank_) return false;
    for (int i = 0; i < a.rank_; ++i)
      if (a.dims_[i] != b.dims_[i]) return false;
    return true;
  }
  friend std::ostream& operator<<(std::ostream& out, const Shape& s) { return out << s.to_string(); }

 private:
  std::array<std::int64_t, kMaxRank> dims_{};
  int rank_ = 0;
};

}  // namespace rankine
