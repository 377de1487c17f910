#include <string>
#include <string_view>
#include <utility>

#include "models/names/names.h"

namespace rankine {
namespace {

void replace(std::string& text, std::string_view from, std::string_view to) {
  if (const auto at = text.find(from); at != std::string::npos) text.replace(at, from.size(), to);
}

// encoder.down.L. / decoder.up.L. -> encoder.down_blocks.L. / decoder.up_blocks.(levels-1-L).
void rename_level(std::string& name, std::string_view ldm, std::string_view diffusers, int levels,
                  bool reversed) {
  const auto at = name.find(ldm);
  if (at == std::string::npos) return;
  const auto digits = at + ldm.size(), end = name.find('.', digits);
  const int level = std::stoi(name.substr(digits, end - digits));
  name.replace(at, end - at, std::string(diffusers) + std::to_string(reversed ? levels - 1 - level : level));
}

std::string diffusers_vae_name(std::string name, int levels, bool old_attention) {
  rename_level(name, "encoder.down.", "encoder.down_blocks.", levels, false);
  rename_level(name, "decoder.up.", "decoder.up_blocks.", levels, true);
  replace(name, ".block.", ".resnets.");
  replace(name, ".downsample.conv", ".downsamplers.0.conv");
  replace(name, ".upsample.conv", ".upsamplers.0.conv");
  replace(name, ".mid.block_1.", ".mid_block.resnets.0.");
  replace(name, ".mid.block_2.", ".mid_block.resnets.1.");
  if (name.find(".mid.attn_1.") != std::string::npos) {
    replace(name, ".mid.attn_1.", ".mid_block.attentions.0.");
    replace(name, ".norm.", ".group_norm.");
    replace(name, "0.q.", old_attention ? "0.query." : "0.to_q.");
    replace(name, "0.k.", old_attention ? "0.key." : "0.to_k.");
    replace(name, "0.v.", old_attention ? "0.value." : "0.to_v.");
    replace(name, "0.proj_out.", old_attention ? "0.proj_attn." : "0.to_out.0.");
  }
  replace(name, "norm_out.", "conv_norm_out.");
  replace(name, "nin_shortcut.", "conv_shortcut.");
  return name;
}

}  // namespace

Naming diffusers_vae_naming(const TensorSource& source, int levels) {
  const bool old = source.contains("encoder.mid_block.attentions.0.query.weight");
  return [levels, old](const Weight& w) { return WeightOrigin{diffusers_vae_name(w.path(), levels, old)}; };
}

}  // namespace rankine
