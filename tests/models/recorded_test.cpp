// Our models against outputs that other implementations recorded (openai/CLIP, CompVis' U-Net), where those
// files are.
#include "engine/core/transfer.h"
#include "models/clip/clip_text.h"
#include "models/names/names.h"
#include "models/unet/unet.h"
#include "tests/models/model_support.h"

namespace rankine {
namespace {
using namespace testing_support;

class Recorded : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!std::filesystem::exists(shared_data()))
      GTEST_SKIP() << "SKIPPED: no recorded data at " << shared_data();
  }
  Runtime runtime{Device::cpu()};
  Context c{runtime};
};

TEST_F(Recorded, UNetOfCompVis) {
  const SafetensorsFile weights(shared_data() / "reference/unet/ldm_names.safetensors");
  const SafetensorsFile expected(shared_data() / "reference/unet/expected.safetensors");
  UNetConfig config = detect_unet(weights, "model.diffusion_model.");
  EXPECT_EQ(config.channel_mult, (std::vector<int>{1, 2, 2, 2}));
  EXPECT_EQ(config.context_dim, 96);
  config.num_heads = 4;  // the recording's own count, which no weight shows
  UNet unet(config);
  load_weights(c, unet, weights, prefixed("model.diffusion_model."));
  const Tensor x = channels_last(c, read_tensor(c, expected, "x_t"));
  const Tensor y =
      unet.forward(c, {x, read_tensor(c, expected, "t"), read_tensor(c, expected, "context"), {}});
  EXPECT_TRUE(matches_nchw(c, y, expected, "out_base"));
}

TEST_F(Recorded, ClipInBothSpellings) {
  const SafetensorsFile expected(shared_data() / "reference/clip/expected_text.safetensors");
  const ClipInput prompts = clip_input(c, ints_of(to_ids(c, read_tensor(c, expected, "input_ids"))), 77);
  for (const bool hf : {true, false}) {
    SCOPED_TRACE(hf ? "Hugging Face names" : "OpenAI names");
    const SafetensorsFile weights(shared_data() / "reference/clip" /
                                  (hf ? "hf_names.safetensors" : "openai_names.safetensors"));
    ClipTextConfig config = detect_clip(weights, "", hf ? ClipNaming::hugging_face : ClipNaming::open_clip);
    config.heads = 4;
    config.activation = Gelu::quick;
    ClipText clip(config);
    load_weights(c, clip, weights, hf ? prefixed("") : open_clip_naming(""));
    const auto last = clip.forward(c, prompts, {1, true, false});
    EXPECT_TRUE(matches(last.hidden, values_of(expected, "last_hidden_state")));
    const auto skipped = clip.forward(c, prompts, {2, true, false});
    EXPECT_TRUE(matches(skipped.hidden, values_of(expected, "hidden_skip2_ln")));
    const auto pooled = clip.forward(c, prompts, {1, false, true});
    EXPECT_TRUE(matches(pooled.pooled, values_of(expected, "text_embeds_unnormalised")));
  }
}

}  // namespace
}  // namespace rankine
