// Whole models: the gradient along random directions against central differences of the fp32 loss. The stored
// PyTorch gradients (golden_test.cpp) are the exact check; this one covers every parameter of every training
// mode at once.
#include <functional>

#include "engine/tape/tape.h"
#include "engine/train/param_arena.h"
#include "kernels/elementwise/elementwise.h"
#include "kernels/reduce/reduce.h"
#include "models/sd/lora_network.h"
#include "models/vae/vae.h"
#include "tests/models/memory_support.h"
#include "tests/models/model_support.h"

namespace rankine {
namespace {
using namespace testing_support;

// fp32 rounding of the loss over a step of kStep leaves about this much relative noise in the difference.
constexpr double kDirectional = 1e-2;
constexpr float kStep = 1e-3F;

class TrainAll final : public ModelVisitor {
 public:
  void weight(Weight& w) override {
    params.push_back(&w.train({}));
    weights.push_back(&w);
  }
  std::vector<Param*> params;
  std::vector<Weight*> weights;
};

class Gradients : public ::testing::Test {
 protected:
  // `loss_and_grad(true)` returns the loss after adding to gradients; with false, the loss alone.
  void check(ParamArena& arena, const std::function<double(bool)>& loss_and_grad) {
    arena.zero_grad(c);
    loss_and_grad(true);
    const std::vector<float> grad(arena.grad().data<float>(), arena.grad().data<float>() + arena.numel());
    double norm = 0;
    for (const float g : grad) norm += double(g) * double(g);
    norm = std::sqrt(norm);
    ASSERT_GT(norm, 0);
    // Along the gradient itself, and along it restricted to each parameter with a noticeable share.
    const std::vector<float> start(arena.value().data<float>(), arena.value().data<float>() + arena.numel());
    const auto slope = [&](std::int64_t begin, std::int64_t end, double length) {
      double at[2];
      for (const int sign : {0, 1}) {
        for (std::int64_t i = begin; i < end; ++i) {
          arena.value().data<float>()[i] = start[i] + (sign ? 1 : -1) * kStep * float(grad[i] / length);
        }
        at[sign] = loss_and_grad(false);
      }
      std::copy(start.begin(), start.end(), arena.value().data<float>());
      return (at[1] - at[0]) / (2 * double(kStep));
    };
    EXPECT_NEAR(slope(0, arena.numel(), norm), norm, kDirectional * norm);
    std::int64_t begin = 0;
    for (const Param* p : arena.params()) {
      const std::int64_t end = begin + p->shape.numel();
      double own = 0;
      for (std::int64_t i = begin; i < end; ++i) own += double(grad[i]) * double(grad[i]);
      own = std::sqrt(own);
      if (own > 0.02 * norm) {
        EXPECT_NEAR(slope(begin, end, own), own, kDirectional * norm) << p->name;
        ++checked;
      }
      begin = end;
    }
  }

  // loss = sum(out * r) for a fixed random r; returns d out.
  double weigh(const Tensor& out, Tensor& r) {
    r = random_tensor(c, out.shape(), 99);
    double sum = 0;
    for (std::int64_t i = 0; i < out.numel(); ++i)
      sum += double(out.data<float>()[i]) * double(r.data<float>()[i]);
    return sum / 10;
  }
  Tensor tenth(const Tensor& r) {
    Tensor d = c.like(r, "d");
    scale(c, d, r, 0.1F);
    return d;
  }

  void start_from_initial(const TrainAll& all) {
    for (Weight* w : all.weights) {
      Tensor value = w->param().value;
      copy(c, value, w->initial());
    }
  }

  void randomise(ParamArena& arena, float amount) {
    const Tensor noise = random_tensor(c, {arena.numel()}, 7, amount);
    Tensor value = arena.value();
    add(c, value, value, noise);
  }

  static UNetConfig tiny() {
    UNetConfig k;
    k.model_channels = 32;
    k.channel_mult = {1, 2};
    k.res_blocks = 1;
    k.transformer_depth = {1, 1};
    k.context_dim = 24;
    return k;
  }

  double unet_loss(UNet& unet, bool backward) {
    Tape tape(&memory);
    const Context recording = backward ? c.with_tape(tape) : c;
    Tensor time = c.empty({2}, "t");
    fill(c, time, 321);
    const Tensor y = unet.forward(
        recording, {random_tensor(c, {2, 6, 4, 4}, 1), time, random_tensor(c, {2, 5, 24}, 2), {}});
    Tensor r;
    const double loss = weigh(y, r);
    if (backward) {
      unet.backward(recording, tenth(r), {});
      EXPECT_TRUE(tape.empty());
    }
    return loss;
  }

  Runtime runtime{Device::cpu()};
  Context c{runtime};
  StepMemory memory;
  int checked = 0;
};

TEST_F(Gradients, UNetLoraOnEveryTarget) {
  for (const bool recompute : {false, true}) {
    UNet unet(tiny());
    init_weights(c, unet, 1, DType::f32, [](const std::string&) { return false; });
    memory.policy.others.recompute = recompute;
    LoraNetwork network;
    LoraPlan plan;
    plan.unet.rank = 3;
    plan.conv = plan.unet;
    network.attach(unet, [&](const LoraTarget& t) { return plan.choose(t); });
    ParamArena arena(c, network.params());
    network.init(c, 5);
    randomise(arena, 0.05F);
    checked = 0;
    check(arena, [&](bool backward) { return unet_loss(unet, backward); });
    EXPECT_GT(checked, 20);
  }
}

// Where the tape keeps things, and whether it keeps them, changes no bit.
TEST_F(Gradients, MemoryOptionsGiveTheSameBitsOfAUNet) {
  std::vector<std::vector<float>> gradients;
  UNet sizes(tiny());
  const int units = units_of(sizes);
  ASSERT_GE(units, 8);
  for (const MemoryPolicy& policy : memory_policies()) {
    for (const int streamed : streamed_counts(units)) {
      PageFolder folder;
      memory = folder.memory(runtime, policy);
      UNet unet(tiny());
      const auto stream = stream_of(runtime, unet, folder, streamed);
      init_weights(
          c, unet, 1, DType::f32, [](const std::string&) { return false; }, stream.get());
      EXPECT_EQ(stream->units(), units);
      LoraNetwork network;
      LoraPlan plan;
      plan.unet.rank = 3;
      network.attach(unet, [&](const LoraTarget& t) { return plan.choose(t); });
      ParamArena arena(c, network.params());
      network.init(c, 5);
      randomise(arena, 0.05F);
      arena.zero_grad(c);
      {
        const WeightPass pass(c);
        unet_loss(unet, true);
        EXPECT_EQ(runtime.memory().held(Account::streamed) > 0, streamed > 0);
      }
      EXPECT_EQ(runtime.memory().held(Account::streamed), 0U);
      const auto g = arena.grad().span<float>();
      gradients.emplace_back(g.begin(), g.end());
      EXPECT_EQ(memory.tape.paged_peak > 0, pages(policy));
      memory.pages.reset();
    }
  }
  for (const auto& g : gradients) EXPECT_EQ(g, gradients[0]);
}

TEST_F(Gradients, UNetAllWeights) {
  UNet unet(tiny());
  init_weights(c, unet, 1, DType::f32, [](const std::string&) { return false; });
  TrainAll all;
  unet.visit(all);
  ParamArena arena(c, all.params);
  start_from_initial(all);
  check(arena, [&](bool backward) { return unet_loss(unet, backward); });
  EXPECT_GT(checked, 20);
}

TEST_F(Gradients, ClipAllWeights) {
  ClipTextConfig k{40, 77, 64, 128, 0, 2, 1, Gelu::quick};
  ClipText clip(k);
  init_weights(c, clip, 3, DType::f32, [](const std::string&) { return false; });
  TrainAll all;
  clip.visit(all);
  ParamArena arena(c, all.params);
  start_from_initial(all);
  std::vector<std::int32_t> ids;
  for (int i = 0; i < 154; ++i) ids.push_back((i * 7) % 40);
  const ClipInput prompts = clip_input(c, ids, 77);
  const ClipWant want{1, true, false};
  check(arena, [&](bool backward) {
    Tape tape;
    const Context recording = backward ? c.with_tape(tape) : c;
    const ClipOutput y = clip.forward(recording, prompts, want);
    Tensor r;
    const double loss = weigh(y.hidden, r);
    if (backward) clip.backward(recording, {tenth(r), {}}, want);
    return loss;
  });
  EXPECT_GT(checked, 5);
}

TEST_F(Gradients, VaeAllWeights) {
  VaeConfig k;
  k.channels = 32;
  k.channel_mult = {1, 2};
  k.res_blocks = 1;
  Vae vae(k);
  init_weights(c, vae, 3, DType::f32, [](const std::string&) { return false; });
  TrainAll all;
  vae.visit(all);
  ParamArena arena(c, all.params);
  start_from_initial(all);
  check(arena, [&](bool backward) {
    Tape tape;
    const Context recording = backward ? c.with_tape(tape) : c;
    const Tensor moments = vae.encoder.forward(recording, random_tensor(c, {2, 8, 8, 3}, 1));
    Tensor z = c.empty({2, 4, 4, 4}, "z"), rest = c.empty({2, 4, 4, 4}, "rest");
    split_channels(c, z, rest, moments);
    const Tensor y = vae.decoder.forward(recording, z);
    Tensor r;
    const double loss = weigh(y, r) + sum(c, rest) / 10;
    if (backward) {
      const Tensor dz = vae.decoder.backward(recording, tenth(r));
      Tensor drest = c.like(rest, "d"), dmoments = c.like(moments, "d");
      fill(c, drest, 0.1F);
      concat_channels(c, dmoments, dz, drest);
      vae.encoder.backward(recording, dmoments);
    }
    return loss;
  });
  EXPECT_GT(checked, 10);
}

}  // namespace
}  // namespace rankine
