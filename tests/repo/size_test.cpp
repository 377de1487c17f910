// Files nobody can hold in the head are split by what they are about.
#include <gtest/gtest.h>

#include "tests/repo/source_files.h"

namespace rankine {
namespace {

constexpr std::size_t kHardLimit = 600;  // lines
constexpr std::size_t kColumns = 120;

TEST(Size, NoFileIsTooLong) {
  for (const auto& file :
       testing_support::source_files({"engine", "kernels", "io", "models", "apps", "bench", "tests"})) {
    EXPECT_LE(file.lines.size(), kHardLimit) << file.path;
  }
}

TEST(Size, NoLineIsTooWide) {
  for (const auto& file :
       testing_support::source_files({"engine", "kernels", "io", "models", "apps", "bench"})) {
    for (std::size_t i = 0; i < file.lines.size(); ++i) {
      EXPECT_LE(file.lines[i].size(), kColumns) << file.path << ":" << i + 1;
    }
  }
}

// A median above this says that files have begun to collect more than one subject.
TEST(Size, TheMedianFileIsSmall) {
  std::vector<std::size_t> sizes;
  for (const auto& file : testing_support::source_files({"engine", "kernels", "io", "models"}))
    sizes.push_back(file.lines.size());
  std::sort(sizes.begin(), sizes.end());
  EXPECT_LE(sizes[sizes.size() / 2], 140U);
}

}  // namespace
}  // namespace rankine
