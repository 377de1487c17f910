// The way from a run file to the parts of a run, shared by the commands.
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "engine/train/task.h"
#include "engine/train/trainer.h"
#include "models/tasks/diffusion_task.h"

namespace rankine::app {

// What the user named on the command line.
struct ConfigArgs {
  std::string file;
  std::vector<std::string> overrides;  // key=value
};

// The same with settings that win over those before.
ConfigArgs with_settings(ConfigArgs args, const std::vector<std::string>& settings);

// Reads the file and refuses what this version or build cannot do. Throws ConfigError.
RunConfig load_config(const ConfigArgs& args);

// Vocabularies: <program>/../share/rankine/clip, /usr/share/rankine/clip, $RANKINE_SHARE/clip.
TokenizerSearch tokenizer_search();

// What the data side needs to know of the model, from its header alone.
struct ModelShape {
  int side = 512;     // pixels it was made for
  int downscale = 8;  // pixels per latent
};
ModelShape shape_of_model(const RunConfig& config);

std::unique_ptr<ImageData> load_data(const RunConfig& config);
std::vector<std::string> captions_of(const ImageData& data);

// The task of the run; `diffusion` is the same object where it is one, else null.
struct RunTask {
  std::unique_ptr<Task> task;
  DiffusionTask* diffusion = nullptr;
};
RunTask make_task(const RunConfig& config, LoadedModel model, std::unique_ptr<ImageData> data);

std::string result_name(const RunConfig& config);  // file in output_dir that users load
// Where page files of the run go.
std::filesystem::path page_dir_of(const RunConfig& config);
TrainOptions train_options(const RunConfig& config, std::int64_t max_steps);

}  // namespace rankine::app
