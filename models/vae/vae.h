// AutoencoderKL, the f8 autoencoder of Stable Diffusion (Rombach et al. 2022; Kingma & Welling 2014),
// channels-last. Layers carry the names of the single-file checkpoints, without the "first_stage_model."
// prefix. Encoder and decoder compute in the type of what they are given, which need not be that of the
// context's activations.
#pragma once

#include <memory>
#include <vector>

#include "io/formats/tensor_source.h"
#include "models/nn/leaves.h"
#include "models/nn/resnet.h"

namespace rankine {

struct VaeConfig {
  int channels = 128;
  std::vector<int> channel_mult{1, 2, 4, 4};
  int res_blocks = 2;  // per level of the encoder; one more in the decoder
  int latent_channels = 4;
  int norm_groups = 32;
  int downscale() const { return 1 << (channel_mult.size() - 1); }
};
VaeConfig detect_vae(const TensorSource& source, const std::string& prefix);

// Single-head attention over the pixels of a small map, with a residual.
class VaeAttention {
 public:
  VaeAttention(const std::string& path, std::int64_t channels, int norm_groups);
  Tensor forward(const Context& c, const Tensor& x);
  Tensor backward(const Context& c, const Tensor& dy);
  void visit(ModelVisitor& v);

 private:
  GroupNorm norm_;
  SharedLinear qkv_;
  AttentionCore attention_;
  Linear out_;
};

class VaeMiddle {
 public:
  VaeMiddle(const std::string& path, std::int64_t channels, int norm_groups);
  Tensor forward(const Context& c, const Tensor& x);
  Tensor backward(const Context& c, const Tensor& dy);
  void visit(ModelVisitor& v);

 private:
  ResnetBlock block1_;
  VaeAttention attention_;
  ResnetBlock block2_;
};

class VaeEncoder {
 public:
  explicit VaeEncoder(const VaeConfig& config);
  // Pictures (N, H, W, 3) in [-1, 1] -> moments (N, H/8, W/8, 2·latent) = [mean | logvar], logvar not clamped
  // yet.
  Tensor forward(const Context& c, const Tensor& pictures);
  void backward(const Context& c, const Tensor& dmoments);
  void visit(ModelVisitor& v);

 private:
  struct Level {
    std::vector<std::unique_ptr<ResnetBlock>> blocks;
    std::unique_ptr<Conv2d> down;
  };
  Conv2d conv_in_;
  std::vector<Level> levels_;
  std::unique_ptr<VaeMiddle> middle_;
  std::unique_ptr<GroupNorm> norm_out_;
  std::unique_ptr<Conv2d> conv_out_;
  Linear quant_;
};

class VaeDecoder {
 public:
  explicit VaeDecoder(const VaeConfig& config);
  // Latents (N, h, w, latent), already divided by the scale factor -> pictures (N, 8h, 8w, 3).
  Tensor forward(const Context& c, const Tensor& latents);
  Tensor backward(const Context& c, const Tensor& dpictures);  // returns the gradient of the latents
  void visit(ModelVisitor& v);

 private:
  struct Level {
    std::vector<std::unique_ptr<ResnetBlock>> blocks;
    std::unique_ptr<Conv2d> up;
  };
  Linear post_quant_;
  std::unique_ptr<Conv2d> conv_in_;
  std::unique_ptr<VaeMiddle> middle_;
  std::vector<Level> levels_;  // index 0 is the finest; run from the last to the first
  std::unique_ptr<GroupNorm> norm_out_;
  std::unique_ptr<Conv2d> conv_out_;
};

struct Vae {
  VaeConfig config;
  VaeEncoder encoder;
  VaeDecoder decoder;
  explicit Vae(const VaeConfig& k) : config(k), encoder(k), decoder(k) {}
  void visit(ModelVisitor& v) {
    encoder.visit(v);
    decoder.visit(v);
  }
};

}  // namespace rankine
