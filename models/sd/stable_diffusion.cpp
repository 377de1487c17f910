#include "models/sd/stable_diffusion.h"

#include <cmath>

#include "engine/core/transfer.h"
#include "engine/tape/tape.h"
#include "io/formats/safetensors.h"
#include "kernels/elementwise/elementwise.h"
#include "kernels/embedding/embedding.h"

namespace rankine {
namespace {

constexpr std::int64_t kWindow = 77, kMiddle = 75;
constexpr int kSizeNumbers = 6, kSizeWidth = 256;

}  // namespace

// ---- TextConditioner ----

std::vector<std::int32_t> TextConditioner::token_ids(const std::vector<std::string>& prompts, int max_tokens,
                                                     std::int32_t pad) const {
  std::vector<std::int32_t> ids;
  for (const std::string& prompt : prompts) {
    const PromptTokens tokens =
        tokenize_prompt(*tokenizer, prompt, max_tokens, pad < 0 ? tokenizer->eos() : pad);
    for (const auto& window : tokens.windows) ids.insert(ids.end(), window.begin(), window.end());
  }
  return ids;
}

// (N·W, 77, C) -> (N, 75 W + 2, C): the first start token, the 75 middles of each window, the last end token.
Tensor TextConditioner::join_windows(const Context& c, const Tensor& hidden, std::int64_t prompts) const {
  const std::int64_t windows = hidden.dim(0) / prompts, width = hidden.dim(2);
  if (windows == 1) return hidden;
  const std::int64_t length = kMiddle * windows + 2;
  Tensor joined = c.empty({prompts, length, width}, "joined prompt windows");
  const auto put = [&](std::int64_t to, std::int64_t from, std::int64_t rows) {
    Tensor y = joined.flat(to * width, {rows, width});
    copy(c, y, hidden.flat(from * width, {rows, width}));
  };
  for (std::int64_t n = 0; n < prompts; ++n) {
    put(n * length, n * windows * kWindow, 1);
    for (std::int64_t w = 0; w < windows; ++w)
      put(n * length + 1 + w * kMiddle, (n * windows + w) * kWindow + 1, kMiddle);
    put((n + 1) * length - 1, (n + 1) * windows * kWindow - 1, 1);
  }
  return joined;
}

Tensor TextConditioner::split_windows(const Context& c, const Tensor& djoined, std::int64_t windows) const {
  if (windows == 1) return djoined;
  const std::int64_t prompts = djoined.dim(0), length = djoined.dim(1), width = djoined.dim(2);
  Tensor d = c.empty({prompts * windows, kWindow, width}, "d prompt windows");
  fill(c, d, 0);
  const auto take = [&](std::int64_t to, std::int64_t from, std::int64_t rows) {
    Tensor y = d.flat(to * width, {rows, width});
    copy(c, y, djoined.flat(from * width, {rows, width}));
  };
  for (std::int64_t n = 0; n < prompts; ++n) {
    take(n * windows * kWindow, n * length, 1);
    for (std::int64_t w = 0; w < windows; ++w)
      take((n * windows + w) * kWindow + 1, n * length + 1 + w * kMiddle, kMiddle);
    take((n + 1) * windows * kWindow - 1, (n + 1) * length - 1, 1);
  }
  return d;
}

namespace {

Tensor upload_sizes(const Context& c, const std::vector<SizeCondition>& sizes) {
  std::vector<float> values;
  for (const SizeCondition& s : sizes)
    values.insert(values.end(),
                  {s.original_h, s.original_w, s.crop_top, s.crop_left, s.target_h, s.target_w});
  Tensor numbers = c.empty({static_cast<std::int64_t>(values.size())}, "sizes", DType::f32);
  set_floats(numbers, values);
  return numbers;
}

// [pooled | E(original_h) E(original_w) E(crop_top) E(crop_left) E(target_h) E(target_w)]
Tensor size_vector(const Context& c, const Tensor& pooled, const Tensor& sizes) {
  const std::int64_t n = pooled.dim(0);
  Tensor embedded = c.empty({n * kSizeNumbers, kSizeWidth}, "size embedding");
  timestep_embedding(c, embedded, sizes);
  Tensor vector = c.empty({n, pooled.dim(1) + kSizeNumbers * kSizeWidth}, "vector conditioning");
  concat_channels(c, vector, pooled, embedded.reshape({n, kSizeNumbers * kSizeWidth}));
  return vector;
}

}  // namespace

TextInputs TextConditioner::prepare(const Context& c, const std::vector<std::string>& prompts, int max_tokens,
                                    const std::vector<SizeCondition>& sizes) const {
  TextInputs in;
  in.prompts = static_cast<std::int64_t>(prompts.size());
  const std::size_t tokens = prompts.size() * static_cast<std::size_t>(max_tokens / kMiddle * kWindow);
  for (const Encoder& e : encoders) {
    // A plan may have no vocabulary, and moves no numbers.
    const std::vector<std::int32_t> ids =
        c.planning() ? std::vector<std::int32_t>(tokens) : token_ids(prompts, max_tokens, e.pad_token);
    check_ids("prompt", ids, e.model->config().vocab);
    in.tokens.push_back(clip_input(c, ids, kWindow));
  }
  if (adm_channels == 0) return in;
  require<Error>(sizes.size() == prompts.size(), "text conditioning: ", prompts.size(), " prompts, ",
                 sizes.size(), " sizes");
  in.sizes = upload_sizes(c, sizes);
  return in;
}

Conditioning TextConditioner::forward(const Context& c, const TextInputs& in) {
  const std::int64_t n = in.prompts;
  Conditioning out;
  Tensor pooled;
  std::int64_t windows = 1;
  for (std::size_t k = 0; k < encoders.size(); ++k) {
    const Encoder& e = encoders[k];
    const ClipOutput text = e.model->forward(c, in.tokens.at(k), e.want);
    windows = text.hidden.dim(0) / n;
    const Tensor hidden = join_windows(c, text.hidden, n);
    if (out.context.defined()) {
      Tensor both = c.empty(hidden.shape().with_dim(-1, out.context.cols() + hidden.cols()), "text context");
      concat_channels(c, both, out.context, hidden);
      out.context = both;
    } else {
      out.context = hidden;
    }
    if (!text.pooled.defined()) continue;
    // Of a long prompt only the first window's pooled embedding counts.
    const std::int64_t width = text.pooled.cols();
    pooled = c.empty({n, width}, "pooled text");
    for (std::int64_t i = 0; i < n; ++i) {
      Tensor row = pooled.slice(i, i + 1);
      copy(c, row, text.pooled.slice(i * windows, i * windows + 1));
    }
  }
  if (adm_channels > 0) out.vector = size_vector(c, pooled, in.sizes);
  save(c, this, "text conditioning", Saved{n, windows});
  return out;
}

void TextConditioner::backward(const Context& c, const Conditioning& d) {
  const Saved s = restore<Saved>(c, this, "text conditioning");
  std::vector<Tensor> parts{d.context};
  for (std::size_t i = encoders.size(); i-- > 1;) {
    // Cut the last encoder's columns off what is left.
    const std::int64_t last = encoders[i].model->config().width;
    Tensor rest = c.empty(parts.front().shape().with_dim(-1, parts.front().cols() - last), "d context");
    Tensor own = c.empty(parts.front().shape().with_dim(-1, last), "d context");
    split_channels(c, rest, own, parts.front());
    parts.front() = own;
    parts.insert(parts.begin(), rest);
  }
  for (std::size_t i = encoders.size(); i-- > 0;) {
    Encoder& e = encoders[i];
    ClipOutput g;
    g.hidden = split_windows(c, parts[i], s.windows);
    if (e.want.pooled) {
      const std::int64_t width = e.model->config().projection;
      Tensor drest = c.empty({s.prompts, d.vector.cols() - width}, "d sizes");
      Tensor dpooled = c.empty({s.prompts, width}, "d pooled");
      split_channels(c, dpooled, drest, d.vector);
      g.pooled = c.empty({s.prompts * s.windows, width}, "d pooled");
      fill(c, g.pooled, 0);
      for (std::int64_t n = 0; n < s.prompts; ++n) {
        Tensor row = g.pooled.slice(n * s.windows, n * s.windows + 1);
        copy(c, row, dpooled.slice(n, n + 1));
      }
    }
    e.model->backward(c, g, e.want);
  }
}

// ---- StableDiffusion ----

StableDiffusion::StableDiffusion(SdCheckpoint checkpoint, std::shared_ptr<const ClipTokenizer> tokenizer)
    : unet(checkpoint.unet_config), vae(checkpoint.vae_config), checkpoint_(std::move(checkpoint)) {
  text.tokenizer = std::move(tokenizer);
  text.adm_channels = checkpoint_.unet_config.adm_channels;
  for (const SdTextEncoder& e : checkpoint_.text_encoders) {
    require<DataError>(text.tokenizer->vocab_size() <= e.config.vocab, "the tokenizer has ",
                       text.tokenizer->vocab_size(), " tokens, the text encoder's table only ",
                       e.config.vocab);
    text.encoders.push_back({std::make_unique<ClipText>(e.config), e.want, e.pad_token});
  }
}

void StableDiffusion::load(const Context& c, PagedWeightStream* stream) {
  for (std::size_t i = 0; i < text.encoders.size(); ++i) {
    const SdComponent& at = checkpoint_.text_encoders[i].at;
    load_weights(c, *text.encoders[i].model, *at.source, at.naming);
  }
  LoadOptions streamed;
  streamed.stream = stream;
  load_weights(c, unet, *checkpoint_.unet.source, checkpoint_.unet.naming, streamed);
  LoadOptions typed;
  typed.activations = vae_type(c);
  load_weights(c, vae, *checkpoint_.vae.source, checkpoint_.vae.naming, typed);
}

namespace {

// A fresh VAE passes a coarse picture from the first step: its maps outside residual branches start as 0.3 of
// the usual noise plus the identity on their middle tap, and the posterior starts narrow, so that its own
// noise does not drown the first means. Without this the example's autoencoder stays grey for thousands of
// steps.
class NearIdentity final : public ModelVisitor {
 public:
  explicit NearIdentity(const Context& c) : c_(c) {}
  void weight(Weight& w) override {
    if (w.path() == "quant_conv.bias") {
      constexpr float kLogVariance = -12;
      Tensor logvar = w.value().slice(w.shape()[0] / 2, w.shape()[0]);
      fill(c_, logvar, kLogVariance);
    }
    if (is_straight(w.path())) add_identity(w);
  }

 private:
  static bool is_straight(const std::string& path) {
    for (const char* name : {"conv_in.weight", "conv_out.weight", "sample.conv.weight", "nin_shortcut.weight",
                             "quant_conv.weight"}) {
      if (path.ends_with(name)) return true;
    }
    return false;
  }
  void add_identity(Weight& w) const {
    Tensor value = w.value();
    scale(c_, value, value, 0.3F);
    if (c_.planning()) return;
    const Shape& s = w.shape();  // (out, k, k, in) or (out, in)
    const std::int64_t in = s[-1], taps = s.numel() / s[0] / in;
    std::vector<float> numbers = floats_of(value);
    for (std::int64_t o = 0; o < s[0]; ++o) numbers[(o * taps + taps / 2) * in + o % in] += 1;
    set_floats(value, numbers);
  }
  const Context& c_;
};

}  // namespace

void StableDiffusion::init(const Context& c, std::uint64_t seed, DType matrices, PagedWeightStream* stream) {
  const auto nothing = [](const std::string&) { return false; };
  // Residual branches start at zero: a fresh deep model is then nearly linear and learns evenly from the
  // first step.
  const auto last_of_branch = [](const std::string& path) {
    return path.ends_with("out_layers.3.weight") || path.ends_with(".proj_out.weight") ||
           path.ends_with(".conv2.weight") || path == "out.2.weight";
  };
  for (auto& e : text.encoders) init_weights(c, *e.model, seed, matrices, nothing);
  init_weights(c, unet, seed, matrices, last_of_branch, stream);
  init_weights(c, vae, seed, matrices, last_of_branch);
  if (matrices != DType::f32) return;  // half-stored weights are for benchmarks, which learn nothing
  NearIdentity near_identity(c);
  vae.visit(near_identity);
}

namespace {

// Scales the latents of a VAE: z' = gain z. Of the moments, mean takes the gain and logvar adds 2 ln(gain).
void apply_latent_gain(const std::string& path, std::vector<float>& values, float gain) {
  const std::size_t half = values.size() / 2;
  if (path == "quant_conv.weight" || path == "quant_conv.bias") {
    for (std::size_t i = 0; i < half; ++i) values[i] *= gain;
  }
  if (path == "quant_conv.bias") {
    for (std::size_t i = half; i < values.size(); ++i) values[i] += 2 * std::log(gain);
  }
  if (path == "post_quant_conv.weight") {
    for (float& v : values) v /= gain;
  }
}

// Collects every weight under a prefix, decoded to fp32 and in file order.
class WeightCollector final : public ModelVisitor {
 public:
  WeightCollector(std::vector<TensorToWrite>& out, std::string prefix, const SdSaveOptions& options)
      : out_(out), prefix_(std::move(prefix)), options_(options) {}
  void weight(Weight& w) override {
    std::vector<float> values = to_file_order(w.value(), w.layout());
    apply_latent_gain(w.path(), values, options_.latent_gain);
    out_.push_back(tensor_to_write(prefix_ + w.path(), file_shape(w), values,
                                   options_.half ? FileDType::f16 : FileDType::f32));
  }

 private:
  std::vector<TensorToWrite>& out_;
  std::string prefix_;
  const SdSaveOptions& options_;
};

}  // namespace

void StableDiffusion::save(const std::filesystem::path& path, const SdSaveOptions& options) {
  require<Error>(text.encoders.size() == 1 && family() == SdFamily::sd_v1,
                 "saving a whole model is available for the SD 1.x layout only; this is ", name_of(family()));
  std::vector<TensorToWrite> tensors;
  const auto collect = [&](auto& model, const char* prefix) {
    WeightCollector collector(tensors, prefix, options);
    model.visit(collector);
  };
  collect(*text.encoders[0].model, "cond_stage_model.transformer.");
  collect(unet, "model.diffusion_model.");
  collect(vae, "first_stage_model.");
  MetadataTable table(options.metadata.begin(), options.metadata.end());
  table["format"] = "pt";
  table[kMergesKey] = text.tokenizer->merges_text();
  table[kNativeSideKey] = std::to_string(checkpoint_.native_side);
  table[kNormGroupsKey] = std::to_string(checkpoint_.unet_config.norm_groups);
  write_safetensors(path, std::move(tensors), table);
}

DType StableDiffusion::vae_type(const Context& c) const {
  const bool overflows = family() == SdFamily::sdxl && c.activations() == DType::f16;
  return overflows ? DType::bf16 : c.activations();
}

Tensor StableDiffusion::encode(const Context& c, const Tensor& pictures) {
  Tensor x = pictures;
  if (x.dtype() != vae_type(c)) {
    x = c.empty(pictures.shape(), "pictures", vae_type(c));
    copy(c, x, pictures);
  }
  return vae.encoder.forward(c.without_tape(), x);
}

std::string StableDiffusion::vae_failure(const Context& c) const {
  const std::string which =
      checkpoint_.vae.source ? "the VAE in " + checkpoint_.vae.source->describe() : "the new model's VAE";
  const bool small_range = vae_type(c) == DType::f16;
  return join(which, " makes numbers that are not finite, computing in ", name_of(vae_type(c)), "; ",
              small_range ? "its numbers may be too large for that type: set compute_dtype: bf16, or name "
                          : "its file may be damaged: name ",
              "another VAE with the key vae");
}

Tensor StableDiffusion::decode(const Context& c, const Tensor& latents) {
  Tensor z = c.empty(latents.shape(), "latents", vae_type(c));
  copy(c, z, latents);
  scale(c, z, z, 1.0F / checkpoint_.latent_scale);
  return vae.decoder.forward(c.without_tape(), z);
}

void StableDiffusion::set_clip_skip(int skip) {
  if (skip == 1) return;
  require<ConfigError>(family() != SdFamily::sdxl,
                       "clip_skip: has no meaning for SDXL, which always uses the penultimate layer");
  for (TextConditioner::Encoder& e : text.encoders) e.want.skip = skip;
}

}  // namespace rankine
