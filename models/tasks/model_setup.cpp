#include "models/tasks/model_setup.h"

#include <algorithm>

#include "io/files/sha256.h"
#include "io/text/bpe_trainer.h"
#include "models/tasks/base_shape.h"
#include "models/tasks/streaming_setup.h"

namespace rankine {
namespace fs = std::filesystem;
namespace {

constexpr int kNewVocabularyMerges = 400;

UNetConfig unet_config_of(const config::NewUnet& n) {
  UNetConfig c;
  c.model_channels = static_cast<int>(n.model_channels);
  c.channel_mult.assign(n.channel_mult.begin(), n.channel_mult.end());
  c.res_blocks = static_cast<int>(n.num_res_blocks);
  c.transformer_depth.assign(c.channel_mult.size(), 0);
  for (const std::int64_t level : n.attention_levels)
    c.transformer_depth.at(static_cast<std::size_t>(level)) = 1;
  c.context_dim = static_cast<int>(n.context_dim);
  require<ConfigError>(n.num_heads == 8,
                       "new_model.unet.num_heads: the SD 1.x file layout always means 8 heads, got ",
                       n.num_heads);
  require<ConfigError>(c.model_channels % 32 == 0,
                       "new_model.unet.model_channels: must be a multiple of 32, got ", c.model_channels);
  return c;
}

SdCheckpoint new_checkpoint(const config::RunConfig& config) {
  const config::NewModel& n = *config.model.new_model;
  SdCheckpoint k;
  k.unet_config = unet_config_of(n.unet);
  k.vae_config.channels = static_cast<int>(n.vae.channels);
  k.vae_config.channel_mult.assign(n.vae.channel_mult.begin(), n.vae.channel_mult.end());
  k.vae_config.res_blocks = static_cast<int>(n.vae.num_res_blocks);
  k.vae_config.latent_channels = static_cast<int>(n.vae.latent_channels);
  require<ConfigError>(k.vae_config.channels % 32 == 0,
                       "new_model.vae.channels: must be a multiple of 32, got ", k.vae_config.channels);
  k.unet_config.norm_groups = k.vae_config.norm_groups = static_cast<int>(n.norm_groups);
  ClipTextConfig text;
  text.width = n.text_encoder.width;
  text.mlp = 4 * text.width;
  text.layers = static_cast<int>(n.text_encoder.layers);
  text.heads = static_cast<int>(std::max<std::int64_t>(1, text.width / 64));
  require<ConfigError>(text.heads == n.text_encoder.heads,
                       "new_model.text_encoder.heads: the file layout means one head per ",
                       "64 channels, so ", text.heads, ", got ", n.text_encoder.heads);
  require<ConfigError>(n.unet.context_dim == text.width,
                       "new_model.unet.context_dim: must equal text_encoder.width");
  k.text_encoders.push_back({text, {}, {1, true, false}, -1});
  k.native_side = static_cast<int>(config.data.resolution.value_or(config::Resolution{64, 64}).width);
  return k;
}

std::string join_paths(const std::vector<fs::path>& paths) {
  std::string text;
  for (const fs::path& p : paths) text += "\n  " + p.string();
  return text;
}

std::string folder_identity(const fs::path& folder) {
  std::vector<std::string> lines;
  for (const auto& entry : fs::recursive_directory_iterator(folder)) {
    if (entry.is_regular_file()) {
      lines.push_back(join(fs::relative(entry.path(), folder).string(), ' ', entry.file_size(), '\n'));
    }
  }
  std::sort(lines.begin(), lines.end());
  std::string text;
  for (const std::string& line : lines) text += line;
  return sha256_hex(std::as_bytes(std::span(text.data(), text.size())));
}

std::string identity_of(const fs::path& path) {
  return fs::is_directory(path) ? folder_identity(path) : sha256_of_file(path);
}

void make_stream(const Context& c, LoadedModel& m, const WeightStreaming& streaming) {
  m.stream = std::make_unique<PagedWeightStream>(
      c.runtime(), [&](ModelVisitor& v) { m.sd->unet.visit(v); }, streaming);
}

LoadedModel make_new(const Context& c, const config::RunConfig& config,
                     const std::vector<std::string>& captions, const WeightStreaming& streaming) {
  LoadedModel m;
  SdCheckpoint k = new_checkpoint(config);
  const auto tokenizer =
      std::make_shared<const ClipTokenizer>(train_clip_merges(captions, kNewVocabularyMerges));
  k.text_encoders[0].config.vocab = tokenizer->vocab_size();
  k.merges = tokenizer->merges_text();
  m.sd = std::make_unique<StableDiffusion>(std::move(k), tokenizer);
  make_stream(c, m, streaming);
  m.sd->init(c, static_cast<std::uint64_t>(config.optim.seed), DType::f32, m.stream.get());
  m.name = "new model";
  const std::string text = join("seed ", config.optim.seed, ' ', tokenizer->merges_text());
  m.sha256 = m.vae_sha256 = sha256_hex(std::as_bytes(std::span(text.data(), text.size())));
  return m;
}

}  // namespace

SdCheckpoint sd_checkpoint_of(const config::RunConfig& config) {
  const std::string& base = config.model.base_model;
  SdCheckpoint k = is_shape(base) ? sd_shape(base) : open_sd_checkpoint(base);
  if (config.model.vae) replace_vae(k, *config.model.vae);
  return k;
}

std::shared_ptr<const ClipTokenizer> find_tokenizer(const SdCheckpoint& k, const std::string& explicit_path,
                                                    const TokenizerSearch& search) {
  if (!explicit_path.empty())
    return std::make_shared<const ClipTokenizer>(ClipTokenizer::from_file(explicit_path));
  if (!k.merges.empty())
    return std::make_shared<const ClipTokenizer>(k.merges, k.path.string() + " (vocabulary)");
  std::vector<fs::path> folders{k.path.parent_path()};
  folders.insert(folders.end(), search.folders.begin(), search.folders.end());
  std::vector<fs::path> tried;
  for (const fs::path& folder : folders) {
    for (const char* name : {"merges.txt", "tokenizer/merges.txt", "bpe_simple_vocab_16e6.txt.gz"}) {
      tried.push_back(folder / name);
      if (fs::exists(tried.back()))
        return std::make_shared<const ClipTokenizer>(ClipTokenizer::from_file(tried.back()));
    }
  }
  throw ConfigError(
      join("tokenizer: the model file holds no vocabulary, and CLIP's merges were not found. Put merges.txt "
           "(or bpe_simple_vocab_16e6.txt.gz) beside the model, run scripts/get_clip_vocabulary, or set "
           "`tokenizer:` to its path. Looked at:",
           join_paths(tried)));
}

LoadedModel load_model(const Context& c, const config::RunConfig& config, const TokenizerSearch& search,
                       const std::vector<std::string>& captions, const WeightStreaming& streaming) {
  require_frozen(config, streaming);
  if (config.model.new_model && config.model.base_model.empty())
    return make_new(c, config, captions, streaming);
  const fs::path path = config.model.base_model;
  SdCheckpoint k = sd_checkpoint_of(config);
  const auto tokenizer = is_shape(config.model.base_model)
                             ? std::make_shared<const ClipTokenizer>("")  // a plan makes no tokens
                             : find_tokenizer(k, config.model.tokenizer.value_or(""), search);
  LoadedModel m;
  m.name = path.filename().string();
  m.sd = std::make_unique<StableDiffusion>(std::move(k), tokenizer);
  m.sd->set_clip_skip(static_cast<int>(config.data.clip_skip));
  make_stream(c, m, streaming);
  m.sd->load(c, m.stream.get());
  if (!c.planning()) {
    m.sha256 = identity_of(path);
    m.vae_sha256 = config.model.vae ? identity_of(*config.model.vae) : m.sha256;
  }
  return m;
}

NoiseSchedule noise_schedule_for(const config::RunConfig& config, const StableDiffusion& sd) {
  NoiseScheduleSpec spec;
  switch (config.objective.prediction_type) {
    case config::PredictionType::automatic:
      spec.prediction = sd.checkpoint().prediction;
      break;
    case config::PredictionType::epsilon:
      spec.prediction = Prediction::epsilon;
      break;
    case config::PredictionType::v_prediction:
      spec.prediction = Prediction::v;
      break;
  }
  spec.zero_terminal_snr = config.objective.zero_terminal_snr;
  return NoiseSchedule(spec);
}

RegressionSpec regression_of(const config::ObjectiveSection& o) {
  switch (o.loss) {
    case config::LossType::mse:
      return {Regression::mse, 0.1F};
    case config::LossType::huber:
      return {Regression::huber, static_cast<float>(o.huber_c)};
    case config::LossType::smooth_l1:
      return {Regression::smooth_l1, static_cast<float>(o.huber_c)};
  }
  return {};
}

}  // namespace rankine
