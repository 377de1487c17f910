// Every family of language models against stored PyTorch results (tests/goldens/make_decoders.py): logits and
// LoRA gradients, relative error at most kModelRelative.
#include <nlohmann/json.hpp>

#include "engine/core/transfer.h"
#include "engine/tape/tape.h"
#include "engine/train/param_arena.h"
#include "kernels/elementwise/elementwise.h"
#include "models/decoder/decoder_lora.h"
#include "models/decoder/generate.h"
#include "tests/models/memory_support.h"
#include "tests/models/model_support.h"

namespace rankine {
namespace {
using namespace testing_support;

// A golden file with its model, made as the opener of a Hugging Face folder makes it.
class DecoderGolden : public ::testing::TestWithParam<const char*> {
 protected:
  DecoderGolden()
      : file(std::filesystem::path(RANKINE_SOURCE_DIR) / "tests/goldens" /
             (std::string("decoder_") + GetParam() + ".safetensors")) {
    config = decoder_config_from_json(nlohmann::json::parse(file.metadata().at("config")), file.describe());
    prefix = std::stoi(file.metadata().at("prefix"));
    load(0);
    for (const float id : values_of(file, "in/ids")) ids.push_back(static_cast<std::int32_t>(id));
  }

  // The weights of `streamed` layers come from a file.
  void load(int streamed) {
    stream.reset();
    model = std::make_unique<Decoder>(c, config, names_of(config));
    stream = stream_of(runtime, *model, folder, streamed);
    LoadOptions options;
    options.stream = stream.get();
    load_weights(c, *model, file, prefixed("weights/"), options);
    linears.clear();
  }

  LoraSpec spec() const {
    LoraSpec s;
    s.rank = std::stoi(file.metadata().at("rank"));
    s.alpha = std::stof(file.metadata().at("alpha"));
    return s;
  }
  // Fills the adapter with the stored matrices.
  void take_adapter(DecoderLora& network) {
    for (SharedLinear* layer : linears) {
      for (auto& set : layer->adapters()) {
        for (LoraMember& m : set->members()) {
          Tensor down = set->down_value(m);
          const std::vector<float> a = values_of(file, "lora/" + m.name + ".lora_down.weight");
          const std::vector<float> b = values_of(file, "lora/" + m.name + ".lora_up.weight");
          std::copy(a.begin(), a.end(), down.data<float>());
          std::copy(b.begin(), b.end(), m.up.value.data<float>());
        }
      }
    }
  }
  struct Collect final : ModelVisitor {
    explicit Collect(std::vector<SharedLinear*>& all) : all_(all) {}
    void linear(SharedLinear& layer) override { all_.push_back(&layer); }
    std::vector<SharedLinear*>& all_;
  };
  // Rows prefix .. T - 2, each against the next token, the mean of their losses.
  LmTargets targets() {
    const std::int64_t count = static_cast<std::int64_t>(ids.size()) - 1 - prefix;
    LmTargets t{c.empty({count}, "rows", DType::i32), c.empty({count}, "targets", DType::i32),
                c.empty({count}, "weights")};
    for (std::int64_t i = 0; i < count; ++i) {
      t.rows.data<std::int32_t>()[i] = static_cast<std::int32_t>(prefix + i);
      t.targets.data<std::int32_t>()[i] = ids[static_cast<std::size_t>(prefix + i + 1)];
      t.weights.data<float>()[i] = 1.0F / static_cast<float>(count);
    }
    return t;
  }
  static double norm(std::span<const float> v) {
    double sum = 0;
    for (const float x : v) sum += double(x) * double(x);
    return std::sqrt(sum);
  }
  void expect_gradient(const std::string& key, std::span<const float> got, int which) {
    const std::vector<float> norms = values_of(file, "grad_norm/" + key.substr(0, key.find(".lora_")));
    EXPECT_NEAR(norm(got), norms[static_cast<std::size_t>(which)],
                kModelRelative * norms[static_cast<std::size_t>(which)])
        << key;
    if (!file.contains("grad/" + key)) return;
    EXPECT_LE(relative_l2(got, std::span<const float>(values_of(file, "grad/" + key))), kModelRelative)
        << key;
    ++compared;
  }

  Runtime runtime{Device::cpu()};
  Context c{runtime};
  SafetensorsFile file;
  DecoderConfig config;
  int prefix = 0;
  std::unique_ptr<Decoder> model;
  PageFolder folder;
  std::unique_ptr<PagedWeightStream> stream;
  std::vector<std::int32_t> ids;
  std::vector<SharedLinear*> linears;
  int compared = 0;
};

TEST_P(DecoderGolden, Logits) {
  EXPECT_TRUE(matches(sequence_logits(c, *model, ids, prefix), values_of(file, "out/logits")));
}

// One row at a time on a key cache gives what one pass over all rows gives.
TEST_P(DecoderGolden, KeyCache) {
  const std::vector<float> want = values_of(file, "out/logits");
  KvCache cache = model->make_cache(c, static_cast<std::int64_t>(ids.size()));
  std::int64_t done = 0;
  const auto feed = [&](std::int64_t count) {
    const auto rows = std::span<const std::int32_t>(ids).subspan(static_cast<std::size_t>(done),
                                                                 static_cast<std::size_t>(count));
    DecoderInput in = sequence_input(c, config, rows, prefix, done);
    in.cache = &cache;
    const Tensor logits = model->head().logits(c, model->forward(c, in));
    const auto first = static_cast<std::ptrdiff_t>(done * config.vocab);
    const std::vector<float> expected(want.begin() + first,
                                      want.begin() + first + static_cast<std::ptrdiff_t>(logits.numel()));
    EXPECT_TRUE(matches(logits, expected)) << "rows from " << done;
    done += count;
  };
  feed(prefix + 1);
  while (done < static_cast<std::int64_t>(ids.size())) feed(1);
  EXPECT_EQ(cache.length(), done);
}

TEST_P(DecoderGolden, LossAndLoraGradients) {
  DecoderLora network;
  const LoraTargets all{{"all-linear"}};
  network.attach(*model, [&](const std::string& path) {
    return all.matches(config, model->names(), path) ? std::optional(spec()) : std::nullopt;
  });
  Collect collect(linears);
  model->visit(collect);
  ParamArena arena(c, network.params());
  take_adapter(network);
  arena.zero_grad(c);
  EXPECT_TRUE(matches(sequence_logits(c, *model, ids, prefix), values_of(file, "out/lora_logits")));

  Tape tape;
  const Context recording = c.with_tape(tape);
  const Tensor hidden = model->forward(recording, sequence_input(c, config, ids, prefix, 0));
  Tensor loss = c.empty({1}, "loss");
  fill(c, loss, 0);
  const Tensor dhidden = model->head().train(recording, hidden, targets(), loss);
  const double want = values_of(file, "out/loss")[0];
  EXPECT_NEAR(loss.data<float>()[0], want, kModelRelative * want);
  EXPECT_NEAR(model->head().score(c, hidden, targets()).loss, want, kModelRelative * want);
  model->backward(recording, dhidden);
  EXPECT_TRUE(tape.empty());
  for (SharedLinear* layer : linears) {
    for (auto& set : layer->adapters()) {
      for (LoraMember& m : set->members()) {
        const Tensor down = set->down().grad.slice(m.first, m.first + m.spec.rank);
        expect_gradient(m.name + ".lora_down.weight", down.span<float>(), 0);
        expect_gradient(m.name + ".lora_up.weight", m.up.grad.span<float>(), 1);
      }
    }
  }
  EXPECT_GE(compared, 8);
}

// Where the tape keeps things, and whether it keeps them, changes no bit.
TEST_P(DecoderGolden, MemoryOptionsGiveTheSameBits) {
  std::vector<std::vector<float>> gradients;
  for (const int streamed : streamed_counts(config.layers)) {
    load(streamed);
    DecoderLora network;
    network.attach(*model, [&](const std::string& path) {
      return LoraTargets{}.matches(config, model->names(), path) ? std::optional(spec()) : std::nullopt;
    });
    Collect collect(linears);
    model->visit(collect);
    ParamArena arena(c, network.params());
    take_adapter(network);
    for (const MemoryPolicy& policy : memory_policies()) {
      StepMemory memory = folder.memory(runtime, policy);
      arena.zero_grad(c);
      const WeightPass pass(c);
      Tape tape(&memory);
      const Context recording = c.with_tape(tape);
      const Tensor hidden = model->forward(recording, sequence_input(c, config, ids, prefix, 0));
      Tensor loss = c.empty({1}, "loss");
      fill(c, loss, 0);
      model->backward(recording, model->head().train(recording, hidden, targets(), loss));
      const auto g = arena.grad().span<float>();
      gradients.emplace_back(g.begin(), g.end());
      EXPECT_EQ(memory.tape.paged_peak > 0, pages(policy));
    }
  }
  for (const auto& g : gradients) EXPECT_EQ(g, gradients[0]);
}

INSTANTIATE_TEST_SUITE_P(Families, DecoderGolden,
                         ::testing::Values("llama", "llama3", "mistral", "qwen2", "qwen3", "glm4", "chatglm2",
                                           "chatglm"));

}  // namespace
}  // namespace rankine
