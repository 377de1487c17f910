#include "engine/core/tensor.h"

#include <gtest/gtest.h>

#include <numeric>

namespace rankine {
namespace {

class Tensors : public ::testing::Test {
 protected:
  Tensor counted(Shape shape) {
    Tensor t(memory, shape, DType::f32, Account::data, "counted");
    std::iota(t.span<float>().begin(), t.span<float>().end(), 0.0F);
    return t;
  }
  Memory memory{Device::cpu()};
};

TEST_F(Tensors, CopiesShareTheirStorage) {
  Tensor a = counted({2, 3});
  Tensor b = a;
  b.data<float>()[4] = 99;
  EXPECT_EQ(a.data<float>()[4], 99);
  EXPECT_EQ(a.storage(), b.storage());
  EXPECT_EQ(a.use_count(), 2);
  EXPECT_EQ(memory.allocations(), 1U);
}

TEST_F(Tensors, ViewsSeeTheirPart) {
  const Tensor t = counted({4, 3});
  const Tensor rows = t.slice(1, 3);
  EXPECT_EQ(rows.shape(), (Shape{2, 3}));
  EXPECT_EQ(rows.data<float>()[0], 3);
  const Tensor row = rows.slice(1, 2);  // a view of a view
  EXPECT_EQ(row.data<float>()[2], 8);
  const Tensor flat = t.flat(5, {2, 2});
  EXPECT_EQ(flat.data<float>()[3], 8);
  EXPECT_EQ(t.reshape({2, 6}).shape(), (Shape{2, 6}));
  EXPECT_EQ(t.reshape({2, 6}).data<float>(), t.data<float>());
  EXPECT_EQ(t.slice(4, 4).numel(), 0);
  EXPECT_EQ(rows.bytes(), 24U);
}

TEST_F(Tensors, ViewsKeepTheStorageAlive) {
  Tensor view;
  {
    const Tensor t = counted({4, 3});
    view = t.slice(2, 3);
  }
  EXPECT_EQ(view.data<float>()[0], 6);
  EXPECT_EQ(memory.held(), 64U);  // 48, rounded up to a cache line
  view = Tensor();
  EXPECT_EQ(memory.held(), 0U);
}

TEST_F(Tensors, WrongViewsAndAccessesThrow) {
  const Tensor t = counted({4, 3});
  EXPECT_THROW(t.reshape({5, 3}), ShapeError);
  EXPECT_THROW(t.slice(-1, 2), ShapeError);
  EXPECT_THROW(t.slice(3, 2), ShapeError);
  EXPECT_THROW(t.slice(0, 5), ShapeError);
  EXPECT_THROW(t.flat(11, {2}), ShapeError);
  EXPECT_THROW(t.flat(-1, {2}), ShapeError);
  EXPECT_THROW(Tensor().data<float>(), ShapeError);
  try {
    t.data<Half>();
    ADD_FAILURE();
  } catch (const ShapeError& e) {
    EXPECT_STREQ(e.what(), "Tensor \"counted\": holds f32, asked for f16");
  }
}

TEST_F(Tensors, DTypeSetsTheSize) {
  EXPECT_EQ(Tensor(memory, {10, 10}, DType::f16, Account::weights, "h").bytes(), 200U);
  EXPECT_EQ(Tensor(memory, {10, 10}, DType::i32, Account::weights, "i").bytes(), 400U);
}

TEST_F(Tensors, ATensorOfAPlanHasNoData) {
  Memory plan(Device::cpu().planned());
  const Tensor t(plan, {1000, 1000}, DType::f32, Account::weights, "w");
  EXPECT_TRUE(t.defined());
  EXPECT_EQ(t.data<float>(), nullptr);
  EXPECT_EQ(t.slice(5, 6).data<float>(), nullptr);
}

}  // namespace
}  // namespace rankine
