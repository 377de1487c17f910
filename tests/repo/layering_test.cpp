// Who may include whom: the table of docs/architecture.md, held by grepping the includes.
#include <gtest/gtest.h>

#include <array>
#include <set>
#include <string_view>

#include "tests/repo/source_files.h"

namespace rankine {
namespace {
using testing_support::SourceFile;

struct Row {
  std::string_view folder;                    // longest matching prefix decides
  std::vector<std::string_view> may_include;  // prefixes; the own folder is always allowed
};

const std::vector<Row>& table() {
  static const std::vector<Row> rows{
      {"engine/core/", {}},
      {"engine/tape/", {"engine/core/"}},
      {"kernels/", {"engine/core/"}},
      {"io/", {"engine/core/"}},
      {"engine/train/", {"engine/core/", "engine/tape/", "kernels/", "io/"}},
      {"models/", {"engine/core/", "engine/tape/", "kernels/", "io/"}},
      {"models/tasks/", {"engine/", "kernels/", "io/", "models/"}},
      {"apps/", {"engine/", "kernels/", "io/", "models/", "bench/roofline.h"}},
      {"bench/", {"engine/", "kernels/", "io/", "models/"}},
  };
  return rows;
}

const Row* row_of(std::string_view path) {
  const Row* best = nullptr;
  for (const Row& row : table()) {
    if (path.starts_with(row.folder) && (!best || row.folder.size() > best->folder.size())) best = &row;
  }
  return best;
}

std::string included(const std::string& line) {
  static constexpr std::string_view kStart = "#include \"";
  if (!line.starts_with(kStart)) return {};
  return line.substr(kStart.size(), line.find('"', kStart.size()) - kStart.size());
}

bool allowed(const Row& row, std::string_view target) {
  if (target.starts_with(row.folder)) return true;
  for (const std::string_view prefix : row.may_include) {
    if (target.starts_with(prefix)) return true;
  }
  return false;
}

TEST(Layering, EveryIncludePointsDownwards) {
  for (const SourceFile& file :
       testing_support::source_files({"engine", "kernels", "io", "models", "apps", "bench"})) {
    const Row* row = row_of(file.path);
    ASSERT_NE(row, nullptr) << file.path;
    for (std::size_t i = 0; i < file.lines.size(); ++i) {
      const std::string target = included(file.lines[i]);
      if (target.empty()) continue;
      EXPECT_NE(target.find('/'), std::string::npos)
          << file.path << ":" << i + 1 << ": include paths start at the root";
      EXPECT_TRUE(allowed(*row, target)) << file.path << ":" << i + 1 << ": may not include " << target;
    }
  }
}

// A family's CPU and CUDA parts are its own business.
TEST(Layering, OnlyPublicKernelHeadersAreShared) {
  for (const SourceFile& file : testing_support::source_files({"engine", "models", "io", "apps"})) {
    for (std::size_t i = 0; i < file.lines.size(); ++i) {
      const std::string target = included(file.lines[i]);
      if (!target.starts_with("kernels/")) continue;
      const std::size_t slash = target.rfind('/');
      const std::string stem = target.substr(slash + 1, target.rfind('.') - slash - 1);
      const std::string family = target.substr(8, slash - 8);
      EXPECT_TRUE(stem == family || target == "kernels/common/checks.h")
          << file.path << ":" << i + 1 << ": " << target << " is not a family's public header";
    }
  }
}

// In .cu files, in the emulator of those headers, and in the few sources that wrap a library of CUDA.
TEST(Layering, CudaHeadersStayInCudaFiles) {
  const std::set<std::string> wrappers{"engine/core/cuda_device.cpp", "kernels/conv/cudnn.cpp",
                                       "kernels/matmul/cublaslt.cpp"};
  for (const SourceFile& file :
       testing_support::source_files({"engine", "kernels", "io", "models", "apps"})) {
    if (file.path.ends_with(".cu") || file.path.ends_with(".cuh") || wrappers.contains(file.path) ||
        file.path.starts_with("kernels/emulator/"))
      continue;
    for (std::size_t i = 0; i < file.lines.size(); ++i) {
      const std::string& line = file.lines[i];
      const bool cuda = line.starts_with("#include <cuda") || line.starts_with("#include <cublas") ||
                        line.starts_with("#include <cudnn") || line.starts_with("#include <nccl");
      EXPECT_FALSE(cuda) << file.path << ":" << i + 1 << ": " << line;
    }
  }
}

}  // namespace
}  // namespace rankine
