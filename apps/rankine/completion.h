// Completion scripts for shells, made from the commands and options themselves.
#pragma once

#include <string>

namespace CLI {  // NOLINT(readability-identifier-naming): CLI11's
class App;
}

namespace rankine::app {

// `shell`: bash, zsh or fish. Throws ConfigError for others.
std::string completion_script(const CLI::App& app, const std::string& shell);

}  // namespace rankine::app
