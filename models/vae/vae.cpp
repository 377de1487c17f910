#include "models/vae/vae.h"

#include "kernels/elementwise/elementwise.h"
#include "kernels/resample/resample.h"

namespace rankine {
namespace {

constexpr float kEps = 1e-6F;
const ResnetNames kNames{"norm1", "conv1", "", "norm2", "conv2", "nin_shortcut"};
// The encoder pads only below and to the right before its strided convolution.
constexpr Window kDownsample{3, 2, 0, 1};

std::unique_ptr<ResnetBlock> resnet(const std::string& path, std::int64_t in, std::int64_t out, int groups) {
  return std::make_unique<ResnetBlock>(ResnetSpec{path, in, out, 0, kEps, groups, kNames});
}

Tensor as_tokens(const Tensor& x) { return x.reshape({x.dim(0), x.dim(1) * x.dim(2), x.dim(3)}); }

}  // namespace

// ---- attention and middle ----

VaeAttention::VaeAttention(const std::string& path, std::int64_t channels, int groups)
    : norm_(path + ".norm", channels, {groups, kEps, NormThen::nothing}),
      qkv_(channels, {{path + ".q", channels}, {path + ".k", channels}, {path + ".v", channels}},
           FileLayout::conv_1x1),
      attention_{{1, 1, false, 0}},
      out_(path + ".proj_out", channels, channels, true, FileLayout::conv_1x1) {}

Tensor VaeAttention::forward(const Context& c, const Tensor& x) {
  Tensor h = norm_.forward(c, x);
  const std::vector<Tensor> qkv = qkv_.forward(c, as_tokens(h));
  h = attention_.forward(c, qkv[0], qkv[1], qkv[2]);
  Tensor y = out_.forward(c, h).reshape(x.shape());
  add(c, y, y, x);
  return y;
}

Tensor VaeAttention::backward(const Context& c, const Tensor& dy) {
  Tensor d = out_.backward(c, as_tokens(dy));
  AttentionCore::Grads g = attention_.backward(c, d);
  d = qkv_.backward(c, {g.dq, g.dk, g.dv}).reshape(dy.shape());
  Tensor dx = norm_.backward(c, d);
  add(c, dx, dx, dy);
  return dx;
}

void VaeAttention::visit(ModelVisitor& v) {
  norm_.visit(v);
  qkv_.visit(v);
  out_.visit(v);
}

VaeMiddle::VaeMiddle(const std::string& path, std::int64_t channels, int groups)
    : block1_({path + ".block_1", channels, channels, 0, kEps, groups, kNames}),
      attention_(path + ".attn_1", channels, groups),
      block2_({path + ".block_2", channels, channels, 0, kEps, groups, kNames}) {}

Tensor VaeMiddle::forward(const Context& c, const Tensor& x) {
  Tensor h = block1_.forward(c, x, {});
  h = attention_.forward(c, h);
  return block2_.forward(c, h, {});
}

Tensor VaeMiddle::backward(const Context& c, const Tensor& dy) {
  Tensor d = block2_.backward(c, dy, nullptr);
  d = attention_.backward(c, d);
  return block1_.backward(c, d, nullptr);
}

void VaeMiddle::visit(ModelVisitor& v) {
  block1_.visit(v);
  attention_.visit(v);
  block2_.visit(v);
}

// ---- encoder ----

VaeEncoder::VaeEncoder(const VaeConfig& k)
    : conv_in_("encoder.conv_in", 3, k.channels),
      quant_("quant_conv", 2 * k.latent_channels, 2 * k.latent_channels, true, FileLayout::conv_1x1) {
  std::int64_t width = k.channels;
  for (std::size_t l = 0; l < k.channel_mult.size(); ++l) {
    const std::string path = "encoder.down." + std::to_string(l);
    const std::int64_t out = std::int64_t{k.channels} * k.channel_mult[l];
    Level& level = levels_.emplace_back();
    for (int b = 0; b < k.res_blocks; ++b) {
      level.blocks.push_back(resnet(path + ".block." + std::to_string(b), width, out, k.norm_groups));
      width = out;
    }
    if (l + 1 < k.channel_mult.size()) {
      level.down = std::make_unique<Conv2d>(path + ".downsample.conv", width, width, kDownsample);
    }
  }
  middle_ = std::make_unique<VaeMiddle>("encoder.mid", width, k.norm_groups);
  norm_out_ = std::make_unique<GroupNorm>("encoder.norm_out", width,
                                          GroupNormSpec{k.norm_groups, kEps, NormThen::silu});
  conv_out_ = std::make_unique<Conv2d>("encoder.conv_out", width, 2 * k.latent_channels);
}

Tensor VaeEncoder::forward(const Context& c, const Tensor& pictures) {
  Tensor h = conv_in_.forward(c, pictures);
  for (Level& level : levels_) {
    for (auto& block : level.blocks) h = block->forward(c, h, {});
    if (level.down) h = level.down->forward(c, h);
  }
  h = middle_->forward(c, h);
  h = norm_out_->forward(c, h);
  h = conv_out_->forward(c, h);
  return quant_.forward(c, h);
}

void VaeEncoder::backward(const Context& c, const Tensor& dmoments) {
  Tensor d = quant_.backward(c, dmoments);
  d = conv_out_->backward(c, d);
  d = norm_out_->backward(c, d);
  d = middle_->backward(c, d);
  for (auto level = levels_.rbegin(); level != levels_.rend(); ++level) {
    if (level->down) d = level->down->backward(c, d);
    for (auto b = level->blocks.rbegin(); b != level->blocks.rend(); ++b) d = (*b)->backward(c, d, nullptr);
  }
  conv_in_.backward_weights(c, d);
}

void VaeEncoder::visit(ModelVisitor& v) {
  conv_in_.visit(v);
  for (Level& level : levels_) {
    for (auto& block : level.blocks) block->visit(v);
    if (level.down) level.down->visit(v);
  }
  middle_->visit(v);
  norm_out_->visit(v);
  conv_out_->visit(v);
  quant_.visit(v);
}

// ---- decoder ----

VaeDecoder::VaeDecoder(const VaeConfig& k)
    : post_quant_("post_quant_conv", k.latent_channels, k.latent_channels, true, FileLayout::conv_1x1) {
  std::int64_t width = std::int64_t{k.channels} * k.channel_mult.back();
  conv_in_ = std::make_unique<Conv2d>("decoder.conv_in", k.latent_channels, width);
  middle_ = std::make_unique<VaeMiddle>("decoder.mid", width, k.norm_groups);
  levels_.resize(k.channel_mult.size());
  for (std::size_t l = levels_.size(); l-- > 0;) {
    const std::string path = "decoder.up." + std::to_string(l);
    const std::int64_t out = std::int64_t{k.channels} * k.channel_mult[l];
    for (int b = 0; b <= k.res_blocks; ++b) {
      levels_[l].blocks.push_back(resnet(path + ".block." + std::to_string(b), width, out, k.norm_groups));
      width = out;
    }
    if (l > 0) levels_[l].up = std::make_unique<Conv2d>(path + ".upsample.conv", width, width);
  }
  norm_out_ = std::make_unique<GroupNorm>("decoder.norm_out", width,
                                          GroupNormSpec{k.norm_groups, kEps, NormThen::silu});
  conv_out_ = std::make_unique<Conv2d>("decoder.conv_out", width, 3);
}

Tensor VaeDecoder::forward(const Context& c, const Tensor& latents) {
  Tensor h = post_quant_.forward(c, latents);
  h = conv_in_->forward(c, h);
  h = middle_->forward(c, h);
  for (std::size_t l = levels_.size(); l-- > 0;) {
    for (auto& block : levels_[l].blocks) h = block->forward(c, h, {});
    if (levels_[l].up) {
      Tensor big = c.empty({h.dim(0), 2 * h.dim(1), 2 * h.dim(2), h.dim(3)}, "upsampled", h.dtype());
      upsample_nearest_forward(c, big, h);
      h = levels_[l].up->forward(c, big);
    }
  }
  h = norm_out_->forward(c, h);
  return conv_out_->forward(c, h);
}

Tensor VaeDecoder::backward(const Context& c, const Tensor& dpictures) {
  Tensor d = conv_out_->backward(c, dpictures);
  d = norm_out_->backward(c, d);
  for (Level& level : levels_) {
    if (level.up) {
      const Tensor dbig = level.up->backward(c, d);
      d = c.empty({dbig.dim(0), dbig.dim(1) / 2, dbig.dim(2) / 2, dbig.dim(3)}, "dx", dbig.dtype());
      upsample_nearest_adjoint(c, d, dbig);
    }
    for (auto b = level.blocks.rbegin(); b != level.blocks.rend(); ++b) d = (*b)->backward(c, d, nullptr);
  }
  d = middle_->backward(c, d);
  d = conv_in_->backward(c, d);
  return post_quant_.backward(c, d);
}

void VaeDecoder::visit(ModelVisitor& v) {
  post_quant_.visit(v);
  conv_in_->visit(v);
  middle_->visit(v);
  for (Level& level : levels_) {
    for (auto& block : level.blocks) block->visit(v);
    if (level.up) level.up->visit(v);
  }
  norm_out_->visit(v);
  conv_out_->visit(v);
}

// ---- detection ----

VaeConfig detect_vae(const TensorSource& source, const std::string& prefix) {
  VaeConfig k;
  const auto out_of = [&](const std::string& name) {
    const TensorInfo& info = source.at(prefix + name);
    require<DataError>(info.shape.size() == 4, source.describe(), ": ", prefix + name,
                       " is not a convolution");
    return static_cast<int>(info.shape[0]);
  };
  k.channels = out_of("encoder.conv_in.weight");
  k.latent_channels = out_of("encoder.conv_out.weight") / 2;
  k.channel_mult.clear();
  for (int l = 0; source.contains(prefix + "encoder.down." + std::to_string(l) + ".block.0.conv1.weight");
       ++l) {
    k.channel_mult.push_back(out_of("encoder.down." + std::to_string(l) + ".block.0.conv1.weight") /
                             k.channels);
  }
  require<DataError>(!k.channel_mult.empty(), source.describe(), ": no VAE encoder under \"", prefix, "\"");
  k.res_blocks = 0;
  while (source.contains(prefix + "encoder.down.0.block." + std::to_string(k.res_blocks) + ".conv1.weight"))
    ++k.res_blocks;
  return k;
}

}  // namespace rankine
