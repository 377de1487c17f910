// reduce.h on CUDA: see reduce_test.cpp for the same on the CPU.
#include "kernels/reduce/reduce.h"

#include "kernels/reduce/reduce_ref.h"
#include "tests/kernels/gpu_support.h"

namespace rankine {
namespace {
using namespace testing_support;

class ReduceCuda : public OnGpu {};
INSTANTIATE_TEST_SUITE_P(Types, ReduceCuda, gpu_float_types(), gpu_case_name);

// Eight terms are added in fp32, the rest in double: an error of some 2^-24 per term.
TEST_P(ReduceCuda, SumsMatchTheReference) {
  for (const std::int64_t n : {1, 3, 8, 40, 257, 1031, 9001}) {  // the last: more than one block
    for (const bool aligned : {true, false}) {
      SCOPED_TRACE(join(n, " ", aligned));
      const Tensor buffer = random({n + 1}, 1), x = buffer.flat(aligned ? 0 : 1, {n});
      const Doubles values = from_device(x);
      const double unit = 0x1p-22 * double(n);
      EXPECT_NEAR(sum(c(), x), ref::sum(values), unit);
      EXPECT_NEAR(sum_of_squares(c(), x), ref::sum_of_squares(values), unit);
      EXPECT_EQ(sum(c(), x), sum(c(), x));
    }
  }
}

TEST_P(ReduceCuda, SumsAdd) {
  for (const std::int64_t n : {1, 255, 257, 3001}) {
    SCOPED_TRACE(n);
    const Tensor x = random({n}, 1, 1.0F, DType::f32);
    Tensor total = to_device({1}, {0.75}, DType::f32);
    add_sum(c(), total, x);
    EXPECT_FLOAT_EQ(static_cast<float>(from_device(total)[0]),
                    static_cast<float>(ref::add_sum(0.75, from_device(x))));
  }
}

TEST_P(ReduceCuda, ColumnSumsAdd) {
  for (const auto& [rows, cols] :
       {std::pair<std::int64_t, std::int64_t>{1, 1}, {3, 7}, {31, 33}, {257, 3}, {300, 40}, {5, 1032}}) {
    SCOPED_TRACE(join(rows, " ", cols));
    const Tensor dy = random({rows, cols}, 1), before = random({cols}, 2, 1.0F, DType::f32);
    Tensor db = to_device({cols}, from_device(before), DType::f32),
           again = to_device({cols}, from_device(before), DType::f32);
    add_column_sums(c(), db, dy);
    EXPECT_TRUE(close(from_device(db), ref::add_column_sums(from_device(before), from_device(dy)),
                      kernel_tolerance(DType::f32)));
    add_column_sums(c(), again, dy);
    EXPECT_EQ(bytes_from_device(again), bytes_from_device(db));
  }
}

TEST_P(ReduceCuda, PlanForecastsTheMemory) {
  expect_forecast([t = type()](const Context& c) { sum(c, c.empty({20000}, "x", t)); });
  expect_forecast([t = type()](const Context& c) {
    Tensor db = c.empty({40}, "db");
    add_column_sums(c, db, c.empty({70, 40}, "dy", t));
  });
}

TEST_P(ReduceCuda, NothingSumsToZero) {
  const Tensor none = c().empty({0, 4}, "none", type());
  EXPECT_EQ(sum(c(), none), 0);
  EXPECT_EQ(sum_of_squares(c(), none), 0);
  Tensor db = to_device({4}, {1, 2, 3, 4}, DType::f32);
  add_column_sums(c(), db, none);
  EXPECT_EQ(from_device(db), (Doubles{1, 2, 3, 4}));
  Tensor total = db.flat(0, {1});
  add_sum(c(), total, c().empty({0}, "none", DType::f32));
  EXPECT_EQ(from_device(db), (Doubles{1, 2, 3, 4}));
}

TEST_P(ReduceCuda, WrongTensorsAreNamed) {
  Tensor x = garbage({2, 3}), ids = c().empty({3}, "ids", DType::i32);
  expect_shape_error("sum", [&] { sum(c(), ids); });
  expect_shape_error("add_column_sums", [&] { add_column_sums(c(), x, x); });
  Tensor total = garbage({1}, DType::f32);
  expect_shape_error("add_sum", [&] { add_sum(c(), total, ids); });
}

}  // namespace
}  // namespace rankine
