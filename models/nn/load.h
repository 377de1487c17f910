// Moves weights between files and models. A naming says where each weight of a model stands in a source.
#pragma once

#include <functional>
#include <memory>
#include <optional>

#include "io/formats/tensor_source.h"
#include "models/nn/weight.h"
#include "models/nn/weight_stream.h"

namespace rankine {

// A tensor of a file, or a range of its rows (OpenCLIP packs q, k, v into one matrix), or its transpose.
struct WeightOrigin {
  std::string name;
  int part = 0, parts = 1;  // rows [part, part + 1) of `parts` equal row ranges
  bool transposed = false;
};
using Naming = std::function<WeightOrigin(const Weight&)>;
Naming prefixed(std::string prefix);  // name = prefix + path

struct LoadOptions {
  // When set, this source's bytes stay mapped and become the weight where they can be used as they lie: the
  // matrix has its memory type and order in the file, and numbers are aligned. Else they are copied.
  std::shared_ptr<const TensorSource> mapped = nullptr;
  // The block type that a float matrix is rounded to while loading; nothing: as in the file.
  std::function<std::optional<DType>(const Weight&)> quantise = nullptr;
  // What flows through this model on CUDA; nothing: the context's type of activations.
  std::optional<DType> activations = std::nullopt;
  // Takes weights off the device one by one, as they are loaded.
  PagedWeightStream* stream = nullptr;
};

// Gives every weight of `model` its value. Matrices stay in the file's float or block type (f64 and 8-bit
// floats become f32), but float ones become the type of activations on CUDA; vectors become fp32. On a plan
// device memory is accounted and nothing is read. Throws DataError naming file, tensor, expected and found
// shape.
template <class Model>
void load_weights(const Context& c, Model& model, const TensorSource& source, const Naming& naming,
                  const LoadOptions& options = {});

// Random weights for a model made from nothing: matrices U(±1/sqrt(fan_in)), gains 1, biases 0, and 0 for the
// paths that `is_zero` names (the last layer of each residual branch, as the reference models start).
template <class Model>
void init_weights(const Context& c, Model& model, std::uint64_t seed, DType matrices,
                  const std::function<bool(const std::string&)>& is_zero,
                  PagedWeightStream* stream = nullptr);

// Values in the file's element order, decoded to fp32: the inverse of loading.
std::vector<float> to_file_order(const Tensor& value, FileLayout layout);
std::vector<std::int64_t> file_shape(const Weight& w);

class WeightLoader final : public ModelVisitor {
 public:
  WeightLoader(const Context& c, const TensorSource& source, const Naming& naming, const LoadOptions& options)
      : c_(c), source_(source), naming_(naming), options_(options) {}
  void weight(Weight& w) override;

 private:
  DType dtype_for(const Weight& w, const WeightOrigin& origin, FileDType file) const;
  bool can_map(const Weight& w, const WeightOrigin& origin, const TensorInfo& info, DType dtype) const;
  Tensor map(const Weight& w, const WeightOrigin& origin, const TensorInfo& info, DType dtype) const;
  void fill_from(Tensor& value, const Weight& w, const WeightOrigin& origin, const TensorInfo& info) const;

  const Context& c_;
  const TensorSource& source_;
  const Naming& naming_;
  const LoadOptions& options_;
};

class WeightInitialiser final : public ModelVisitor {
 public:
  WeightInitialiser(const Context& c, std::uint64_t seed, DType matrices,
                    std::function<bool(const std::string&)> is_zero, PagedWeightStream* stream)
      : c_(c), seed_(seed), matrices_(matrices), is_zero_(std::move(is_zero)), stream_(stream) {}
  void weight(Weight& w) override;

 private:
  const Context& c_;
  std::uint64_t seed_;
  DType matrices_;
  std::function<bool(const std::string&)> is_zero_;
  PagedWeightStream* stream_;
};

template <class Model>
void load_weights(const Context& c, Model& model, const TensorSource& source, const Naming& naming,
                  const LoadOptions& options) {
  WeightLoader loader(c, source, naming, options);
  model.visit(loader);
}

template <class Model>
void init_weights(const Context& c, Model& model, std::uint64_t seed, DType matrices,
                  const std::function<bool(const std::string&)>& is_zero, PagedWeightStream* stream) {
  WeightInitialiser init(c, seed, matrices, is_zero, stream);
  model.visit(init);
}

}  // namespace rankine
