#include "models/nn/adapter_weights.h"

#include <algorithm>

#include "engine/core/transfer.h"

namespace rankine {
namespace {

AdapterMatrix matrix_of(const Tensor& t) { return {t.dim(0), t.dim(1), floats_of(t)}; }

// [left, -right] of equal height.
AdapterMatrix side_by_side(const AdapterMatrix& left, const AdapterMatrix& right) {
  AdapterMatrix both{left.rows, left.cols + right.cols, {}};
  for (std::int64_t i = 0; i < left.rows; ++i) {
    const auto l = left.values.begin() + i * left.cols, r = right.values.begin() + i * right.cols;
    both.values.insert(both.values.end(), l, l + left.cols);
    std::transform(r, r + right.cols, std::back_inserter(both.values), [](float x) { return -x; });
  }
  return both;
}

}  // namespace

AdapterWeights adapter_weights(const LoraSet& set, const LoraMember& m, std::string module) {
  AdapterWeights w{
      std::move(module), matrix_of(set.down_value(m)), matrix_of(m.up.value), m.spec.scale(), {}};
  if (set.pissa()) {
    const AdapterMatrix initial = matrix_of(set.initial_down(m));
    w.a.rows += initial.rows;
    w.a.values.insert(w.a.values.end(), initial.values.begin(), initial.values.end());
    w.b = side_by_side(w.b, matrix_of(m.initial_up));
  }
  if (m.spec.dora) w.magnitude = floats_of(m.magnitude.value);
  return w;
}

void set_adapter_weights(LoraSet& set, LoraMember& m, const AdapterWeights& w) {
  require<DataError>(!set.pissa(), "adapter: ", m.name,
                     " is to train with PiSSA, which starts from the weights; ",
                     "an adapter from a file continues as plain LoRA");
  const Tensor down = set.down_value(m), &up = m.up.value;
  require<DataError>(
      w.a.rows == down.dim(0) && w.a.cols == down.dim(1) && w.b.rows == up.dim(0) && w.b.cols == up.dim(1),
      "adapter: ", w.module, " is ", w.b.rows, "x", w.b.cols, " by ", w.a.rows, "x", w.a.cols,
      ", the model expects ", up.shape(), " by ", down.shape());
  require<DataError>(w.magnitude.empty() != m.spec.dora, "adapter: ", w.module,
                     m.spec.dora ? " has no magnitude (DoRA)" : " has a magnitude: it is a DoRA");
  const float ratio = w.scale / m.spec.scale();
  std::vector<float> scaled(w.b.values);
  for (float& x : scaled) x *= ratio;
  set.set_factors(m, w.a.values, scaled);
  if (m.spec.dora) set_floats(m.magnitude.value, w.magnitude);
}

}  // namespace rankine
