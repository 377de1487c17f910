#include "bench/operands.h"

#include <algorithm>
#include <cstring>

#include "engine/core/block_formats.h"
#include "engine/core/transfer.h"
#include "kernels/elementwise/elementwise.h"
#include "kernels/random/random.h"

namespace rankine::bench {
namespace {

void fill_floats(const Context& c, Tensor& t, const RandomStream& stream) {
  if (t.dtype() == DType::f32 || c.device().is_cuda()) return fill_uniform(c, t, stream, -0.5F, 0.5F);
  Tensor values = c.empty(t.shape(), "random", DType::f32);
  fill_uniform(c, values, stream, -0.5F, 0.5F);
  copy(c, t, values);
}

// Blocks of random numbers, as many as one row of a matrix or more. Types without an encoder get random bytes
// below 64: whatever of them is read as a scale is finite.
std::vector<std::byte> random_blocks(DType type, std::int64_t cols, const RandomStream& stream) {
  const std::int64_t count = std::max<std::int64_t>(cols, 1 << 14) / cols * cols;
  std::vector<std::byte> blocks(bytes_of(type, count));
  HostRandom random(stream);
  if (can_encode(type)) {
    std::vector<float> values(static_cast<std::size_t>(count));
    for (float& v : values) v = (random.uniform() - 0.5F) * 0.1F;
    encode_blocks(type, values, blocks.data());
  } else {
    for (std::byte& b : blocks) b = static_cast<std::byte>(random.word() & 63U);
  }
  return blocks;
}

// The same few rows again and again: products and decoding take as long as with others.
void fill_blocks(Tensor& t, const RandomStream& stream) {
  const std::vector<std::byte> some = random_blocks(t.dtype(), t.cols(), stream);
  std::vector<std::byte> all(t.bytes());
  for (std::size_t at = 0; at < all.size(); at += some.size())
    std::memcpy(all.data() + at, some.data(), std::min(some.size(), all.size() - at));
  upload(t, all);
}

}  // namespace

Tensor Operands::keep(Tensor t) {
  bytes_ += t.bytes();
  kept_.push_back(t);
  return t;
}

Tensor Operands::shared(Shape shape, DType type) {
  if (first_) {
    bytes_ += first_->kept_.at(at_).bytes();
    return first_->kept_[at_++];
  }
  Tensor t = c_.empty(shape, "bench", type);
  fill_floats(c_, t, {1, purpose("bench"), set_, id_++});
  return keep(t);
}

Tensor Operands::own(Shape shape, DType type) {
  Tensor t = c_.empty(shape, "weight", type);
  const RandomStream stream{1, purpose("weight"), set_, id_++};
  if (!is_block(type))
    fill_floats(c_, t, stream);
  else if (!c_.planning())
    fill_blocks(t, stream);
  bytes_ += t.bytes();
  own_bytes_ += t.bytes();
  return t;
}

Tensor Operands::ids(Shape shape, std::int64_t below) {
  if (first_) return first_->kept_.at(at_++);
  Tensor t = c_.empty(shape, "ids", DType::i32);
  HostRandom random({1, purpose("ids"), set_, id_++});
  std::vector<std::int32_t> values(static_cast<std::size_t>(t.numel()));
  for (std::int32_t& v : values)
    v = static_cast<std::int32_t>(random.below(static_cast<std::uint32_t>(below)));
  set_ints(t, values);
  return keep(t);
}

}  // namespace rankine::bench
