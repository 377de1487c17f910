// From a run file to a language model in memory.
#pragma once

#include <memory>
#include <string>

#include "io/config/run_config.h"
#include "models/decoder/decoder_export.h"
#include "models/nn/load.h"

namespace rankine {

struct LoadedDecoder {
  DecoderCheckpoint checkpoint;  // of a new model: sizes and names, no source
  std::unique_ptr<Decoder> model;
  std::unique_ptr<PagedWeightStream> stream;  // of its blocks
  std::shared_ptr<const Tokenizer> tokenizer;
  ExportVocabulary vocabulary;
  std::string name;         // file or folder name of the base
  std::string fingerprint;  // of names, types, shapes and a sample of the bytes of its tensors
};

// How weights are loaded: mapped where they can be, and under `quantise_base` the linears of the layers in
// blocks; embedding and head stay as they are, as QLoRA leaves them.
LoadOptions load_options(const config::RunConfig& config, const DecoderCheckpoint& k);

// The checkpoint, nothing loaded: what data and plans need.
DecoderCheckpoint checkpoint_of(const config::RunConfig& config);

struct DecoderVocabulary {
  std::shared_ptr<const Tokenizer> tokenizer;
  ExportVocabulary file;  // for models that are written
};
// The model's own or the run file's; a new model without one learns it from the training texts, so many
// tokens as its embedding has rows.
DecoderVocabulary vocabulary_for(const config::RunConfig& config, const DecoderCheckpoint& checkpoint);

// Opens `config.model.base_model` with its weights mapped where they can be used as they lie, or makes
// `new_model`. On a plan device nothing is read but headers. Throws ConfigError when weights are to be
// streamed that train.
LoadedDecoder load_decoder(const Context& c, const config::RunConfig& config,
                           const WeightStreaming& streaming = {});

}  // namespace rankine
