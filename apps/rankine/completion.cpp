#include "apps/rankine/completion.h"

#include <fmt/core.h>

#include <CLI/CLI.hpp>

#include "engine/core/error.h"

namespace rankine::app {
namespace {

std::vector<const CLI::App*> commands_of(const CLI::App& app) {
  return app.get_subcommands([](const CLI::App*) { return true; });
}

std::string first_line(const std::string& text) { return text.substr(0, text.find('\n')); }

// Inside single quotes of the shell.
std::string quoted(std::string text) {
  for (std::size_t at = 0; (at = text.find('\'', at)) != std::string::npos; at += 4)
    text.replace(at, 1, "'\\''");
  return "'" + text + "'";
}

std::string long_options(const CLI::App& app) {
  std::string out;
  for (const CLI::Option* option : app.get_options([](const CLI::Option*) { return true; })) {
    for (const std::string& name : option->get_lnames()) out += (out.empty() ? "--" : " --") + name;
  }
  return out;
}

std::string bash_script(const CLI::App& app) {
  std::string names, cases;
  for (const CLI::App* sub : commands_of(app)) {
    names += (names.empty() ? "" : " ") + sub->get_name();
    cases += fmt::format("    {}) words=\"{}\" ;;\n", sub->get_name(), long_options(*sub));
  }
  return fmt::format(
      "# bash completion of rankine; load with: source <(rankine completion bash)\n"
      "_rankine() {{\n"
      "  local current=\"${{COMP_WORDS[COMP_CWORD]}}\" words\n"
      "  if [ \"$COMP_CWORD\" -eq 1 ]; then\n"
      "    COMPREPLY=($(compgen -W \"{} {}\" -- \"$current\"))\n"
      "    return\n"
      "  fi\n"
      "  case \"${{COMP_WORDS[1]}}\" in\n"
      "{}"
      "  esac\n"
      "  if [[ \"$current\" == -* ]]; then\n"
      "    COMPREPLY=($(compgen -W \"$words\" -- \"$current\"))\n"
      "  else\n"
      "    COMPREPLY=($(compgen -f -- \"$current\"))\n"
      "  fi\n"
      "}}\n"
      "complete -o filenames -F _rankine rankine\n",
      names, long_options(app), cases);
}

std::string zsh_script(const CLI::App& app) {
  std::string names, cases;
  for (const CLI::App* sub : commands_of(app)) {
    names += fmt::format("    {}\n", quoted(sub->get_name() + ":" + first_line(sub->get_description())));
    cases += fmt::format("    {}) options=({}) ;;\n", sub->get_name(), long_options(*sub));
  }
  return fmt::format(
      "#compdef rankine\n"
      "# zsh completion of rankine; load with: source <(rankine completion zsh)\n"
      "_rankine() {{\n"
      "  local -a commands options\n"
      "  commands=(\n{}  )\n"
      "  if (( CURRENT == 2 )); then\n"
      "    _describe command commands\n"
      "    return\n"
      "  fi\n"
      "  case \"$words[2]\" in\n"
      "{}"
      "  esac\n"
      "  compadd -- $options\n"
      "  _files\n"
      "}}\n"
      "compdef _rankine rankine\n",
      names, cases);
}

std::string fish_script(const CLI::App& app) {
  std::string out = "# fish completion of rankine; load with: rankine completion fish | source\n";
  for (const CLI::App* sub : commands_of(app)) {
    out += fmt::format("complete -c rankine -n __fish_use_subcommand -a {} -d {}\n", sub->get_name(),
                       quoted(first_line(sub->get_description())));
    for (const CLI::Option* option : sub->get_options([](const CLI::Option*) { return true; })) {
      for (const std::string& name : option->get_lnames()) {
        out += fmt::format("complete -c rankine -n '__fish_seen_subcommand_from {}' -l {} -d {}\n",
                           sub->get_name(), name, quoted(first_line(option->get_description())));
      }
    }
  }
  return out;
}

}  // namespace

std::string completion_script(const CLI::App& app, const std::string& shell) {
  if (shell == "bash") return bash_script(app);
  if (shell == "zsh") return zsh_script(app);
  if (shell == "fish") return fish_script(app);
  throw ConfigError(fmt::format("completion: no script for '{}'; known: bash, zsh, fish", shell));
}

}  // namespace rankine::app
