#include "models/nn/resnet.h"

#include "kernels/elementwise/elementwise.h"

namespace rankine {

ResnetBlock::ResnetBlock(const ResnetSpec& s)
    : path_(s.path),
      norm1_(s.path + "." + s.names.norm1, s.in, {s.norm_groups, s.eps, NormThen::silu}),
      conv1_(s.path + "." + s.names.conv1, s.in, s.out),
      norm2_(s.path + "." + s.names.norm2, s.out, {s.norm_groups, s.eps, NormThen::silu}),
      conv2_(s.path + "." + s.names.conv2, s.out, s.out) {
  if (s.emb > 0) emb_.emplace(s.path + "." + s.names.emb, s.emb, s.out);
  if (s.in != s.out) skip_.emplace(s.path + "." + s.names.skip, s.in, s.out, true, FileLayout::conv_1x1);
}

void ResnetBlock::visit(ModelVisitor& v) {
  v.begin_unit(this, path_);
  norm1_.visit(v);
  conv1_.visit(v);
  if (emb_) emb_->visit(v);
  norm2_.visit(v);
  conv2_.visit(v);
  if (skip_) skip_->visit(v);
  v.end_unit();
}

Tensor ResnetBlock::forward(const Context& c, const Tensor& x, const Tensor& silu_emb) {
  Tensor h = norm1_.forward(c, x);
  h = conv1_.forward(c, h);
  if (emb_) {
    const Tensor e = emb_->forward(c, silu_emb);
    add_per_sample(c, h, e);
  }
  h = norm2_.forward(c, h);
  h = conv2_.forward(c, h);
  const Tensor residual = skip_ ? skip_->forward(c, x) : x;
  add(c, h, h, residual);
  return h;
}

Tensor ResnetBlock::backward(const Context& c, const Tensor& dy, Tensor* demb) {
  const Tensor dresidual = skip_ ? skip_->backward(c, dy) : dy;
  Tensor d = conv2_.backward(c, dy);
  d = norm2_.backward(c, d);
  if (emb_) {
    Tensor de = c.empty({d.dim(0), d.cols()}, "d emb");
    sum_per_sample(c, de, d);
    emb_->backward_into(c, de, demb);
  }
  d = conv1_.backward(c, d);
  d = norm1_.backward(c, d);
  add(c, d, d, dresidual);
  return d;
}

}  // namespace rankine
