// The attention part of the U-Net (Rombach et al. 2022): pixels become tokens, attend to each other and to
// the prompt.
#pragma once

#include <memory>
#include <vector>

#include "models/nn/leaves.h"
#include "models/nn/linear.h"
#include "models/nn/norm.h"

namespace rankine {

struct TransformerSpec {
  std::string path;
  std::int64_t channels = 0;
  std::int64_t context = 0;  // width of the prompt's embedding
  int heads = 8;
  int depth = 1;
  int norm_groups = 32;
  bool linear_projection = false;  // SD 2.x and XL store proj_in/out as Linear, SD 1.x as 1x1 convolutions
};

// Pre-norm: x += attn1(norm1 x);  x += attn2(norm2 x, context);  x += ff(norm3 x) with GEGLU.
class TransformerBlock {
 public:
  TransformerBlock(const std::string& path, const TransformerSpec& spec);
  Tensor forward(const Context& c, const Tensor& x, const Tensor& context);  // (N, T, C), (N, S, context)
  Tensor backward(const Context& c, const Tensor& dy, Tensor* dcontext);  // adds to *dcontext when not null
  void visit(ModelVisitor& v);
  const std::string& path() const { return path_; }

 private:
  std::string path_;
  LayerNorm norm1_, norm2_, norm3_;
  SharedLinear self_qkv_;
  AttentionCore self_attention_;
  Linear self_out_;
  Linear cross_q_;
  SharedLinear cross_kv_;
  AttentionCore cross_attention_;
  Linear cross_out_;
  Linear ff_in_;
  Geglu geglu_;
  Linear ff_out_;
};

// y = x + proj_out(blocks(proj_in(norm x))) on (N, H, W, C).
class SpatialTransformer {
 public:
  explicit SpatialTransformer(const TransformerSpec& spec);
  Tensor forward(const Context& c, const Tensor& x, const Tensor& context);
  Tensor backward(const Context& c, const Tensor& dy, Tensor* dcontext);
  void visit(ModelVisitor& v);

 private:
  GroupNorm norm_;
  Linear proj_in_;
  std::vector<std::unique_ptr<TransformerBlock>> blocks_;
  Linear proj_out_;
};

}  // namespace rankine
