// config.json of Hugging Face and of THUDM's remote-code models.
#include <cmath>

#include "engine/core/error.h"
#include "models/decoder/decoder_config.h"

namespace rankine {
namespace {

using Json = nlohmann::json;

// Typed access to one object, with the file and the field in every message.
class Fields {
 public:
  Fields(const Json& json, const std::string& file) : json_(json), file_(file) {
    require<DataError>(json.is_object(), file, ": expected a JSON object");
  }
  const Json* find(const char* key) const {
    const auto it = json_.find(key);
    return it == json_.end() || it->is_null() ? nullptr : &*it;
  }
  std::int64_t whole(const char* key) const {
    const Json* v = find(key);
    require<DataError>(v != nullptr, file_, ": field \"", key, "\" is missing");
    return as_whole(key, *v);
  }
  std::int64_t whole(const char* key, std::int64_t otherwise) const {
    const Json* v = find(key);
    return v ? as_whole(key, *v) : otherwise;
  }
  double number(const char* key, double otherwise) const {
    const Json* v = find(key);
    if (!v) return otherwise;
    require<DataError>(v->is_number(), file_, ": field \"", key, "\" must be a number");
    return v->get<double>();
  }
  bool flag(const char* key, bool otherwise) const {
    const Json* v = find(key);
    if (!v) return otherwise;
    require<DataError>(v->is_boolean(), file_, ": field \"", key, "\" must be true or false");
    return v->get<bool>();
  }
  std::string text(const char* key, const std::string& otherwise) const {
    const Json* v = find(key);
    if (!v) return otherwise;
    require<DataError>(v->is_string(), file_, ": field \"", key, "\" must be text");
    return v->get<std::string>();
  }
  const std::string& file() const { return file_; }

 private:
  std::int64_t as_whole(const char* key, const Json& v) const {
    require<DataError>(v.is_number_integer() && v.get<double>() < 9e18, file_, ": field \"", key,
                       "\" must be a whole number");
    return v.get<std::int64_t>();
  }
  const Json& json_;
  const std::string& file_;
};

RopeScaling scaling_from(const Fields& rope, std::int64_t context, std::int64_t model_context) {
  RopeScaling s;
  const std::string type = rope.text("rope_type", rope.text("type", "default"));
  s.factor = rope.number("factor", 1);
  s.original_length = rope.number("original_max_position_embeddings", static_cast<double>(context));
  if (type == "default" || type == "mrope") {
    s.kind = RopeScaling::Kind::none;
  } else if (type == "linear") {
    s.kind = RopeScaling::Kind::linear;
  } else if (type == "dynamic") {
    s.kind = RopeScaling::Kind::dynamic;
    s.original_length = static_cast<double>(model_context);
  } else if (type == "yarn") {
    s.kind = RopeScaling::Kind::yarn;
    s.beta_fast = rope.number("beta_fast", 32);
    s.beta_slow = rope.number("beta_slow", 1);
    if (rope.find("attention_factor"))
      s.attention_factor = static_cast<float>(rope.number("attention_factor", 1));
  } else if (type == "llama3") {
    s.kind = RopeScaling::Kind::llama3;
    s.low_freq_factor = rope.number("low_freq_factor", 1);
    s.high_freq_factor = rope.number("high_freq_factor", 4);
  } else {
    throw DataError(join(rope.file(), ": rope_scaling type \"", type,
                         "\" is not known; known: default, linear, dynamic, yarn, llama3"));
  }
  require<DataError>(s.factor > 0, rope.file(), ": rope_scaling factor must be positive, got ", s.factor);
  return s;
}

void read_rope(const Fields& f, DecoderConfig& k) {
  k.rope_theta = f.number("rope_theta", 10000);
  const Json* rope = f.find("rope_parameters") ? f.find("rope_parameters") : f.find("rope_scaling");
  if (!rope) return;
  const Fields r(*rope, f.file());
  k.rope_theta = r.number("rope_theta", k.rope_theta);
  k.scaling = scaling_from(r, k.context, k.context);
}

// LLaMA, Mistral, Qwen2, Qwen3 and GLM in Hugging Face's own classes.
DecoderConfig common(const Fields& f) {
  DecoderConfig k;
  k.vocab = f.whole("vocab_size");
  k.width = f.whole("hidden_size");
  k.mlp = f.whole("intermediate_size");
  k.layers = static_cast<int>(f.whole("num_hidden_layers"));
  k.heads = static_cast<int>(f.whole("num_attention_heads"));
  k.kv_heads = static_cast<int>(f.whole("num_key_value_heads", k.heads));
  require<DataError>(k.heads > 0, f.file(), ": num_attention_heads must be positive");
  k.head_dim = f.whole("head_dim", k.width / k.heads);
  k.context = f.whole("max_position_embeddings", 2048);
  k.eps = static_cast<float>(f.number("rms_norm_eps", 1e-6));
  k.tied_head = f.flag("tie_word_embeddings", false);
  k.rotary_dims = k.head_dim;
  read_rope(f, k);
  const std::string act = f.text("hidden_act", "silu");
  require<DataError>(act == "silu" || act == "swish", f.file(), ": hidden_act \"", act,
                     "\" is not known; known: silu");
  return k;
}

DecoderConfig llama_like(const Fields& f, const std::string& type) {
  DecoderConfig k = common(f);
  if (type == "llama") {
    k.family = DecoderFamily::llama;
    k.qkv_bias = k.out_bias = f.flag("attention_bias", false);
    k.mlp_bias = f.flag("mlp_bias", false);
  } else if (type == "mistral") {
    k.family = DecoderFamily::mistral;
    k.sliding_window = f.whole("sliding_window", 0);
  } else if (type == "qwen2") {
    k.family = DecoderFamily::qwen2;
    k.qkv_bias = true;
  } else {
    k.family = DecoderFamily::qwen3;
    k.head_dim = k.rotary_dims = f.whole("head_dim", 128);
    k.qkv_bias = k.out_bias = f.flag("attention_bias", false);
    k.qk_norm = true;
  }
  require<DataError>(!f.flag("use_sliding_window", false), f.file(),
                     ": use_sliding_window: windows in some layers only are not available in this version");
  return k;
}

DecoderConfig glm(const Fields& f) {
  DecoderConfig k = common(f);
  k.family = DecoderFamily::glm4;
  k.head_dim = f.whole("head_dim", 128);
  k.rotary_dims = std::llround(static_cast<double>(k.head_dim) * f.number("partial_rotary_factor", 0.5));
  if (const Json* rope = f.find("rope_parameters")) {
    const double factor = Fields(*rope, f.file()).number("partial_rotary_factor", -1);
    if (factor > 0) k.rotary_dims = std::llround(static_cast<double>(k.head_dim) * factor);
  }
  k.pairing = RopeSpec::interleaved;
  k.qkv_bias = f.flag("attention_bias", false);
  k.fused_gate_up = true;
  return k;
}

constexpr std::int64_t kGlm4Vocabulary = 151552;

DecoderConfig chatglm2(const Fields& f) {
  DecoderConfig k;
  k.vocab = f.whole("padded_vocab_size");
  k.width = f.whole("hidden_size");
  k.mlp = f.whole("ffn_hidden_size");
  k.layers = static_cast<int>(f.whole("num_layers"));
  k.heads = static_cast<int>(f.whole("num_attention_heads"));
  k.kv_heads =
      f.flag("multi_query_attention", false) ? static_cast<int>(f.whole("multi_query_group_num")) : k.heads;
  k.head_dim = f.whole("kv_channels", 128);
  k.context = f.whole("seq_length", 8192);
  k.eps = static_cast<float>(f.number("layernorm_epsilon", 1e-5));
  k.rotary_dims = k.head_dim / 2;
  k.pairing = RopeSpec::interleaved;
  k.rope_theta = 10000 * f.number("rope_ratio", 1);
  k.qkv_bias = f.flag("add_qkv_bias", false) || f.flag("add_bias_linear", false);
  k.out_bias = k.mlp_bias = f.flag("add_bias_linear", false);
  k.fused_qkv = k.fused_gate_up = true;
  require<DataError>(f.flag("rmsnorm", true), f.file(), ": rmsnorm: false is not available");
  require<DataError>(!f.flag("apply_residual_connection_post_layernorm", false), f.file(),
                     ": apply_residual_connection_post_layernorm: true is not available");
  const std::string name = f.text("_name_or_path", "");
  k.family = k.vocab == kGlm4Vocabulary                   ? DecoderFamily::glm4
             : name.find("chatglm3") != std::string::npos ? DecoderFamily::chatglm3
                                                          : DecoderFamily::chatglm2;
  return k;
}

DecoderConfig chatglm(const Fields& f) {
  DecoderConfig k;
  k.family = DecoderFamily::chatglm;
  k.vocab = f.whole("vocab_size");
  k.width = f.whole("hidden_size");
  k.mlp = f.whole("inner_hidden_size");
  k.layers = static_cast<int>(f.whole("num_layers"));
  k.heads = k.kv_heads = static_cast<int>(f.whole("num_attention_heads"));
  require<DataError>(k.heads > 0, f.file(), ": num_attention_heads must be positive");
  k.head_dim = k.width / k.heads;
  k.context = f.whole("max_sequence_length", 2048);
  k.eps = static_cast<float>(f.number("layernorm_epsilon", 1e-5));
  k.rotary_dims = k.head_dim / 2;
  k.qkv_bias = k.out_bias = k.mlp_bias = true;
  k.fused_qkv = true;
  require<DataError>(f.flag("position_encoding_2d", true), f.file(),
                     ": position_encoding_2d: false is not available");
  return k;
}

}  // namespace

DecoderConfig decoder_config_from_json(const Json& json, const std::string& file) {
  const Fields f(json, file);
  const std::string type = f.text("model_type", "");
  DecoderConfig k;
  if (type == "llama" || type == "mistral" || type == "qwen2" || type == "qwen3") {
    k = llama_like(f, type);
  } else if (type == "glm") {
    k = glm(f);
  } else if (type == "chatglm") {
    k = f.find("inner_hidden_size") ? chatglm(f) : chatglm2(f);
  } else {
    throw DataError(join(file, ": model_type \"", type,
                         "\" is not known; known: llama, mistral, qwen2, qwen3, glm, chatglm"));
  }
  check(k, file);
  return k;
}

nlohmann::ordered_json decoder_config_to_json(const DecoderConfig& k) {
  require<ConfigError>(!k.fused_qkv, "config.json: ", name_of(k.family), " keeps the file it came with");
  constexpr const char* kClasses[] = {"LlamaForCausalLM", "MistralForCausalLM", "Qwen2ForCausalLM",
                                      "Qwen3ForCausalLM"};
  const auto family = static_cast<std::size_t>(k.family);
  nlohmann::ordered_json j;
  const bool is_glm = k.family == DecoderFamily::glm4;
  j["architectures"] = {is_glm ? "GlmForCausalLM" : kClasses[family]};
  j["model_type"] = is_glm ? "glm" : std::string(name_of(k.family));
  j["vocab_size"] = k.vocab;
  j["hidden_size"] = k.width;
  j["intermediate_size"] = k.mlp;
  j["num_hidden_layers"] = k.layers;
  j["num_attention_heads"] = k.heads;
  j["num_key_value_heads"] = k.kv_heads;
  j["head_dim"] = k.head_dim;
  j["max_position_embeddings"] = k.context;
  j["rms_norm_eps"] = k.eps;
  j["rope_theta"] = k.rope_theta;
  j["hidden_act"] = "silu";
  j["tie_word_embeddings"] = k.tied_head;
  if (k.family == DecoderFamily::llama) j["mlp_bias"] = k.mlp_bias;
  if (k.family != DecoderFamily::qwen2) j["attention_bias"] = k.qkv_bias;
  if (k.sliding_window > 0) j["sliding_window"] = k.sliding_window;
  if (is_glm)
    j["partial_rotary_factor"] = static_cast<double>(k.rotary_dims) / static_cast<double>(k.head_dim);
  if (k.scaling.kind == RopeScaling::Kind::llama3) {
    j["rope_scaling"] = {{"rope_type", "llama3"},
                         {"factor", k.scaling.factor},
                         {"low_freq_factor", k.scaling.low_freq_factor},
                         {"high_freq_factor", k.scaling.high_freq_factor},
                         {"original_max_position_embeddings", k.scaling.original_length}};
  }
  return j;
}

}  // namespace rankine
