// Reading stored tensors into models and comparing them, for the tests of whole models.
#pragma once

#include <gtest/gtest.h>

#include <filesystem>

#include "io/formats/safetensors.h"
#include "models/nn/load.h"
#include "tests/support/compare.h"

namespace rankine::testing_support {

inline std::vector<float> values_of(const TensorSource& source, const std::string& name) {
  const TensorInfo& info = source.at(name);
  std::vector<float> values(static_cast<std::size_t>(info.numel()));
  read_as_float(info, values);
  return values;
}

// A stored tensor as it is.
inline Tensor read_tensor(const Context& c, const TensorSource& source, const std::string& name) {
  const TensorInfo& info = source.at(name);
  Tensor t = c.empty(Shape(std::span<const std::int64_t>(info.shape)), name);
  read_as_float(info, t.span<float>());
  return t;
}

inline Tensor to_ids(const Context& c, const Tensor& numbers) {
  Tensor ids(c.memory(), numbers.shape(), DType::i32, Account::activations, "ids");
  for (std::int64_t i = 0; i < numbers.numel(); ++i) {
    ids.data<std::int32_t>()[i] = static_cast<std::int32_t>(numbers.data<float>()[i]);
  }
  return ids;
}

// PyTorch's (N, C, H, W) <-> ours (N, H, W, C).
inline Tensor channels_last(const Context& c, const Tensor& x) {
  const std::int64_t n = x.dim(0), ch = x.dim(1), hw = x.dim(2) * x.dim(3);
  Tensor y = c.empty({n, x.dim(2), x.dim(3), ch}, "nhwc");
  for (std::int64_t i = 0; i < n; ++i) {
    for (std::int64_t k = 0; k < ch; ++k) {
      for (std::int64_t p = 0; p < hw; ++p)
        y.data<float>()[(i * hw + p) * ch + k] = x.data<float>()[(i * ch + k) * hw + p];
    }
  }
  return y;
}

inline ::testing::AssertionResult matches(const Tensor& got, const std::vector<float>& want) {
  if (static_cast<std::size_t>(got.numel()) != want.size()) {
    return ::testing::AssertionFailure() << got.shape() << " has not " << want.size() << " elements";
  }
  const double error = relative_l2(got.span<float>(), std::span<const float>(want));
  if (error <= kModelRelative) return ::testing::AssertionSuccess();
  return ::testing::AssertionFailure() << "relative error " << error << " is above " << kModelRelative;
}

// A picture-like output, compared in PyTorch's order.
inline ::testing::AssertionResult matches_nchw(const Context& c, const Tensor& got,
                                               const TensorSource& source, const std::string& name) {
  const Tensor want = channels_last(c, read_tensor(c, source, name));
  return matches(got, {want.data<float>(), want.data<float>() + want.numel()});
}

// Files that lie beside the repository and are no part of it; tests that want them are skipped without.
inline std::filesystem::path shared_data() {
  return std::filesystem::path(RANKINE_SOURCE_DIR).parent_path() / "shared" / "data";
}

}  // namespace rankine::testing_support
