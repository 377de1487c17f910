#include "io/dataset/buckets.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <random>
#include <stdexcept>

#include "engine/core/error.h"
#include "test_images.h"

namespace rankine {
namespace {

using Buckets = std::vector<Bucket>;

TEST(MakeBuckets, TheSeventeenOf512) {
  EXPECT_EQ(make_buckets({}), (Buckets{{256, 832},
                                       {256, 896},
                                       {256, 960},
                                       {256, 1024},
                                       {320, 704},
                                       {320, 768},
                                       {384, 640},
                                       {448, 576},
                                       {512, 512},
                                       {576, 448},
                                       {640, 384},
                                       {704, 320},
                                       {768, 320},
                                       {832, 256},
                                       {896, 256},
                                       {960, 256},
                                       {1024, 256}}));
}

TEST(MakeBuckets, SdxlNeedsTheLongSide) {
  const Buckets wide = make_buckets(sdxl_buckets());
  EXPECT_NE(std::find(wide.begin(), wide.end(), Bucket{832, 1216}), wide.end());
  EXPECT_NE(std::find(wide.begin(), wide.end(), Bucket{1216, 832}), wide.end());
  BucketOptions narrow = sdxl_buckets();
  narrow.max_side = 1024;
  for (const Bucket& bucket : make_buckets(narrow)) EXPECT_EQ(std::max(bucket.width, bucket.height), 1024);
}

TEST(MakeBuckets, PropertiesHoldForManySettings) {
  for (const int step : {8, 32, 64}) {
    for (const ImageSize resolution : {ImageSize{512, 512}, ImageSize{512, 768}, ImageSize{640, 448}}) {
      BucketOptions options;
      options.step = step;
      options.resolution = resolution;
      const Buckets buckets = make_buckets(options);
      for (const Bucket& b : buckets) {
        EXPECT_LE(b.width * b.height, resolution.width * resolution.height);
        EXPECT_EQ(b.width % step + b.height % step, 0);
        EXPECT_NE(std::find(buckets.begin(), buckets.end(), Bucket{b.height, b.width}), buckets.end());
      }
    }
  }
}

TEST(MakeBuckets, OffAndImpossible) {
  BucketOptions off;
  off.enabled = false;
  EXPECT_EQ(make_buckets(off), (Buckets{{512, 512}}));
  BucketOptions bad;
  bad.step = 12;
  EXPECT_THROW(make_buckets(bad), std::invalid_argument);
  bad = {};
  bad.max_side = 128;
  EXPECT_THROW(make_buckets(bad), std::invalid_argument);
  bad = {};
  bad.resolution = {0, 512};
  EXPECT_THROW(make_buckets(bad), std::invalid_argument);
}

TEST(ChooseBucket, ExactSizeElseNearestAspect) {
  const BucketOptions options;
  const Buckets buckets = make_buckets(options);
  EXPECT_EQ(choose_bucket(options, buckets, {1024, 256}), (Bucket{1024, 256}));
  EXPECT_EQ(choose_bucket(options, buckets, {2000, 2000}), (Bucket{512, 512}));
  EXPECT_EQ(choose_bucket(options, buckets, {3, 2}), (Bucket{640, 384}));  // 1.5: 1.667 is nearer than 1.286
  EXPECT_EQ(choose_bucket(options, buckets, {4, 3}), (Bucket{576, 448}));  // 1.333
  EXPECT_EQ(choose_bucket(options, buckets, {1, 100}), (Bucket{256, 1024}));  // beyond the last
  EXPECT_THROW(choose_bucket(options, buckets, {0, 5}), std::invalid_argument);
  EXPECT_THROW(choose_bucket(options, {}, {5, 5}), std::invalid_argument);
}

TEST(ChooseBucket, NoUpscale) {
  BucketOptions options;
  options.no_upscale = true;
  EXPECT_EQ(choose_bucket(options, {}, {300, 200}), (Bucket{256, 192}));  // as it is, rounded down
  EXPECT_EQ(choose_bucket(options, {}, {30, 2000}),
            (Bucket{64, 1984}));  // at least one step, no limit on the side
  EXPECT_EQ(choose_bucket(options, {}, {512, 512}), (Bucket{512, 512}));
  for (const ImageSize big :
       {ImageSize{1920, 1080}, ImageSize{1000, 4000}, ImageSize{777, 778}, ImageSize{65535, 64}}) {
    const Bucket b = choose_bucket(options, {}, big);
    EXPECT_LE(b.width * b.height, 512 * 512);
    EXPECT_EQ(b.width % 64 + b.height % 64, 0);
    EXPECT_LE(b.width, big.width);
    EXPECT_LE(b.height, big.height);
  }
}

TEST(ChooseBucket, NoUpscaleStaysWithinTheAreaForSlivers) {
  BucketOptions options;
  options.no_upscale = true;
  EXPECT_EQ(choose_bucket(options, {}, {65535, 1}), (Bucket{4096, 64}));
  EXPECT_EQ(choose_bucket(options, {}, {65535, 20}), (Bucket{4096, 64}));
  EXPECT_EQ(choose_bucket(options, {}, {2, 60000}), (Bucket{64, 4096}));
}

TEST(PlanCrop, SliversThatCannotBeEnlargedAreDataErrors) {
  EXPECT_THROW(plan_crop({1, 3000}, {256, 1024}, {}, {}), DataError);
  EXPECT_NO_THROW(plan_crop({100, 3000}, {512, 512}, {}, {}));
}

TEST(PlanCrop, CoversTheBucketAndStaysInside) {
  std::mt19937 random(3);
  const auto uniform = [&random] { return random() / 4294967296.0; };
  const BucketOptions options;
  const Buckets buckets = make_buckets(options);
  CropOptions crop;
  crop.random_crop = true;
  crop.flip_probability = 0.5;
  int flips = 0;
  for (int i = 0; i < 2000; ++i) {
    const ImageSize size{200 + static_cast<int>(random() % 3000), 200 + static_cast<int>(random() % 3000)};
    const Bucket bucket = choose_bucket(options, buckets, size);
    const CropPlan plan = plan_crop(size, bucket, crop, {uniform(), uniform(), uniform()});
    ASSERT_TRUE(plan.w == bucket.width && plan.h == bucket.height);
    ASSERT_TRUE(plan.resize_w == plan.w || plan.resize_h == plan.h) << "resized more than needed";
    ASSERT_GE(plan.crop_x, 0);
    ASSERT_GE(plan.crop_y, 0);
    ASSERT_LE(plan.crop_x + plan.w, plan.resize_w);
    ASSERT_LE(plan.crop_y + plan.h, plan.resize_h);
    flips += plan.flip ? 1 : 0;
  }
  EXPECT_NEAR(flips, 1000, 150);
}

TEST(PlanCrop, CentreAndExtremes) {
  const CropPlan centre = plan_crop({1000, 500}, {512, 512}, {}, {});
  EXPECT_EQ(centre, (CropPlan{1024, 512, 256, 0, 512, 512, false}));
  CropOptions random;
  random.random_crop = true;
  random.flip_probability = 1.0;
  EXPECT_EQ(plan_crop({1000, 500}, {512, 512}, random, {0.0, 0.0, 0.9}).crop_x, 0);
  const CropPlan right = plan_crop({1000, 500}, {512, 512}, random, {std::nextafter(1.0, 0.0), 0.5, 0.9});
  EXPECT_EQ(right.crop_x, 512);
  EXPECT_TRUE(right.flip);
  EXPECT_EQ(right.seen_crop_x(), 0);  // mirrored, the right edge is the left one
}

TEST(ApplyCrop, CutsThePlannedPixels) {
  const Image source = testing_images::gradient(64, 32);
  CropPlan plan{64, 32, 10, 4, 20, 16, false};
  const Image cut = apply_crop(source, plan);
  ASSERT_EQ(cut.size(), (ImageSize{20, 16}));
  plan.flip = true;
  const Image mirrored = apply_crop(source, plan);
  for (int y = 0; y < 16; ++y) {
    for (int x = 0; x < 20; ++x) {
      ASSERT_EQ(cut.pixel(x, y)[0], source.pixel(x + 10, y + 4)[0]);
      ASSERT_EQ(mirrored.pixel(19 - x, y)[0], cut.pixel(x, y)[0]);
    }
  }
}

}  // namespace
}  // namespace rankine
