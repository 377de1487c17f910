// The residual block of the diffusion U-Net and of the VAE (He et al. 2016; Ho et al. 2020):
//   h = conv1(silu(norm1(x))) [+ Linear(silu(emb)) per sample] ; h = conv2(silu(norm2(h))) ; y = skip(x) + h
#pragma once

#include <optional>

#include "models/nn/conv.h"
#include "models/nn/linear.h"
#include "models/nn/norm.h"

namespace rankine {

// Module names inside the block: the U-Net and the VAE spell them differently.
struct ResnetNames {
  std::string norm1, conv1, emb, norm2, conv2, skip;
};

struct ResnetSpec {
  std::string path;
  std::int64_t in = 0, out = 0;
  std::int64_t emb = 0;  // width of the time embedding; 0 for none
  float eps = 1e-5F;
  int norm_groups = 32;
  ResnetNames names;
};

class ResnetBlock {
 public:
  explicit ResnetBlock(const ResnetSpec& spec);
  // x (N, H, W, in), silu_emb (N, emb) = silu of the time embedding, undefined without one -> (N, H, W, out).
  Tensor forward(const Context& c, const Tensor& x, const Tensor& silu_emb);
  // Adds to *demb when it is not null.
  Tensor backward(const Context& c, const Tensor& dy, Tensor* demb);
  void visit(ModelVisitor& v);
  const std::string& path() const { return path_; }

 private:
  std::string path_;
  GroupNorm norm1_;
  Conv2d conv1_;
  std::optional<Linear> emb_;
  GroupNorm norm2_;
  Conv2d conv2_;
  std::optional<Linear> skip_;
};

}  // namespace rankine
