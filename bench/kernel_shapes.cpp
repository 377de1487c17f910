// The shapes, per sample, of the training steps of published models. Counts are those of one step, forward.
#include "bench/kernel_cases.h"

namespace rankine::bench {
namespace {
using enum Family;

// Stable Diffusion 1.5 at 512 pixels: levels of 64, 32, 16 and 8 pixels, 320 to 1280 channels, 8 heads.
constexpr CaseShape kSd15[] = {
    // 3x3 convolutions of the U-Net
    {conv, {1, 64, 4, 320, 1}, 1},
    {conv, {1, 64, 320, 320, 1}, 7},
    {conv, {1, 64, 640, 320, 1}, 2},
    {conv, {1, 64, 960, 320, 1}, 1},
    {conv, {1, 64, 640, 640, 1}, 1},
    {conv, {1, 64, 320, 4, 1}, 1},
    {conv, {1, 32, 320, 640, 1}, 1},
    {conv, {1, 32, 640, 640, 1}, 6},
    {conv, {1, 32, 960, 640, 1}, 1},
    {conv, {1, 32, 1280, 640, 1}, 1},
    {conv, {1, 32, 1920, 640, 1}, 1},
    {conv, {1, 32, 1280, 1280, 1}, 1},
    {conv, {1, 16, 640, 1280, 1}, 1},
    {conv, {1, 16, 1280, 1280, 1}, 7},
    {conv, {1, 16, 2560, 1280, 1}, 2},
    {conv, {1, 16, 1920, 1280, 1}, 1},
    {conv, {1, 8, 1280, 1280, 1}, 12},
    {conv, {1, 8, 2560, 1280, 1}, 3},
    {conv, {1, 64, 320, 320, 2}, 1},
    {conv, {1, 32, 640, 640, 2}, 1},
    {conv, {1, 16, 1280, 1280, 2}, 1},
    // attention's projections: q, k, v of one x together; others; k, v of the text
    {linear, {4096, 320, 320, 3}, 15},
    {linear, {4096, 320, 320, 1}, 25},
    {linear, {1024, 640, 640, 3}, 15},
    {linear, {1024, 640, 640, 1}, 25},
    {linear, {256, 1280, 1280, 3}, 15},
    {linear, {256, 1280, 1280, 1}, 25},
    {linear, {64, 1280, 1280, 3}, 3},
    {linear, {64, 1280, 1280, 1}, 5},
    {linear, {77, 768, 320, 2}, 10},
    {linear, {77, 768, 640, 2}, 10},
    {linear, {77, 768, 1280, 2}, 12},
    // the gated MLP, and shortcuts of residual blocks
    {linear, {4096, 320, 2560, 1}, 5},
    {linear, {4096, 1280, 320, 1}, 5},
    {linear, {1024, 640, 5120, 1}, 5},
    {linear, {1024, 2560, 640, 1}, 5},
    {linear, {256, 1280, 10240, 1}, 5},
    {linear, {256, 5120, 1280, 1}, 5},
    {linear, {64, 1280, 10240, 1}, 1},
    {linear, {64, 5120, 1280, 1}, 1},
    {linear, {4096, 640, 320, 1}, 2},
    {linear, {4096, 960, 320, 1}, 1},
    {linear, {1024, 1920, 640, 1}, 1},
    {linear, {256, 2560, 1280, 1}, 2},
    {linear, {64, 2560, 1280, 1}, 3},
    {attention, {1, 4096, 4096, 8, 8, 40}, 5},
    {attention, {1, 1024, 1024, 8, 8, 80}, 5},
    {attention, {1, 256, 256, 8, 8, 160}, 5},
    {attention, {1, 64, 64, 8, 8, 160}, 1},
    {attention, {1, 4096, 77, 8, 8, 40}, 5},
    {attention, {1, 1024, 77, 8, 8, 80}, 5},
    {attention, {1, 256, 77, 8, 8, 160}, 5},
    {attention, {1, 77, 77, 12, 12, 64, 1}, 12},
    {group_norm, {1, 64, 320, 1}, 8},
    {group_norm, {1, 64, 640, 1}, 2},
    {group_norm, {1, 64, 960, 1}, 1},
    {group_norm, {1, 32, 320, 1}, 1},
    {group_norm, {1, 32, 640, 1}, 6},
    {group_norm, {1, 32, 1920, 1}, 1},
    {group_norm, {1, 16, 1280, 1}, 6},
    {group_norm, {1, 16, 2560, 1}, 2},
    {group_norm, {1, 8, 1280, 1}, 11},
    {group_norm, {1, 8, 2560, 1}, 3},
    {group_norm, {1, 64, 320, 0}, 5},
    {group_norm, {1, 32, 640, 0}, 5},
    {group_norm, {1, 16, 1280, 0}, 5},
    {layer_norm, {4096, 320}, 15},
    {layer_norm, {1024, 640}, 15},
    {layer_norm, {256, 1280}, 15},
    {geglu, {4096, 1280}, 5},
    {geglu, {1024, 2560}, 5},
    {geglu, {256, 5120}, 5},
    {pointwise, {4096, 320}, 32},
    {pointwise, {1024, 640}, 32},
    {map, {1, 64, 320}, 5},
    {map, {1, 16, 1280}, 5},
    {resize, {1, 32, 640}, 1},
    {resize, {1, 8, 1280}, 1},
    {embedding, {77, 49408, 768}, 1},
    {timesteps, {1, 320}, 1},
    {latent, {1, 64, 4}, 1},
    {parameters, {3188736}, 1},
};

// Stable Diffusion XL at 1024 pixels: levels of 128, 64 and 32 pixels, heads of 64.
constexpr CaseShape kSdxl[] = {
    {conv, {1, 128, 320, 320, 1}, 7},
    {conv, {1, 128, 640, 320, 1}, 2},
    {conv, {1, 128, 960, 320, 1}, 1},
    {conv, {1, 128, 640, 640, 1}, 1},
    {conv, {1, 64, 320, 640, 1}, 1},
    {conv, {1, 64, 640, 640, 1}, 6},
    {conv, {1, 64, 960, 640, 1}, 1},
    {conv, {1, 64, 1280, 640, 1}, 1},
    {conv, {1, 64, 1920, 640, 1}, 1},
    {conv, {1, 64, 1280, 1280, 1}, 1},
    {conv, {1, 32, 640, 1280, 1}, 1},
    {conv, {1, 32, 1280, 1280, 1}, 10},
    {conv, {1, 32, 2560, 1280, 1}, 2},
    {conv, {1, 32, 1920, 1280, 1}, 1},
    {conv, {1, 128, 320, 320, 2}, 1},
    {conv, {1, 64, 640, 640, 2}, 1},
    {linear, {4096, 640, 640, 3}, 30},
    {linear, {4096, 640, 640, 1}, 40},
    {linear, {4096, 640, 5120, 1}, 10},
    {linear, {4096, 2560, 640, 1}, 10},
    {linear, {77, 2048, 640, 2}, 20},
    {linear, {1024, 1280, 1280, 3}, 180},
    {linear, {1024, 1280, 1280, 1}, 192},
    {linear, {1024, 1280, 10240, 1}, 60},
    {linear, {1024, 5120, 1280, 1}, 60},
    {linear, {77, 2048, 1280, 2}, 120},
    {attention, {1, 4096, 4096, 10, 10, 64}, 10},
    {attention, {1, 1024, 1024, 20, 20, 64}, 60},
    {attention, {1, 4096, 77, 10, 10, 64}, 10},
    {attention, {1, 1024, 77, 20, 20, 64}, 60},
    {group_norm, {1, 128, 320, 1}, 8},
    {group_norm, {1, 128, 960, 1}, 1},
    {group_norm, {1, 64, 640, 1}, 6},
    {group_norm, {1, 32, 1280, 1}, 10},
    {group_norm, {1, 64, 640, 0}, 5},
    {group_norm, {1, 32, 1280, 0}, 6},
    {layer_norm, {4096, 640}, 30},
    {layer_norm, {1024, 1280}, 180},
    {geglu, {4096, 2560}, 10},
    {geglu, {1024, 5120}, 60},
    {resize, {1, 64, 640}, 1},
    {resize, {1, 32, 1280}, 1},
    {latent, {1, 128, 4}, 1},
    {parameters, {23224320}, 1},
};

constexpr std::int64_t type(DType t) { return static_cast<std::int64_t>(t); }

// LLaMA 2 7B, 4096 tokens; its frozen weights also as files of quantised models and QLoRA have them.
constexpr CaseShape kLlama7b[] = {
    {linear, {4096, 4096, 4096, 3}, 96},
    {linear, {4096, 4096, 4096, 1}, 32},
    {linear, {4096, 4096, 11008, 2}, 64},
    {linear, {4096, 11008, 4096, 1}, 32},
    {linear, {512, 4096, 32000, 1}, 8},
    {stored, {4096, 4096, 4096, type(DType::q4_0)}},
    {stored, {4096, 4096, 4096, type(DType::q4_1)}},
    {stored, {4096, 4096, 4096, type(DType::q5_0)}},
    {stored, {4096, 4096, 4096, type(DType::q5_1)}},
    {stored, {4096, 4096, 4096, type(DType::q8_0)}},
    {stored, {4096, 4096, 4096, type(DType::q2_k)}},
    {stored, {4096, 4096, 4096, type(DType::q3_k)}},
    {stored, {4096, 4096, 4096, type(DType::q4_k)}},
    {stored, {4096, 4096, 4096, type(DType::q5_k)}},
    {stored, {4096, 4096, 4096, type(DType::q6_k)}},
    {stored, {4096, 4096, 4096, type(DType::iq4_nl)}},
    {stored, {4096, 4096, 4096, type(DType::q4_0_f32)}},
    {stored, {4096, 4096, 4096, type(DType::q4_1_f32)}},
    {stored, {4096, 4096, 4096, type(DType::q8_0_f32)}},
    {stored, {4096, 4096, 4096, type(DType::nf4)}},
    {stored, {4096, 4096, 4096, type(DType::nf4_dq)}},
    {stored, {4096, 4096, 11008, type(DType::q4_0)}},
    {stored, {4096, 4096, 11008, type(DType::q8_0)}},
    {stored, {4096, 4096, 11008, type(DType::nf4)}},
    {attention, {1, 4096, 4096, 32, 32, 128, 1}, 32},
    {rms_norm, {4096, 4096}, 65},
    {swiglu, {4096, 11008}, 32},
    {rope, {4096, 32, 128, 128}, 64},
    {pointwise, {4096, 4096}, 64},
    {embedding, {4096, 32000, 4096}, 1},
    {cross_entropy, {512, 32000}, 8},
    {parameters, {39976960}, 1},
};

// ChatGLM3-6B, 4096 tokens: two key heads, fused projections, half of a head turned.
constexpr CaseShape kChatglm3[] = {
    {linear, {4096, 4096, 4608, 1}, 28},  {linear, {4096, 4096, 4096, 1}, 28},
    {linear, {4096, 4096, 27392, 1}, 28}, {linear, {4096, 13696, 4096, 1}, 28},
    {linear, {256, 4096, 65024, 1}, 16},  {attention, {1, 4096, 4096, 32, 2, 128, 1}, 28},
    {rms_norm, {4096, 4096}, 57},         {swiglu, {4096, 13696}, 28},
    {rope, {4096, 32, 128, 64}, 28},      {rope, {4096, 2, 128, 64}, 28},
    {embedding, {4096, 65024, 4096}, 1},  {cross_entropy, {256, 65024}, 16},
};

// TinyLlama 1.1B, 2048 tokens: heads of 64, four key heads.
constexpr CaseShape kLlama1b[] = {
    {linear, {2048, 2048, 2048, 1}, 44},
    {linear, {2048, 2048, 256, 2}, 44},
    {linear, {2048, 2048, 5632, 2}, 44},
    {linear, {2048, 5632, 2048, 1}, 22},
    {attention, {1, 2048, 2048, 32, 4, 64, 1}, 22},
    {rms_norm, {2048, 2048}, 45},
    {swiglu, {2048, 5632}, 22},
    {rope, {2048, 32, 64, 64}, 22},
};

// Few tokens of a 7B model: a short step, and generating one token, which is bound by reading the weight.
constexpr CaseShape kShort[] = {
    {stored, {256, 4096, 4096, type(DType::f32)}},  {stored, {256, 4096, 4096, type(DType::f16)}},
    {stored, {256, 4096, 4096, type(DType::q4_0)}}, {stored, {256, 4096, 4096, type(DType::q8_0)}},
    {stored, {256, 4096, 4096, type(DType::q4_k)}}, {stored, {256, 4096, 4096, type(DType::q6_k)}},
    {stored, {256, 4096, 4096, type(DType::nf4)}},  {stored, {256, 4096, 4096, type(DType::nf4_dq)}},
    {stored, {256, 4096, 11008, type(DType::f16)}}, {stored, {256, 4096, 11008, type(DType::q4_0)}},
    {attention, {1, 512, 512, 32, 32, 128, 1}},     {attention, {1, 512, 512, 32, 8, 128, 1}},
};
constexpr CaseShape kGenerate[] = {
    {stored, {1, 4096, 4096, type(DType::f32)}},  {stored, {1, 4096, 4096, type(DType::f16)}},
    {stored, {1, 4096, 4096, type(DType::q4_0)}}, {stored, {1, 4096, 4096, type(DType::q8_0)}},
    {stored, {1, 4096, 4096, type(DType::q4_k)}}, {stored, {1, 4096, 4096, type(DType::q6_k)}},
    {stored, {1, 4096, 4096, type(DType::nf4)}},  {stored, {1, 4096, 4096, type(DType::nf4_dq)}},
    {stored, {1, 4096, 11008, type(DType::f16)}}, {stored, {1, 4096, 11008, type(DType::q4_0)}},
    {attention, {1, 1, 2048, 32, 32, 128, 1}},    {attention, {1, 1, 2048, 32, 8, 128, 1}},
};

}  // namespace

const std::vector<ModelShapes>& model_shapes() {
  static const std::vector<ModelShapes> models{{"sd15", kSd15, {1, 4}},     {"sdxl", kSdxl, {1}},
                                               {"llama7b", kLlama7b, {1}},  {"chatglm3", kChatglm3, {1}},
                                               {"llama1b", kLlama1b, {1}},  {"short", kShort, {1}},
                                               {"generate", kGenerate, {1}}};
  return models;
}

}  // namespace rankine::bench
