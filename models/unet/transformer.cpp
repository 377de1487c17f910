#include "models/unet/transformer.h"

#include "engine/tape/unit.h"
#include "kernels/elementwise/elementwise.h"

namespace rankine {

TransformerBlock::TransformerBlock(const std::string& path, const TransformerSpec& s)
    : path_(path),
      norm1_(path + ".norm1", s.channels),
      norm2_(path + ".norm2", s.channels),
      norm3_(path + ".norm3", s.channels),
      self_qkv_(s.channels, {{path + ".attn1.to_q", s.channels, false},
                             {path + ".attn1.to_k", s.channels, false},
                             {path + ".attn1.to_v", s.channels, false}}),
      self_attention_{{s.heads, s.heads, false, 0}},
      self_out_(path + ".attn1.to_out.0", s.channels, s.channels),
      cross_q_(path + ".attn2.to_q", s.channels, s.channels, false),
      cross_kv_(s.context,
                {{path + ".attn2.to_k", s.channels, false}, {path + ".attn2.to_v", s.channels, false}}),
      cross_attention_{{s.heads, s.heads, false, 0}},
      cross_out_(path + ".attn2.to_out.0", s.channels, s.channels),
      ff_in_(path + ".ff.net.0.proj", s.channels, 8 * s.channels),
      ff_out_(path + ".ff.net.2", 4 * s.channels, s.channels) {}

void TransformerBlock::visit(ModelVisitor& v) {
  v.begin_unit(this, path_);
  norm1_.visit(v);
  self_qkv_.visit(v);
  self_out_.visit(v);
  norm2_.visit(v);
  cross_q_.visit(v);
  cross_kv_.visit(v);
  cross_out_.visit(v);
  norm3_.visit(v);
  ff_in_.visit(v);
  ff_out_.visit(v);
  v.end_unit();
}

Tensor TransformerBlock::forward(const Context& c, const Tensor& x, const Tensor& context) {
  LinearInput n = norm1_.forward(c, x, self_qkv_.wants(c));
  const std::vector<Tensor> qkv = self_qkv_.forward(c, n);
  n = self_attention_.forward(c, qkv[0], qkv[1], qkv[2]);
  Tensor h = self_out_.forward(c, n);
  add(c, h, h, x);

  n = norm2_.forward(c, h, cross_q_.wants(c));
  const Tensor q = cross_q_.forward(c, n);
  const std::vector<Tensor> kv = cross_kv_.forward(c, context);
  n = cross_attention_.forward(c, q, kv[0], kv[1]);
  Tensor h2 = cross_out_.forward(c, n);
  add(c, h2, h2, h);

  n = norm3_.forward(c, h2, ff_in_.wants(c));
  n = ff_in_.forward(c, n);
  n = geglu_.forward(c, n.x, ff_out_.wants(c));
  Tensor y = ff_out_.forward(c, n);
  add(c, y, y, h2);
  return y;
}

Tensor TransformerBlock::backward(const Context& c, const Tensor& dy, Tensor* dcontext) {
  Tensor d = ff_out_.backward(c, dy);
  d = geglu_.backward(c, d);
  d = ff_in_.backward(c, d);
  Tensor dh2 = norm3_.backward(c, d);
  add(c, dh2, dh2, dy);

  d = cross_out_.backward(c, dh2);
  {
    AttentionCore::Grads g = cross_attention_.backward(c, d);
    cross_kv_.backward_into(c, {g.dk, g.dv}, dcontext);
    d = cross_q_.backward(c, g.dq);
  }
  Tensor dh = norm2_.backward(c, d);
  add(c, dh, dh, dh2);

  d = self_out_.backward(c, dh);
  {
    AttentionCore::Grads g = self_attention_.backward(c, d);
    d = self_qkv_.backward(c, {g.dq, g.dk, g.dv});
  }
  Tensor dx = norm1_.backward(c, d);
  add(c, dx, dx, dh);
  return dx;
}

namespace {
FileLayout projection_layout(const TransformerSpec& s) {
  return s.linear_projection ? FileLayout::same : FileLayout::conv_1x1;
}
Tensor as_tokens(const Tensor& x) { return x.reshape({x.dim(0), x.dim(1) * x.dim(2), x.dim(3)}); }
}  // namespace

SpatialTransformer::SpatialTransformer(const TransformerSpec& s)
    : norm_(s.path + ".norm", s.channels, {s.norm_groups, 1e-6F, NormThen::nothing}),
      proj_in_(s.path + ".proj_in", s.channels, s.channels, true, projection_layout(s)),
      proj_out_(s.path + ".proj_out", s.channels, s.channels, true, projection_layout(s)) {
  for (int d = 0; d < s.depth; ++d) {
    blocks_.push_back(
        std::make_unique<TransformerBlock>(s.path + ".transformer_blocks." + std::to_string(d), s));
  }
}

void SpatialTransformer::visit(ModelVisitor& v) {
  norm_.visit(v);
  proj_in_.visit(v);
  for (auto& b : blocks_) b->visit(v);
  proj_out_.visit(v);
}

Tensor SpatialTransformer::forward(const Context& c, const Tensor& x, const Tensor& context) {
  Tensor h = norm_.forward(c, x);
  h = proj_in_.forward(c, as_tokens(h));
  for (auto& b : blocks_) h = Unit<TransformerBlock, 1>(*b, b->path()).forward(c, h, context);
  Tensor y = proj_out_.forward(c, h).reshape(x.shape());
  add(c, y, y, x);
  return y;
}

Tensor SpatialTransformer::backward(const Context& c, const Tensor& dy, Tensor* dcontext) {
  Tensor d = proj_out_.backward(c, as_tokens(dy));
  for (auto b = blocks_.rbegin(); b != blocks_.rend(); ++b)
    d = Unit<TransformerBlock, 1>(**b, (*b)->path()).backward(c, d, dcontext);
  d = proj_in_.backward(c, d).reshape(dy.shape());
  Tensor dx = norm_.backward(c, d);
  add(c, dx, dx, dy);
  return dx;
}

}  // namespace rankine
