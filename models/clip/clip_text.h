// CLIP text encoders: OpenAI ViT-L (SD 1.x, SDXL first), OpenCLIP ViT-H (SD 2.x) and bigG (SDXL second)
// (Radford et al. 2021; Cherti et al. 2023). Layers carry Hugging Face names ("text_model...."), whatever the
// file.
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "io/formats/tensor_source.h"
#include "models/nn/leaves.h"
#include "models/nn/linear.h"
#include "models/nn/norm.h"

namespace rankine {

struct ClipTextConfig {
  std::int64_t vocab = 49408, context = 77, width = 768, mlp = 3072, projection = 0;  // projection 0: none
  int layers = 12, heads = 12;
  Gelu activation = Gelu::quick;

  static ClipTextConfig vit_l();  // 12 layers of 768, quick GELU
  static ClipTextConfig vit_h();  // 24 layers of 1024, erf GELU
  static ClipTextConfig big_g();  // 32 layers of 1280, erf GELU, projection 1280
};

// Which spelling a file uses under `prefix`; early_hugging_face (first SD 1.x files) has no "text_model.".
enum class ClipNaming : std::uint8_t { hugging_face, early_hugging_face, open_clip };
// Reads sizes off the file. Heads are width / 64; the OpenAI spelling means quick GELU, OpenCLIP's the exact
// one.
ClipTextConfig detect_clip(const TensorSource& source, const std::string& prefix, ClipNaming naming);

// What the diffusion model wants from the encoder.
struct ClipWant {
  int skip = 1;            // clip-skip: hidden state after layers - (skip - 1) layers; 1 is the last
  bool final_norm = true;  // apply the final layer norm to it
  bool pooled = false;     // also the projected embedding at the first end-of-text token
};
// Prompts on the device.
struct ClipInput {
  Tensor ids;   // (N, 77) i32
  Tensor ends;  // (N) i32: where in the N · 77 tokens each prompt ends, at its largest id, the first one (as
                // OpenAI's argmax)
};
// Uploads the ids of whole windows of `context` tokens. Throws ShapeError for a count that is none.
ClipInput clip_input(const Context& c, std::span<const std::int32_t> ids, std::int64_t context);

struct ClipOutput {
  Tensor hidden;  // (N, 77, width)
  Tensor pooled;  // (N, projection), undefined unless wanted
};

class ClipText {
 public:
  explicit ClipText(const ClipTextConfig& config);
  ClipOutput forward(const Context& c, const ClipInput& in, const ClipWant& want);
  // Either gradient may be undefined. Frees the tape of the matching forward.
  void backward(const Context& c, const ClipOutput& d, const ClipWant& want);
  const ClipTextConfig& config() const { return config_; }
  void visit(ModelVisitor& v);

 private:
  struct Layer {
    LayerNorm norm1, norm2;
    SharedLinear qkv;
    AttentionCore attention;
    Linear out, fc1;
    GeluLayer gelu;
    Linear fc2;
    Layer(const std::string& path, const ClipTextConfig& config);
    Tensor forward(const Context& c, const Tensor& x);
    Tensor backward(const Context& c, const Tensor& dy);
    void visit(ModelVisitor& v);
  };
  struct SavedIds {
    Tensor ids;
  };
  struct SavedEnds {
    Tensor ends;
  };
  Tensor embed(const Context& c, const Tensor& ids);
  Tensor pool(const Context& c, const Tensor& last, const Tensor& ends);
  Tensor pool_backward(const Context& c, const Tensor& dpooled);
  bool embeddings_trained() const { return tokens_.trained() || positions_.trained(); }

  ClipTextConfig config_;
  Weight tokens_, positions_;
  std::vector<std::unique_ptr<Layer>> layers_;
  LayerNorm final_norm_;
  std::optional<Linear> projection_;
};

}  // namespace rankine
