#include <fmt/core.h>

#include <algorithm>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>
#include <regex>

#include "apps/rankine/commands.h"
#include "apps/rankine/exit_code.h"
#include "apps/rankine/prompts_file.h"
#include "apps/rankine/run_report.h"
#include "io/files/atomic_write.h"
#include "io/image/decode.h"
#include "models/diffusion/style_score.h"

namespace rankine::app {
namespace fs = std::filesystem;
namespace {

// Of a folder: the numbered pictures that `sample` writes, so that a grid beside them does not count; else
// all PNGs.
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

struct Scored {
  StyleScore score;
  nlohmann::ordered_json each = nlohmann::ordered_json::array();
};

Scored score_of(const std::vector<std::string>& paths, const std::vector<std::string>& prompts,
                const std::string& file) {
  std::vector<fs::path> pictures;
  for (const std::string& path : paths) {
    require<IoError>(fs::exists(path), path, ": no such file or folder");
    const std::vector<fs::path> found =
        fs::is_directory(path) ? pictures_in(path) : std::vector<fs::path>{path};
    pictures.insert(pictures.end(), found.begin(), found.end());
  }
  require<DataError>(pictures.size() == prompts.size(), file, ": has ", prompts.size(), " prompts for ",
                     pictures.size(), " pictures; they are matched in order and must be as many");
  Scored out;
  for (std::size_t i = 0; i < pictures.size(); ++i) {
    const Image image = decode_image(pictures[i]);
    out.score.add(image, prompts[i]);
    const auto colour = dominant_colour(image);
    out.each.push_back({{"file", pictures[i].string()},
                        {"prompt", prompts[i]},
                        {"style_probability", style_probability(style_features(image))},
                        {"colour", colour ? nlohmann::ordered_json(*colour) : nlohmann::ordered_json()}});
  }
  return out;
}

nlohmann::ordered_json numbers(const StyleScore& score) {
  return {{"pictures", score.pictures()},
          {"mean_probability", score.mean_probability()},
          {"style_share", score.style_share()},
          {"colour_match", score.colour_match()}};
}

void print_numbers(const char* title, const StyleScore& score) {
  fmt::print(
      "{:<8}{} pictures: {:.1f} % in the style (mean probability {:.3f}), {:.1f} % in the colour asked for\n",
      title, score.pictures(), 100 * score.style_share(), score.mean_probability(),
      100 * score.colour_match());
}

}  // namespace

int run_score(const ScoreCommand& command, Console&) {
  const std::vector<std::string> prompts = read_prompts(command.prompts_file);
  const Scored after = score_of(command.pictures, prompts, command.prompts_file);
  std::optional<Scored> before;
  if (!command.before.empty()) before = score_of({command.before}, prompts, command.prompts_file);

  nlohmann::ordered_json json = numbers(after.score);
  if (before) json["before"] = numbers(before->score);
  if (!command.run_dir.empty()) {
    write_file_atomically(fs::path(command.run_dir) / kScoresFile, json.dump(2) + "\n");
    write_run_report(command.run_dir);
  }
  if (command.json) {
    json["each"] = after.each;
    fmt::print("{}\n", json.dump(2, ' ', false, nlohmann::ordered_json::error_handler_t::replace));
    return kFinished;
  }
  if (before) print_numbers("before", before->score);
  print_numbers(before ? "after" : "", after.score);
  return kFinished;
}

}  // namespace rankine::app
