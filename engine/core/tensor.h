// A dense, row-major tensor: a cheap value that shares its storage. Copying a Tensor copies a handle, not the
// data. Rows (the last dimension) of a block type hold whole blocks; views begin and end on block borders.
#pragma once

#include <memory>
#include <span>

#include "engine/core/dtype.h"
#include "engine/core/memory.h"
#include "engine/core/shape.h"

namespace rankine {

class Tensor {
 public:
  Tensor() = default;  // undefined: no storage, numel() of rank 0 must not be used
  Tensor(Memory& memory, Shape shape, DType dtype, Account account, std::string name);
  // A read-only tensor on bytes that `owner` keeps alive (a mapped file): accounted, not copied. Throws
  // ShapeError when the bytes are too few or not aligned for the type's numbers.
  static Tensor on(Memory& memory, Shape shape, DType dtype, const MappedBytes& mapped, std::string name);

  bool defined() const { return block_ != nullptr; }
  const Shape& shape() const { return shape_; }
  std::int64_t dim(int i) const { return shape_[i]; }
  std::int64_t numel() const { return shape_.numel(); }
  std::int64_t rows() const { return shape_.rows(); }  // product of all dimensions but the last
  std::int64_t cols() const { return shape_.cols(); }  // the last dimension
  DType dtype() const { return dtype_; }
  std::size_t bytes() const { return bytes_of(dtype_, numel()); }

  // Typed access; throws ShapeError when T is not the tensor's type. Null on a plan device.
  template <class T>
  const T* data() const {
    return static_cast<const T*>(checked(dtype_of<T>));
  }
  template <class T>
  T* data() {
    return static_cast<T*>(written(dtype_of<T>));
  }
  const void* raw() const { return checked(dtype_); }
  void* raw() { return written(dtype_); }
  template <class T>
  std::span<const T> span() const {
    return {data<T>(), static_cast<std::size_t>(numel())};
  }
  template <class T>
  std::span<T> span() {
    return {data<T>(), static_cast<std::size_t>(numel())};
  }

  // Views of the same storage.
  Tensor reshape(Shape shape) const;                         // same number of elements
  Tensor slice(std::int64_t begin, std::int64_t end) const;  // of the leading dimension
  Tensor flat(std::int64_t begin, Shape shape) const;        // `shape` elements from element `begin` on

  const Block* storage() const { return block_.get(); }
  long use_count() const { return block_.use_count(); }

  // For those who keep contents elsewhere for a while (the tape): takes the storage out, which leaves shape,
  // type and place in it as they are and the tensor undefined; and gives it one of the same size.
  std::shared_ptr<Block> take_storage() { return std::move(block_); }
  void put_storage(std::shared_ptr<Block> block) { block_ = std::move(block); }
  const std::shared_ptr<Block>& shared_storage() const { return block_; }

 private:
  const void* checked(DType wanted) const;
  void* written(DType wanted);

  std::shared_ptr<Block> block_;
  std::size_t offset_ = 0;  // bytes from the start of the block
  Shape shape_;
  DType dtype_ = DType::f32;
};

}  // namespace rankine
