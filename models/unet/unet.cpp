#include "models/unet/unet.h"

#include <algorithm>

#include "engine/tape/unit.h"
#include "kernels/elementwise/elementwise.h"
#include "kernels/embedding/embedding.h"
#include "kernels/resample/resample.h"
#include "models/nn/trained.h"

namespace rankine {
namespace {

std::array<std::int64_t, 4> dims_of(const Tensor& t) { return {t.dim(0), t.dim(1), t.dim(2), t.dim(3)}; }

Tensor zeros(const Context& c, Shape shape, const char* name) {
  Tensor t = c.empty(shape, name);
  fill(c, t, 0);
  return t;
}

}  // namespace

bool UNet::embedding_trained() {
  return has_trained(time1_) || has_trained(time2_) ||
         (label1_ && (has_trained(*label1_) || has_trained(*label2_)));
}

// What comes before feeds nothing that trains but skips, whose gradients would end there.
UNet::Start UNet::start_of_tape(bool embedding, bool context_gradient) {
  int i = 0;
  while (i < static_cast<int>(inputs_.size()) && !has_trained(inputs_[i]) &&
         !(context_gradient && inputs_[i].attn))
    ++i;
  if (embedding) return {std::min(1, i), false};  // every residual block reads it
  const bool attention =
      i < static_cast<int>(inputs_.size()) && inputs_[i].attn && !has_trained(*inputs_[i].res);
  return {i, attention};
}

Tensor UNet::embed_time(const Context& c, const UNetInput& in) {
  Tensor sinusoid = c.empty({in.t.dim(0), config_.model_channels}, "timestep embedding");
  timestep_embedding(c, sinusoid, in.t);
  Tensor e = time1_.forward(c, sinusoid);
  e = time_silu_.forward(c, e);
  e = time2_.forward(c, e);
  if (label1_) {
    check_activation(c, "unet", "vector", in.vector, {in.t.dim(0), config_.adm_channels});
    Tensor l = label1_->forward(c, in.vector);
    l = label_silu_.forward(c, l);
    l = label2_->forward(c, l);
    add(c, e, e, l);
  }
  return emb_silu_.forward(c, e);
}

void UNet::embed_time_backward(const Context& c, const Tensor& demb, Tensor* dvector) {
  const Tensor de = emb_silu_.backward(c, demb);
  if (label1_) {
    Tensor dl = label2_->backward(c, de);
    dl = label_silu_.backward(c, dl);
    label1_->backward_into(c, dl, dvector);
  }
  Tensor d = time2_.backward(c, de);
  d = time_silu_.backward(c, d);
  time1_.backward_into(c, d, nullptr);
}

Tensor UNet::run_residual(const Context& c, Block& b, Tensor h, const Tensor& emb) {
  if (b.conv) h = b.conv->forward(c, h);
  if (b.res) h = Unit<ResnetBlock, 1>(*b.res, b.res->path()).forward(c, h, emb);
  return h;
}

Tensor UNet::run_attention(const Context& c, Block& b, const Tensor& h, const Tensor& context) {
  return b.attn ? b.attn->forward(c, h, context) : h;
}

Tensor UNet::run_block_backward(const Context& c, Block& b, Tensor d, Tensor* demb, Tensor* dcontext) {
  if (b.attn) d = b.attn->backward(c, d, dcontext);
  if (b.res) d = Unit<ResnetBlock, 1>(*b.res, b.res->path()).backward(c, d, demb);
  if (b.conv) d = b.conv->backward(c, d);
  return d;
}

Tensor UNet::upsample(const Context& c, Block& b, const Tensor& h, const Tensor& like) {
  Tensor big = c.empty({h.dim(0), like.dim(1), like.dim(2), h.dim(3)}, "upsampled");
  upsample_nearest_forward(c, big, h);
  save(c, &b, "upsample", Upsampled{dims_of(h)});
  return b.up->forward(c, big);
}

Tensor UNet::upsample_backward(const Context& c, Block& b, const Tensor& dy) {
  const Tensor dbig = b.up->backward(c, dy);
  const Upsampled s = restore<Upsampled>(c, &b, "upsample");
  Tensor dx = c.empty(Shape(std::span<const std::int64_t>(s.from)), "dx");
  upsample_nearest_adjoint(c, dx, dbig);
  return dx;
}

Tensor UNet::forward(const Context& c, const UNetInput& in) {
  const bool embedding = embedding_trained() || (in.input_gradients && in.vector.defined());
  const Start start = start_of_tape(embedding, in.input_gradients);
  const Context untaped = c.without_tape();
  // The embedding is needed by every block; it is recorded only when something in it trains.
  const Tensor emb = embed_time(embedding ? c : untaped, in);

  std::vector<Tensor> skips;
  Tensor h = in.x;
  for (int i = 0; i < static_cast<int>(inputs_.size()); ++i) {
    const bool attention = i >= start.block, residual = attention && !(i == start.block && start.attention);
    h = run_residual(residual ? c : untaped, inputs_[i], h, emb);
    h = run_attention(attention ? c : untaped, inputs_[i], h, in.context);
    skips.push_back(h);
  }
  h = Unit<ResnetBlock, 1>(*middle1_, middle1_->path()).forward(c, h, emb);
  h = middle_attn_->forward(c, h, in.context);
  h = Unit<ResnetBlock, 1>(*middle2_, middle2_->path()).forward(c, h, emb);
  for (Block& b : outputs_) {
    const Tensor skip = skips.back();
    skips.pop_back();
    Tensor joined = c.empty(skip.shape().with_dim(-1, h.cols() + skip.cols()), "skip joined");
    concat_channels(c, joined, h, skip);
    derive(c, joined, {h, skip}, [](const Context& k, Tensor& out, const std::vector<Tensor>& from) {
      concat_channels(k, out, from[0], from[1]);
    });
    h = run_attention(c, b, run_residual(c, b, joined, emb), in.context);
    if (b.up) h = upsample(c, b, h, skips.back());
  }
  h = out_norm_.forward(c, h);
  h = out_conv_.forward(c, h);
  save(c, this, "unet", Saved{start, embedding, dims_of(in.x)});
  return h;
}

void UNet::backward(const Context& c, const Tensor& dy, UNetInputGrads grads) {
  const Saved s = restore<Saved>(c, this, "unet");
  Tensor demb;
  if (s.embedding) demb = zeros(c, {s.input[0], config_.time_embed_dim()}, "d emb");
  Tensor* demb_to = s.embedding ? &demb : nullptr;

  Tensor d = out_conv_.backward(c, dy);
  d = out_norm_.backward(c, d);
  std::vector<Tensor> dskips;
  int skip = 0;
  for (auto b = outputs_.rbegin(); b != outputs_.rend(); ++b) {
    if (b->up) d = upsample_backward(c, *b, d);
    const Tensor djoined = run_block_backward(c, *b, d, demb_to, grads.dcontext);
    const int skip_channels = skip_channels_[skip++];
    d = c.empty(djoined.shape().with_dim(-1, djoined.cols() - skip_channels), "dh");
    Tensor dskip = c.empty(djoined.shape().with_dim(-1, skip_channels), "dskip");
    split_channels(c, d, dskip, djoined);
    dskips.push_back(dskip);
  }
  d = Unit<ResnetBlock, 1>(*middle2_, middle2_->path()).backward(c, d, demb_to);
  d = middle_attn_->backward(c, d, grads.dcontext);
  d = Unit<ResnetBlock, 1>(*middle1_, middle1_->path()).backward(c, d, demb_to);
  for (int i = static_cast<int>(inputs_.size()) - 1; i >= s.start.block; --i) {
    add(c, d, d, dskips[i]);
    dskips[i] = {};
    if (i == s.start.block && s.start.attention)
      inputs_[i].attn->backward(c, d, grads.dcontext);
    else if (i > 0)
      d = run_block_backward(c, inputs_[i], d, demb_to, grads.dcontext);
    else
      inputs_[0].conv->backward_weights(c, d);
  }
  if (s.embedding) embed_time_backward(c, demb, grads.dvector);
}

}  // namespace rankine
