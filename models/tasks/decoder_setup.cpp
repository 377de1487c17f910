#include "models/tasks/decoder_setup.h"

#include <algorithm>

#include "io/dataset/text_dataset.h"
#include "io/files/sha256.h"
#include "io/text/spm_tokenizer.h"
#include "io/text/spm_trainer.h"
#include "models/tasks/base_shape.h"
#include "models/tasks/streaming_setup.h"

namespace rankine {
namespace fs = std::filesystem;
namespace {

constexpr std::size_t kSampledBytes =
    4096;  // of each tensor: enough to tell two trainings of one model apart

DecoderCheckpoint new_checkpoint(const config::NewDecoder& n) {
  DecoderCheckpoint k;
  DecoderConfig& d = k.config;
  d.family = DecoderFamily::llama;
  d.vocab = n.vocab;
  d.width = n.width;
  d.mlp = n.mlp;
  d.layers = static_cast<int>(n.layers);
  d.heads = static_cast<int>(n.heads);
  d.kv_heads = static_cast<int>(n.kv_heads);
  require<ConfigError>(n.width % n.heads == 0, "new_model.decoder.heads: ", n.heads,
                       " do not divide the width ", n.width);
  d.head_dim = d.rotary_dims = n.width / n.heads;
  d.context = n.context;
  d.rope_theta = n.rope_theta;
  d.tied_head = n.tied_head;
  check(d, "new_model.decoder");
  k.names = k.file_names = llama_names();
  k.format = "new model";
  return k;
}

std::string fingerprint_of(const TensorSource& source) {
  Sha256 hash;
  for (const auto& [name, info] : source.tensors()) {
    std::string line = join(name, " ", name_of(info.dtype));
    for (const std::int64_t extent : info.shape) line += join(" ", extent);
    hash.update(std::as_bytes(std::span(line)));
    hash.update(info.bytes.first(std::min(kSampledBytes, info.bytes.size())));
  }
  return hash.hex();
}

std::optional<DType> block_type(config::BaseQuantisation q) {
  switch (q) {
    case config::BaseQuantisation::none:
      return std::nullopt;
    case config::BaseQuantisation::nf4:
      return DType::nf4_dq;
    case config::BaseQuantisation::q8_0:
      return DType::q8_0;
    case config::BaseQuantisation::q4_0:
      return DType::q4_0;
  }
  return std::nullopt;
}

SpmModel learned_vocabulary(const config::RunConfig& config, std::int64_t size) {
  const TextDataset set = load_text_dataset({config.data.train_data_dir, {}, TextSplit::document});
  std::vector<std::string> texts;
  for (const Conversation& row : set.rows) {
    if (!row.system.empty()) texts.push_back(row.system);
    for (const Message& m : row.messages) {
      texts.push_back(m.text);
      if (!m.input.empty()) texts.push_back(m.input);
    }
  }
  SpmTrainerOptions o;
  o.vocab_size = static_cast<std::int32_t>(size);
  return train_spm(texts, o);
}

}  // namespace

LoadOptions load_options(const config::RunConfig& config, const DecoderCheckpoint& k) {
  LoadOptions o;
  o.mapped = k.source;
  if (const auto type = block_type(config.model.quantise_base)) {
    o.quantise = [type, layers = k.names.layers](const Weight& w) -> std::optional<DType> {
      if (!w.path().starts_with(layers)) return std::nullopt;
      const bool whole = w.shape().cols() % block_of(*type).elements == 0;
      return whole || *type != DType::nf4_dq ? *type : DType::nf4;
    };
  }
  return o;
}

DecoderCheckpoint checkpoint_of(const config::RunConfig& config) {
  if (config.model.new_model) return new_checkpoint(config.model.new_model->decoder);
  if (is_shape(config.model.base_model)) return decoder_shape(config.model.base_model);
  return open_decoder_checkpoint(
      config.model.base_model, {config.model.rope_theta, config.model.norm_eps, config.model.context_length});
}

DecoderVocabulary vocabulary_for(const config::RunConfig& config, const DecoderCheckpoint& k) {
  DecoderVocabulary v;
  const bool shape = is_shape(config.model.base_model);
  if ((!k.source || shape) && !config.model.tokenizer) {
    v.file.spm = shape ? byte_vocabulary() : learned_vocabulary(config, k.config.vocab);
    Vocabulary rest;
    rest.specials.bos = v.file.spm->bos;
    rest.specials.eos = v.file.spm->eos;
    rest.specials.unk = v.file.spm->unk;
    rest.specials.add_bos = true;
    rest.file = shape ? "vocabulary of bytes" : "learned vocabulary";
    v.tokenizer = std::make_shared<const SpmTokenizer>(*v.file.spm, rest);
  } else {
    v.tokenizer = load_tokenizer(k, config.model.tokenizer);
    if (!shape) v.file = vocabulary_of(k);
    if (config.model.tokenizer) v.file = {vocabulary_in(*config.model.tokenizer), {}};
  }
  require<DataError>(v.tokenizer->vocab_size() <= k.config.vocab, "tokenizer: ", v.tokenizer->vocab_size(),
                     " tokens, but the model's embedding has ", k.config.vocab, " rows");
  return v;
}

LoadedDecoder load_decoder(const Context& c, const config::RunConfig& config,
                           const WeightStreaming& streaming) {
  require_frozen(config, streaming);
  LoadedDecoder out;
  out.checkpoint = checkpoint_of(config);
  DecoderVocabulary vocabulary = vocabulary_for(config, out.checkpoint);
  out.tokenizer = std::move(vocabulary.tokenizer);
  out.vocabulary = std::move(vocabulary.file);
  const DecoderCheckpoint& k = out.checkpoint;
  out.model = std::make_unique<Decoder>(c, k.config, k.names);
  out.stream = std::make_unique<PagedWeightStream>(
      c.runtime(), [&](ModelVisitor& v) { out.model->visit(v); }, streaming);
  if (!k.source) {
    out.name = "new model";
    out.fingerprint = join("new ", config.optim.seed);
    // A residual branch that starts at nothing: the first steps then train a shallow model.
    const auto is_zero = [](const std::string& path) {
      return path.ends_with("self_attn.o_proj.weight") || path.ends_with("mlp.down_proj.weight");
    };
    init_weights(c, *out.model, static_cast<std::uint64_t>(config.optim.seed), DType::f32, is_zero,
                 out.stream.get());
    return out;
  }
  fs::path path = k.path.lexically_normal();
  if (!path.has_filename()) path = path.parent_path();
  out.name = path.filename().string();
  out.fingerprint = fingerprint_of(*k.source);
  LoadOptions options = load_options(config, k);
  options.stream = out.stream.get();
  load_weights(c, *out.model, *k.source, k.naming(), options);
  return out;
}

}  // namespace rankine
