// From a run file to a model in memory: finds the base model and its vocabulary, or builds a small new one.
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "io/config/run_config.h"
#include "kernels/loss/loss.h"
#include "models/sd/stable_diffusion.h"

namespace rankine {

// Where a vocabulary may lie when the model brings none: CLIP's own merges, as published.
struct TokenizerSearch {
  std::vector<std::filesystem::path> folders;  // tried in order, after the model's own folder
};

struct LoadedModel {
  std::unique_ptr<StableDiffusion> sd;
  std::unique_ptr<PagedWeightStream> stream;  // of the U-Net; null where somebody else made the model
  std::string name;                           // file or folder name of the base
  std::string sha256;      // of the single file; of the names and sizes of a folder or a new model's settings
  std::string vae_sha256;  // the same of what the VAE came from
};

// The run's base model and VAE, nothing loaded; a shape (base_shape.h) as well as a file.
SdCheckpoint sd_checkpoint_of(const config::RunConfig& config);

// The model's own merges, else `explicit_path`, else merges.txt, tokenizer/merges.txt or
// bpe_simple_vocab_16e6.txt.gz beside the model or in a search folder. Throws ConfigError saying where it
// looked and how to get the file.
std::shared_ptr<const ClipTokenizer> find_tokenizer(const SdCheckpoint& checkpoint,
                                                    const std::string& explicit_path,
                                                    const TokenizerSearch& search);

// Opens and loads `config.model.base_model` (or initialises `new_model`, learning its vocabulary from
// `captions`). On a plan device nothing is read but headers. Streams weights of the U-Net alone. Throws
// ConfigError when weights are to be streamed that train.
LoadedModel load_model(const Context& c, const config::RunConfig& config, const TokenizerSearch& search,
                       const std::vector<std::string>& captions, const WeightStreaming& streaming = {});

// Schedule of the run: prediction type auto means the model's own.
NoiseSchedule noise_schedule_for(const config::RunConfig& config, const StableDiffusion& sd);
RegressionSpec regression_of(const config::ObjectiveSection& objective);

}  // namespace rankine
