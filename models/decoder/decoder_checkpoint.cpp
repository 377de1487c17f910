#include "models/decoder/decoder_checkpoint.h"

#include <array>
#include <fstream>

#include "io/formats/bnb_source.h"
#include "io/formats/ggml_legacy.h"
#include "io/formats/ggml_vocab.h"
#include "io/formats/gguf.h"
#include "io/formats/open_source.h"
#include "models/decoder/checkpoint_configs.h"

namespace rankine {
namespace fs = std::filesystem;
namespace {

enum class Magic : std::uint8_t { other, gguf, ggml };

Magic magic_of(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  std::array<char, 4> bytes{};
  if (!in.read(bytes.data(), bytes.size())) return Magic::other;
  const std::string_view text(bytes.data(), bytes.size());
  if (text == "GGUF") return Magic::gguf;
  return text == "lmgg" || text == "fmgg" || text == "tjgg" ? Magic::ggml : Magic::other;
}

DecoderCheckpoint open_folder(const fs::path& folder) {
  DecoderCheckpoint k;
  k.path = folder;
  k.format = "Hugging Face folder";
  const fs::path config = folder / "config.json";
  require<DataError>(fs::exists(config), folder.string(),
                     ": no config.json in the folder of a language model");
  const nlohmann::json json = read_config_json(config);
  const auto bits = json.find("quantization_bit");  // THUDM's int8 and int4 files
  k.source = dequantized(open_tensor_source(folder),
                         bits != json.end() && bits->is_number_integer() ? bits->get<int>() : 0);
  k.config = decoder_config_from_json(json, config.string());
  fit_to_tensors(k.config, *k.source);
  k.names = k.file_names = names_of(k.config);
  return k;
}

DecoderCheckpoint open_gguf(const fs::path& path) {
  DecoderCheckpoint k;
  const auto file = std::make_shared<const GgufFile>(path);
  check_gguf_heads(*file);
  k.path = path;
  k.container = DecoderContainer::gguf;
  k.format = "GGUF";
  k.source = file;
  k.config = decoder_config_from_gguf(*file);
  k.names = names_of(k.config);
  k.file_names = gguf_decoder_names();
  k.interleaved = k.config.family == DecoderFamily::llama;
  return k;
}

DecoderCheckpoint open_ggml(const fs::path& path, const DecoderOverrides& overrides) {
  DecoderCheckpoint k;
  const auto file = std::make_shared<const GgmlFile>(path);
  k.path = path;
  k.container = DecoderContainer::ggml;
  constexpr const char* kNames[] = {"ggml", "ggmf", "ggjt"};
  k.format = join(kNames[static_cast<int>(file->container())], " ", file->version());
  k.source = file;
  k.config = decoder_config_from_ggml(*file);
  k.names = llama_names();
  k.file_names = meta_names();
  k.interleaved = true;
  const auto assume = [&](bool given, const char* key, double value) {
    if (!given) k.assumed.push_back(join("the file does not say ", key, "; taken: ", value));
  };
  assume(overrides.norm_eps.has_value(), "norm_eps (LLaMA 1 has 1e-6)", k.config.eps);
  assume(overrides.rope_theta.has_value(), "rope_theta", k.config.rope_theta);
  assume(overrides.context_length.has_value(), "context_length", static_cast<double>(k.config.context));
  return k;
}

}  // namespace

bool is_decoder_file(const fs::path& path) {
  if (fs::is_directory(path))
    return fs::exists(path / "config.json") && !fs::exists(path / "model_index.json");
  return magic_of(path) != Magic::other;
}

DecoderCheckpoint open_decoder_checkpoint(const fs::path& path, const DecoderOverrides& overrides) {
  require<DataError>(fs::exists(path), path.string(), ": no such file or folder");
  DecoderCheckpoint k;
  if (fs::is_directory(path)) {
    k = open_folder(path);
  } else {
    switch (magic_of(path)) {
      case Magic::gguf:
        k = open_gguf(path);
        break;
      case Magic::ggml:
        k = open_ggml(path, overrides);
        break;
      case Magic::other: {
        // One file of a folder: the config lies beside it.
        require<DataError>(
            fs::exists(path.parent_path() / "config.json"), path.string(),
            ": not a GGUF or GGML file, and no config.json lies beside it; expected the folder of a "
            "Hugging Face model, a .gguf file or a ggml .bin file");
        k = open_folder(path.parent_path().empty() ? fs::path(".") : path.parent_path());
        break;
      }
    }
  }
  if (overrides.norm_eps) k.config.eps = static_cast<float>(*overrides.norm_eps);
  if (overrides.rope_theta) k.config.rope_theta = *overrides.rope_theta;
  if (overrides.context_length) k.config.context = *overrides.context_length;
  check(k.config, path.string());
  return k;
}

Naming DecoderCheckpoint::naming() const {
  return [names = names, file_names = file_names, file = path.string()](const Weight& w) {
    const auto name = translate(w.path(), names, file_names);
    require<DataError>(name.has_value(), file, ": this kind of file has no name for ", w.path());
    return WeightOrigin{*name};
  };
}

std::shared_ptr<const Tokenizer> load_tokenizer(const DecoderCheckpoint& k,
                                                const std::optional<std::string>& explicit_path) {
  TokenizerOptions options;
  options.embedding_rows = k.config.vocab;
  switch (k.config.family) {
    case DecoderFamily::chatglm:
      options.family = TokenizerFamily::chatglm;
      break;
    case DecoderFamily::chatglm2:
      options.family = TokenizerFamily::chatglm2;
      break;
    case DecoderFamily::chatglm3:
      options.family = TokenizerFamily::chatglm3;
      break;
    default:
      break;
  }
  if (explicit_path) return load_tokenizer(fs::path(*explicit_path), options);
  switch (k.container) {
    case DecoderContainer::gguf:
      return make_tokenizer(vocab_of(dynamic_cast<const GgufFile&>(*k.source)), k.path.string());
    case DecoderContainer::ggml:
      return make_tokenizer(vocab_of(dynamic_cast<const GgmlFile&>(*k.source)), k.path.string());
    case DecoderContainer::hugging_face:
      break;
  }
  return load_tokenizer(k.path, options);
}

}  // namespace rankine
