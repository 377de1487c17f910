#include "kernels/emulator/symbols.h"

#include <link.h>
#include <unistd.h>

#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <map>
#include <memory>
#include <sstream>

#include "engine/core/error.h"

namespace rankine::emulator::symbols {
namespace {

struct Module {
  std::uintptr_t address = 0, base = 0;
  std::string path;
};

int find_module(dl_phdr_info* info, std::size_t, void* data) {
  auto& module = *static_cast<Module*>(data);
  for (int i = 0; i < info->dlpi_phnum; ++i) {
    const auto& part = info->dlpi_phdr[i];
    if (part.p_type != PT_LOAD || module.address - (info->dlpi_addr + part.p_vaddr) >= part.p_memsz) continue;
    module.base = info->dlpi_addr;
    module.path = info->dlpi_name ? info->dlpi_name : "";
    return 1;
  }
  return 0;
}

// The program itself has no name among the modules, and /proc/self would be the symbolizer's.
std::string program() {
  char path[4096];
  const ssize_t n = readlink("/proc/self/exe", path, sizeof(path));
  return n > 0 ? std::string(path, static_cast<std::size_t>(n)) : std::string();
}

std::string run(const std::string& command) {
  std::string output;
  FILE* pipe = popen(command.c_str(), "r");
  if (!pipe) return output;
  char part[4096];
  while (const std::size_t n = std::fread(part, 1, sizeof(part), pipe)) output.append(part, n);
  pclose(pipe);
  return output;
}

// Frames, innermost first, one "path:line" a line.
std::string frames(const Module& module) {
  std::string quoted = "'";
  for (const char c : module.path) quoted += c == '\'' ? std::string("'\\''") : std::string(1, c);
  quoted += '\'';
  std::ostringstream where;
  where << " -i -e " << quoted << " 0x" << std::hex << module.address - module.base << " 2>/dev/null";
  // addr2line comes second: it does not see what clang inlined where it writes line tables alone.
  std::string found = run("llvm-symbolizer --functions=none --output-style=GNU" + where.str());
  if (found.empty() || found.starts_with("?")) found = run("addr2line" + where.str());
  return found;
}

bool of_interest(const std::string& line) {
  return !line.empty() && line[0] != '?' && !line.starts_with("/usr/") &&
         line.find("kernels/emulator/include/") == std::string::npos;
}

std::string describe(const void* return_address) {
  Module module;
  module.address = reinterpret_cast<std::uintptr_t>(return_address) - 1;  // inside the call
  dl_iterate_phdr(find_module, &module);
  if (module.path.empty()) module.path = program();
  std::istringstream lines(frames(module));
  std::string line, text;
  while (std::getline(lines, line)) {
    line = line.substr(0, line.find(" (discriminator"));
    if (!of_interest(line)) continue;
    line = std::filesystem::path(line).lexically_normal().string();
    text += (text.empty() ? "" : ", called from ") + line;
  }
  return text.empty() ? join(return_address) : text;
}

}  // namespace

std::string line_of(const void* return_address) {
  static auto* known = new std::map<const void*, std::string>;  // starting a program for each is slow
  auto found = known->find(return_address);
  if (found == known->end()) found = known->emplace(return_address, describe(return_address)).first;
  return found->second;
}

}  // namespace rankine::emulator::symbols
