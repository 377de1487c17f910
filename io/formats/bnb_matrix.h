// One matrix of bnb_source.h. Included by it and its parts alone.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <vector>

#include "io/formats/tensor_source.h"

namespace rankine {

struct QuantizedMatrix {
  explicit QuantizedMatrix(TensorInfo seen) : info(std::move(seen)) {}
  virtual ~QuantizedMatrix() = default;
  virtual std::vector<std::byte> make(const TensorSource& source) const = 0;  // the bytes of `info`
  TensorInfo info;                                                            // bytes empty
};

inline constexpr std::string_view kNf4State = ".quant_state.bitsandbytes__nf4";

// The matrix `name` ("X.weight"), whose helpers stand in `source`. Throw DataError.
std::unique_ptr<const QuantizedMatrix> nf4_matrix(const TensorSource& source, const std::string& name);
std::unique_ptr<const QuantizedMatrix> thudm_matrix(const TensorSource& source, const std::string& name,
                                                    int bits);

}  // namespace rankine
