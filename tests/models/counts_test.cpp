// LoRA targets of the published sizes, as kohya's sd-scripts count them. Nothing is loaded: names and shapes
// suffice.
#include <gtest/gtest.h>

#include <set>

#include "models/sd/lora_network.h"
#include "models/sd/sd_checkpoint.h"

namespace rankine {
namespace {

struct Counts {
  std::size_t unet, text;
  std::set<std::string> names;
};

Counts attach(SdFamily family, bool conv) {
  const SdCheckpoint k = published_sizes(family);
  LoraPlan plan;
  plan.text_encoder = plan.unet;
  if (conv) plan.conv = plan.unet;
  Counts counts{};
  const LoraChooser choose = [&](const LoraTarget& t) {
    counts.names.insert(t.name);
    return plan.choose(t);
  };
  UNet unet(k.unet_config);
  LoraNetwork network;
  network.attach(unet, choose);
  const int encoders = static_cast<int>(k.text_encoders.size());
  std::vector<std::unique_ptr<ClipText>> texts;
  for (int i = 0; i < encoders; ++i) {
    texts.push_back(std::make_unique<ClipText>(k.text_encoders[i].config));
    network.attach(*texts.back(), i, encoders, choose);
  }
  counts.unet = network.unet_modules();
  counts.text = network.text_modules();
  return counts;
}

TEST(LoraCounts, Sd15) {
  const Counts plain = attach(SdFamily::sd_v1, false);
  EXPECT_EQ(plain.unet, 192U);
  EXPECT_EQ(plain.text, 72U);
  EXPECT_EQ(attach(SdFamily::sd_v1, true).unet, 278U);
  EXPECT_TRUE(
      plain.names.contains("lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn1_to_out_0"));
  EXPECT_TRUE(plain.names.contains("lora_unet_mid_block_attentions_0_proj_in"));
  EXPECT_TRUE(plain.names.contains("lora_unet_up_blocks_3_attentions_2_transformer_blocks_0_ff_net_0_proj"));
  EXPECT_TRUE(plain.names.contains("lora_te_text_model_encoder_layers_11_mlp_fc2"));
}

TEST(LoraCounts, Sdxl) {
  const Counts plain = attach(SdFamily::sdxl, false);
  EXPECT_EQ(plain.unet, 722U);
  EXPECT_EQ(plain.text, 264U);
  EXPECT_EQ(attach(SdFamily::sdxl, true).unet, 722U + 66U);
  EXPECT_TRUE(plain.names.contains("lora_unet_input_blocks_4_1_transformer_blocks_0_attn1_to_q"));
  EXPECT_TRUE(plain.names.contains("lora_unet_output_blocks_0_1_transformer_blocks_9_ff_net_2"));
  EXPECT_TRUE(plain.names.contains("lora_te1_text_model_encoder_layers_0_self_attn_q_proj"));
  EXPECT_TRUE(plain.names.contains("lora_te2_text_model_encoder_layers_31_mlp_fc2"));
}

TEST(LoraCounts, Sd21) { EXPECT_EQ(attach(SdFamily::sd_v2, false).unet, 192U); }

class WeightCounter final : public ModelVisitor {
 public:
  void weight(Weight& w) override {
    numbers += w.shape().numel();
    ++tensors;
  }
  std::int64_t numbers = 0, tensors = 0;
};

// Totals of the published checkpoints.
TEST(ModelSizes, MatchThePublishedOnes) {
  const auto count = [](auto&& model) {
    WeightCounter c;
    model.visit(c);
    return std::pair(c.numbers, c.tensors);
  };
  EXPECT_EQ(count(UNet(UNetConfig::sd15())), std::pair(std::int64_t{859520964}, std::int64_t{686}));
  EXPECT_EQ(count(UNet(UNetConfig::sd21())), std::pair(std::int64_t{865910724}, std::int64_t{686}));
  EXPECT_EQ(count(UNet(UNetConfig::sdxl())), std::pair(std::int64_t{2567463684}, std::int64_t{1680}));
  EXPECT_EQ(count(Vae(VaeConfig{})), std::pair(std::int64_t{83653863}, std::int64_t{248}));
  EXPECT_EQ(count(ClipText(ClipTextConfig::vit_l())), std::pair(std::int64_t{123060480}, std::int64_t{196}));
}

}  // namespace
}  // namespace rankine
