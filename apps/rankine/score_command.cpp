#include <fmt/core.h>

#include <algorithm>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <regex>

#include "apps/rankine/commands.h"
#include "apps/rankine/exit_code.h"
#include "apps/rankine/prompts_file.h"
#include "io/image/decode.h"
#include "models/diffusion/style_score.h"

namespace rankine::app {
namespace fs = std::filesystem;
namespace {

// Of a folder: the numbered pictures that `sample` writes, so that a grid beside them does not count; else all PNGs.
std::vector<fs::path> pictures_in(const fs::path& folder) {
  static const std::regex numbered("[0-9]{5}-.*\\.png");
  std::vector<fs::path> all, with_number;
  for (const auto& entry : fs::directory_iterator(folder)) {
    const std::string name = entry.path().filename().string();
    if (entry.path().extension() == ".png") all.push_back(entry.path());
    if (std::regex_match(name, numbered)) with_number.push_back(entry.path());
  }
  std::vector<fs::path>& chosen = with_number.empty() ? all : with_number;
  std::sort(chosen.begin(), chosen.end());
  return chosen;
}

}  // namespace

int run_score(const ScoreCommand& command, Console&) {
  std::vector<fs::path> pictures;
  for (const std::string& path : command.pictures) {
    require<IoError>(fs::exists(path), path, ": no such file or folder");
    const std::vector<fs::path> found = fs::is_directory(path) ? pictures_in(path) : std::vector<fs::path>{path};
    pictures.insert(pictures.end(), found.begin(), found.end());
  }
  const std::vector<std::string> prompts = read_prompts(command.prompts_file);
  require<DataError>(pictures.size() == prompts.size(), command.prompts_file, ": has ", prompts.size(), " prompts for ",
                     pictures.size(), " pictures; they are matched in order and must be as many");
  StyleScore score;
  nlohmann::ordered_json each = nlohmann::ordered_json::array();
  for (std::size_t i = 0; i < pictures.size(); ++i) {
    const Image image = decode_image(pictures[i]);
    score.add(image, prompts[i]);
    const auto colour = dominant_colour(image);
    each.push_back({{"file", pictures[i].string()},
                    {"prompt", prompts[i]},
                    {"style_probability", style_probability(style_features(image))},
                    {"colour", colour ? nlohmann::ordered_json(*colour) : nlohmann::ordered_json()}});
  }
  if (command.json) {
    const nlohmann::ordered_json json = {{"pictures", score.pictures()},
                                         {"mean_probability", score.mean_probability()},
                                         {"style_share", score.style_share()},
                                         {"colour_match", score.colour_match()},
                                         {"each", each}};
    fmt::print("{}\n", json.dump(2, ' ', false, nlohmann::ordered_json::error_handler_t::replace));
    return kFinished;
  }
  fmt::print("pictures                {}\nmean style probability  {:.3f}\nin the style            {:.1f} %\n"
             "colour as asked         {:.1f} %\n",
             score.pictures(), score.mean_probability(), 100 * score.style_share(), 100 * score.colour_match());
  return kFinished;
}

}  // namespace rankine::app
