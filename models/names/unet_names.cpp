#include <array>
#include <sstream>
#include <vector>

#include "engine/core/error.h"
#include "models/names/names.h"

namespace rankine {
namespace {

std::vector<std::string> split(const std::string& path) {
  std::vector<std::string> parts;
  std::istringstream in(path);
  for (std::string part; std::getline(in, part, '.');) parts.push_back(part);
  return parts;
}

std::string rest(const std::vector<std::string>& parts, std::size_t from) {
  std::string text;
  for (std::size_t i = from; i < parts.size(); ++i) text += "." + parts[i];
  return text;
}

// Inside a residual block: LDM name -> diffusers name. Two components become one.
std::string resnet_tail(const std::vector<std::string>& p, std::size_t at) {
  static constexpr std::array<std::array<const char*, 3>, 5> kTable{{{"in_layers", "0", "norm1"},
                                                                     {"in_layers", "2", "conv1"},
                                                                     {"emb_layers", "1", "time_emb_proj"},
                                                                     {"out_layers", "0", "norm2"},
                                                                     {"out_layers", "3", "conv2"}}};
  if (p[at] == "skip_connection") return ".conv_shortcut" + rest(p, at + 1);
  for (const auto& row : kTable) {
    if (p[at] == row[0] && at + 1 < p.size() && p[at + 1] == row[1])
      return "." + std::string(row[2]) + rest(p, at + 2);
  }
  throw Error("unet names: unknown residual block part in " + rest(p, 0));
}

std::string numbered(const std::string& blocks, int level, const std::string& kind, int index) {
  return blocks + "." + std::to_string(level) + "." + kind + "." + std::to_string(index);
}

std::string input_name(const UNetConfig& k, const std::vector<std::string>& p) {
  const int i = std::stoi(p[1]);
  if (i == 0) return "conv_in" + rest(p, 3);
  const int per_level = k.res_blocks + 1;
  const int level = (i - 1) / per_level, j = (i - 1) % per_level;
  if (p[2] == "0" && p[3] == "op")
    return numbered("down_blocks", level, "downsamplers", 0) + ".conv" + rest(p, 4);
  if (p[2] == "0") return numbered("down_blocks", level, "resnets", j) + resnet_tail(p, 3);
  return numbered("down_blocks", level, "attentions", j) + rest(p, 3);
}

std::string output_name(const UNetConfig& k, const std::vector<std::string>& p) {
  const int i = std::stoi(p[1]), per_level = k.res_blocks + 1;
  const int level = i / per_level, j = i % per_level;
  if (p[3] == "conv") return numbered("up_blocks", level, "upsamplers", 0) + ".conv" + rest(p, 4);
  if (p[2] == "0") return numbered("up_blocks", level, "resnets", j) + resnet_tail(p, 3);
  return numbered("up_blocks", level, "attentions", j) + rest(p, 3);
}

std::string middle_name(const std::vector<std::string>& p) {
  if (p[1] == "1") return "mid_block.attentions.0" + rest(p, 2);
  return std::string("mid_block.resnets.") + (p[1] == "0" ? "0" : "1") + resnet_tail(p, 2);
}

}  // namespace

std::string diffusers_unet_name(const UNetConfig& k, const std::string& ldm_path) {
  const std::vector<std::string> p = split(ldm_path);
  require<Error>(p.size() >= 2, "unet names: \"", ldm_path, "\" is not a module path");
  if (p[0] == "time_embed")
    return std::string("time_embedding.linear_") + (p[1] == "0" ? "1" : "2") + rest(p, 2);
  if (p[0] == "label_emb")
    return std::string("add_embedding.linear_") + (p[2] == "0" ? "1" : "2") + rest(p, 3);
  if (p[0] == "out") return (p[1] == "0" ? "conv_norm_out" : "conv_out") + rest(p, 2);
  require<Error>(p.size() >= 3, "unet names: \"", ldm_path, "\" is not a module path");
  if (p[0] == "middle_block") return middle_name(p);
  require<Error>(p.size() >= 4 || ldm_path.starts_with("input_blocks.0"), "unet names: \"", ldm_path,
                 "\" is not a module path");
  if (p[0] == "input_blocks") return input_name(k, p);
  if (p[0] == "output_blocks") return output_name(k, p);
  throw Error("unet names: \"" + ldm_path + "\" is not a module of the U-Net");
}

Naming diffusers_unet_naming(const UNetConfig& config, std::string prefix) {
  return [config, prefix = std::move(prefix)](const Weight& w) {
    return WeightOrigin{prefix + diffusers_unet_name(config, w.path())};
  };
}

}  // namespace rankine
