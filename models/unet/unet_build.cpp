// Construction of the U-Net: the block table of formats/sd_checkpoints as loops.
#include "models/unet/unet.h"

namespace rankine {
namespace {
const ResnetNames kNames{"in_layers.0",  "in_layers.2",  "emb_layers.1",
                         "out_layers.0", "out_layers.3", "skip_connection"};
constexpr Window kDownsample{3, 2, 1, 1};

std::string numbered(const char* name, std::size_t i) { return std::string(name) + "." + std::to_string(i); }
}  // namespace

UNet::UNet(const UNetConfig& config)
    : config_(config),
      time1_("time_embed.0", config.model_channels, config.time_embed_dim()),
      time2_("time_embed.2", config.time_embed_dim(), config.time_embed_dim()),
      out_norm_("out.0", config.model_channels, {config.norm_groups, 1e-5F, NormThen::silu}),
      out_conv_("out.2", config.model_channels, config.out_channels) {
  if (config.adm_channels > 0) {
    label1_.emplace("label_emb.0.0", config.adm_channels, config.time_embed_dim());
    label2_.emplace("label_emb.0.2", config.time_embed_dim(), config.time_embed_dim());
  }
  build_inputs();
  build_middle();
  build_outputs();
}

ResnetSpec UNet::resnet(std::string path, int in, int out) const {
  return {std::move(path), in, out, config_.time_embed_dim(), 1e-5F, config_.norm_groups, kNames};
}

TransformerSpec UNet::transformer(std::string path, int channels, int depth) const {
  const int heads = config_.heads(channels);
  require<DataError>(heads > 0 && channels % heads == 0, "unet: ", path, " has ", channels,
                     " channels, which do not divide into ", heads, " heads");
  return {std::move(path),          channels, config_.context_dim, heads, depth, config_.norm_groups,
          config_.linear_projection};
}

void UNet::build_inputs() {
  channels_ = config_.model_channels;
  inputs_.emplace_back().conv = std::make_unique<Conv2d>("input_blocks.0.0", config_.in_channels, channels_);
  skip_channels_ = {channels_};
  const std::size_t levels = config_.channel_mult.size();
  for (std::size_t level = 0; level < levels; ++level) {
    const int out = config_.model_channels * config_.channel_mult[level];
    for (int r = 0; r < config_.res_blocks; ++r) {
      const std::string path = numbered("input_blocks", inputs_.size());
      Block& b = inputs_.emplace_back();
      b.res = std::make_unique<ResnetBlock>(resnet(path + ".0", channels_, out));
      channels_ = out;
      if (const int depth = config_.transformer_depth[level]; depth > 0) {
        b.attn = std::make_unique<SpatialTransformer>(transformer(path + ".1", channels_, depth));
      }
      skip_channels_.push_back(channels_);
    }
    if (level + 1 < levels) {
      const std::string path = numbered("input_blocks", inputs_.size());
      inputs_.emplace_back().conv =
          std::make_unique<Conv2d>(path + ".0.op", channels_, channels_, kDownsample);
      skip_channels_.push_back(channels_);
    }
  }
}

void UNet::build_middle() {
  middle1_ = std::make_unique<ResnetBlock>(resnet("middle_block.0", channels_, channels_));
  middle_attn_ =
      std::make_unique<SpatialTransformer>(transformer("middle_block.1", channels_, config_.middle_depth));
  middle2_ = std::make_unique<ResnetBlock>(resnet("middle_block.2", channels_, channels_));
}

void UNet::build_outputs() {
  std::vector<int> skips = skip_channels_;
  for (std::size_t level = config_.channel_mult.size(); level-- > 0;) {
    const int out = config_.model_channels * config_.channel_mult[level];
    for (int r = 0; r <= config_.res_blocks; ++r) {
      const std::string path = numbered("output_blocks", outputs_.size());
      Block& b = outputs_.emplace_back();
      b.res = std::make_unique<ResnetBlock>(resnet(path + ".0", channels_ + skips.back(), out));
      skips.pop_back();
      channels_ = out;
      const int depth = config_.transformer_depth[level];
      if (depth > 0)
        b.attn = std::make_unique<SpatialTransformer>(transformer(path + ".1", channels_, depth));
      if (level > 0 && r == config_.res_blocks) {
        b.up = std::make_unique<Conv2d>(path + (depth > 0 ? ".2.conv" : ".1.conv"), channels_, channels_);
      }
    }
  }
}

void UNet::Block::visit(ModelVisitor& v) {
  if (conv) conv->visit(v);
  if (res) res->visit(v);
  if (attn) attn->visit(v);
  if (up) up->visit(v);
}

void UNet::visit(ModelVisitor& v) {
  time1_.visit(v);
  time2_.visit(v);
  if (label1_) {
    label1_->visit(v);
    label2_->visit(v);
  }
  for (Block& b : inputs_) b.visit(v);
  middle1_->visit(v);
  middle_attn_->visit(v);
  middle2_->visit(v);
  for (Block& b : outputs_) b.visit(v);
  out_norm_.visit(v);
  out_conv_.visit(v);
}

}  // namespace rankine
