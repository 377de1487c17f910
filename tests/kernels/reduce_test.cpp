#include "kernels/reduce/reduce.h"

#include "kernels/reduce/reduce_ref.h"
#include "tests/kernels/pointwise_support.h"

namespace rankine {
namespace {

using namespace testing_support;

class Reduce : public EachTarget {};
INSTANTIATE_TEST_SUITE_P(Targets, Reduce, ::testing::ValuesIn(targets()), target_name);

// Sums of fp32 numbers in double: what is left is the rounding of double.
TEST_P(Reduce, SumsMatchTheReference) {
  for (const std::int64_t n : kLengths) {
    SCOPED_TRACE(n);
    const Tensor a = random_tensor(c, {n}, 1), b = random_tensor(c, {n}, 2);
    const Doubles da = to_double(a), db = to_double(b);
    const double scale = 1e-13 * double(n);
    EXPECT_NEAR(sum(c, a), ref::sum(da), scale);
    EXPECT_NEAR(sum_of_squares(c, a), ref::dot(da, da), scale);
    EXPECT_NEAR(dot(c, a, b), ref::dot(da, db), scale);
    EXPECT_EQ(max_abs(c, a), ref::max_abs(da));
    EXPECT_TRUE(all_finite(c, a));
  }
}

TEST_P(Reduce, NotFiniteIsFoundAnywhere) {
  for (const std::int64_t n : {1, 17, 33, 50001}) {
    for (const std::int64_t at : {std::int64_t{0}, n / 2, n - 1}) {
      for (const float bad : {INFINITY, -INFINITY, NAN, -NAN}) {
        Tensor x = random_tensor(c, {n}, 1);
        x.data<float>()[at] = bad;
        EXPECT_FALSE(all_finite(c, x)) << bad << " at " << at << " of " << n;
        EXPECT_EQ(std::isnan(max_abs(c, x)), std::isnan(bad));
      }
    }
  }
  Tensor largest = tensor_of(c, {1}, {-3.4028234663852886e38});
  EXPECT_TRUE(all_finite(c, largest));
}

// In double and rounded once, onto what is there.
TEST_P(Reduce, SumsAdd) {
  for (const std::int64_t n : kLengths) {
    SCOPED_TRACE(n);
    const Tensor x = random_tensor(c, {n}, 1);
    Tensor total = tensor_of(c, {1}, {0.7});
    const double want = ref::add_sum(to_double(total)[0], to_double(x));
    add_sum(c, total, x);
    EXPECT_FLOAT_EQ(total.data<float>()[0], static_cast<float>(want));
  }
}

TEST_P(Reduce, ColumnSumsAdd) {
  for (const auto& [rows, cols] :
       {std::pair<std::int64_t, std::int64_t>{1, 1}, {3, 7}, {31, 33}, {257, 3}, {3000, 40}, {65, 1280}}) {
    SCOPED_TRACE(join(rows, " ", cols));
    const Tensor dy = random_tensor(c, {rows, cols}, 1), before = random_tensor(c, {cols}, 2);
    Tensor db = clone(c, before);
    add_column_sums(c, db, dy);
    EXPECT_TRUE(matches(db, ref::add_column_sums(to_double(before), to_double(dy))));
  }
}

TEST(ReduceChecks, ThreadsDoNotChangeBits) {
  expect_same_bits_for_threads([](const Context& c) {
    const Tensor a = random_tensor(c, {300007}, 1), b = random_tensor(c, {300007}, 2);
    Tensor bits = c.empty({3, 2}, "bits");  // the doubles themselves
    const double values[] = {sum(c, a), sum_of_squares(c, a), dot(c, a, b)};
    std::memcpy(bits.raw(), values, sizeof values);
    return bits;
  });
  expect_same_bits_for_threads([](const Context& c) {
    Tensor db = zeros(c, {333});
    add_column_sums(c, db, random_tensor(c, {1000, 333}, 1));
    return db;
  });
}

TEST(ReduceChecks, NothingSumsToZero) {
  Cpu cpu;
  const Tensor none = cpu.c.empty({0, 4}, "none");
  EXPECT_EQ(sum(cpu.c, none), 0);
  EXPECT_EQ(max_abs(cpu.c, none), 0);
  EXPECT_TRUE(all_finite(cpu.c, none));
  Tensor db = tensor_of(cpu.c, {4}, {1, 2, 3, 4});
  add_column_sums(cpu.c, db, none);
  Tensor total = tensor_of(cpu.c, {1}, {3});
  add_sum(cpu.c, total, none);
  EXPECT_TRUE(matches(total, {3}));
  EXPECT_TRUE(matches(db, {1, 2, 3, 4}));
}

TEST(ReduceChecks, WrongTensorsAreNamed) {
  Cpu cpu;
  const Context& c = cpu.c;
  Tensor x = zeros(c, {2, 3}), other = zeros(c, {3}), half = c.empty({2, 3}, "half", DType::f16);
  expect_shape_error("sum", [&] { sum(c, half); });
  expect_shape_error("sum_of_squares", [&] { sum_of_squares(c, half); });
  expect_shape_error("dot", [&] { dot(c, x, other); });
  expect_shape_error("max_abs", [&] { max_abs(c, half); });
  expect_shape_error("all_finite", [&] { all_finite(c, half); });
  expect_shape_error("add_column_sums", [&] { add_column_sums(c, x, x); });
  expect_shape_error("add_sum", [&] { add_sum(c, other, x); });
  Tensor total = zeros(c, {1});
  expect_shape_error("add_sum", [&] { add_sum(c, total, half); });
}

TEST(ReduceChecks, PlanAccountsOnly) {
  expect_planned("sum", [](const Context& c) { EXPECT_EQ(sum(c, c.empty({7}, "x")), 0); });
  expect_planned("sum_of_squares",
                 [](const Context& c) { EXPECT_EQ(sum_of_squares(c, c.empty({7}, "x")), 0); });
  expect_planned("dot", [](const Context& c) { EXPECT_EQ(dot(c, c.empty({7}, "a"), c.empty({7}, "b")), 0); });
  expect_planned("max_abs", [](const Context& c) { EXPECT_EQ(max_abs(c, c.empty({7}, "x")), 0); });
  expect_planned("all_finite", [](const Context& c) { EXPECT_FALSE(all_finite(c, c.empty({7}, "x"))); });
  expect_planned("add_sum", [](const Context& c) {
    Tensor total = c.empty({1}, "total");
    add_sum(c, total, c.empty({7}, "x"));
  });
  expect_planned("add_column_sums", [](const Context& c) {
    Tensor db = c.empty({4}, "db");
    add_column_sums(c, db, c.empty({3, 4}, "dy"));
  });
}

}  // namespace
}  // namespace rankine
