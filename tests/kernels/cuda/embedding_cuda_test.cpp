// embedding.h on CUDA: see embedding_test.cpp for the same on the CPU.
#include "kernels/embedding/embedding.h"

#include "kernels/embedding/embedding_ref.h"
#include "tests/kernels/block_support.h"
#include "tests/kernels/gpu_support.h"

namespace rankine {
namespace {
using namespace testing_support;

using Ids = std::vector<std::int32_t>;

class EmbeddingCuda : public OnGpu {
 protected:
  Tensor ids_of(Shape shape, const Ids& ids) const {
    Tensor t = host_.c.empty(shape, "ids", DType::i32);
    std::copy(ids.begin(), ids.end(), t.data<std::int32_t>());
    return raw_to_device(t);
  }
  static Ids some_ids(std::int64_t n, std::uint32_t vocabulary) {
    HostRandom random({7, purpose("ids"), 0, 0});
    Ids ids(static_cast<std::size_t>(n));
    for (auto& id : ids) id = static_cast<std::int32_t>(random.below(vocabulary));
    return ids;
  }
  // Values rounded to the type of the activations.
  Doubles rounded(const Doubles& values) const {
    return from_device(to_device({static_cast<std::int64_t>(values.size())}, values));
  }
};
INSTANTIATE_TEST_SUITE_P(Types, EmbeddingCuda, gpu_float_types(), gpu_case_name);

TEST_P(EmbeddingCuda, PlainRowsAreLookedUpExactly) {
  for (const std::int64_t cols : {1, 7, 40, 2056}) {
    for (const DType dtype : {DType::f32, DType::f16, DType::bf16}) {
      SCOPED_TRACE(join(cols, " ", name_of(dtype)));
      const Tensor table = random({5, cols}, 1, 1.0F, dtype);
      const Ids ids{4, 0, 3, 3};
      Tensor y = garbage({2, 2, cols});
      embedding_forward(c(), y, table, ids_of({2, 2}, ids));
      EXPECT_EQ(from_device(y), rounded(ref::embedding(from_device(table), ids, cols)));
    }
  }
}

TEST_P(EmbeddingCuda, RowsOfEveryBlockTypeAreLookedUpExactly) {
  for (const DType t : kBlockTypes) {
    SCOPED_TRACE(name_of(t));
    const Tensor table = random_blocks(host_.c, {7, 256}, t, 1);
    const Ids ids{6, 0, 5};
    Tensor y = garbage({3, 256});
    embedding_forward(c(), y, raw_to_device(table), ids_of({3}, ids));
    EXPECT_EQ(from_device(y), rounded(ref::embedding(to_double(decoded_blocks(host_.c, table)), ids, 256)));
  }
}

TEST_P(EmbeddingCuda, AnUnknownIdGivesNaNAndNoGradient) {
  const Tensor table = random({5, 16}, 1), dy = random({4, 16}, 2);
  const Ids ids{2, -1, 5, 4};
  Tensor y = random({4, 16}, 3), dtable = random({5, 16}, 4, 1.0F, DType::f32);
  const Doubles before = from_device(dtable), dy_values = from_device(dy);
  embedding_forward(c(), y, table, ids_of({4}, ids));
  embedding_weight_grad(c(), dtable, dy, ids_of({4}, ids));
  const Doubles got = from_device(y), values = from_device(table), after = from_device(dtable);
  for (std::size_t i = 0; i < 16; ++i) {
    EXPECT_EQ(got[i], values[2 * 16 + i]);
    EXPECT_TRUE(std::isnan(got[16 + i]) && std::isnan(got[2 * 16 + i]));
    EXPECT_EQ(got[3 * 16 + i], values[4 * 16 + i]);
    for (const std::size_t row : {0, 1, 3}) EXPECT_EQ(after[row * 16 + i], before[row * 16 + i]);
    EXPECT_EQ(after[2 * 16 + i], static_cast<float>(before[2 * 16 + i] + dy_values[i]));
  }
  const Ids on_host{0, 4, 5};
  expect_shape_error("embedding_forward", [&] { check_ids("embedding_forward", on_host, 5); });
}

// Ids that come back within a block of threads and after it; the CPU's bits, since the order is the same.
TEST_P(EmbeddingCuda, WeightGradientAddsInTheOrderOfTheIds) {
  for (const auto& [n, cols] : {std::pair{1, 1}, {40, 33}, {300, 7}, {9, 260}}) {
    SCOPED_TRACE(join(n, "x", cols));
    const Ids ids = some_ids(n, 6);
    const Tensor dy = random({n, cols}, 2);
    Tensor dtable = random({6, cols}, 3, 1.0F, DType::f32);
    Tensor again = to_device({6, cols}, from_device(dtable), DType::f32);
    const Doubles before = from_device(dtable);
    embedding_weight_grad(c(), dtable, dy, ids_of({n}, ids));
    embedding_weight_grad(c(), again, dy, ids_of({n}, ids));
    EXPECT_TRUE(close(from_device(dtable), ref::embedding_weight_grad(before, from_device(dy), ids, cols),
                      kernel_tolerance(DType::f32)));
    EXPECT_EQ(bytes_from_device(dtable), bytes_from_device(again));

    Tensor on_host = tensor_of(host_.c, {6, cols}, before);
    Tensor host_ids = host_.c.empty({n}, "ids", DType::i32);
    std::copy(ids.begin(), ids.end(), host_ids.data<std::int32_t>());
    embedding_weight_grad(host_.c, on_host, tensor_of(host_.c, {n, cols}, from_device(dy)), host_ids);
    EXPECT_EQ(from_device(dtable), to_double(on_host));
  }
}

TEST_P(EmbeddingCuda, TimestepsHaveCosinesFirst) {
  for (const std::int64_t half : {1, 3, 160}) {
    const Doubles t{0, 1, 17.5, 999};
    Tensor y = garbage({4, 2 * half});
    timestep_embedding(c(), y, to_device({4}, t, DType::f32));
    EXPECT_TRUE(close_to(y, ref::timestep_embedding(t, half, 10000.0)));
    EXPECT_EQ(from_device(y)[0], 1.0);  // t = 0: cosines are one, sines are zero
    EXPECT_EQ(from_device(y)[static_cast<std::size_t>(half)], 0.0);
  }
}

// Rows scattered back among activations: the fp32 sums, rounded once.
TEST_P(EmbeddingCuda, TheGradientMayBeOfTheTypeOfActivations) {
  const Tensor dy = random({4, 11}, 3), ids = ids_of({4}, {2, 0, 2, 5});
  const Doubles before = from_device(random({6, 11}, 4));
  Tensor wide = to_device({6, 11}, before, DType::f32), narrow = to_device({6, 11}, before);
  embedding_weight_grad(c(), wide, dy, ids);
  embedding_weight_grad(c(), narrow, dy, ids);
  EXPECT_TRUE(close_to(narrow, from_device(wide)));
}

TEST_P(EmbeddingCuda, WrongTensorsAreNamed) {
  const Tensor table = random({5, 2}, 1), ids = ids_of({3}, {0, 1, 2}), t = random({3}, 2, 1.0F, DType::f32);
  Tensor y = garbage({3, 2}), odd = garbage({3, 3}), dtable = garbage({5, 2}, DType::f32);
  Tensor other_table = garbage({5, 2}, type() == DType::f16 ? DType::bf16 : DType::f16);
  expect_shape_error("embedding_forward", [&] { embedding_forward(c(), odd, table, ids); });
  expect_shape_error("embedding_forward", [&] { embedding_forward(c(), y, table, t); });
  expect_shape_error("embedding_weight_grad", [&] { embedding_weight_grad(c(), dtable, odd, ids); });
  expect_shape_error("embedding_weight_grad", [&] { embedding_weight_grad(c(), other_table, y, ids); });
  expect_shape_error("timestep_embedding", [&] { timestep_embedding(c(), odd, t); });
}

}  // namespace
}  // namespace rankine
