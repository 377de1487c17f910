#include "engine/core/tensor.h"

#include <utility>

namespace rankine {

Tensor::Tensor(Memory& memory, Shape shape, DType dtype, Account account, std::string name)
    : shape_(shape), dtype_(dtype) {
  block_ =
      memory.allocate(static_cast<std::size_t>(shape.numel()) * size_of(dtype), account, std::move(name));
}

const void* Tensor::checked(DType wanted) const {
  require<ShapeError>(defined(), "Tensor: access to an undefined tensor");
  require<ShapeError>(wanted == dtype_, "Tensor \"", block_->name(), "\": holds ", name_of(dtype_),
                      ", asked for ", name_of(wanted));
  return block_->data() ? block_->data() + offset_ : nullptr;
}

Tensor Tensor::reshape(Shape shape) const {
  require<ShapeError>(shape.numel() == numel(), "Tensor::reshape: ", shape_, " to ", shape);
  Tensor t = *this;
  t.shape_ = shape;
  return t;
}

Tensor Tensor::slice(std::int64_t begin, std::int64_t end) const {
  require<ShapeError>(shape_.rank() > 0 && 0 <= begin && begin <= end && end <= shape_[0], "Tensor::slice: [",
                      begin, ",", end, ") of ", shape_);
  const std::int64_t stride = shape_[0] == 0 ? 0 : numel() / shape_[0];
  Tensor t = *this;
  t.shape_ = shape_.with_dim(0, end - begin);
  t.offset_ += static_cast<std::size_t>(begin * stride) * size_of(dtype_);
  return t;
}

Tensor Tensor::flat(std::int64_t begin, Shape shape) const {
  require<ShapeError>(begin >= 0 && begin + shape.numel() <= numel(), "Tensor::flat: ", shape, " at element ",
                      begin, " of ", shape_);
  Tensor t = *this;
  t.shape_ = shape;
  t.offset_ += static_cast<std::size_t>(begin) * size_of(dtype_);
  return t;
}

}  // namespace rankine
