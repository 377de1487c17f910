// Normalisation layers. Both keep their input and the statistics of its rows or groups.
#pragma once

#include "kernels/norm/norm.h"
#include "models/nn/weight.h"

namespace rankine {

class LayerNorm {
 public:
  LayerNorm(std::string path, std::int64_t channels, float eps = 1e-5F);
  Tensor forward(const Context& c, const Tensor& x);
  Tensor backward(const Context& c, const Tensor& dy);
  void visit(ModelVisitor& v);

 private:
  struct Saved {
    Tensor x, stats;
  };
  std::string path_;
  float eps_;
  Weight gain_, bias_;
};

// With NormThen::silu the activation that always follows in a residual block is part of the layer.
class GroupNorm {
 public:
  GroupNorm(std::string path, std::int64_t channels, GroupNormSpec spec);
  Tensor forward(const Context& c, const Tensor& x);
  Tensor backward(const Context& c, const Tensor& dy);
  void visit(ModelVisitor& v);

 private:
  struct Saved {
    Tensor x, stats;
  };
  std::string path_;
  GroupNormSpec spec_;
  Weight gain_, bias_;
};

}  // namespace rankine
