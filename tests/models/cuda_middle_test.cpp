// The leaf that writes a linear's input makes the middle of its adapters as well, on the CUDA kernels in the
// same pass: what blocks run then, and that their numbers and gradients are those of the CPU.
#include <gtest/gtest.h>

#include <map>
#include <span>

#include "engine/core/cuda_device.h"
#include "engine/core/transfer.h"
#include "engine/tape/step_memory.h"
#include "engine/tape/unit.h"
#include "engine/train/param_arena.h"
#include "kernels/elementwise/elementwise.h"
#include "models/decoder/decoder_block.h"
#include "models/nn/load.h"
#include "models/unet/transformer.h"
#include "tests/support/compare.h"

namespace rankine {
namespace {
using testing_support::relative_l2;

constexpr double kAgreement = 2e-3;  // of fp16 activations with fp32 ones, relative
constexpr std::int64_t kTokens = 12, kWidth = 32;

// Adapters of rank 4 on every linear.
class Attach final : public ModelVisitor {
 public:
  Attach(LoraSpec spec, int sets) : spec_(spec), sets_(sets) {}
  void linear(SharedLinear& layer) override {
    for (int i = 0; i < sets_; ++i) {
      auto set = std::make_unique<LoraSet>(join(layer.path(0), " ", i), Shape{layer.in_features()});
      for (int k = 0; k < layer.outputs(); ++k)
        set->add(join(layer.path(k), " ", i), k, layer.out_features(k), spec_);
      for (Param* p : set->params()) params.push_back(p);
      layer.adapters().push_back(std::move(set));
    }
    layers.push_back(&layer);
  }
  std::vector<Param*> params;
  std::vector<SharedLinear*> layers;

 private:
  LoraSpec spec_;
  int sets_;
};

Tensor random_on(const Context& c, Shape shape, const char* what) {
  std::vector<float> values(static_cast<std::size_t>(shape.numel()));
  HostRandom random({5, purpose(what), 0, 0});
  for (float& v : values) v = 2 * random.uniform() - 1;
  Tensor t = c.empty(shape, what);
  if (!c.planning()) set_floats(t, values);
  return t;
}

// The blocks with their side inputs, as Unit wants a layer.
struct UNetBlock {
  TransformerBlock block{"block", [] {
                           TransformerSpec s;
                           s.channels = kWidth;
                           s.context = 24;
                           s.heads = 4;
                           return s;
                         }()};
  Tensor forward(const Context& c, const Tensor& x) {
    return block.forward(c, x, random_on(c, {1, 5, 24}, "prompt"));
  }
  Tensor backward(const Context& c, const Tensor& dy) { return block.backward(c, dy, nullptr); }
  void visit(ModelVisitor& v) { block.visit(v); }
};
template <DecoderFamily kFamily>
struct TextBlock {
  static DecoderConfig config() {
    DecoderConfig k;
    k.family = kFamily;
    k.width = kWidth;
    k.mlp = 64;
    k.layers = 1;
    k.heads = k.kv_heads = 4;
    k.head_dim = 8;
    k.rotary_dims = 4;
    k.fused_qkv = k.fused_gate_up = kFamily != DecoderFamily::llama;
    return k;
  }
  std::unique_ptr<DecoderBlock> block = make_decoder_block(config(), names_of(config()), 0);
  Tensor forward(const Context& c, const Tensor& x) {
    DecoderSides sides;
    sides.angles = c.empty({kTokens, 4}, "angles", DType::f32);
    fill(c, sides.angles, 0.7F);
    if (config().prefix_lm()) sides.block_angles = sides.angles;
    return block->forward(c, x, sides);
  }
  Tensor backward(const Context& c, const Tensor& dy) { return block->backward(c, dy); }
  void visit(ModelVisitor& v) { block->visit(v); }
};

double distance(std::span<const float> got, std::span<const float> want) { return relative_l2(got, want); }

struct Case {
  LoraSpec spec;
  int sets = 1;
  bool recompute = false;
  float strength = 1;
};
struct Outcome {
  std::vector<float> y, dx, gradient;
  using Calls = std::map<std::string, std::uint64_t, std::less<>>;
  Calls forward, step;  // by operation
  std::size_t peak = 0;
  std::uint64_t of(std::string_view op) const { return count(forward, op); }
  static std::uint64_t count(const Calls& calls, std::string_view op) {
    const auto at = calls.find(op);
    return at == calls.end() ? 0 : at->second;
  }
};

template <class Block>
Outcome run(Device device, const Case& k) {
  Runtime runtime(device, std::size_t{1} << 28, 1, device.is_cuda() ? DType::f16 : DType::f32);
  Context c(runtime);
  c.training = true;
  Block block;
  init_weights(c, block, 3, DType::f16, [](const std::string&) { return false; });
  Attach attach(k.spec, k.sets);
  block.visit(attach);
  ParamArena arena(c, attach.params);
  for (SharedLinear* layer : attach.layers) {
    layer->init_adapters(c, 4);
    for (auto& set : layer->adapters()) set->set_strength(k.strength);
  }
  if (!c.planning()) {  // away from B = 0
    std::vector<float> values = floats_of(arena.value());
    HostRandom random({7, purpose("test"), 0, 0});
    for (float& v : values) v += 0.2F * (random.uniform() - 0.5F);
    Tensor value = arena.value();
    set_floats(value, values);
  }
  arena.refresh(c);
  arena.zero_grad(c);
  runtime.cost().clear();
  StepMemory memory;
  memory.policy.others.recompute = k.recompute;
  Tape tape(&memory);
  const Context recording = c.with_tape(tape);
  Unit<Block> layer(block, "block");
  const Tensor y = layer.forward(recording, random_on(c, {1, kTokens, kWidth}, "x"));
  Outcome out;
  for (const auto& [op, line] : runtime.cost().lines()) out.forward[op] = line.calls;
  const Tensor dx = layer.backward(recording, random_on(c, y.shape(), "dy"));
  EXPECT_TRUE(tape.empty());
  for (const auto& [op, line] : runtime.cost().lines()) out.step[op] = line.calls;
  out.peak = runtime.memory().high_water();
  if (!c.planning()) out.y = floats_of(y), out.dx = floats_of(dx), out.gradient = floats_of(arena.grad());
  return out;
}

class Middles : public ::testing::Test {
 protected:
  void SetUp() override {
    if (cuda::device_count() == 0) GTEST_SKIP() << "no CUDA device: middles on CUDA were NOT tested";
  }
  // On CUDA; compared with the CPU and with the plan.
  template <class Block>
  Outcome checked(const Case& k) {
    const Outcome got = run<Block>(Device::cuda(0), k), want = run<Block>(Device::cpu(), k),
                  plan = run<Block>(Device::cuda(0).planned(), k);
    EXPECT_LE(distance(got.y, want.y), kAgreement);
    EXPECT_LE(distance(got.dx, want.dx), kAgreement);
    if (k.strength != 0 && k.spec.dropout.module < 1) {
      EXPECT_LE(distance(got.gradient, want.gradient), kAgreement);
    } else {
      EXPECT_EQ(got.gradient, std::vector<float>(got.gradient.size()));
    }
    EXPECT_EQ(got.step, plan.step);
    EXPECT_EQ(got.peak, plan.peak);
    return got;
  }
  static LoraSpec spec() {
    LoraSpec s;
    s.rank = 4;
    return s;
  }
};

// Of the seven linears with adapters, the prompt's and those behind an attention make their middle
// themselves.
TEST_F(Middles, OfATransformerBlock) {
  const auto lora = checked<UNetBlock>({spec()});
  EXPECT_EQ(lora.of("layer_norm_forward_with_middle"), 3U);
  EXPECT_EQ(lora.of("geglu_forward_with_middle"), 1U);
  EXPECT_EQ(lora.of("layer_norm_forward") + lora.of("geglu_forward"), 0U);
  EXPECT_EQ(lora.of("lowrank_middle"), 3U);

  const auto two = checked<UNetBlock>({spec(), 2});
  EXPECT_EQ(two.of("layer_norm_forward_with_middle") + two.of("geglu_forward_with_middle"), 4U);
  EXPECT_EQ(two.of("lowrank_middle"), 3U + 7U);

  const auto again = checked<UNetBlock>({spec(), 1, true});
  EXPECT_EQ(Outcome::count(again.step, "layer_norm_forward_with_middle"), 2 * 3U);
  EXPECT_EQ(Outcome::count(again.step, "lowrank_middle"), 2 * 3U);
  EXPECT_EQ(again.gradient, lora.gradient);

  const auto off = checked<UNetBlock>({spec(), 1, false, 0});
  EXPECT_EQ(off.of("layer_norm_forward") + off.of("geglu_forward"), 4U);
  EXPECT_EQ(off.of("lowrank_middle"), 0U);
}

TEST_F(Middles, OfEveryKindOfAdapter) {
  LoraSpec dropped = spec(), input = spec(), whole = spec(), pissa = spec();
  dropped.dropout.neuron = dropped.dropout.rank = 0.3F;
  input.dropout.input = 0.3F;
  whole.dropout.module = 1;
  pissa.init = LoraInit::pissa;
  EXPECT_EQ(checked<UNetBlock>({dropped}).of("lowrank_middle"), 3U);
  EXPECT_EQ(checked<UNetBlock>({input}).of("lowrank_middle"), 7U) << "their x is not what the leaf wrote";
  EXPECT_EQ(checked<UNetBlock>({whole}).of("lowrank_middle"), 0U);
  EXPECT_EQ(checked<UNetBlock>({pissa}).of("lowrank_middle"), 3U + 7U) << "also of the frozen pair";
}

TEST_F(Middles, OfDecoderBlocks) {
  const auto llama = checked<TextBlock<DecoderFamily::llama>>({spec()});
  EXPECT_EQ(llama.of("rms_norm_forward_with_middle"), 2U);
  EXPECT_EQ(llama.of("swiglu_forward_with_middle"), 1U);
  EXPECT_EQ(llama.of("lowrank_middle"), 1U);
  const auto fused = checked<TextBlock<DecoderFamily::chatglm2>>({spec()});
  EXPECT_EQ(fused.of("rms_norm_forward_with_middle"), 2U);
  EXPECT_EQ(fused.of("swiglu_forward_with_middle"), 1U);
  const auto glm = checked<TextBlock<DecoderFamily::chatglm>>({spec()});
  EXPECT_EQ(glm.of("layer_norm_forward_with_middle"), 2U);
  EXPECT_EQ(glm.of("lowrank_middle"), 2U);
}

TEST_F(Middles, BelongToTheirReader) {
  Runtime runtime(Device::cpu());
  const Context c(runtime);
  Linear reader("a", kWidth, 8), other("b", kWidth, 8);
  Attach attach(spec(), 1);
  reader.visit(attach);
  other.visit(attach);
  const ParamArena arena(c, attach.params);
  const LinearInput x(c, c.empty({3, kWidth}, "x"), reader.wants(c));
  EXPECT_THROW(other.forward(c, x), std::logic_error);
}

}  // namespace
}  // namespace rankine
