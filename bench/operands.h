// Tensors for one call of an operation, full of random numbers: zeros would be faster than any real data on
// some cards, and would hide an output that is not written.
//
// A case has several sets of them, used in turn, so that what a step would not find in a cache is not found
// here. The first set makes all its tensors. The others share those that `Sharing` allows with the first.
#pragma once

#include <vector>

#include "engine/core/context.h"

namespace rankine::bench {

enum class Sharing : std::uint8_t {
  nothing,      // every set its own: operations that are bound by moving bytes
  activations,  // only weights of their own: a layer's input was just written, its weight was last read a
                // step ago
};

class Operands {
 public:
  Operands(const Context& c, int rank) : c_(c), rank_(rank) {}
  // A further set, of the same maker.
  Operands(const Operands& first, Sharing sharing, std::uint32_t set)
      : c_(first.c_),
        rank_(first.rank_),
        first_(sharing == Sharing::activations ? &first : nullptr),
        set_(set) {}

  const Context& context() const { return c_; }
  std::int64_t rank() const { return rank_; }  // of adapters

  // Uniform in [-0.5, 0.5).
  Tensor activations(Shape shape) { return shared(shape, c_.activations()); }
  Tensor floats(Shape shape) { return shared(shape, DType::f32); }
  // A frozen weight, in halves as checkpoints keep it, or in `type`: with scales near those of a trained one.
  Tensor weight(Shape shape) { return own(shape, c_.device().is_cuda() ? c_.activations() : DType::f16); }
  Tensor weight(Shape shape, DType type) { return own(shape, type); }
  // Whole numbers in [0, below).
  Tensor ids(Shape shape, std::int64_t below);

  std::size_t bytes() const { return bytes_; }          // of all tensors of this set
  std::size_t own_bytes() const { return own_bytes_; }  // of those that a further set does not share

 private:
  Tensor shared(Shape shape, DType type);
  Tensor own(Shape shape, DType type);
  Tensor keep(Tensor t);

  Context c_;
  int rank_;
  const Operands* first_ = nullptr;
  std::uint32_t set_ = 0, id_ = 0;
  std::vector<Tensor> kept_;  // shared with further sets, in the order made
  std::size_t at_ = 0, bytes_ = 0, own_bytes_ = 0;
};

}  // namespace rankine::bench
