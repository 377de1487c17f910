// convert and merge: models as files of their own.
#include <fmt/core.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "apps/rankine/commands.h"
#include "apps/rankine/exit_code.h"
#include "apps/rankine/text_session.h"
#include "io/files/atomic_folder.h"
#include "models/decoder/decoder_export.h"
#include "models/tasks/text_data.h"
#include "models/tasks/text_results.h"
#include "models/tasks/text_runner.h"

namespace rankine::app {
namespace fs = std::filesystem;
namespace {

struct TypeName {
  std::string_view name;
  FileDType dtype;
};
constexpr TypeName kTypes[] = {{"f32", FileDType::f32},   {"f16", FileDType::f16},
                               {"bf16", FileDType::bf16}, {"q4_0", FileDType::q4_0},
                               {"q4_1", FileDType::q4_1}, {"q5_0", FileDType::q5_0},
                               {"q5_1", FileDType::q5_1}, {"q8_0", FileDType::q8_0}};

FileDType type_named(const std::string& name) {
  std::string known;
  for (const TypeName& t : kTypes) {
    if (t.name == name) return t.dtype;
    known += (known.empty() ? "" : ", ") + std::string(t.name);
  }
  throw ConfigError(fmt::format("--type: '{}' is not known; known: {}", name, known));
}

// By the ending of the name: .gguf, .bin (ggjt), or a folder.
void write_model(const fs::path& out, FileDType dtype, const DecoderExport& model,
                 const ExportVocabulary& vocabulary) {
  require<ConfigError>(!fs::exists(out) || (fs::is_directory(out) && fs::is_empty(out)), out.string(),
                       ": exists already; nothing is overwritten");
  if (out.has_parent_path()) fs::create_directories(out.parent_path());
  if (out.extension() == ".gguf") return model.write_gguf(out, dtype, vocabulary);
  if (out.extension() == ".bin") return model.write_ggjt(out, dtype, vocabulary);
  require<ConfigError>(memory_dtype(dtype) && !is_block(*memory_dtype(dtype)),
                       "--type: a Hugging Face folder holds f32, f16 or bf16");
  write_folder_atomically(
      out, [&](const fs::path& made) { model.write_hugging_face(made, dtype, vocabulary, {}); },
      [](const fs::path& made) { open_decoder_checkpoint(made); });
}

// Loss over the run's held-out rows, or over a part of the training rows where none are held out.
double loss_of(const RunConfig& config, const Context& c, Decoder& model, const ChatRenderer& chat) {
  constexpr std::size_t kMostRows = 64;
  const std::string path = config.text.validation_data.value_or(config.data.train_data_dir);
  TextDataset set = load_text_dataset(text_dataset_options(config, path));
  if (set.rows.size() > kMostRows) set.rows.resize(kMostRows);
  const EncodedText encoded = encode_text(set.rows, chat, encode_options(config));
  TextRunner runner(model, chat.tokenizer().specials().pad.value_or(0));
  return runner.score(c, encoded.sequences).loss;
}

}  // namespace

int run_convert(const ConvertCommand& command, Console& console) {
  Runtime runtime(Device::cpu());
  const Context c(runtime);
  const DecoderCheckpoint checkpoint = open_decoder_checkpoint(command.model);
  for (const std::string& assumed : checkpoint.assumed) console.warn(assumed);
  Decoder model(c, checkpoint.config, checkpoint.names);
  load_weights(c, model, *checkpoint.source, checkpoint.naming(), {checkpoint.source, nullptr});
  write_model(command.out, type_named(command.type), DecoderExport(model, checkpoint),
              vocabulary_of(checkpoint));
  fmt::print("{}\n", command.out);
  return kFinished;
}

int run_merge(const MergeCommand& command, Console& console) {
  const RunConfig config = load_config(command.config);
  TextSession session(config, command.lora);
  require<ConfigError>(session.has_adapter(), "merge: there is no adapter; train first, or give --lora");
  std::vector<AdapterWeights> adapter =
      read_files_adapter(session.adapter_path(), session.loaded().checkpoint);
  const double with_adapter = loss_of(config, session.context(), session.model(), session.chat());
  session.set_strength(0);
  const double base = loss_of(config, session.context(), session.model(), session.chat());
  write_model(command.out, type_named(command.type),
              DecoderExport(session.model(), session.loaded().checkpoint, std::move(adapter)),
              session.loaded().vocabulary);

  RunConfig merged_config = config;
  merged_config.model.base_model = command.out;
  TextSession merged(merged_config, "none");
  const double merged_loss = loss_of(merged_config, merged.context(), merged.model(), merged.chat());
  if (command.json) {
    const nlohmann::ordered_json json{{"result", command.out},
                                      {"base_loss", base},
                                      {"adapter_loss", with_adapter},
                                      {"merged_loss", merged_loss}};
    fmt::print("{}\n", json.dump(2));
    return kFinished;
  }
  fmt::print("{}\n", command.out);
  console.info(fmt::format("loss: base {:.4f}, with adapter {:.4f}, merged {:.4f} ({:+.4f})", base,
                           with_adapter, merged_loss, merged_loss - with_adapter));
  if (merged_loss - with_adapter > 0.1 * std::abs(base - with_adapter))
    console.warn(
        "merging lost more than a tenth of what the adapter had learned; use a wider --type, or the adapter");
  return kFinished;
}

}  // namespace rankine::app
