#include "models/unet/unet_config.h"

#include "engine/core/error.h"

namespace rankine {

UNetConfig UNetConfig::sd15() { return {}; }

UNetConfig UNetConfig::sd21() {
  UNetConfig c;
  c.context_dim = 1024;
  c.num_heads = 0;
  c.head_dim = 64;
  c.linear_projection = true;
  return c;
}

UNetConfig UNetConfig::sdxl() {
  UNetConfig c = sd21();
  c.channel_mult = {1, 2, 4};
  c.transformer_depth = {0, 2, 10};
  c.middle_depth = 10;
  c.context_dim = 2048;
  c.adm_channels = 2816;
  return c;
}

std::string UNetConfig::family() const {
  if (adm_channels > 0) return "sdxl";
  return linear_projection ? "sd_v2" : "sd_v1";
}

namespace {

class Detector {
 public:
  Detector(const TensorSource& source, std::string prefix) : source_(source), prefix_(std::move(prefix)) {}

  bool has(const std::string& name) const { return source_.contains(prefix_ + name); }
  std::int64_t dim(const std::string& name, std::size_t axis) const {
    const TensorInfo& info = source_.at(prefix_ + name);
    require<DataError>(axis < info.shape.size(), source_.describe(), ": ", prefix_ + name, " has ",
                       info.shape.size(), " dimensions, expected more than ", axis);
    return info.shape[axis];
  }
  std::size_t rank(const std::string& name) const { return source_.at(prefix_ + name).shape.size(); }
  int depth(const std::string& block) const {
    int d = 0;
    while (has(block + ".transformer_blocks." + std::to_string(d) + ".norm1.weight")) ++d;
    return d;
  }

 private:
  const TensorSource& source_;
  std::string prefix_;
};

std::string in_block(int i) { return "input_blocks." + std::to_string(i); }

// Walks input_blocks: residual blocks until a downsample (".op") ends the level.
void detect_levels(const Detector& d, UNetConfig& c) {
  c.channel_mult.clear();
  c.transformer_depth.clear();
  int blocks_in_level = 0, level_channels = 0, level_depth = 0, i = 1;
  const auto end_level = [&] {
    c.res_blocks = blocks_in_level;
    c.channel_mult.push_back(level_channels / c.model_channels);
    c.transformer_depth.push_back(level_depth);
    blocks_in_level = 0;
    level_depth = 0;
  };
  for (;; ++i) {
    if (d.has(in_block(i) + ".0.op.weight")) {
      end_level();
    } else if (d.has(in_block(i) + ".0.in_layers.2.weight")) {
      ++blocks_in_level;
      level_channels = static_cast<int>(d.dim(in_block(i) + ".0.in_layers.2.weight", 0));
      level_depth = d.depth(in_block(i) + ".1");
    } else {
      break;
    }
  }
  end_level();
}

}  // namespace

UNetConfig detect_unet(const TensorSource& source, const std::string& prefix, int head_dim) {
  const Detector d(source, prefix);
  UNetConfig c;
  c.model_channels = static_cast<int>(d.dim("input_blocks.0.0.weight", 0));
  c.in_channels = static_cast<int>(d.dim("input_blocks.0.0.weight", 1));
  c.out_channels = static_cast<int>(d.dim("out.2.weight", 0));
  require<DataError>(c.in_channels == 4, source.describe(), ": the U-Net takes ", c.in_channels,
                     " input channels (9 is an inpainting model); only 4 are supported");
  detect_levels(d, c);
  c.middle_depth = d.depth("middle_block.1");
  const std::string t = "middle_block.1";
  c.context_dim = static_cast<int>(d.dim(t + ".transformer_blocks.0.attn2.to_k.weight", 1));
  c.linear_projection = d.rank(t + ".proj_in.weight") == 2;
  c.num_heads = c.linear_projection ? 0 : 8;
  c.head_dim = c.linear_projection ? head_dim : 0;
  c.adm_channels = d.has("label_emb.0.0.weight") ? static_cast<int>(d.dim("label_emb.0.0.weight", 1)) : 0;
  return c;
}

}  // namespace rankine
