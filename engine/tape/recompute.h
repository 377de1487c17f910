// Activation checkpointing as a wrapper: forward keeps only the inputs, backward runs forward again on the
// tape. Random numbers are functions of (seed, step, sample), so the replay is bit-equal with nothing stored
// for it.
#pragma once

#include <array>
#include <utility>

#include "engine/tape/tape.h"

namespace rankine {

// Layer: Tensor forward(const Context&, const Tensor& x, const Tensor&... side), and
//        Tensor backward(const Context&, const Tensor& dy, Grads&&... accumulators of the side inputs).
// `kSide` is the number of side inputs.
template <class Layer, std::size_t kSide = 0>
class Recompute {
 public:
  explicit Recompute(Layer& inner, bool on) : inner_(inner), on_(on) {}

  template <class... Side>
  Tensor forward(const Context& c, const Tensor& x, const Side&... side) {
    static_assert(sizeof...(Side) == kSide);
    if (!on_ || !c.tape()) return inner_.forward(c, x, side...);
    save(c, &inner_, "recompute", Saved{{x, side...}});
    Context quiet = c.without_tape();
    return inner_.forward(quiet, x, side...);
  }

  template <class... Grads>
  Tensor backward(const Context& c, const Tensor& dy, Grads&&... grads) {
    if (on_) replay(c, std::make_index_sequence<kSide>());
    return inner_.backward(c, dy, std::forward<Grads>(grads)...);
  }

 private:
  struct Saved {
    std::array<Tensor, 1 + kSide> inputs;
  };
  template <std::size_t... I>
  void replay(const Context& c, std::index_sequence<I...>) {
    Saved s = restore<Saved>(c, &inner_, "recompute");
    inner_.forward(c, s.inputs[0], s.inputs[1 + I]...);
  }
  Layer& inner_;
  bool on_;
};

}  // namespace rankine
