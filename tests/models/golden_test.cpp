// Our models against stored PyTorch results (tests/goldens, made by make_goldens.py with diffusers and
// transformers): outputs and LoRA gradients, relative error at most kModelRelative.
#include "engine/core/transfer.h"
#include "engine/tape/tape.h"
#include "engine/train/param_arena.h"
#include "kernels/elementwise/elementwise.h"
#include "kernels/loss/loss.h"
#include "models/sd/lora_network.h"
#include "models/vae/vae.h"
#include "tests/models/model_support.h"

namespace rankine {
namespace {
using namespace testing_support;

// The tensors of a golden file under one folder, as a source of their own: "lora/x" is seen as "x".
class Folder final : public TensorSource {
 public:
  Folder(const TensorSource& whole, const std::string& folder) : whole_(whole) {
    for (const auto& [name, info] : whole.tensors()) {
      if (name.starts_with(folder)) tensors_.emplace(name.substr(folder.size()), info);
    }
  }
  std::string describe() const override { return whole_.describe(); }
  const TensorTable& tensors() const override { return tensors_; }
  const MetadataTable& metadata() const override { return whole_.metadata(); }

 private:
  const TensorSource& whole_;
  TensorTable tensors_;
};

SafetensorsFile open_golden(const std::string& name) {
  return SafetensorsFile(std::filesystem::path(RANKINE_SOURCE_DIR) / "tests/goldens" /
                         (name + ".safetensors"));
}

class Golden : public ::testing::Test {
 protected:
  // Every recorded gradient of an adapter, and the norms of all.
  void expect_gradients(const TensorSource& golden, LoraNetwork& network, ParamArena& arena) {
    Tensor value = arena.value();
    copy(c, value, arena.grad());  // the file form of the gradients is then that of the values
    std::size_t compared = 0;
    for (const AdapterModule& m : network.to_file()) {
      const std::vector<float> norms = values_of(golden, "grad_norm/" + m.name);
      EXPECT_NEAR(norm_of(m.down), norms[0], kModelRelative * norms[0]) << m.name;
      EXPECT_NEAR(norm_of(m.up), norms[1], kModelRelative * norms[1]) << m.name;
      if (!golden.contains("grad/" + m.name + ".lora_down.weight")) continue;
      for (const bool down : {true, false}) {
        const std::string key = "grad/" + m.name + (down ? ".lora_down.weight" : ".lora_up.weight");
        const std::vector<float>& got = down ? m.down : m.up;
        EXPECT_LE(relative_l2(std::span<const float>(got), std::span<const float>(values_of(golden, key))),
                  kModelRelative)
            << key;
        ++compared;
      }
    }
    EXPECT_GT(compared, 20U);
  }
  static double norm_of(const std::vector<float>& v) {
    double sum = 0;
    for (const float x : v) sum += double(x) * double(x);
    return std::sqrt(sum);
  }
  static int number(const TensorSource& source, const char* key, int fallback) {
    const auto it = source.metadata().find(key);
    return it == source.metadata().end() ? fallback : std::stoi(it->second);
  }
  std::unique_ptr<UNet> load_unet(const SafetensorsFile& file) {
    const Folder weights(file, "weights/");
    UNetConfig config = detect_unet(weights, "model.diffusion_model.", number(file, "head_dim", 64));
    config.norm_groups = number(file, "norm_groups", 32);
    auto unet = std::make_unique<UNet>(config);
    load_weights(c, *unet, weights, prefixed("model.diffusion_model."));
    return unet;
  }
  UNetInput input(const TensorSource& file, const std::string& which) {
    UNetInput in{channels_last(c, read_tensor(c, file, "in/x_" + which)),
                 read_tensor(c, file, "in/t_" + which),
                 read_tensor(c, file, "in/context_" + which),
                 {}};
    if (file.contains("in/vector_" + which)) in.vector = read_tensor(c, file, "in/vector_" + which);
    return in;
  }

  Runtime runtime{Device::cpu()};
  Context c{runtime};
};

class GoldenUNet : public Golden, public ::testing::WithParamInterface<const char*> {};

TEST_P(GoldenUNet, Output) {
  const SafetensorsFile file = open_golden(GetParam());
  const auto unet = load_unet(file);
  for (const char* which : {"1", "2"}) {
    const Tensor y = unet->forward(c, input(file, which));
    EXPECT_TRUE(matches_nchw(c, y, file, std::string("out/eps_") + which)) << which;
  }
}
INSTANTIATE_TEST_SUITE_P(Families, GoldenUNet, ::testing::Values("unet_sd1", "unet_sd2", "unet_xl"));

class GoldenUNetLora : public Golden, public ::testing::WithParamInterface<const char*> {};

TEST_P(GoldenUNetLora, LossAndGradients) {
  const SafetensorsFile golden = open_golden(GetParam());
  const SafetensorsFile weights = open_golden(golden.metadata().at("weights"));
  const auto unet = load_unet(weights);
  const Folder lora(golden, "lora/");
  const AdapterFile adapter = read_adapter(lora);
  LoraNetwork network;
  network.attach(*unet, chooser_from_file(adapter));
  ASSERT_EQ(network.unet_modules(), adapter.modules.size());
  ParamArena arena(c, network.params());
  network.from_file(adapter);
  arena.zero_grad(c);

  UNetInput in = input(golden, "2");
  in.input_gradients = true;
  const Tensor target = channels_last(c, read_tensor(c, golden, "in/target"));
  Tape tape;
  const Context recording = c.with_tape(tape);
  const Tensor y = unet->forward(recording, in);
  EXPECT_TRUE(matches_nchw(c, y, golden, "out/eps"));
  Tensor loss = c.empty({2}, "loss"), dy = c.like(y, "dy");
  Tensor halves = c.empty({2}, "weights");
  fill(c, halves, 0.5F);
  regression_loss(c, loss, dy, y, target, halves, {});
  const float expected = values_of(golden, "out/loss")[0];
  EXPECT_NEAR(loss.data<float>()[0] + loss.data<float>()[1], expected, kModelRelative * expected);

  Tensor dcontext = c.like(in.context, "dcontext");
  fill(c, dcontext, 0);
  unet->backward(recording, dy, {&dcontext, nullptr});
  EXPECT_TRUE(tape.empty());
  EXPECT_TRUE(matches(dcontext, values_of(golden, "grad/context")));
  expect_gradients(golden, network, arena);
}
INSTANTIATE_TEST_SUITE_P(Families, GoldenUNetLora,
                         ::testing::Values("unet_sd1_lora", "unet_sd1_lora_conv", "unet_sd2_lora",
                                           "unet_xl_lora", "unet_xl_lora_conv"));

class GoldenClip : public Golden {
 protected:
  std::unique_ptr<ClipText> load(const SafetensorsFile& file, ClipNaming naming) {
    const Folder weights(file, "weights/");
    const std::string prefix = file.metadata().at("prefix");
    ClipTextConfig config = detect_clip(weights, prefix, naming);
    config.heads = number(file, "heads", config.heads);
    auto clip = std::make_unique<ClipText>(config);
    load_weights(c, *clip, weights,
                 naming == ClipNaming::hugging_face ? prefixed(prefix) : open_clip_naming(prefix));
    return clip;
  }
  ClipInput prompts(const TensorSource& file) {
    return clip_input(c, ints_of(to_ids(c, read_tensor(c, file, "in/ids"))), 77);
  }
};

TEST_F(GoldenClip, OpenAiLayout) {
  const SafetensorsFile file = open_golden("clip_l");
  const auto clip = load(file, ClipNaming::hugging_face);
  EXPECT_TRUE(
      matches(clip->forward(c, prompts(file), {1, true, false}).hidden, values_of(file, "out/last_hidden")));
  EXPECT_TRUE(matches(clip->forward(c, prompts(file), {2, true, false}).hidden,
                      values_of(file, "out/penultimate_ln")));
  EXPECT_TRUE(
      matches(clip->forward(c, prompts(file), {2, false, false}).hidden, values_of(file, "out/penultimate")));
}

TEST_F(GoldenClip, OpenClipLayout) {
  const SafetensorsFile file = open_golden("clip_open");
  const auto clip = load(file, ClipNaming::open_clip);
  EXPECT_TRUE(
      matches(clip->forward(c, prompts(file), {1, true, false}).hidden, values_of(file, "out/last_hidden")));
  EXPECT_TRUE(matches(clip->forward(c, prompts(file), {2, true, false}).hidden,
                      values_of(file, "out/penultimate_ln")));
  const ClipOutput xl = clip->forward(c, prompts(file), {2, false, true});
  EXPECT_TRUE(matches(xl.hidden, values_of(file, "out/penultimate")));
  EXPECT_TRUE(matches(xl.pooled, values_of(file, "out/pooled")));
}

TEST_F(GoldenClip, LoraGradients) {
  const SafetensorsFile golden = open_golden("clip_l_lora");
  const SafetensorsFile file = open_golden("clip_l");
  const auto clip = load(file, ClipNaming::hugging_face);
  const Folder lora(golden, "lora/");
  const AdapterFile adapter = read_adapter(lora);
  LoraNetwork network;
  network.attach(*clip, 0, 1, chooser_from_file(adapter));
  ParamArena arena(c, network.params());
  network.from_file(adapter);
  arena.zero_grad(c);
  Tape tape;
  const Context recording = c.with_tape(tape);
  const ClipWant want{1, true, false};
  const ClipOutput y = clip->forward(recording, prompts(file), want);
  EXPECT_TRUE(matches(y.hidden, values_of(golden, "out/last_hidden")));
  Tensor d = read_tensor(c, golden, "in/r");
  scale(c, d, d, 1.0F / static_cast<float>(d.numel()));
  clip->backward(recording, {d, {}}, want);
  EXPECT_TRUE(tape.empty());
  expect_gradients(golden, network, arena);
}

class TrainAll final : public ModelVisitor {
 public:
  void weight(Weight& w) override {
    params.push_back(&w.train({}));
    weights.push_back(&w);
  }
  std::vector<Param*> params;
  std::vector<Weight*> weights;
};

TEST_F(Golden, Vae) {
  const SafetensorsFile file = open_golden("vae");
  const Folder weights(file, "weights/");
  VaeConfig config = detect_vae(weights, "first_stage_model.");
  config.norm_groups = number(file, "norm_groups", 32);
  Vae vae(config);
  load_weights(c, vae, weights, prefixed("first_stage_model."));
  TrainAll all;
  vae.visit(all);
  ParamArena arena(c, all.params);
  for (Weight* w : all.weights) {
    Tensor value = w->param().value;
    copy(c, value, w->initial());
  }
  arena.zero_grad(c);
  const auto picture = [&](const char* name) { return channels_last(c, read_tensor(c, file, name)); };
  EXPECT_TRUE(matches_nchw(c, vae.encoder.forward(c, picture("in/image")), file, "out/moments"));
  EXPECT_TRUE(matches_nchw(c, vae.decoder.forward(c, picture("in/latents")), file, "out/decoded"));

  Tape tape;
  const Context recording = c.with_tape(tape);
  const Tensor moments = vae.encoder.forward(recording, picture("in/images"));
  EXPECT_TRUE(matches_nchw(c, moments, file, "out/moments_batch"));
  const Tensor noise = picture("in/noise");
  Tensor z = c.like(noise, "z");
  sample_posterior(c, z, moments, noise);
  const Tensor y = vae.decoder.forward(recording, z);
  EXPECT_TRUE(matches_nchw(c, y, file, "out/reconstruction"));
  Tensor loss = c.empty({2}, "loss"), dy = c.like(y, "dy"), dmoments = c.like(moments, "dm");
  Tensor halves = c.empty({2}, "weights");
  fill(c, halves, 0.5F);
  regression_loss(c, loss, dy, y, picture("in/target"), halves, {});
  const float expected = values_of(file, "out/loss")[0];
  EXPECT_NEAR(loss.data<float>()[0] + loss.data<float>()[1], expected, kModelRelative * expected);
  const Tensor dz = vae.decoder.backward(recording, dy);
  sample_posterior_backward(c, dmoments, dz, moments, noise);
  vae.encoder.backward(recording, dmoments);
  EXPECT_TRUE(tape.empty());
  int compared = 0;
  for (Weight* w : all.weights) {
    const std::string key = "grad/first_stage_model." + w->path();
    if (!file.contains(key)) continue;
    const std::vector<float> got = to_file_order(w->grad(), w->layout());
    EXPECT_LE(relative_l2(std::span<const float>(got), std::span<const float>(values_of(file, key))),
              kModelRelative)
        << key;
    ++compared;
  }
  EXPECT_GE(compared, 10);
}

}  // namespace
}  // namespace rankine
