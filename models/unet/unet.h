// The denoising U-Net of Stable Diffusion 1.x, 2.x and XL (Rombach et al. 2022; Podell et al. 2023),
// channels-last. Layers carry the names of the original single-file checkpoints, without the
// "model.diffusion_model." prefix.
#pragma once

#include <memory>
#include <optional>
#include <vector>

#include "models/nn/resnet.h"
#include "models/unet/transformer.h"
#include "models/unet/unet_config.h"

namespace rankine {

struct UNetInput {
  Tensor x;        // (N, H, W, 4) noised latents
  Tensor t;        // (N) timesteps, fp32
  Tensor context;  // (N, S, context_dim) prompt embedding
  Tensor vector;   // (N, adm_channels) pooled text and sizes, SDXL only
  bool input_gradients =
      false;  // backward will be asked for those of context and vector: every reader is recorded
};

// Gradients of the side inputs; each is added to when not null.
struct UNetInputGrads {
  Tensor* dcontext = nullptr;
  Tensor* dvector = nullptr;
};

class UNet {
 public:
  explicit UNet(const UNetConfig& config);

  Tensor forward(const Context& c, const UNetInput& in);  // the prediction, (N, H, W, out_channels)
  // Parameter gradients and those of `grads`, which need UNetInput::input_gradients. Nothing before the first
  // residual block or attention that trains (or reads a differentiated input) is visited.
  void backward(const Context& c, const Tensor& dy, UNetInputGrads grads);

  const UNetConfig& config() const { return config_; }
  void visit(ModelVisitor& v);

 private:
  struct Block {
    std::unique_ptr<Conv2d> conv;  // conv_in, or a downsample
    std::unique_ptr<ResnetBlock> res;
    std::unique_ptr<SpatialTransformer> attn;
    std::unique_ptr<Conv2d> up;  // after nearest-neighbour enlargement to the next skip's size
    void visit(ModelVisitor& v);
  };
  // The first input block that is on the tape: all of it, or its attention alone.
  struct Start {
    int block;
    bool attention;
  };
  struct Saved {
    Start start;
    bool embedding;  // the time embedding is recorded
    std::array<std::int64_t, 4> input;
  };
  struct Upsampled {
    std::array<std::int64_t, 4> from;
  };

  void build_inputs();
  void build_middle();
  void build_outputs();
  ResnetSpec resnet(std::string path, int in, int out) const;
  TransformerSpec transformer(std::string path, int channels, int depth) const;

  Tensor embed_time(const Context& c, const UNetInput& in);
  void embed_time_backward(const Context& c, const Tensor& demb, Tensor* dvector);
  // A block, in two parts: the tape may begin between them.
  Tensor run_residual(const Context& c, Block& b, Tensor h, const Tensor& emb);
  Tensor run_attention(const Context& c, Block& b, const Tensor& h, const Tensor& context);
  Tensor run_block_backward(const Context& c, Block& b, Tensor d, Tensor* demb, Tensor* dcontext);
  Tensor upsample(const Context& c, Block& b, const Tensor& h, const Tensor& like);
  Tensor upsample_backward(const Context& c, Block& b, const Tensor& dy);
  Start start_of_tape(bool embedding, bool context_gradient);
  bool embedding_trained();

  UNetConfig config_;
  std::vector<int> skip_channels_;  // channels of each input block's output, in order
  int channels_ = 0;                // running width while building
  Linear time1_, time2_;
  Silu time_silu_, emb_silu_, label_silu_;
  std::optional<Linear> label1_, label2_;
  std::vector<Block> inputs_, outputs_;
  std::unique_ptr<ResnetBlock> middle1_, middle2_;
  std::unique_ptr<SpatialTransformer> middle_attn_;
  GroupNorm out_norm_;
  Conv2d out_conv_;
};

}  // namespace rankine
