#include "engine/core/tensor.h"

#include <utility>

namespace rankine {

namespace {

void require_whole_blocks(const char* what, DType dtype, std::int64_t numbers) {
  require<ShapeError>(numbers % block_of(dtype).elements == 0, what, ": ", numbers, " numbers of ",
                      name_of(dtype), " are not whole blocks of ", block_of(dtype).elements);
}

}  // namespace

Tensor::Tensor(Memory& memory, Shape shape, DType dtype, Account account, std::string name)
    : shape_(shape), dtype_(dtype) {
  require_whole_blocks("Tensor", dtype, shape.cols());
  block_ = memory.allocate(bytes_of(dtype, shape.numel()), account, std::move(name));
}

Tensor Tensor::on(Memory& memory, Shape shape, DType dtype, const MappedBytes& mapped, std::string name) {
  require_whole_blocks("Tensor::on", dtype, shape.cols());
  const std::size_t bytes = bytes_of(dtype, shape.numel());
  require<ShapeError>(memory.device().plan || mapped.bytes.size() == bytes, "Tensor::on: \"", name,
                      "\" needs ", bytes, " bytes, got ", mapped.bytes.size());
  require<ShapeError>(
      is_block(dtype) || reinterpret_cast<std::uintptr_t>(mapped.bytes.data()) % size_of(dtype) == 0,
      "Tensor::on: \"", name, "\" is not aligned for ", name_of(dtype));
  Tensor t;
  t.shape_ = shape;
  t.dtype_ = dtype;
  t.block_ = memory.adopt(mapped, bytes, std::move(name));
  return t;
}

const void* Tensor::checked(DType wanted) const {
  require<ShapeError>(defined(), "Tensor: access to an undefined tensor");
  require<ShapeError>(wanted == dtype_, "Tensor \"", block_->name(), "\": holds ", name_of(dtype_),
                      ", asked for ", name_of(wanted));
  return block_->data() ? block_->data() + offset_ : nullptr;
}

void* Tensor::written(DType wanted) {
  const void* at = checked(wanted);
  block_->count_write();
  return const_cast<void*>(at);  // NOLINT: the storage is not const, access through a const tensor is
}

Tensor Tensor::reshape(Shape shape) const {
  require<ShapeError>(shape.numel() == numel(), "Tensor::reshape: ", shape_, " to ", shape);
  require_whole_blocks("Tensor::reshape", dtype_, shape.cols());
  Tensor t = *this;
  t.shape_ = shape;
  return t;
}

Tensor Tensor::slice(std::int64_t begin, std::int64_t end) const {
  require<ShapeError>(shape_.rank() > 0 && 0 <= begin && begin <= end && end <= shape_[0], "Tensor::slice: [",
                      begin, ",", end, ") of ", shape_);
  const std::int64_t stride = shape_[0] == 0 ? 0 : numel() / shape_[0];
  Tensor t = *this;
  require_whole_blocks("Tensor::slice", dtype_, begin * stride);
  t.shape_ = shape_.with_dim(0, end - begin);
  t.offset_ += bytes_of(dtype_, begin * stride);
  return t;
}

Tensor Tensor::flat(std::int64_t begin, Shape shape) const {
  require<ShapeError>(begin >= 0 && begin + shape.numel() <= numel(), "Tensor::flat: ", shape, " at element ",
                      begin, " of ", shape_);
  require_whole_blocks("Tensor::flat", dtype_, begin);
  require_whole_blocks("Tensor::flat", dtype_, shape.cols());
  Tensor t = *this;
  t.shape_ = shape;
  t.offset_ += bytes_of(dtype_, begin);
  return t;
}

}  // namespace rankine
