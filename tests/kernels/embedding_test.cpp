#include "kernels/embedding/embedding.h"

#include "kernels/embedding/embedding_ref.h"
#include "tests/kernels/pointwise_support.h"

namespace rankine {
namespace {

using namespace testing_support;

class Embedding : public EachTarget {};
INSTANTIATE_TEST_SUITE_P(Targets, Embedding, ::testing::ValuesIn(targets()), target_name);

Tensor ids_of(const Context& c, Shape shape, const std::vector<std::int32_t>& ids) {
  Tensor t = c.empty(shape, "ids", DType::i32);
  std::copy(ids.begin(), ids.end(), t.data<std::int32_t>());
  return t;
}
std::vector<std::int32_t> some_ids(std::int64_t n, std::int32_t vocabulary) {
  HostRandom random({7, purpose("ids"), 0, 0});
  std::vector<std::int32_t> ids(n);
  for (auto& id : ids) id = static_cast<std::int32_t>(random.below(vocabulary));
  return ids;
}

TEST_P(Embedding, LooksUpExactlyInEveryFormat) {
  for (const std::int64_t cols : {1, 7, 33, 257}) {
    for (const DType dtype : {DType::f32, DType::f16, DType::bf16}) {
      SCOPED_TRACE(join(cols, " ", name_of(dtype)));
      const Tensor table = stored_as(c, random_tensor(c, {19, cols}, 1), dtype);
      Tensor exact = c.empty({19, cols}, "exact");
      for (std::int64_t i = 0; i < table.numel(); ++i) {
        exact.data<float>()[i] = dtype == DType::f32   ? table.data<float>()[i]
                                 : dtype == DType::f16 ? to_float(table.data<Half>()[i])
                                                       : to_float(table.data<BFloat16>()[i]);
      }
      const auto ids = some_ids(2 * 31, 19);
      Tensor y = c.empty({2, 31, cols}, "y");
      embedding_forward(c, y, table, ids_of(c, {2, 31}, ids));
      EXPECT_TRUE(matches(y, ref::embedding(to_double(exact), ids, cols), {0, 0}));
    }
  }
}

TEST_P(Embedding, WeightGradientAddsAndIsTheAdjoint) {
  for (const std::int64_t cols : {1, 7, 33, 257}) {
    const auto ids = some_ids(500, 19);  // every row many times
    const Tensor id_tensor = ids_of(c, {500}, ids), table = random_tensor(c, {19, cols}, 1),
                 dy = random_tensor(c, {500, cols}, 2);
    Tensor dtable = clone(c, table);
    embedding_weight_grad(c, dtable, dy, id_tensor);
    EXPECT_TRUE(matches(dtable, ref::embedding_weight_grad(to_double(table), to_double(dy), ids, cols)));
    Tensor y = c.like(dy, "y"), adjoint = zeros(c, table.shape());
    embedding_forward(c, y, table, id_tensor);
    embedding_weight_grad(c, adjoint, dy, id_tensor);
    EXPECT_NEAR(dot(to_double(y), to_double(dy)), dot(to_double(table), to_double(adjoint)),
                1e-6 * double(dy.numel()));
  }
}

TEST(EmbeddingChecks, TimestepsHaveCosinesFirst) {
  Cpu cpu;
  const Context& c = cpu.c;
  for (const std::int64_t half : {1, 3, 160}) {
    const Doubles t{0, 1, 17.5, 999};
    Tensor y = c.empty({4, 2 * half}, "y");
    timestep_embedding(c, y, tensor_of(c, {4}, t));
    EXPECT_TRUE(matches(y, ref::timestep_embedding(t, half, 10000.0)));
    EXPECT_EQ(y.data<float>()[0], 1.0F);  // t = 0: cosines are one, sines are zero
    EXPECT_EQ(y.data<float>()[half], 0.0F);
    EXPECT_NEAR(y.data<float>()[2 * half], std::cos(1.0), 1e-6);
  }
}

TEST(EmbeddingChecks, ThreadsDoNotChangeBits) {
  expect_same_bits_for_threads([](const Context& c) {
    Tensor dtable = zeros(c, {19, 257});
    embedding_weight_grad(c, dtable, random_tensor(c, {500, 257}, 1), ids_of(c, {500}, some_ids(500, 19)));
    return dtable;
  });
}

TEST(EmbeddingChecks, BadIdsAreNamed) {
  Cpu cpu;
  const Context& c = cpu.c;
  Tensor y = zeros(c, {3, 2}), table = zeros(c, {5, 2});
  for (const std::int32_t bad : {-1, 5}) {
    const Tensor ids = ids_of(c, {3}, {0, 4, bad});
    expect_shape_error("embedding_weight_grad", [&] { embedding_weight_grad(c, table, y, ids); });
    try {
      embedding_forward(c, y, table, ids);
      ADD_FAILURE();
    } catch (const ShapeError& e) {
      EXPECT_EQ(std::string(e.what()),
                join("embedding_forward: id ", bad, " at position 2 is outside the table of 5 rows"));
    }
  }
}

TEST(EmbeddingChecks, WrongTensorsAreNamed) {
  Cpu cpu;
  const Context& c = cpu.c;
  Tensor y = zeros(c, {3, 2}), table = zeros(c, {5, 2}), t = zeros(c, {3}), odd = zeros(c, {3, 3});
  const Tensor ids = ids_of(c, {3}, {0, 1, 2});
  expect_shape_error("embedding_forward", [&] { embedding_forward(c, y, table, t); });
  expect_shape_error("embedding_forward", [&] { embedding_forward(c, odd, table, ids); });
  expect_shape_error("embedding_forward", [&] { embedding_forward(c, y, ids, ids); });
  expect_shape_error("embedding_weight_grad", [&] { embedding_weight_grad(c, table, odd, ids); });
  expect_shape_error("timestep_embedding", [&] { timestep_embedding(c, odd, t); });
  expect_shape_error("timestep_embedding", [&] { timestep_embedding(c, y, odd); });
}

TEST(EmbeddingChecks, PlanAccountsOnly) {
  expect_planned("embedding_forward", [](const Context& c) {
    Tensor y = c.empty({3, 2}, "y");
    embedding_forward(c, y, c.empty({5, 2}, "table", DType::f16), c.empty({3}, "ids", DType::i32));
  });
  expect_planned("embedding_weight_grad", [](const Context& c) {
    Tensor dtable = c.empty({5, 2}, "dtable");
    embedding_weight_grad(c, dtable, c.empty({3, 2}, "dy"), c.empty({3}, "ids", DType::i32));
  });
  expect_planned("timestep_embedding", [](const Context& c) {
    Tensor y = c.empty({3, 4}, "y");
    timestep_embedding(c, y, c.empty({3}, "t"));
  });
}

}  // namespace
}  // namespace rankine
