#include "models/nn/load.h"

#include <cmath>

#include "engine/core/block_formats.h"
#include "engine/core/transfer.h"
#include "kernels/elementwise/elementwise.h"
#include "kernels/random/random.h"

namespace rankine {
namespace {

std::string shape_text(const std::vector<std::int64_t>& shape) {
  return Shape(std::span<const std::int64_t>(shape)).to_string();
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

// From file order (out, in, k, k) to memory's (out, k, k, in).
std::vector<float> reorder_conv(const std::vector<float>& from, const Shape& memory) {
  const std::int64_t out = memory[0], taps = memory[1] * memory[2], in = memory[3];
  std::vector<float> to(from.size());
  for (std::int64_t o = 0; o < out; ++o) {
    for (std::int64_t i = 0; i < in; ++i) {
      for (std::int64_t p = 0; p < taps; ++p) to[(o * taps + p) * in + i] = from[(o * in + i) * taps + p];
    }
  }
  return to;
}

// The transpose of a matrix whose shape in memory is `memory`.
std::vector<float> transpose(const std::vector<float>& from, const Shape& memory) {
  const std::int64_t rows = memory[0], cols = memory[1];
  std::vector<float> to(from.size());
  for (std::int64_t r = 0; r < rows; ++r) {
    for (std::int64_t k = 0; k < cols; ++k) to[r * cols + k] = from[k * rows + r];
  }
  return to;
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
  std::vector<float> memory(static_cast<std::size_t>(value.numel()));
  if (is_block(value.dtype())) {
    std::vector<std::byte> blocks(value.bytes());
    download(blocks, value);
    decode_blocks(value.dtype(), blocks.data(), memory);
  } else {
    memory = floats_of(value);
  }
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

DType WeightLoader::dtype_for(const Weight& w, const WeightOrigin& origin, FileDType file) const {
  if (w.kind() == WeightKind::vector) return DType::f32;
  const DType in_file = memory_dtype(file).value_or(DType::f32);
  if (is_block(in_file)) {
    // Blocks run along rows of the file: they cannot be transposed or permuted.
    const bool as_it_lies = w.layout() != FileLayout::conv && !origin.transposed;
    return as_it_lies && w.shape().cols() % block_of(in_file).elements == 0 ? in_file : DType::f32;
  }
  const DType flowing = options_.activations.value_or(c_.activations());
  const DType plain = flowing == DType::f32 ? in_file : flowing;
  if (!options_.quantise || w.shape().rank() != 2) return plain;
  const DType wanted = options_.quantise(w).value_or(plain);
  return w.shape().cols() % block_of(wanted).elements == 0 ? wanted : plain;
}

bool WeightLoader::can_map(const Weight& w, const WeightOrigin& origin, const TensorInfo& info,
                           DType dtype) const {
  if (!options_.mapped || c_.device().is_cuda() || w.kind() != WeightKind::matrix ||
      w.layout() == FileLayout::conv || origin.transposed)
    return false;
  if (info.bytes.empty() || memory_dtype(info.dtype) != dtype) return false;
  const std::byte* at = info.bytes.data() + origin.part * bytes_of(dtype, w.shape().numel());
  return is_block(dtype) || reinterpret_cast<std::uintptr_t>(at) % size_of(dtype) == 0;
}

Tensor WeightLoader::map(const Weight& w, const WeightOrigin& origin, const TensorInfo& info,
                         DType dtype) const {
  const std::size_t bytes = bytes_of(dtype, w.shape().numel());
  return Tensor::on(c_.memory(), w.shape(), dtype,
                    {info.bytes.subspan(origin.part * bytes, bytes), options_.mapped}, w.path());
}

void WeightLoader::fill_from(Tensor& value, const Weight& w, const WeightOrigin& origin,
                             const TensorInfo& listed) const {
  const TensorBytes loaded = source_.load(origin.name);
  TensorInfo info = listed;
  info.bytes = loaded.bytes;
  const auto count = static_cast<std::size_t>(w.shape().numel());
  const std::size_t bytes = bytes_of(value.dtype(), w.shape().numel());
  if (memory_dtype(info.dtype) == value.dtype() && w.layout() != FileLayout::conv && !origin.transposed)
    return upload(value, info.bytes.subspan(origin.part * bytes, bytes));
  std::vector<float> decoded(static_cast<std::size_t>(info.numel()));
  read_as_float(info, decoded);
  std::vector<float> part(decoded.begin() + static_cast<std::ptrdiff_t>(origin.part * count),
                          decoded.begin() + static_cast<std::ptrdiff_t>((origin.part + 1) * count));
  if (is_block(value.dtype())) {
    std::vector<std::byte> blocks(bytes);
    encode_blocks(value.dtype(), part, blocks.data());
    return upload(value, blocks);
  }
  if (w.layout() == FileLayout::conv) part = reorder_conv(part, w.shape());
  if (origin.transposed) part = transpose(part, w.shape());
  set_floats(value, part);
}

void WeightLoader::weight(Weight& w) {
  const WeightOrigin origin = naming_(w);
  const TensorInfo& info = source_.at(origin.name);
  require<DataError>(shape_fits(w, origin, info.shape), source_.describe(), ": ", origin.name, " has shape ",
                     shape_text(info.shape), ", expected ", shape_text(file_shape(w)),
                     origin.parts > 1 ? " times " + std::to_string(origin.parts) + " rows" : "");
  const DType dtype = dtype_for(w, origin, info.dtype);
  if (can_map(w, origin, info, dtype)) {
    w.set_value(map(w, origin, info, dtype));
    return;
  }
  Tensor value(c_.memory(), w.shape(), dtype, Account::weights, w.path());
  if (!c_.planning()) fill_from(value, w, origin, info);
  w.set_value(std::move(value));
  if (options_.stream) options_.stream->loaded(w);
}

void WeightInitialiser::weight(Weight& w) {
  const bool matrix = w.kind() == WeightKind::matrix;
  Tensor value(c_.memory(), w.shape(), matrix ? matrices_ : DType::f32, Account::weights, w.path());
  Tensor wide = value.dtype() == DType::f32 ? value : c_.empty(w.shape(), "initial weight", DType::f32);
  const bool vector = !matrix && w.shape().rank() == 1, gain = vector && w.path().ends_with(".weight");
  if (is_zero_(w.path()) || (vector && !gain)) {
    fill(c_, wide, 0);
  } else if (gain) {
    fill(c_, wide, 1);
  } else {
    // Embedding tables have no fan-in: CLIP starts them at a small spread, which the bound below also gives.
    const std::int64_t fan_in = w.shape().numel() / w.shape()[0];
    const float bound = 1.0F / std::sqrt(static_cast<float>(fan_in));
    fill_uniform(c_, wide, RandomStream{seed_, purpose(w.path()), 0, 0}, -bound, bound);
  }
  if (value.dtype() != DType::f32) copy(c_, value, wide);
  w.set_value(std::move(value));
  if (stream_) stream_->loaded(w);
}

}  // namespace rankine
