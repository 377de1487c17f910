// Units: layers whose share of the tape can be chosen as a whole (step_memory.h). A unit that is recomputed
// (activation checkpointing, Chen et al. 2016) leaves its inputs alone; backward runs its forward again, on
// the tape, before it goes through it. Random numbers are functions of (seed, step, sample), so the replay is
// bit-equal with nothing stored for it.
//
// Weights of a unit that are not kept on the device come before it runs (weight_stream.h).
#pragma once

#include <array>
#include <string_view>
#include <utility>

#include "engine/tape/tape.h"
#include "engine/tape/weight_stream.h"

namespace rankine {

template <std::size_t N>
struct UnitInputs {
  std::array<Tensor, N> inputs;
};

// y = forward(c, inputs), recorded as the tape wants it. `owner` is the unit's, and no frame's but its own.
template <std::size_t N, class Forward>
Tensor record_unit(const Context& c, const void* owner, std::string_view name,
                   const std::array<Tensor, N>& inputs, const Forward& forward) {
  need_weights(c, owner, Direction::forward);
  if (!c.tape()) return forward(c, inputs);
  const UnitPolicy policy = c.tape()->begin_unit(c, name);
  if (policy.recompute) save(c, owner, name, UnitInputs<N>{inputs});
  Tensor y = forward(policy.recompute ? c.without_tape() : c, inputs);
  c.tape()->end_unit(c);
  return y;
}

// Before backward of the unit: its weights, and what forward would have left on the tape, are there
// afterwards.
template <std::size_t N, class Forward>
void enter_backward(const Context& c, const void* owner, std::string_view name, const Forward& forward) {
  need_weights(c, owner, Direction::backward);
  if (!c.tape() || !c.tape()->has<UnitInputs<N>>(owner)) return;
  const UnitInputs<N> saved = restore<UnitInputs<N>>(c, owner, name);
  forward(c, saved.inputs);
}

// The two for a layer of one input and `kSide` side inputs:
//   Tensor forward(const Context&, const Tensor& x, const Tensor&... side), and
//   Tensor backward(const Context&, const Tensor& dy, Grads&&... accumulators of the side inputs).
template <class Layer, std::size_t kSide = 0>
class Unit {
 public:
  Unit(Layer& inner, std::string_view name) : inner_(inner), name_(name) {}

  template <class... Side>
  Tensor forward(const Context& c, const Tensor& x, const Side&... side) {
    static_assert(sizeof...(Side) == kSide);
    return record_unit<1 + kSide>(c, &inner_, name_, {x, side...}, runner());
  }

  template <class... Grads>
  Tensor backward(const Context& c, const Tensor& dy, Grads&&... grads) {
    enter_backward<1 + kSide>(c, &inner_, name_, runner());
    return inner_.backward(c, dy, std::forward<Grads>(grads)...);
  }

 private:
  auto runner() {
    return [this](const Context& c, const std::array<Tensor, 1 + kSide>& inputs) {
      return std::apply([&](const auto&... all) { return inner_.forward(c, all...); }, inputs);
    };
  }
  Layer& inner_;
  std::string_view name_;
};

}  // namespace rankine
