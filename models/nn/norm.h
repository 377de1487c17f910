// Normalisation layers. All keep their input and the statistics of its rows or groups. Those over rows can
// leave the middle of a linear's adapters behind.
#pragma once

#include "kernels/norm/norm.h"
#include "models/nn/middle.h"
#include "models/nn/weight.h"

namespace rankine {

class LayerNorm {
 public:
  LayerNorm(std::string path, std::int64_t channels, float eps = 1e-5F);
  LinearInput forward(const Context& c, const Tensor& x, const MiddleRequest& wanted);
  Tensor forward(const Context& c, const Tensor& x) { return forward(c, x, {}).x; }
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

// y = x / sqrt(mean(x²) + eps) * gain over the last dimension (Zhang & Sennrich 2019). On x (..., H · D) with
// channels D it normalises each head by itself.
class RmsNorm {
 public:
  RmsNorm(std::string path, std::int64_t channels, float eps);
  LinearInput forward(const Context& c, const Tensor& x, const MiddleRequest& wanted);
  Tensor forward(const Context& c, const Tensor& x) { return forward(c, x, {}).x; }
  Tensor backward(const Context& c, const Tensor& dy);
  void visit(ModelVisitor& v);

 private:
  struct Saved {
    Tensor x, rstd;
  };
  Shape rows_of(const Tensor& x) const { return {x.numel() / channels_, channels_}; }
  std::string path_;
  std::int64_t channels_;
  float eps_;
  Weight gain_;
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
