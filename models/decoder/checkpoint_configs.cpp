#include "models/decoder/checkpoint_configs.h"

#include <fstream>
#include <sstream>

#include "engine/core/error.h"

namespace rankine {
namespace {

constexpr std::uintmax_t kMostConfigBytes = 1U << 24;
constexpr std::int64_t kGlm4Vocabulary = 151552;

std::int64_t rows_of(const TensorSource& source, const std::string& name) {
  const TensorInfo& info = source.at(name);
  require<DataError>(info.shape.size() == 2, source.describe(), ": ", name, " must be a matrix");
  return info.shape[0];
}

RopeScaling gguf_scaling(const GgufFile& file, const std::string& arch) {
  RopeScaling s;
  const std::string type = file.get<std::string>(arch + ".rope.scaling.type").value_or("none");
  s.factor = file.get<float>(arch + ".rope.scaling.factor")
                 .value_or(file.get<float>(arch + ".rope.scale_linear").value_or(1));
  s.original_length = file.get<std::uint32_t>(arch + ".rope.scaling.original_context_length").value_or(0);
  if (type == "linear" || (type == "none" && s.factor != 1)) {
    s.kind = RopeScaling::Kind::linear;
  } else if (type == "yarn") {
    s.kind = RopeScaling::Kind::yarn;
    s.attention_factor = file.get<float>(arch + ".rope.scaling.attn_factor");
  } else {
    require<DataError>(type == "none", file.describe(), ": rope scaling \"", type,
                       "\" is not known; known: none, linear, yarn");
  }
  if (const TensorInfo* factors = file.find("rope_freqs.weight")) {
    s.divisors.resize(static_cast<std::size_t>(factors->numel()));
    read_as_float(*factors, s.divisors);
  }
  return s;
}

}  // namespace

nlohmann::json read_config_json(const std::filesystem::path& path) {
  std::error_code error;
  const std::uintmax_t size = std::filesystem::file_size(path, error);
  require<IoError>(!error, path.string(), ": ", error.message());
  require<DataError>(size <= kMostConfigBytes, path.string(), ": ", size,
                     " bytes are too many for a config.json");
  std::ifstream in(path, std::ios::binary);
  require<IoError>(in.good(), path.string(), ": cannot open the file");
  try {
    const auto limit = [](int depth, nlohmann::json::parse_event_t, nlohmann::json&) {
      if (depth > 16) throw DataError("nested more than 16 deep");
      return true;
    };
    return nlohmann::json::parse(in, limit);
  } catch (const nlohmann::json::exception& e) {
    throw DataError(join(path.string(), ": not valid JSON: ", e.what()));
  } catch (const DataError& e) {
    throw DataError(join(path.string(), ": ", e.what()));
  }
}

void fit_to_tensors(DecoderConfig& k, const TensorSource& source) {
  const DecoderNames& names = names_of(k);
  if (!k.fused_qkv && source.contains(llama_names().layer(0, names.qkv) + ".weight")) {
    throw DataError(join(source.describe(),
                         ": q, k and v fused as self_attn.qkv_proj are not available; save the "
                         "model with separate projections"));
  }
  const std::string head = names.head + ".weight", embed = names.embed + ".weight";
  if (!source.contains(head) && source.contains(embed)) k.tied_head = true;
  if (k.tied_head && source.contains(head) && k.family == DecoderFamily::chatglm) k.tied_head = false;
}

DecoderConfig decoder_config_from_gguf(const GgufFile& file) {
  const auto arch = file.need<std::string>("general.architecture");
  DecoderConfig k;
  if (arch == "llama") {
    k.family = DecoderFamily::llama;
    k.pairing = RopeSpec::interleaved;
  } else if (arch == "qwen2") {
    k.family = DecoderFamily::qwen2;
    k.qkv_bias = true;
  } else if (arch == "qwen3") {
    k.family = DecoderFamily::qwen3;
    k.qk_norm = true;
  } else if (arch == "chatglm") {
    k.family = DecoderFamily::chatglm3;
    k.pairing = RopeSpec::interleaved;
    k.qkv_bias = k.fused_qkv = k.fused_gate_up = true;
  } else {
    throw DataError(join(file.describe(), ": architecture \"", arch,
                         "\" is not known; known: llama, qwen2, qwen3, chatglm"));
  }
  const auto whole = [&](const char* key) {
    return static_cast<std::int64_t>(file.need<std::uint32_t>(arch + key));
  };
  const auto maybe = [&](const char* key) { return file.get<std::uint32_t>(arch + key); };
  k.width = whole(".embedding_length");
  k.layers = static_cast<int>(whole(".block_count"));
  k.mlp = whole(".feed_forward_length");
  k.heads = static_cast<int>(whole(".attention.head_count"));
  require<DataError>(k.heads > 0, file.describe(), ": ", arch, ".attention.head_count must not be 0");
  k.kv_heads =
      static_cast<int>(maybe(".attention.head_count_kv").value_or(static_cast<std::uint32_t>(k.heads)));
  k.head_dim = maybe(".attention.key_length").value_or(static_cast<std::uint32_t>(k.width / k.heads));
  k.context = maybe(".context_length").value_or(2048);
  k.eps = file.need<float>(arch + ".attention.layer_norm_rms_epsilon");
  k.rope_theta = file.get<float>(arch + ".rope.freq_base").value_or(10000.0F);
  k.rotary_dims = maybe(".rope.dimension_count").value_or(static_cast<std::uint32_t>(k.head_dim));
  k.sliding_window = maybe(".attention.sliding_window").value_or(0);
  k.scaling = gguf_scaling(file, arch);
  k.vocab = rows_of(file, "token_embd.weight");
  k.tied_head = !file.contains("output.weight");
  if (arch == "chatglm" && k.vocab == kGlm4Vocabulary) k.family = DecoderFamily::glm4;
  if (arch == "llama") {  // biases are there or not, whatever the model is called
    k.qkv_bias = file.contains("blk.0.attn_q.bias");
    k.out_bias = file.contains("blk.0.attn_output.bias");
  }
  require<DataError>(!file.contains("blk.0.ffn_gate_inp.weight"), file.describe(),
                     ": a mixture of experts is not available");
  check(k, file.describe());
  return k;
}

DecoderConfig decoder_config_from_ggml(const GgmlFile& file) {
  const GgmlHyperparameters& h = file.hyperparameters();
  DecoderConfig k;
  k.family = DecoderFamily::llama;
  k.width = h.n_embd;
  k.layers = static_cast<int>(h.n_layer);
  k.heads = static_cast<int>(h.n_head);
  require<DataError>(k.heads > 0 && k.width % k.heads == 0, file.describe(), ": ", h.n_head,
                     " heads do not divide a width of ", h.n_embd);
  k.head_dim = k.width / k.heads;
  k.kv_heads = static_cast<int>(rows_of(file, "layers.0.attention.wk.weight") / k.head_dim);
  k.mlp = rows_of(file, "layers.0.feed_forward.w1.weight");
  k.vocab = rows_of(file, "tok_embeddings.weight");
  k.rotary_dims = h.n_rot;
  k.pairing = RopeSpec::interleaved;
  k.eps = 1e-5F;
  k.tied_head = !file.contains("output.weight");
  check(k, file.describe());
  return k;
}

}  // namespace rankine
