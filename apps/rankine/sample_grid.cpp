#include "apps/rankine/sample_grid.h"

#include <algorithm>
#include <regex>
#include <sstream>

#include "engine/core/error.h"
#include "io/image/decode.h"
#include "io/image/encode.h"
#include "io/image/font.h"
#include "io/image/grid.h"
#include "io/image/resize.h"

namespace rankine::app {
namespace fs = std::filesystem;
namespace {

constexpr int kReadableWidth = 192;  // pixels
constexpr int kMargin = 6;           // around text

Image enlarged(const Image& image) {
  const int factor = (kReadableWidth + image.width - 1) / image.width;
  return factor <= 1 ? image : resize(image, image.width * factor, image.height * factor);
}

std::vector<std::string> wrapped(const std::string& text, int width, int scale) {
  std::vector<std::string> lines;
  std::istringstream in(text);
  for (std::string word; in >> word;) {
    const std::string longer = lines.empty() ? word : lines.back() + ' ' + word;
    if (!lines.empty() && text_width(longer, scale) <= width) {
      lines.back() = longer;
    } else {
      lines.push_back(word);
    }
  }
  return lines;
}

int text_scale(int width) { return width >= 2 * kReadableWidth ? 3 : 2; }

void write_text(Image& cell, int y, const std::string& text) {
  const ImageSize size = cell.size();
  const int scale = text_scale(size.width);
  for (const std::string& line : wrapped(text, size.width - 2 * kMargin, scale)) {
    draw_text(cell, kMargin, y, line, scale, 0);
    y += (kLineAdvance + 1) * scale;
  }
}

Image text_cell(const std::string& text, ImageSize size) {
  Image cell(size.width, size.height, 255);
  write_text(cell, kMargin, text);
  return cell;
}

}  // namespace

Image prompt_grid(const std::vector<std::string>& prompts, const std::vector<std::vector<Image>>& rows,
                  const std::vector<std::string>& columns) {
  std::vector<Image> cells;
  std::vector<std::string> labels;
  for (std::size_t i = 0; i < rows.size(); ++i) {
    std::vector<Image> large;
    for (const Image& image : rows[i]) large.push_back(enlarged(image));
    cells.push_back(text_cell(prompts.at(i), large.at(0).size()));
    cells.insert(cells.end(), large.begin(), large.end());
    labels.emplace_back();
    labels.insert(labels.end(), columns.begin(), columns.end());
  }
  GridOptions options;
  options.columns = static_cast<int>(columns.size()) + 1;
  return make_grid(cells, labels, options);
}

Image captioned_grid(const std::vector<std::string>& prompts, const std::vector<Image>& images) {
  std::vector<Image> pictures;
  std::size_t lines = 0;  // of the longest prompt: all cells are as high, so that the pictures line up
  for (std::size_t i = 0; i < images.size(); ++i) {
    pictures.push_back(enlarged(images[i]));
    const int width = pictures.back().width;
    lines = std::max(lines, wrapped(prompts.at(i), width - 2 * kMargin, text_scale(width)).size());
  }
  std::vector<Image> cells;
  for (std::size_t i = 0; i < pictures.size(); ++i) {
    const Image& picture = pictures[i];
    const int text = 2 * kMargin + static_cast<int>(lines) * (kLineAdvance + 1) * text_scale(picture.width);
    Image cell(picture.width, picture.height + text, 255);
    std::copy(picture.rgb.begin(), picture.rgb.end(), cell.rgb.begin());
    write_text(cell, picture.height + kMargin, prompts[i]);
    cells.push_back(std::move(cell));
  }
  return make_grid(cells);
}

std::vector<Preview> previews_in(const fs::path& samples) {
  static const std::regex name("step-([0-9]{6,18})-([0-9]{1,6})\\.png");
  std::vector<Preview> found;
  if (!fs::is_directory(samples)) return found;
  for (const auto& entry : fs::directory_iterator(samples)) {
    std::smatch match;
    const std::string file = entry.path().filename().string();
    if (!std::regex_match(file, match, name)) continue;
    const std::size_t number = std::stoul(match[2]);
    if (number > 0) found.push_back({std::stoll(match[1]), number - 1, entry.path()});
  }
  std::sort(found.begin(), found.end(), [](const Preview& a, const Preview& b) {
    return std::pair(a.prompt, a.step) < std::pair(b.prompt, b.step);
  });
  return found;
}

std::vector<BeforeAfter> before_and_after(const std::vector<Preview>& previews) {
  std::vector<BeforeAfter> pairs;
  for (std::size_t first = 0; first < previews.size();) {
    std::size_t last = first;
    while (last + 1 < previews.size() && previews[last + 1].prompt == previews[first].prompt) ++last;
    if (last > first) pairs.push_back({previews[first].prompt, previews[first], previews[last]});
    first = last + 1;
  }
  return pairs;
}

bool write_before_after_grid(const fs::path& samples, const std::vector<std::string>& prompts) {
  std::vector<std::string> texts;
  std::vector<std::vector<Image>> rows;
  for (const BeforeAfter& pair : before_and_after(previews_in(samples))) {
    if (pair.prompt >= prompts.size()) continue;
    texts.push_back(prompts[pair.prompt]);
    rows.push_back({decode_image(pair.before.file), decode_image(pair.after.file)});
  }
  if (rows.empty()) return false;
  write_png(samples / "grid.png", prompt_grid(texts, rows, {"before", "after"}));
  return true;
}

}  // namespace rankine::app
