// Pictures of the same prompts side by side.
#pragma once

#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "io/image/image.h"

namespace rankine::app {

// One row per prompt: the prompt as text, then its pictures. `columns` are the headings of the pictures.
// Small pictures are enlarged so that the text can be read.
Image prompt_grid(const std::vector<std::string>& prompts, const std::vector<std::vector<Image>>& rows,
                  const std::vector<std::string>& columns);

// As square as it gets, each picture with its prompt below.
Image captioned_grid(const std::vector<std::string>& prompts, const std::vector<Image>& images);

// One preview of a run, as the trainer names it: samples/step-000100-2.png.
struct Preview {
  std::int64_t step = 0;
  std::size_t prompt = 0;  // from 0
  std::filesystem::path file;
};
std::vector<Preview> previews_in(const std::filesystem::path& samples);  // sorted by prompt, then step

// The first and the last preview of each prompt that has two.
struct BeforeAfter {
  std::size_t prompt = 0;
  Preview before, after;
};
std::vector<BeforeAfter> before_and_after(const std::vector<Preview>& previews);

// Writes samples/grid.png (prompt, before, after); false when no prompt has two previews.
bool write_before_after_grid(const std::filesystem::path& samples, const std::vector<std::string>& prompts);

}  // namespace rankine::app
