#include "kernels/common/vendor_library.h"

#include <gtest/gtest.h>

#include <cmath>

namespace rankine::cuda {
namespace {

struct Library : VendorLibrary {
  explicit Library(const char* file, const char* name = "cbrt") : VendorLibrary(file) {
    root = find<double (*)(double)>(name);
  }
  double (*root)(double) = nullptr;
  std::string text() const {
    return state([] { return 91900; });
  }
};

TEST(VendorLibrary, IsCompleteOrSaysWhatIsMissing) {
  const Library found("libm.so.6"), absent("librankine-absent.so.1"), other("libm.so.6", "rankine_absent");
  ASSERT_TRUE(found.complete());
  EXPECT_DOUBLE_EQ(found.root(27), 3);
  EXPECT_EQ(found.text(), "9.19.0");
  EXPECT_FALSE(absent.complete());
  EXPECT_EQ(absent.root, nullptr);
  EXPECT_EQ(absent.text(), "librankine-absent.so.1 is not installed");
  EXPECT_FALSE(other.complete());
  EXPECT_EQ(other.text(), "libm.so.6 has no function rankine_absent");
}

}  // namespace
}  // namespace rankine::cuda
