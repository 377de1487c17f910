#include <fmt/core.h>

#include "apps/rankine/commands.h"
#include "apps/rankine/device_choice.h"
#include "apps/rankine/exit_code.h"
#include "apps/rankine/stop_signals.h"

namespace rankine::app {

int run_cache(const CacheCommand& command, Console& console) {
  const RunConfig config = load_config(command.config);
  require<ConfigError>(config.model.task_type == config::TaskType::text_to_image && config.data.cache_latents,
                       command.config.file, ": this run keeps no latents (task_type, cache_latents)");
  const StopSignals signals;
  std::unique_ptr<ImageData> data = load_data(config);
  const std::vector<std::string> captions = captions_of(*data);
  const auto runtime = make_runtime(config.machine, memory_budget(config.machine));
  const Context c(*runtime);
  LoadedModel model = load_model(c, config, tokenizer_search(), captions);
  const RunTask run = make_task(config, std::move(model), std::move(data));
  int encoded = 0;
  run.diffusion->fill_latent_cache(c, [&](int done, int all) {
    StopSignals::throw_if_requested();
    encoded = done;
    console.progress(fmt::format("encoding pictures {}/{}", done, all));
  });
  console.clear_progress();
  const std::string folder = config.data.cache_dir.value_or(config.output.output_dir + "/cache");
  console.info(fmt::format("{} crops are encoded in {}", encoded, folder));
  return kFinished;
}

}  // namespace rankine::app
