// The architecture of a Stable Diffusion U-Net, read off the file's own keys and shapes.
#pragma once

#include <string>
#include <vector>

#include "io/formats/tensor_source.h"

namespace rankine {

struct UNetConfig {
  int in_channels = 4, out_channels = 4;
  int model_channels = 320;
  std::vector<int> channel_mult{1, 2, 4, 4};
  int res_blocks = 2;                              // per level on the way down; one more on the way up
  std::vector<int> transformer_depth{1, 1, 1, 0};  // per level; 0 means no attention there
  int middle_depth = 1;
  int context_dim = 768;
  int num_heads = 8;  // SD 1.x: a fixed count; 0 when head_dim rules
  int head_dim = 0;   // SD 2.x and XL: a fixed size, 64
  bool linear_projection = false;
  int norm_groups = 32;  // of every GroupNorm; published models have 32
  int adm_channels = 0;  // SDXL: width of the pooled-text-and-size vector; 0 for none

  int time_embed_dim() const { return 4 * model_channels; }
  int heads(int channels) const { return num_heads > 0 ? num_heads : channels / head_dim; }
  std::string family() const;  // "sd_v1", "sd_v2", "sdxl": what the layout is

  static UNetConfig sd15();
  static UNetConfig sd21();
  static UNetConfig sdxl();
};

// `prefix` precedes LDM names, e.g. "model.diffusion_model.". Head counts are not in the weights: a
// convolutional proj_in means SD 1.x (8 heads), a linear one means heads of 64 channels; pass `head_dim` to
// override the latter. Throws DataError naming the missing or inconsistent tensor.
UNetConfig detect_unet(const TensorSource& source, const std::string& prefix, int head_dim = 64);

}  // namespace rankine
