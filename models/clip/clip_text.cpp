#include "models/clip/clip_text.h"

#include <algorithm>

#include "engine/core/transfer.h"
#include "engine/tape/tape.h"
#include "kernels/elementwise/elementwise.h"
#include "kernels/embedding/embedding.h"

namespace rankine {

ClipTextConfig ClipTextConfig::vit_l() { return {}; }
ClipTextConfig ClipTextConfig::vit_h() { return {49408, 77, 1024, 4096, 0, 24, 16, Gelu::erf}; }
ClipTextConfig ClipTextConfig::big_g() { return {49408, 77, 1280, 5120, 1280, 32, 20, Gelu::erf}; }

ClipText::Layer::Layer(const std::string& path, const ClipTextConfig& k)
    : norm1(path + ".layer_norm1", k.width),
      norm2(path + ".layer_norm2", k.width),
      qkv(k.width, {{path + ".self_attn.q_proj", k.width},
                    {path + ".self_attn.k_proj", k.width},
                    {path + ".self_attn.v_proj", k.width}}),
      attention{{k.heads, k.heads, true, 0}},
      out(path + ".self_attn.out_proj", k.width, k.width),
      fc1(path + ".mlp.fc1", k.width, k.mlp),
      gelu{k.activation},
      fc2(path + ".mlp.fc2", k.mlp, k.width) {}

Tensor ClipText::Layer::forward(const Context& c, const Tensor& x) {
  LinearInput n = norm1.forward(c, x, qkv.wants(c));
  const std::vector<Tensor> p = qkv.forward(c, n);
  n = attention.forward(c, p[0], p[1], p[2]);
  Tensor h = out.forward(c, n);
  add(c, h, h, x);
  n = norm2.forward(c, h, fc1.wants(c));
  n = fc1.forward(c, n);
  n = gelu.forward(c, n.x);
  Tensor y = fc2.forward(c, n);
  add(c, y, y, h);
  return y;
}

Tensor ClipText::Layer::backward(const Context& c, const Tensor& dy) {
  Tensor d = fc2.backward(c, dy);
  d = gelu.backward(c, d);
  d = fc1.backward(c, d);
  Tensor dh = norm2.backward(c, d);
  add(c, dh, dh, dy);
  d = out.backward(c, dh);
  {
    AttentionCore::Grads g = attention.backward(c, d);
    d = qkv.backward(c, {g.dq, g.dk, g.dv});
  }
  Tensor dx = norm1.backward(c, d);
  add(c, dx, dx, dh);
  return dx;
}

void ClipText::Layer::visit(ModelVisitor& v) {
  norm1.visit(v);
  qkv.visit(v);
  out.visit(v);
  norm2.visit(v);
  fc1.visit(v);
  fc2.visit(v);
}

ClipText::ClipText(const ClipTextConfig& config)
    : config_(config),
      tokens_("text_model.embeddings.token_embedding.weight", {config.vocab, config.width},
              WeightKind::matrix),
      positions_("text_model.embeddings.position_embedding.weight", {config.context, config.width},
                 WeightKind::vector),
      final_norm_("text_model.final_layer_norm", config.width) {
  for (int i = 0; i < config.layers; ++i) {
    layers_.push_back(std::make_unique<Layer>("text_model.encoder.layers." + std::to_string(i), config));
  }
  if (config.projection > 0) projection_.emplace("text_projection", config.width, config.projection, false);
}

void ClipText::visit(ModelVisitor& v) {
  v.weight(tokens_);
  v.weight(positions_);
  for (auto& layer : layers_) layer->visit(v);
  final_norm_.visit(v);
  if (projection_) projection_->visit(v);
}

Tensor ClipText::embed(const Context& c, const Tensor& ids) {
  Tensor x = c.empty({ids.dim(0), ids.dim(1), config_.width}, "text embedding");
  embedding_forward(c, x, tokens_.value(), ids);
  add_to_each_sample(c, x, positions_.value());
  if (embeddings_trained()) save(c, this, "text embedding", SavedIds{ids});
  return x;
}

Tensor ClipText::pool(const Context& c, const Tensor& last, const Tensor& ends) {
  require<Error>(projection_.has_value(),
                 "clip: a pooled output was asked of an encoder without text_projection");
  const Tensor normed = final_norm_.forward(c, last);
  Tensor rows = c.empty({ends.dim(0), config_.width}, "end of text");
  embedding_forward(c, rows, normed.reshape({normed.rows(), config_.width}), ends);
  save(c, this, "end of text", SavedEnds{ends});
  return projection_->forward(c, rows);
}

Tensor ClipText::pool_backward(const Context& c, const Tensor& dpooled) {
  const Tensor drows = projection_->backward(c, dpooled);
  const SavedEnds s = restore<SavedEnds>(c, this, "end of text");
  Tensor dnormed = c.empty({s.ends.dim(0), config_.context, config_.width}, "d final norm");
  fill(c, dnormed, 0);
  Tensor flat = dnormed.reshape({dnormed.rows(), config_.width});
  embedding_weight_grad(c, flat, drows, s.ends);
  return final_norm_.backward(c, dnormed);
}

ClipInput clip_input(const Context& c, std::span<const std::int32_t> ids, std::int64_t context) {
  const auto count = static_cast<std::int64_t>(ids.size()), n = count / context;
  require<ShapeError>(n * context == count, "clip: ", count, " ids are no windows of ", context, " tokens");
  std::vector<std::int32_t> ends;
  for (std::int64_t begin = 0; begin < count; begin += context) {
    const auto row = ids.begin() + begin;
    ends.push_back(static_cast<std::int32_t>(std::max_element(row, row + context) - ids.begin()));
  }
  ClipInput in{c.empty({n, context}, "token ids", DType::i32), c.empty({n}, "ends of text", DType::i32)};
  set_ints(in.ids, ids);
  set_ints(in.ends, ends);
  return in;
}

ClipOutput ClipText::forward(const Context& c, const ClipInput& in, const ClipWant& want) {
  check_shape("clip", "ids", in.ids, {in.ids.dim(0), config_.context});
  require<ConfigError>(want.skip >= 1 && want.skip <= config_.layers, "clip_skip: expected 1 to ",
                       config_.layers, ", got ", want.skip);
  const int tap = config_.layers - (want.skip - 1);
  ClipOutput out;
  Tensor x = embed(c, in.ids);
  for (int i = 0; i < (want.pooled ? config_.layers : tap); ++i) {
    x = layers_[i]->forward(c, x);
    if (i + 1 == tap) out.hidden = x;
  }
  if (want.pooled) out.pooled = pool(c, x, in.ends);
  if (want.final_norm) out.hidden = final_norm_.forward(c, out.hidden);
  return out;
}

void ClipText::backward(const Context& c, const ClipOutput& d, const ClipWant& want) {
  const int tap = config_.layers - (want.skip - 1);
  Tensor dhidden = want.final_norm ? final_norm_.backward(c, d.hidden) : d.hidden;
  Tensor dx;
  if (want.pooled) dx = pool_backward(c, d.pooled);
  for (int i = want.pooled ? config_.layers : tap; i-- > 0;) {
    if (i + 1 == tap) {
      if (dx.defined())
        add(c, dx, dx, dhidden);
      else
        dx = dhidden;
    }
    dx = layers_[i]->backward(c, dx);
  }
  if (!embeddings_trained()) return;
  const SavedIds s = restore<SavedIds>(c, this, "text embedding");
  if (tokens_.trained()) embedding_weight_grad(c, tokens_.grad(), dx, s.ids);
  if (positions_.trained()) sum_over_samples(c, positions_.grad(), dx);
}

namespace {

std::int64_t extent(const TensorSource& source, const std::string& name, std::size_t axis) {
  const TensorInfo& info = source.at(name);
  require<DataError>(axis < info.shape.size(), source.describe(), ": ", name, " has too few dimensions");
  return info.shape[axis];
}

}  // namespace

ClipTextConfig detect_clip(const TensorSource& source, const std::string& prefix, ClipNaming naming) {
  const bool hf = naming != ClipNaming::open_clip;
  const std::string body = prefix + (naming == ClipNaming::hugging_face ? "text_model." : "");
  const std::string tokens = body + (hf ? "embeddings.token_embedding.weight" : "token_embedding.weight");
  const std::string positions = body + (hf ? "embeddings.position_embedding.weight" : "positional_embedding");
  const auto layer = [&](int i) {
    return body + (hf ? "encoder.layers." : "transformer.resblocks.") + std::to_string(i);
  };
  ClipTextConfig k;
  k.vocab = extent(source, tokens, 0);
  k.width = extent(source, tokens, 1);
  k.context = extent(source, positions, 0);
  k.mlp = extent(source, layer(0) + (hf ? ".mlp.fc1.weight" : ".mlp.c_fc.weight"), 0);
  k.layers = 0;
  while (source.contains(layer(k.layers) + (hf ? ".layer_norm1.weight" : ".ln_1.weight"))) ++k.layers;
  k.heads = static_cast<int>(std::max<std::int64_t>(1, k.width / 64));
  k.activation = hf ? Gelu::quick : Gelu::erf;
  if (!hf && source.contains(prefix + "text_projection"))
    k.projection = extent(source, prefix + "text_projection", 1);
  if (hf && source.contains(prefix + "text_projection.weight")) {
    k.projection = extent(source, prefix + "text_projection.weight", 0);
  }
  return k;
}

}  // namespace rankine
