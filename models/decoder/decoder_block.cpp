#include "models/decoder/decoder_block.h"

#include <cmath>

#include "kernels/elementwise/elementwise.h"

namespace rankine {
namespace {

std::vector<LinearOutput> qkv_outputs(const DecoderConfig& k, const DecoderNames& names, int layer) {
  if (k.fused_qkv) return {{names.layer(layer, names.qkv), k.q_width() + 2 * k.kv_width(), k.qkv_bias}};
  return {{names.layer(layer, names.q), k.q_width(), k.qkv_bias},
          {names.layer(layer, names.k), k.kv_width(), k.qkv_bias},
          {names.layer(layer, names.v), k.kv_width(), k.qkv_bias}};
}

std::vector<LinearOutput> gate_up_outputs(const DecoderConfig& k, const DecoderNames& names, int layer) {
  if (k.fused_gate_up) return {{names.layer(layer, names.gate_up), 2 * k.mlp, k.mlp_bias}};
  return {{names.layer(layer, names.gate), k.mlp, k.mlp_bias},
          {names.layer(layer, names.up), k.mlp, k.mlp_bias}};
}

RopeSpec rope_spec(const DecoderConfig& k, int heads, std::int64_t first) {
  RopeSpec spec;
  spec.heads = heads;
  spec.head_dim = k.head_dim;
  spec.first = first;
  spec.rotary_dims = k.rotary_dims;
  spec.pairing = k.pairing;
  return spec;
}

}  // namespace

// ---- attention ----

SelfAttention::SelfAttention(const DecoderConfig& k, const DecoderNames& names, int layer)
    : fused_(k.fused_qkv),
      per_head_(k.family == DecoderFamily::chatglm),
      q_width_(k.q_width()),
      kv_width_(k.kv_width()),
      head_dim_(k.head_dim),
      qkv_(k.width, qkv_outputs(k, names, layer)),
      q_rotary_{rope_spec(k, k.heads, 0)},
      k_rotary_{rope_spec(k, k.kv_heads, 0)},
      attention_{{k.heads, k.kv_heads, !k.prefix_lm(), 0}},
      out_(names.layer(layer, names.out), k.q_width(), k.width, k.out_bias) {
  if (k.qk_norm) {
    q_norm_.emplace(names.layer(layer, names.q_norm), k.head_dim, k.eps);
    k_norm_.emplace(names.layer(layer, names.k_norm), k.head_dim, k.eps);
  }
  if (k.prefix_lm()) {  // the second half of each head turns by the block position
    q_block_rotary_.emplace(Rotary{rope_spec(k, k.heads, k.head_dim / 2)});
    k_block_rotary_.emplace(Rotary{rope_spec(k, k.kv_heads, k.head_dim / 2)});
  }
}

void SelfAttention::visit(ModelVisitor& v) {
  qkv_.visit(v);
  if (q_norm_) q_norm_->visit(v);
  if (k_norm_) k_norm_->visit(v);
  out_.visit(v);
}

SelfAttention::Qkv SelfAttention::split(const Context& c, const Tensor& qkv) const {
  const std::int64_t n = qkv.dim(0), t = qkv.dim(1);
  Tensor q = c.empty({n, t, q_width_}, "q"), kv = c.empty({n, t, 2 * kv_width_}, "kv");
  Tensor k = c.empty({n, t, kv_width_}, "k"), v = c.empty({n, t, kv_width_}, "v");
  if (per_head_) {
    const std::int64_t rows = qkv.numel() / (3 * head_dim_);
    Tensor q_rows = q.reshape({rows, head_dim_}), kv_rows = kv.reshape({rows, 2 * head_dim_});
    Tensor k_rows = k.reshape({rows, head_dim_}), v_rows = v.reshape({rows, head_dim_});
    split_channels(c, q_rows, kv_rows, qkv.reshape({rows, 3 * head_dim_}));
    split_channels(c, k_rows, v_rows, kv_rows);
  } else {
    split_channels(c, q, kv, qkv);
    split_channels(c, k, v, kv);
  }
  return {q, k, v};
}

Tensor SelfAttention::join(const Context& c, const Qkv& d) const {
  const std::int64_t n = d.q.dim(0), t = d.q.dim(1);
  Tensor dkv = c.empty({n, t, 2 * kv_width_}, "d kv"),
         dqkv = c.empty({n, t, q_width_ + 2 * kv_width_}, "d qkv");
  if (per_head_) {
    const std::int64_t rows = d.q.numel() / head_dim_;
    Tensor dkv_rows = dkv.reshape({rows, 2 * head_dim_}), dqkv_rows = dqkv.reshape({rows, 3 * head_dim_});
    concat_channels(c, dkv_rows, d.k.reshape({rows, head_dim_}), d.v.reshape({rows, head_dim_}));
    concat_channels(c, dqkv_rows, d.q.reshape({rows, head_dim_}), dkv_rows);
  } else {
    concat_channels(c, dkv, d.k, d.v);
    concat_channels(c, dqkv, d.q, dkv);
  }
  return dqkv;
}

SelfAttention::Qkv SelfAttention::project(const Context& c, const LinearInput& x) {
  const std::vector<Tensor> p = qkv_.forward(c, x);
  return fused_ ? split(c, p[0]) : Qkv{p[0], p[1], p[2]};
}

Tensor SelfAttention::project_backward(const Context& c, const Qkv& d) {
  if (fused_) return qkv_.backward(c, {join(c, d)});
  return qkv_.backward(c, {d.q, d.k, d.v});
}

void SelfAttention::rotate(const Context& c, Qkv& p, const DecoderSides& sides) {
  if (q_norm_) p.q = q_norm_->forward(c, p.q);
  if (k_norm_) p.k = k_norm_->forward(c, p.k);
  q_rotary_.forward(c, p.q, sides.angles);
  k_rotary_.forward(c, p.k, sides.angles);
  if (q_block_rotary_) {
    q_block_rotary_->forward(c, p.q, sides.block_angles);
    k_block_rotary_->forward(c, p.k, sides.block_angles);
  }
}

void SelfAttention::rotate_backward(const Context& c, Qkv& d) {
  if (q_block_rotary_) {
    k_block_rotary_->backward(c, d.k);
    q_block_rotary_->backward(c, d.q);
  }
  k_rotary_.backward(c, d.k);
  q_rotary_.backward(c, d.q);
  if (k_norm_) d.k = k_norm_->backward(c, d.k);
  if (q_norm_) d.q = q_norm_->backward(c, d.q);
}

Tensor SelfAttention::forward(const Context& c, const LinearInput& x, const DecoderSides& sides) {
  Tensor mixed;
  {
    Qkv p = project(c, x);
    rotate(c, p, sides);
    if (sides.cache) {
      const KvCache::View all = sides.cache->append(c, sides.layer, p.k, p.v);
      mixed = attention_.forward(c, p.q, all.k, all.v, sides.visible);
    } else {
      mixed = attention_.forward(c, p.q, p.k, p.v, sides.visible);
    }
  }
  return out_.forward(c, mixed);
}

Tensor SelfAttention::backward(const Context& c, const Tensor& dy) {
  const Tensor dmixed = out_.backward(c, dy);
  AttentionCore::Grads g = attention_.backward(c, dmixed);
  Qkv d{g.dq, g.dk, g.dv};
  rotate_backward(c, d);
  return project_backward(c, d);
}

// ---- MLP ----

SwigluMlp::SwigluMlp(const DecoderConfig& k, const DecoderNames& names, int layer)
    : fused_(k.fused_gate_up),
      gate_up_(k.width, gate_up_outputs(k, names, layer)),
      down_(names.layer(layer, names.down), k.mlp, k.width, k.mlp_bias) {}

void SwigluMlp::visit(ModelVisitor& v) {
  gate_up_.visit(v);
  down_.visit(v);
}

Tensor SwigluMlp::forward(const Context& c, const LinearInput& x) {
  const std::vector<Tensor> p = gate_up_.forward(c, x);
  const MiddleRequest wanted = down_.wants(c);
  const LinearInput h =
      fused_ ? fused_swiglu_.forward(c, p[0], wanted) : swiglu_.forward(c, p[0], p[1], wanted);
  return down_.forward(c, h);
}

Tensor SwigluMlp::backward(const Context& c, const Tensor& dy) {
  const Tensor dh = down_.backward(c, dy);
  if (fused_) return gate_up_.backward(c, {fused_swiglu_.backward(c, dh)});
  const Swiglu::Grads g = swiglu_.backward(c, dh);
  return gate_up_.backward(c, {g.dgate, g.dup});
}

// ---- blocks ----

namespace {

// h = x + attention(norm1 x);  y = h + mlp(norm2 h)
class PreNormBlock final : public DecoderBlock {
 public:
  PreNormBlock(const DecoderConfig& k, const DecoderNames& names, int layer)
      : DecoderBlock(layer),
        norm1_(names.layer(layer, names.norm1), k.width, k.eps),
        norm2_(names.layer(layer, names.norm2), k.width, k.eps),
        attention_(k, names, layer),
        mlp_(k, names, layer) {}

  Tensor forward(const Context& c, const Tensor& x, const DecoderSides& sides) override {
    LinearInput n = norm1_.forward(c, x, attention_.wants(c));
    Tensor h = attention_.forward(c, n, sides);
    add(c, h, h, x);
    n = norm2_.forward(c, h, mlp_.wants(c));
    Tensor y = mlp_.forward(c, n);
    add(c, y, y, h);
    return y;
  }

  Tensor backward(const Context& c, const Tensor& dy) override {
    Tensor d = mlp_.backward(c, dy);
    Tensor dh = norm2_.backward(c, d);
    add(c, dh, dh, dy);
    d = attention_.backward(c, dh);
    Tensor dx = norm1_.backward(c, d);
    add(c, dx, dx, dh);
    return dx;
  }

  void visit_layers(ModelVisitor& v) override {
    norm1_.visit(v);
    attention_.visit(v);
    norm2_.visit(v);
    mlp_.visit(v);
  }

 private:
  RmsNorm norm1_, norm2_;
  SelfAttention attention_;
  SwigluMlp mlp_;
};

// ChatGLM-6B, where the residual branches off behind the norm (Du et al. 2022), alpha = sqrt(2 layers):
//   n = norm1 x;  h = alpha n + attention(n);  m = norm2 h;  y = alpha m + mlp(m)
class AlphaResidualBlock final : public DecoderBlock {
 public:
  AlphaResidualBlock(const DecoderConfig& k, const DecoderNames& names, int layer)
      : DecoderBlock(layer),
        alpha_(std::sqrt(2.0F * static_cast<float>(k.layers))),
        norm1_(names.layer(layer, names.norm1), k.width, k.eps),
        norm2_(names.layer(layer, names.norm2), k.width, k.eps),
        attention_(k, names, layer),
        up_(names.layer(layer, names.up), k.width, k.mlp, k.mlp_bias),
        gelu_{Gelu::tanh},
        down_(names.layer(layer, names.down), k.mlp, k.width, k.mlp_bias) {}

  Tensor forward(const Context& c, const Tensor& x, const DecoderSides& sides) override {
    const LinearInput n = norm1_.forward(c, x, attention_.wants(c));
    Tensor h = attention_.forward(c, n, sides);
    add_scaled(c, h, n.x, alpha_);
    const LinearInput m = norm2_.forward(c, h, up_.wants(c));
    Tensor u = up_.forward(c, m);
    u = gelu_.forward(c, u);
    Tensor y = down_.forward(c, u);
    add_scaled(c, y, m.x, alpha_);
    return y;
  }

  Tensor backward(const Context& c, const Tensor& dy) override {
    Tensor d = down_.backward(c, dy);
    d = gelu_.backward(c, d);
    Tensor dm = up_.backward(c, d);
    add_scaled(c, dm, dy, alpha_);
    const Tensor dh = norm2_.backward(c, dm);
    Tensor dn = attention_.backward(c, dh);
    add_scaled(c, dn, dh, alpha_);
    return norm1_.backward(c, dn);
  }

  void visit_layers(ModelVisitor& v) override {
    norm1_.visit(v);
    attention_.visit(v);
    norm2_.visit(v);
    up_.visit(v);
    down_.visit(v);
  }

 private:
  float alpha_;
  LayerNorm norm1_, norm2_;
  SelfAttention attention_;
  Linear up_;
  GeluLayer gelu_;
  Linear down_;
};

}  // namespace

void DecoderBlock::visit(ModelVisitor& v) {
  v.begin_unit(this, path_);
  visit_layers(v);
  v.end_unit();
}

std::unique_ptr<DecoderBlock> make_decoder_block(const DecoderConfig& config, const DecoderNames& names,
                                                 int layer) {
  if (config.prefix_lm()) return std::make_unique<AlphaResidualBlock>(config, names, layer);
  return std::make_unique<PreNormBlock>(config, names, layer);
}

}  // namespace rankine
