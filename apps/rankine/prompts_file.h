// Prompts as people keep them: a text file, one a line.
#pragma once

#include <string>
#include <vector>

namespace rankine::app {

// Empty lines and lines that begin with '#' do not count. Throws IoError, or DataError when nothing is left.
std::vector<std::string> read_prompts(const std::string& file);

}  // namespace rankine::app
