#include <array>
#include <string>

#include "models/names/names.h"

namespace rankine {

Naming early_clip_naming(std::string prefix) {
  return [prefix = std::move(prefix)](const Weight& w) -> WeightOrigin {
    static const std::string kBody = "text_model.";
    return {prefix + (w.path().starts_with(kBody) ? w.path().substr(kBody.size()) : w.path())};
  };
}

Naming open_clip_naming(std::string prefix) {
  return [prefix = std::move(prefix)](const Weight& w) -> WeightOrigin {
    const std::string& path = w.path();
    if (path == "text_model.embeddings.token_embedding.weight") return {prefix + "token_embedding.weight"};
    if (path == "text_model.embeddings.position_embedding.weight") return {prefix + "positional_embedding"};
    if (path == "text_projection.weight") return {prefix + "text_projection", 0, 1, true};
    static const std::string kFinal = "text_model.final_layer_norm.", kLayers = "text_model.encoder.layers.";
    if (path.starts_with(kFinal)) return {prefix + "ln_final." + path.substr(kFinal.size())};
    const auto number_end = path.find('.', kLayers.size());
    const std::string block =
        prefix + "transformer.resblocks." + path.substr(kLayers.size(), number_end - kLayers.size());
    const std::string tail = path.substr(number_end);  // ".self_attn.q_proj.weight"
    const std::string leaf = tail.substr(tail.rfind('.') + 1);
    static constexpr std::array<const char*, 3> kParts{".self_attn.q_proj.", ".self_attn.k_proj.",
                                                       ".self_attn.v_proj."};
    for (int i = 0; i < 3; ++i) {
      if (tail.starts_with(kParts[i])) return {block + ".attn.in_proj_" + leaf, i, 3};
    }
    static constexpr std::array<std::array<const char*, 2>, 5> kNames{
        {{".self_attn.out_proj.", ".attn.out_proj."},
         {".layer_norm1.", ".ln_1."},
         {".layer_norm2.", ".ln_2."},
         {".mlp.fc1.", ".mlp.c_fc."},
         {".mlp.fc2.", ".mlp.c_proj."}}};
    for (const auto& row : kNames) {
      if (tail.starts_with(row[0])) return {block + row[1] + leaf};
    }
    throw Error("clip names: \"" + path + "\" is not a module of a CLIP text encoder");
  };
}

}  // namespace rankine
