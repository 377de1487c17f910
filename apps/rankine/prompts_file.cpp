#include "apps/rankine/prompts_file.h"

#include <fstream>

#include "engine/core/error.h"

namespace rankine::app {

std::vector<std::string> read_prompts(const std::string& file) {
  std::ifstream in(file);
  require<IoError>(in.good(), file, ": cannot be read");
  std::vector<std::string> prompts;
  for (std::string line; std::getline(in, line);) {
    while (!line.empty() && (line.back() == '\r' || line.back() == ' ')) line.pop_back();
    if (!line.empty() && line[0] != '#') prompts.push_back(line);
  }
  require<DataError>(!prompts.empty(), file, ": holds no prompt");
  return prompts;
}

}  // namespace rankine::app
