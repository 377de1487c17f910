#include "engine/train/ema.h"

#include <algorithm>

#include "kernels/elementwise/elementwise.h"

namespace rankine {

namespace {

constexpr std::int64_t kSwapChunk = 1 << 18;  // elements: 1 MiB of spare room, whatever the model

}  // namespace

Ema::Ema(const Context& c, const ParamArena& arena, double decay) : decay_(decay) {
  require<ConfigError>(decay > 0 && decay < 1, "Ema: decay must be in (0, 1), got ", decay);
  average_ = Tensor(c.memory(), {arena.numel()}, DType::f32, Account::optimizer, "ema");
  copy(c, average_, arena.value());
  spare_ =
      Tensor(c.memory(), {std::min(arena.numel(), kSwapChunk)}, DType::f32, Account::workspace, "ema swap");
}

void Ema::swap(const Context& c, ParamArena& arena) {
  const std::int64_t n = arena.numel();
  for (std::int64_t begin = 0; begin < n; begin += kSwapChunk) {
    const Shape shape{std::min(kSwapChunk, n - begin)};
    Tensor held = spare_.flat(0, shape);
    Tensor value = arena.value().flat(begin, shape);
    Tensor average = average_.flat(begin, shape);
    copy(c, held, value);
    copy(c, value, average);
    copy(c, average, held);
  }
  arena.refresh(c);
}

}  // namespace rankine
