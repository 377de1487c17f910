// Low-rank adapters of a language model in memory, whatever file they come from or go to: files differ in
// names, row order and where the scale stands, not in this.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "io/formats/tensor_source.h"

namespace rankine {

// Row-major.
struct AdapterMatrix {
  std::int64_t rows = 0, cols = 0;
  std::vector<float> values;
  bool operator==(const AdapterMatrix&) const = default;
};

// One adapted linear map: W + scale · b · a; with a magnitude (DoRA), row i of that times
// magnitude_i / ||row i||. Rows of b are in the order of Hugging Face's weights.
struct AdapterWeights {
  std::string module;  // Hugging Face's path, without ".weight": "model.layers.0.self_attn.q_proj"
  AdapterMatrix a;     // (r, in)
  AdapterMatrix b;     // (out, r)
  float scale = 1;
  std::vector<float> magnitude;  // (out), or empty
  std::int64_t rank() const { return a.rows; }
};

// Throws DataError naming `where` and the module when: no name, a size is 0 or does not fit the others, a
// number is not finite (as `stored`: F32, F16 or BF16), the scale is 0 or not finite, a module stands twice,
// or there is none.
void check_adapter(std::span<const AdapterWeights> modules, FileDType stored, std::string_view where);

// Of check_adapter, for one file's reader.
AdapterMatrix adapter_matrix(const TensorSource& source, const std::string& name);

// A file just written and read again: throws DataError naming `where` for another set of modules, another
// size, numbers further than rounding to `stored` from what was written, and for an adapter that changes
// nothing (every b · a is zero and no module has a magnitude).
void check_reloaded(std::span<const AdapterWeights> written, std::span<const AdapterWeights> read,
                    FileDType stored, std::string_view where);

}  // namespace rankine
