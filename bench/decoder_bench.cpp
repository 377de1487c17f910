#include "bench/decoder_bench.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <map>

#include "bench/kernels_bench.h"
#include "bench/step_dump.h"
#include "bench/step_session.h"
#include "engine/core/half.h"
#include "engine/core/philox.h"
#include "io/formats/gguf.h"
#include "models/decoder/decoder_checkpoint.h"
#include "models/decoder/decoder_export.h"
#include "models/decoder/decoder_lora.h"
#include "models/decoder/published_decoders.h"
#include "models/decoder/vocabulary_export.h"
#include "models/tasks/decoder_setup.h"
#include "models/tasks/text_runner.h"

namespace rankine::bench {
namespace fs = std::filesystem;
namespace {

constexpr std::size_t kPool = 1U << 20;  // random bytes, used again and again

FileDType base_type(const std::string& base) {
  static const std::map<std::string, FileDType> types{
      {"fp16", FileDType::f16},
      {"nf4", FileDType::f16},  // rounded to blocks while loading
      {"q4_0", FileDType::q4_0},
      {"q8_0", FileDType::q8_0}};
  const auto it = types.find(base);
  require<ConfigError>(it != types.end(), "--base: expected fp16, q4_0, q8_0 or nf4, got ", base);
  return it->second;
}

// Random values of a matrix with `in` columns, in pieces of whole rows.
void append_random(const AppendBytes& append, const Weight& w, FileDType dtype,
                   const std::vector<std::byte>& pool) {
  const std::int64_t cols = w.shape().cols();
  const std::size_t row = bytes_of(dtype, static_cast<std::uint64_t>(cols));
  std::vector<std::byte> bytes(row);
  const float size = 1.0F / std::sqrt(static_cast<float>(cols));
  for (std::int64_t r = 0; r < w.shape().rows(); ++r) {
    const std::size_t from = static_cast<std::size_t>(r) * 7919 % (kPool - row);
    std::memcpy(bytes.data(), pool.data() + from, row);
    if (dtype == FileDType::f16) {  // the random bits give the sign and mantissa
      for (std::size_t i = 0; i < row; i += 2) {
        std::uint16_t bits = 0;
        std::memcpy(&bits, bytes.data() + i, 2);
        const Half h = to_half((static_cast<float>(bits) / 32768.0F - 1.0F) * size);
        std::memcpy(bytes.data() + i, &h, 2);
      }
    } else {
      const Half scale = to_half(size / (dtype == FileDType::q4_0 ? 8.0F : 127.0F));
      const std::size_t block = block_of(*memory_dtype(dtype)).bytes;
      for (std::size_t i = 0; i < row; i += block) std::memcpy(bytes.data() + i, &scale, 2);
    }
    append(bytes);
  }
}

class Weights final : public ModelVisitor {
 public:
  void weight(Weight& w) override { all.push_back(&w); }
  std::vector<const Weight*> all;
};

class TextSession final : public StepSession {
 public:
  TextSession(const StepBenchOptions& o, const DecoderCheckpoint& checkpoint, Device device,
              const WeightStreaming& streaming)
      : StepSession(o, device),
        model_(context(), checkpoint.config, checkpoint.names),
        stream_(
            runtime(), [this](ModelVisitor& v) { model_.visit(v); }, streaming),
        runner_(model_, 0, &memory_),
        tokens_(o.tokens) {
    config::RunConfig config;
    if (o.base == "nf4") config.model.quantise_base = config::BaseQuantisation::nf4;
    LoadOptions options = load_options(config, checkpoint);
    options.stream = &stream_;
    load_weights(context(), model_, *checkpoint.source, checkpoint.naming(), options);
    memory_.weights = stream_.pages();
    LoraSpec spec;
    spec.rank = o.rank;
    const LoraTargets targets{o.all_linear ? std::vector<std::string>{"all-linear"}
                                           : std::vector<std::string>{}};
    network_.attach(model_, [&](const std::string& path) {
      return targets.matches(checkpoint.config, checkpoint.names, path) ? std::optional(spec) : std::nullopt;
    });
    train(network_.params(), [&] { network_.init(context(), 1); });
  }
  void dump(const fs::path& folder) override;
  StepMemory& memory() override { return memory_; }
  int streamable_units() const override { return stream_.units(); }

 private:
  void micro_batch(Tensor& loss) override {
    runner_.train(context(), runner_.made_up(context(), tokens_), loss);
  }

  Decoder model_;
  PagedWeightStream stream_;
  StepMemory memory_;
  TextRunner runner_;
  DecoderLora network_;
  std::int64_t tokens_;
};

// Sizes of a decoder that bench/peers has.
nlohmann::json sizes_of(const DecoderConfig& k) {
  require<ConfigError>(k.family == DecoderFamily::llama || k.family == DecoderFamily::chatglm3,
                       "--dump: expected a model of the LLaMA or ChatGLM3 layout, got ", name_of(k.family));
  return {{"kind", "decoder"},
          {"family", name_of(k.family)},
          {"vocab", k.vocab},
          {"width", k.width},
          {"mlp", k.mlp},
          {"layers", k.layers},
          {"heads", k.heads},
          {"kv_heads", k.kv_heads},
          {"head_dim", k.head_dim},
          {"rotary_dims", k.rotary_dims},
          {"interleaved", k.pairing == RopeSpec::interleaved},
          {"rope_theta", k.rope_theta},
          {"eps", k.eps},
          {"tied_head", k.tied_head}};
}

void TextSession::dump(const fs::path& folder) {
  first_step();
  StepDump dump;
  dump.model(model_, "");
  dump.tensor("out/loss", loss());
  dump.number("in/tokens", static_cast<double>(tokens_));
  dump.write(folder, sizes_of(model_.config()));
}

}  // namespace

bool is_decoder(const std::string& model) { return published_decoder(model).has_value(); }

void write_random_model(const fs::path& path, const DecoderConfig& config, const std::string& base) {
  const FileDType dtype = base_type(base);
  std::vector<std::byte> pool(kPool);
  HostRandom random(RandomStream{1, purpose("random model"), 0, 0});
  for (std::size_t i = 0; i < kPool; i += 4) {
    const std::uint32_t word = random.word();
    std::memcpy(pool.data() + i, &word, 4);
  }
  Runtime plan(Device::cpu().planned());
  Decoder model(Context(plan), config, names_of(config));
  Weights weights;
  model.visit(weights);
  std::vector<TensorOutput> tensors;
  for (const Weight* w : weights.all) {
    const auto name = translate(w->path(), model.names(), gguf_decoder_names());
    const bool matrix = w->shape().rank() == 2;
    const Shape& s = w->shape();
    tensors.push_back({*name,
                       matrix ? dtype : FileDType::f32,
                       {s.dims().begin(), s.dims().end()},
                       [w, matrix, dtype, &pool](const AppendBytes& append) {
                         if (matrix) return append_random(append, *w, dtype, pool);
                         const bool gain = w->path().ends_with(".weight");
                         const std::vector<float> values(static_cast<std::size_t>(w->shape().numel()),
                                                         gain ? 1.0F : 0.0F);
                         append(std::as_bytes(std::span(values)));
                       }});
  }
  std::vector<GgufEntry> entries = gguf_model_keys(config, *gguf_architecture(config), dtype);
  const std::vector<GgufEntry> tokens = gguf_keys_of(byte_vocabulary(), config.vocab);
  entries.insert(entries.end(), tokens.begin(), tokens.end());
  write_gguf(path, entries, tensors);
}

StepBenchResult run_decoder_bench(const StepBenchOptions& o) {
  const bool keep = !o.file.empty();
  const fs::path path =
      keep ? fs::path(o.file)
           : fs::temp_directory_path() / join("rankine-bench-", o.model, "-", o.base, ".gguf");
  if (!fs::exists(path)) {
    std::fprintf(stderr, "writing %s\n", path.c_str());
    write_random_model(path, published_decoder(o.model).value(), o.base);
  }
  const MakeSession make = [&](Device device, const WeightStreaming& streaming) {
    return std::make_unique<TextSession>(o, open_decoder_checkpoint(path), device, streaming);
  };
  StepBenchResult r;
  if (o.dump.empty())
    r = measure_steps(o, make);
  else
    make(bench_device(o.device), {})->dump(o.dump);
  if (!keep) fs::remove(path);
  return r;
}

}  // namespace rankine::bench
