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
    const Tensor x = random_tensor(c, {n}, 1);
    const Doubles values = to_double(x);
    const double scale = 1e-13 * double(n);
    EXPECT_NEAR(sum(c, x), ref::sum(values), scale);
    EXPECT_NEAR(sum_of_squares(c, x), ref::sum_of_squares(values), scale);
  }
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
    const Tensor x = random_tensor(c, {300007}, 1);
    Tensor bits = c.empty({2, 2}, "bits");  // the doubles themselves
    const double values[] = {sum(c, x), sum_of_squares(c, x)};
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
  EXPECT_EQ(sum_of_squares(cpu.c, none), 0);
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
  expect_shape_error("add_column_sums", [&] { add_column_sums(c, x, x); });
  expect_shape_error("add_sum", [&] { add_sum(c, other, x); });
  Tensor total = zeros(c, {1});
  expect_shape_error("add_sum", [&] { add_sum(c, total, half); });
}

TEST(ReduceChecks, PlanAccountsOnly) {
  expect_planned("sum", [](const Context& c) { EXPECT_EQ(sum(c, c.empty({7}, "x")), 0); });
  expect_planned("sum_of_squares",
                 [](const Context& c) { EXPECT_EQ(sum_of_squares(c, c.empty({7}, "x")), 0); });
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
