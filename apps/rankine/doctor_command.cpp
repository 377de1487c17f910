#include <fmt/core.h>

#include <filesystem>
#include <nlohmann/json.hpp>

#include "apps/rankine/commands.h"
#include "apps/rankine/cuda_report.h"
#include "apps/rankine/exit_code.h"
#include "apps/rankine/machine.h"
#include "apps/rankine/session.h"

namespace rankine::app {
namespace fs = std::filesystem;
namespace {

std::vector<std::pair<std::string, std::string>> vocabularies() {
  std::vector<std::pair<std::string, std::string>> found;
  for (const fs::path& folder : tokenizer_search().folders) {
    std::string state = "nothing there";
    for (const char* name : {"merges.txt", "tokenizer/merges.txt", "bpe_simple_vocab_16e6.txt.gz"}) {
      if (fs::exists(folder / name)) state = std::string("has ") + name;
    }
    found.emplace_back(folder.string(), state);
  }
  return found;
}

}  // namespace

int run_doctor(const DoctorCommand& command, Console&) {
  ThreadPool pool;
  const CudaReport cuda = cuda_report(cuda_facts());
  nlohmann::ordered_json json = {
      {"version", RANKINE_VERSION},
      {"processor", processor_name()},
      {"cores", pool.size()},
      {"memory_bytes", total_memory()},
      {"memory_available_bytes", available_memory()},
      {"simd", simd_target()},
      {"blas", blas_library()},
      {"cuda",
       {{"usable", cuda.usable}, {"facts", cuda.lines}, {"advice", cuda.advice}, {"idle", cuda.idle}}},
      {"images", {{"png", "yes"}, {"jpeg", "yes"}, {"webp", RANKINE_WEBP_STATE}}}};
  json["vocabularies"] = nlohmann::ordered_json::object();
  for (const auto& [folder, state] : vocabularies()) json["vocabularies"][folder] = state;
  if (command.json) {
    fmt::print("{}\n", json.dump(2));
    return kFinished;
  }
  fmt::print(
      "rankine       {}\nprocessor     {}, {} cores\nmemory        {}, {} of it available\nSIMD          {}\n"
      "BLAS          {}\npictures      PNG: yes; JPEG: yes; WebP: {}\n",
      RANKINE_VERSION, processor_name(), pool.size(), human_bytes(static_cast<double>(total_memory())),
      human_bytes(static_cast<double>(available_memory())), simd_target(), blas_library(),
      RANKINE_WEBP_STATE);
  std::string_view head = "CUDA          ";
  for (const std::string& line : cuda.lines)
    fmt::print("{}{}\n", std::exchange(head, "              "), line);
  if (!cuda.usable) fmt::print("              to do: {}\n", cuda.advice);
  if (!cuda.idle.empty()) fmt::print("              {}\n", cuda.idle);
  fmt::print("CLIP vocabulary\n");
  for (const auto& [folder, state] : vocabularies()) fmt::print("  {}: {}\n", folder, state);
  fmt::print(
      "  (needed by models that bring none: put merges.txt there, beside the model, or name it with "
      "tokenizer:)\n");
  return kFinished;
}

}  // namespace rankine::app
