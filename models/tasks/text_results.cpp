#include "models/tasks/text_results.h"

#include "io/files/atomic_folder.h"
#include "io/formats/gguf_adapter.h"
#include "io/formats/peft_adapter.h"
#include "io/formats/rope_layout.h"
#include "models/decoder/decoder_export.h"
#include "models/tasks/text_task.h"

namespace rankine {
namespace fs = std::filesystem;
namespace {

FileDType stored_as(config::SaveDtype t) {
  switch (t) {
    case config::SaveDtype::fp16:
      return FileDType::f16;
    case config::SaveDtype::bf16:
      return FileDType::bf16;
    case config::SaveDtype::fp32:
      return FileDType::f32;
  }
  return FileDType::f16;
}

enum class RowOrder : std::uint8_t { model, file };

// Rows of q and k between this model's order and that of files, which is Hugging Face's.
void reorder(std::vector<AdapterWeights>& adapter, const DecoderCheckpoint& k, RowOrder to) {
  if (!k.interleaved) return;
  for (AdapterWeights& m : adapter) {
    const int heads = reordered_heads(k.config, k.names, m.module);
    if (heads == 0) continue;
    const auto turned = [&](const AdapterMatrix& b) {
      return to == RowOrder::file ? permute_rows_to_halves(b, heads) : permute_rows_to_interleaved(b, heads);
    };
    m.b = turned(m.b);
    if (m.magnitude.empty()) continue;
    const auto rows = static_cast<std::int64_t>(m.magnitude.size());
    m.magnitude = turned({rows, 1, std::move(m.magnitude)}).values;
  }
}

// What llama.cpp calls this model's modules. Throws DataError for a family it does not know.
GgufAdapterNames gguf_names(const DecoderCheckpoint& k) {
  const auto architecture = gguf_architecture(k.config);
  require<DataError>(architecture.has_value(), "GGUF has no architecture for ", name_of(k.config.family));
  GgufAdapterNames names;
  names.architecture = *architecture;
  names.tensor_of = [own = k.names](const std::string& module) {
    return translate(module + ".weight", own, gguf_decoder_names());
  };
  names.module_of = [own = k.names](const std::string& tensor) -> std::optional<std::string> {
    const auto path = translate(tensor, gguf_decoder_names(), own);
    if (!path) return std::nullopt;
    return path->substr(0, path->rfind('.'));
  };
  if (*architecture == "llama") {
    names.interleaved_heads = [config = k.config, own = k.names](const std::string& module) {
      return reordered_heads(config, own, module);
    };
  }
  return names;
}

}  // namespace

std::vector<AdapterWeights> adapter_of(const DecoderLora& network, const DecoderCheckpoint& checkpoint) {
  std::vector<AdapterWeights> modules = network.to_file();
  reorder(modules, checkpoint, RowOrder::file);
  return modules;
}

std::vector<AdapterWeights> read_files_adapter(const fs::path& path, const DecoderCheckpoint& k) {
  require<DataError>(fs::exists(path), path.string(), ": no such adapter");
  return fs::is_directory(path) ? read_peft_adapter(path).modules : read_gguf_adapter(path, gguf_names(k));
}

std::vector<AdapterWeights> read_text_adapter(const fs::path& path, const DecoderCheckpoint& k) {
  std::vector<AdapterWeights> modules = read_files_adapter(path, k);
  reorder(modules, k, RowOrder::model);
  return modules;
}

void save_text_adapter(const fs::path& folder, TextTask& task,
                       const std::map<std::string, std::string>& facts) {
  const DecoderCheckpoint& k = task.loaded().checkpoint;
  const config::RunConfig& config = task.config();
  const FileDType dtype = stored_as(config.output.save_dtype);
  const std::vector<AdapterWeights> modules = adapter_of(task.network(), k);
  PeftOptions options;
  options.base_model = config.model.base_model;
  options.dropout = static_cast<float>(config.adapter.lora_dropout);
  options.rank_stabilised = config.adapter.use_rslora;
  options.linears = task.network().linear_paths();
  write_peft_adapter(folder, peft_adapter(modules, options), dtype);
  const bool gguf = gguf_architecture(k.config).has_value() && !config.adapter.use_dora;
  fs::path beside = folder;
  beside += ".gguf";
  if (gguf)
    write_gguf_adapter(beside, modules, gguf_names(k), dtype == FileDType::bf16 ? FileDType::f32 : dtype);
}

void save_decoder_folder(const fs::path& folder, LoadedDecoder& model, config::SaveDtype dtype,
                         const std::map<std::string, std::string>& facts) {
  MetadataTable metadata(facts.begin(), facts.end());
  const DecoderExport out(*model.model, model.checkpoint);
  write_folder_atomically(
      folder,
      [&](const fs::path& made) {
        out.write_hugging_face(made, stored_as(dtype), model.vocabulary, metadata);
      },
      [](const fs::path& made) { open_decoder_checkpoint(made); });
}

}  // namespace rankine
