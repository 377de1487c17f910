// What a step leaves on the tape, in the numbers of a card, against the least that spares every product from
// being computed twice.
#include <gtest/gtest.h>

#include "engine/tape/tape.h"
#include "engine/train/param_arena.h"
#include "models/decoder/decoder.h"
#include "models/decoder/decoder_lora.h"
#include "models/nn/load.h"
#include "models/sd/lora_network.h"
#include "models/sd/stable_diffusion.h"

namespace rankine {
namespace {

class SavedBytes : public ::testing::Test {
 protected:
  Runtime runtime{Device::cuda(0).planned(), Memory::kUnlimited, 1, DType::f16};
  Context c{runtime};
  StepMemory memory;
};

DecoderConfig llama7b(int layers) {
  DecoderConfig k;
  k.family = DecoderFamily::llama;
  k.layers = layers;
  k.width = 4096;
  k.mlp = 11008;
  k.heads = k.kv_heads = 32;
  k.head_dim = k.rotary_dims = 128;
  k.vocab = 32000;
  return k;
}

TEST_F(SavedBytes, OfALlamaLayerPerToken) {
  constexpr std::int64_t kTokens = 1024, kRank = 16;
  const DecoderConfig config = llama7b(4);
  Decoder model(c, config, names_of(config));
  init_weights(c, model, 1, DType::f16, [](const std::string&) { return false; });
  DecoderLora network;
  LoraSpec spec;
  spec.rank = kRank;
  network.attach(model, [&](const std::string&) { return std::optional(spec); });
  ParamArena arena(c, network.params());
  Tape tape(&memory);
  const Context recording = c.with_tape(tape);
  const auto ints = [&](Shape shape) { return c.empty(shape, "ints", DType::i32); };
  model.forward(recording, {ints({1, kTokens}), ints({1, kTokens}), {}, ints({1, kTokens, 2}), nullptr});
  ASSERT_EQ(memory.units.size(), 4U);
  // x, q, k, v, attention's output, the residual in between; gate and up: all in fp16.
  const double minimum = 2.0 * (6 * 4096 + 2 * 11008);
  for (const int layer : {1, 2}) {  // the first pays for what all share
    const double per_token = static_cast<double>(memory.units[layer].saved) / kTokens;
    EXPECT_GE(per_token, minimum);
    EXPECT_LE(per_token, 1.1 * minimum) << "layer " << layer;
  }
  RecordProperty("bytes_per_token", std::to_string(memory.units[1].saved / kTokens));
}

TEST_F(SavedBytes, OfStableDiffusionPerPicture) {
  StableDiffusion sd(published_sizes(SdFamily::sd_v1), std::make_shared<const ClipTokenizer>(""));
  sd.init(c, 1, DType::f16);
  LoraNetwork network;
  LoraPlan plan;
  plan.unet.rank = 8;
  network.attach(sd.unet, [&](const LoraTarget& t) { return plan.choose(t); });
  ParamArena arena(c, network.params());
  Tape tape(&memory);
  const Context recording = c.with_tape(tape);
  sd.unet.forward(
      recording,
      {c.empty({1, 64, 64, 4}, "x"), c.empty({1}, "t", DType::f32), c.empty({1, 77, 768}, "context"), {}});
  // 0.48 GB: docs/memory.md has the sum.
  EXPECT_LE(static_cast<double>(tape.bytes()), 1.1 * 0.48e9);
  RecordProperty("bytes", std::to_string(tape.bytes()));
  // Backward ends at the first attention, so the residual block before it keeps nothing: 21 of 22 residual
  // blocks are units, and all 16 transformer blocks.
  ASSERT_EQ(memory.units.size(), 37U);
  EXPECT_EQ(memory.units[0].name, "input_blocks.1.1.transformer_blocks.0");
  for (const auto& [layer, bytes] : tape.bytes_by_layer()) {
    EXPECT_FALSE(layer.starts_with("input_blocks.0.") || layer.starts_with("input_blocks.1.0.")) << layer;
  }
}

}  // namespace
}  // namespace rankine
