#include "apps/rankine/inspect_text.h"

#include <map>

#include "io/formats/gguf.h"
#include "io/formats/peft_adapter.h"
#include "models/decoder/decoder_checkpoint.h"
#include "models/decoder/decoder_export.h"

namespace rankine::app {
namespace fs = std::filesystem;
namespace {

using Json = nlohmann::ordered_json;

class Counter final : public ModelVisitor {
 public:
  void weight(Weight& w) override { numbers += w.shape().numel(); }
  std::int64_t numbers = 0;
};

Json types_of(const TensorSource& source) {
  std::map<std::string, Json> rows;
  for (const auto& [name, info] : source.tensors()) {
    Json& row = rows[std::string(name_of(info.dtype))];
    if (row.is_null()) row = {{"tensors", 0}, {"numbers", 0}, {"bytes", 0}};
    row["tensors"] = row["tensors"].get<std::int64_t>() + 1;
    row["numbers"] = row["numbers"].get<std::int64_t>() + info.numel();
    row["bytes"] =
        row["bytes"].get<std::uint64_t>() + bytes_of(info.dtype, static_cast<std::uint64_t>(info.numel()));
  }
  return rows;
}

Json vocabulary_facts(const DecoderCheckpoint& k) {
  try {
    const auto tokenizer = load_tokenizer(k, std::nullopt);
    const Tokenizer::Specials& s = tokenizer->specials();
    const auto piece = [&](const std::optional<std::int32_t>& id) {
      return id ? Json(tokenizer->piece(*id)) : Json();
    };
    Json stops = Json::array();
    for (const std::int32_t id : s.stops) stops.push_back(tokenizer->piece(id));
    return {
        {"tokens", tokenizer->vocab_size()}, {"bos", piece(s.bos)}, {"eos", piece(s.eos)}, {"stops", stops}};
  } catch (const Error& e) {
    return {{"none", e.what()}};
  }
}

Json inspect_decoder(const fs::path& path) {
  const DecoderCheckpoint k = open_decoder_checkpoint(path);
  const DecoderConfig& c = k.config;
  Runtime runtime(Device::cpu().planned());
  Decoder model(Context(runtime), c, k.names);  // built, never loaded
  Counter counter;
  model.visit(counter);
  const auto architecture = gguf_architecture(c);
  return {{"path", k.path.string()},
          {"kind", "language model"},
          {"family", name_of(c.family)},
          {"format", k.format},
          {"parameters", counter.numbers},
          {"vocabulary_rows", c.vocab},
          {"hidden_size", c.width},
          {"intermediate_size", c.mlp},
          {"layers", c.layers},
          {"heads", c.heads},
          {"key_heads", c.kv_heads},
          {"head_size", c.head_dim},
          {"context", c.context},
          {"norm_eps", c.eps},
          {"rope_theta", c.rope_theta},
          {"tied_head", c.tied_head},
          {"llama_cpp", architecture ? Json(*architecture) : Json()},
          {"assumed", k.assumed},
          {"vocabulary", vocabulary_facts(k)},
          {"dtypes", types_of(*k.source)}};
}

Json inspect_peft(const fs::path& folder) {
  const PeftAdapter adapter = read_peft_adapter(folder);
  std::map<std::string, int> ranks;
  Json modules = Json::array();
  std::int64_t parameters = 0;
  for (const AdapterWeights& m : adapter.modules) {
    ++ranks[std::to_string(m.rank())];
    parameters += static_cast<std::int64_t>(m.a.values.size() + m.b.values.size() + m.magnitude.size());
    modules.push_back(
        {{"name", m.module}, {"rank", m.rank()}, {"scale", m.scale}, {"dora", !m.magnitude.empty()}});
  }
  return {{"path", folder.string()},
          {"kind", "lora adapter (PEFT)"},
          {"base_model", adapter.config.base_model},
          {"parameters", parameters},
          {"target_modules", adapter.config.target_modules},
          {"ranks", ranks},
          {"modules", modules}};
}

Json inspect_gguf(const fs::path& path) {
  const GgufFile file(path);
  Json tensors = Json::array(), keys = Json::object();
  for (const auto& [key, value] : file.metadata()) keys[key] = value;
  for (const auto& [name, info] : file.tensors())
    tensors.push_back({{"name", name}, {"dtype", name_of(info.dtype)}, {"shape", info.shape}});
  const bool adapter = file.get<std::string>("general.type").value_or("model") == "adapter";
  return {{"path", path.string()},
          {"kind", adapter ? "lora adapter (GGUF)" : "GGUF file"},
          {"architecture", file.get<std::string>("general.architecture").value_or("")},
          {"dtypes", types_of(file)},
          {"tensors", tensors},
          {"metadata", keys}};
}

}  // namespace

std::optional<Json> inspect_language_file(const fs::path& path) {
  if (fs::is_directory(path) && fs::exists(path / "adapter_config.json")) return inspect_peft(path);
  if (!is_decoder_file(path)) return std::nullopt;
  if (path.extension() != ".gguf") return inspect_decoder(path);
  const GgufFile file(path);
  const bool model = file.get<std::string>("general.type").value_or("model") == "model" &&
                     file.contains("token_embd.weight");
  return model ? inspect_decoder(path) : inspect_gguf(path);
}

}  // namespace rankine::app
