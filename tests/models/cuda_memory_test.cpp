// Where the tape of a step on CUDA keeps things, and whether it keeps them, changes no bit: an ordinary run,
// a recorded and a launched one of each family under every policy, with pages in host memory and in a file.
#include <gtest/gtest.h>

#include <filesystem>
#include <nlohmann/json.hpp>

#include "engine/core/cuda_device.h"
#include "engine/core/transfer.h"
#include "engine/tape/tape.h"
#include "engine/train/param_arena.h"
#include "io/formats/safetensors.h"
#include "kernels/elementwise/elementwise.h"
#include "kernels/random/random.h"
#include "models/decoder/decoder_lora.h"
#include "models/nn/load.h"
#include "models/sd/lora_network.h"
#include "models/tasks/text_runner.h"
#include "models/unet/unet.h"
#include "tests/models/memory_support.h"

namespace rankine {
namespace {
using namespace testing_support;

constexpr int kRuns = 3;
constexpr std::int64_t kTokens = 24;
constexpr std::size_t kHostBytes = 4096;  // some of a step's pages
constexpr std::size_t kFileBytes = std::size_t{4} << 20;

class CudaMemory : public ::testing::Test {
 protected:
  void SetUp() override {
    if (cuda::device_count() == 0) GTEST_SKIP() << "no CUDA device: memory options on CUDA were NOT tested";
    runtime.emplace(Device::cuda(0), std::size_t{256} << 20, 1, DType::f16);
    context.emplace(*runtime);
    context->seed = 5;
    context->training = true;
    context->loss_scale = 1024;
  }
  // Gradients and loss after kRuns of work(c, memory, loss) under each policy; all must be those of the
  // first.
  template <class Work>
  void expect_equal_bits(ParamArena& arena, const Work& work) {
    const Context& c = *context;
    std::vector<float> kept;
    const std::vector<MemoryPolicy> all = memory_policies();
    for (const MemoryPolicy& policy : {all[0], all[2], all[5]}) {  // kept, paged, and a mix of everything
      PageFolder folder;
      StepMemory memory = folder.memory(*runtime, policy, kHostBytes, kFileBytes);
      Tensor loss(c.memory(), {1}, DType::f32, Account::data, "loss");
      arena.zero_grad(c);
      fill(c, loss, 0);
      work(memory, loss);
      memory.pages->throw_if_failed();
      std::vector<float> numbers = floats_of(arena.grad());
      numbers.push_back(floats_of(loss)[0]);
      if (kept.empty()) kept = numbers;
      EXPECT_EQ(numbers, kept);
      EXPECT_EQ(memory.pages->needed().file_bytes > 0, pages(policy));
      EXPECT_EQ(memory.pages->host().held + memory.pages->file().held, 0U);
    }
    EXPECT_NE(kept.front(), kept.back());
  }
  void decoder(const std::string& family) {
    const Context& c = *context;
    const SafetensorsFile file(std::filesystem::path(RANKINE_SOURCE_DIR) / "tests/goldens" /
                               ("decoder_" + family + ".safetensors"));
    const DecoderConfig config =
        decoder_config_from_json(nlohmann::json::parse(file.metadata().at("config")), file.describe());
    Decoder model(c, config, names_of(config));
    init_weights(c, model, 1, DType::f16, [](const std::string&) { return false; });
    DecoderLora network;
    LoraSpec spec;
    spec.rank = 4;
    network.attach(model, [&](const std::string&) { return std::optional(spec); });
    ParamArena arena(c, network.params());
    network.init(c, 1);
    set_up_matrices(arena);
    expect_equal_bits(arena, [&](StepMemory& memory, Tensor& loss) {
      TextRunner runner(model, 0, &memory);
      for (int i = 0; i < kRuns; ++i) runner.train(c, runner.made_up(c, kTokens), loss);
      EXPECT_EQ(runner.graphs().launched(), kRuns - 1);
    });
  }
  void set_up_matrices(ParamArena& arena) {
    const Context& c = *context;
    fill_normal(c, arena.value(), c.random(purpose("test"), 0));
    scale(c, arena.value(), arena.value(), 0.05F);
    arena.refresh(c);
  }

  std::optional<Runtime> runtime;
  std::optional<Context> context;
};

TEST_F(CudaMemory, Llama) { decoder("llama"); }
TEST_F(CudaMemory, ChatGlm) { decoder("chatglm"); }

TEST_F(CudaMemory, UNet) {
  const Context& c = *context;
  UNetConfig k;
  k.model_channels = 32;
  k.channel_mult = {1};
  k.res_blocks = 1;
  k.transformer_depth = {1};
  k.context_dim = 24;
  UNet unet(k);
  init_weights(c, unet, 1, DType::f16, [](const std::string&) { return false; });
  LoraNetwork network;
  LoraPlan plan;
  plan.unet.rank = 4;
  network.attach(unet, [&](const LoraTarget& t) { return plan.choose(t); });
  ParamArena arena(c, network.params());
  network.init(c, 5);
  set_up_matrices(arena);
  const auto drawn = [&](Shape shape, std::uint32_t id) {
    Tensor t(c.memory(), shape, DType::f16, Account::data, "input");
    fill_normal(c, t, c.random(purpose("input"), id));
    return t;
  };
  const Tensor x = drawn({1, 4, 4, 4}, 1), text = drawn({1, 5, 24}, 2), dy = drawn({1, 4, 4, 4}, 3);
  Tensor t(c.memory(), {1}, DType::f32, Account::data, "t");
  fill(c, t, 321);
  expect_equal_bits(arena, [&](StepMemory& memory, Tensor& loss) {
    StepGraph graph;
    for (int i = 0; i < kRuns; ++i) {
      graph.run(c, [&] {
        Tape tape(&memory);
        const Context recording = c.with_tape(tape);
        unet.forward(recording, {x, t, text, {}});
        unet.backward(recording, dy, {});
      });
    }
    fill(c, loss, 1);
    EXPECT_EQ(graph.launched(), kRuns - 1);
  });
}

}  // namespace
}  // namespace rankine
