#include "engine/core/shape.h"

#include <gtest/gtest.h>

namespace rankine {
namespace {

TEST(Shape, CountsElementsRowsAndColumns) {
  const Shape scalar, vector{7}, map{2, 3, 4};
  EXPECT_EQ(scalar.rank(), 0);
  EXPECT_EQ(scalar.numel(), 1);
  EXPECT_EQ(scalar.rows(), 1);
  EXPECT_EQ(scalar.cols(), 1);
  EXPECT_EQ(vector.rows(), 1);
  EXPECT_EQ(vector.cols(), 7);
  EXPECT_EQ(map.numel(), 24);
  EXPECT_EQ(map.rows(), 6);
  EXPECT_EQ(map.cols(), 4);
  EXPECT_EQ((Shape{3, 0, 5}).numel(), 0);
}

TEST(Shape, NegativeIndicesCountFromTheEnd) {
  const Shape s{2, 3, 4};
  EXPECT_EQ(s[0], 2);
  EXPECT_EQ(s[-1], 4);
  EXPECT_EQ(s[-3], 2);
  EXPECT_EQ(s.with_dim(-2, 9), (Shape{2, 9, 4}));
  EXPECT_EQ(s.with_dim(0, 1), (Shape{1, 3, 4}));
  EXPECT_THROW(s[3], ShapeError);
  EXPECT_THROW(s[-4], ShapeError);
  EXPECT_THROW(s.with_dim(3, 1), ShapeError);
  EXPECT_THROW(Shape()[0], ShapeError);
}

TEST(Shape, EqualityLooksAtRankAndExtents) {
  EXPECT_EQ((Shape{2, 3}), (Shape{2, 3}));
  EXPECT_FALSE((Shape{2, 3}) == (Shape{3, 2}));
  EXPECT_FALSE((Shape{2}) == (Shape{2, 1}));
  EXPECT_FALSE(Shape() == Shape{1});
}

TEST(Shape, PrintsAndRefuses) {
  EXPECT_EQ((Shape{2, 3, 4}).to_string(), "[2,3,4]");
  EXPECT_EQ(Shape().to_string(), "[]");
  EXPECT_THROW((Shape{1, 2, 3, 4, 5, 6}), ShapeError);
  EXPECT_THROW((Shape{2, -1}), ShapeError);
}

}  // namespace
}  // namespace rankine
