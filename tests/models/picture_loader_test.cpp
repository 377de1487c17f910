// Decoding ahead changes when a picture is decoded, never what comes out, what is taken of memory or which
// call throws.
#include "models/tasks/picture_loader.h"

#include <gtest/gtest.h>

#include <fstream>

#include "engine/core/error.h"
#include "io/image/encode.h"

namespace rankine {
namespace {
namespace fs = std::filesystem;

constexpr int kSide = 24;

class PictureLoaderTest : public ::testing::Test {
 protected:
  void SetUp() override {
    fs::remove_all(folder_);
    fs::create_directories(folder_);
    for (int i = 0; i < 5; ++i) {
      Image image(kSide, kSide);
      for (std::size_t b = 0; b < image.rgb.size(); ++b)
        image.rgb[b] = static_cast<std::uint8_t>(b * (2 * static_cast<std::size_t>(i) + 1) / 3);
      Sample s;
      s.image = folder_ / join("p", i, ".png");
      s.size = image.size();
      write_png(s.image, image);
      samples_.push_back(s);
    }
  }
  static CropPlan cut(int x) { return {kSide, kSide, x, 2, 16, 8, x % 2 == 1}; }
  static std::vector<float> values(const Tensor& t) {
    return {t.span<float>().begin(), t.span<float>().end()};
  }

  // Of the test: tests may run at the same time.
  const fs::path folder_ =
      fs::path(::testing::TempDir()) /
      join("picture_loader_", ::testing::UnitTest::GetInstance()->current_test_info()->name());
  std::vector<Sample> samples_;
  Runtime runtime_{Device::cpu()};
  Context c_{runtime_};
};

TEST_F(PictureLoaderTest, AheadGivesTheSamePictures) {
  PictureLoader loader;
  for (int i = 0; i < 4; ++i) loader.ahead(c_, samples_[i], cut(i));
  for (const int i : {2, 0, 4, 3, 1}) {  // 4 was not begun
    const Tensor picture = loader.get(c_, samples_[i], cut(i));
    EXPECT_EQ(picture.shape(), (Shape{1, 8, 16, 3}));
    EXPECT_EQ(values(picture), values(load_picture(c_, samples_[i], cut(i)))) << i;
  }
  loader.ahead(c_, samples_[0], cut(0));
  EXPECT_NE(values(loader.get(c_, samples_[0], cut(1))), values(loader.get(c_, samples_[0], cut(0))))
      << "another cut of the same picture";
}

TEST_F(PictureLoaderTest, AnErrorIsThrownWhereThePictureIsAskedFor) {
  std::ofstream(samples_[1].image) << "not a picture";
  fs::remove(samples_[2].image);
  PictureLoader loader;
  for (int i = 0; i < 4; ++i) loader.ahead(c_, samples_[i], cut(i));
  EXPECT_EQ(values(loader.get(c_, samples_[0], cut(0))), values(load_picture(c_, samples_[0], cut(0))));
  try {
    loader.get(c_, samples_[1], cut(1));
    ADD_FAILURE() << "the error was lost";
  } catch (const DataError& e) {
    EXPECT_NE(std::string(e.what()).find("p1.png"), std::string::npos) << e.what();
  }
  EXPECT_EQ(values(loader.get(c_, samples_[3], cut(3))), values(load_picture(c_, samples_[3], cut(3))));
  loader.forget();  // picture 2 is asked for no more
  EXPECT_EQ(runtime_.memory().held(), 0U);
}

TEST_F(PictureLoaderTest, MemoryIsCountedAndPlanned) {
  const auto run = [&](Device device) {
    Runtime runtime(device);
    const Context c(runtime);
    PictureLoader loader;
    for (int i = 0; i < 4; ++i) loader.ahead(c, samples_[i], cut(i));
    EXPECT_EQ(runtime.memory().held(Account::data), 4U * 16 * 8 * 3 * sizeof(float));
    const Tensor kept = loader.get(c, samples_[2], cut(2));
    loader.forget();
    EXPECT_EQ(runtime.memory().held(Account::data), kept.bytes());
    loader.ahead(c, samples_[0], cut(0));  // pending when the loader goes
    return runtime.memory().high_water();
  };
  EXPECT_EQ(run(Device::cpu()), run(Device::cpu().planned()));
}

}  // namespace
}  // namespace rankine
