#include "models/nn/load.h"

#include <cmath>
#include <cstring>

#include "kernels/elementwise/elementwise.h"
#include "kernels/random/random.h"

namespace rankine {
namespace {

std::string shape_text(const std::vector<std::int64_t>& shape) {
  return Shape(std::span<const std::int64_t>(shape)).to_string();
}

DType memory_dtype(const Weight& w, FileDType file) {
  if (w.kind() == WeightKind::vector) return DType::f32;
  if (file == FileDType::f16) return DType::f16;
  if (file == FileDType::bf16) return DType::bf16;
  return DType::f32;
}

// True when a file tensor of `found` shape holds the weight's elements, a 1×1 convolution standing for a
// Linear.
bool shape_fits(const Weight& w, const WeightOrigin& o, std::vector<std::int64_t> found) {
  std::vector<std::int64_t> want = file_shape(w);
  if (o.transposed && want.size() == 2) std::swap(want[0], want[1]);
  want[0] *= o.parts;
  while (found.size() > want.size() && found.back() == 1) found.pop_back();
  while (want.size() > found.size() && want.back() == 1) want.pop_back();
  return found == want;
}

// Copies `out` rows of elements of `size` bytes from file order to memory order.
void reorder_conv(const std::byte* from, std::byte* to, const Shape& memory, std::size_t size) {
  const std::int64_t out = memory[0], k = memory[1], in = memory[3];
  for (std::int64_t o = 0; o < out; ++o) {
    for (std::int64_t i = 0; i < in; ++i) {
      for (std::int64_t p = 0; p < k * k; ++p) {
        std::memcpy(to + ((o * k * k + p) * in + i) * size, from + ((o * in + i) * k * k + p) * size, size);
      }
    }
  }
}

void transpose(const std::byte* from, std::byte* to, const Shape& memory, std::size_t size) {
  const std::int64_t rows = memory[0], cols = memory[1];
  for (std::int64_t r = 0; r < rows; ++r) {
    for (std::int64_t k = 0; k < cols; ++k)
      std::memcpy(to + (r * cols + k) * size, from + (k * rows + r) * size, size);
  }
}

}  // namespace

Naming prefixed(std::string prefix) {
  return [prefix = std::move(prefix)](const Weight& w) { return WeightOrigin{prefix + w.path()}; };
}

std::vector<std::int64_t> file_shape(const Weight& w) {
  const Shape& s = w.shape();
  switch (w.layout()) {
    case FileLayout::conv:
      return {s[0], s[3], s[1], s[2]};
    case FileLayout::conv_1x1:
      return {s[0], s[1], 1, 1};
    case FileLayout::same:
      break;
  }
  return {s.dims().begin(), s.dims().end()};
}

std::vector<float> to_file_order(const Tensor& value, FileLayout layout) {
  TensorInfo info;
  info.dtype = value.dtype() == DType::f16    ? FileDType::f16
               : value.dtype() == DType::bf16 ? FileDType::bf16
                                              : FileDType::f32;
  info.shape = {value.numel()};
  info.bytes = {static_cast<const std::byte*>(value.raw()), value.bytes()};
  std::vector<float> memory(static_cast<std::size_t>(value.numel()));
  read_as_float(info, memory);
  if (layout != FileLayout::conv) return memory;
  const std::int64_t rows = value.dim(0), k = value.dim(1) * value.dim(2), in = value.dim(3);
  std::vector<float> out(memory.size());
  for (std::int64_t o = 0; o < rows; ++o) {
    for (std::int64_t p = 0; p < k; ++p) {
      for (std::int64_t i = 0; i < in; ++i) out[(o * in + i) * k + p] = memory[(o * k + p) * in + i];
    }
  }
  return out;
}

void WeightLoader::weight(Weight& w) {
  const WeightOrigin origin = naming_(w);
  const TensorInfo& info = source_.at(origin.name);
  require<DataError>(shape_fits(w, origin, info.shape), source_.describe(), ": ", origin.name, " has shape ",
                     shape_text(info.shape), ", expected ", shape_text(file_shape(w)),
                     origin.parts > 1 ? " times " + std::to_string(origin.parts) + " rows" : "");
  Tensor value(c_.memory(), w.shape(), memory_dtype(w, info.dtype), Account::weights, w.path());
  if (!c_.planning()) {
    // The part of the file in its own order, as raw halves or decoded to fp32.
    const std::size_t size = size_of(value.dtype());
    const std::size_t count = static_cast<std::size_t>(w.shape().numel());
    std::vector<float> decoded;
    const std::byte* from = nullptr;
    if (value.dtype() == DType::f32) {
      decoded.resize(static_cast<std::size_t>(info.numel()));
      read_as_float(info, decoded);
      from = reinterpret_cast<const std::byte*>(decoded.data()) + origin.part * count * size;
    } else {
      from = info.bytes.data() + origin.part * count * size;
    }
    auto* to = static_cast<std::byte*>(value.raw());
    if (w.layout() == FileLayout::conv)
      reorder_conv(from, to, w.shape(), size);
    else if (origin.transposed)
      transpose(from, to, w.shape(), size);
    else
      std::memcpy(to, from, count * size);
  }
  w.set_value(std::move(value));
}

void WeightInitialiser::weight(Weight& w) {
  const bool matrix = w.kind() == WeightKind::matrix;
  Tensor value(c_.memory(), w.shape(), matrix ? matrices_ : DType::f32, Account::weights, w.path());
  Tensor wide = value.dtype() == DType::f32 ? value : c_.empty(w.shape(), "initial weight");
  const bool gain = !matrix && w.path().ends_with(".weight") && w.shape().rank() == 1;
  if (is_zero_(w.path())) {
    fill(c_, wide, 0);
  } else if (gain) {
    fill(c_, wide, 1);
  } else if (!matrix && w.shape().rank() == 1) {
    fill(c_, wide, 0);
  } else {
    // Embedding tables have no fan-in: CLIP starts them at a small spread, which the bound below also gives.
    const float bound = 1.0F / std::sqrt(static_cast<float>(w.shape().numel() / w.shape()[0]));
    fill_uniform(c_, wide, RandomStream{seed_, purpose(w.path()), 0, 0}, -bound, bound);
  }
  if (value.dtype() != DType::f32) copy(c_, value, wide);
  w.set_value(std::move(value));
}

}  // namespace rankine
