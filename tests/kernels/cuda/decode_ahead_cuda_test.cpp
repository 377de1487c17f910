// decode_ahead.h: products have the bits they have without it, in any order of weights and in recordings.
#include "kernels/decode_ahead/decode_ahead.h"

#include "engine/core/step_graph.h"
#include "kernels/lowrank/lowrank.h"
#include "kernels/matmul/matmul.h"
#include "tests/kernels/block_support.h"
#include "tests/kernels/gpu_support.h"

namespace rankine {
namespace {
using namespace testing_support;

constexpr std::int64_t kRows = 9, kWidth = 32;

class DecodeAheadCuda : public OnGpu {
 protected:
  void SetUp() override {
    OnGpu::SetUp();
    if (IsSkipped()) return;
    runtime_ = std::make_unique<Runtime>(Device::cuda(0), std::size_t{64} << 20, 1, type());
    for (std::uint32_t i = 0; i < 4; ++i) {
      const Tensor w = random_blocks(host_.c, {kWidth, kWidth}, i % 2 ? DType::q8_0 : DType::q4_0, 10 + i);
      weights_.emplace_back(runtime_->memory(), w.shape(), w.dtype(), Account::weights, "w");
      upload(weights_.back(), {static_cast<const std::byte*>(w.raw()), w.bytes()});
    }
  }
  void TearDown() override {
    weights_.clear();
    runtime_.reset();
    OnGpu::TearDown();
  }
  Context with(DecodeAhead* ahead) const {
    Context c(*runtime_);
    c.decode_ahead = ahead;
    return c;
  }
  Tensor start(const Context& at) const {
    Tensor x = at.empty({kRows, kWidth}, "x");
    const Tensor values = random({kRows, kWidth}, 1);
    const std::vector<std::byte> bytes = bytes_from_device(values);
    upload(x, bytes);
    return x;
  }
  // x through the weights of `order`, forth, and back in the mirrored order.
  void walk(const Context& at, const std::vector<int>& order, Tensor& x) const {
    Tensor y = at.like(x, "y");
    for (const int i : order) {
      linear_forward(at, y, x, weights_[i], {});
      std::swap(x, y);
    }
    for (auto i = order.rbegin(); i != order.rend(); ++i) {
      lowrank_linear_adjoint(at, y, x, weights_[*i], {}, Write::overwrite);
      std::swap(x, y);
    }
  }
  std::vector<std::byte> result(DecodeAhead* ahead, const std::vector<int>& order) const {
    const Context at = with(ahead);
    Tensor x = start(at);
    walk(at, order, x);
    cuda::synchronize(at.cuda_stream());
    return bytes_from_device(x);
  }

  std::unique_ptr<Runtime> runtime_;
  std::vector<Tensor> weights_;
};
INSTANTIATE_TEST_SUITE_P(Types, DecodeAheadCuda, gpu_types(), gpu_case_name);

TEST_P(DecodeAheadCuda, TheOrderIsLearnt) {
  DecodeAhead ahead(*runtime_, kWidth * kWidth);
  const std::vector<std::byte> want = result(nullptr, {0, 1, 2, 3});
  EXPECT_EQ(result(&ahead, {0, 1, 2, 3}), want);
  // 0 1 2 3 | 3 2 1 0: the last one is still there, the two before it are in the other buffer or decoded.
  const std::int64_t first = ahead.decoded();
  EXPECT_GE(first, 4);
  EXPECT_EQ(result(&ahead, {0, 1, 2, 3}), want);
  const std::int64_t second = ahead.decoded();
  EXPECT_LE(second - first, 1);  // what follows the end of a walk is learnt by the second one
  EXPECT_EQ(result(&ahead, {0, 1, 2, 3}), want);
  EXPECT_EQ(ahead.decoded(), second);
  EXPECT_EQ(ahead.found() + ahead.decoded(), 24);
}

TEST_P(DecodeAheadCuda, ANewOrderHasTheSameBits) {
  DecodeAhead ahead(*runtime_, kWidth * kWidth);
  result(&ahead, {0, 1, 2, 3});
  result(&ahead, {0, 1, 2, 3});
  for (const std::vector<int>& order : {std::vector<int>{3, 1, 0, 2}, {0, 2, 1, 3}, {1, 1, 2}, {0, 1, 2, 3}})
    EXPECT_EQ(result(&ahead, order), result(nullptr, order));
}

// Recordings start from buffers of which nothing is known, and leave them so.
TEST_P(DecodeAheadCuda, RecordingsAndWhatComesBetweenThem) {
  DecodeAhead ahead(*runtime_, kWidth * kWidth);
  const std::vector<int> orders[] = {{0, 1, 2, 3}, {2, 0}};
  const std::vector<std::byte> want[] = {result(nullptr, orders[0]), result(nullptr, orders[1])};
  const Context at = with(&ahead);
  StepGraph graphs[2];
  Tensor inputs[] = {start(at), start(at)},
         outputs[] = {at.like(inputs[0], "out"), at.like(inputs[0], "out")};
  for (int pass = 0; pass < 4; ++pass) {
    for (int g = 0; g < 2; ++g) {
      graphs[g].run(at, [&] {
        // In the frame: the input is read once, by a product with the first weight.
        Tensor x = at.like(inputs[g], "x");
        cuda::copy_bytes(at.cuda_stream(), x.raw(), inputs[g].raw(), x.bytes());
        walk(at, orders[g], x);
        cuda::copy_bytes(at.cuda_stream(), outputs[g].raw(), x.raw(), x.bytes());
      });
      cuda::synchronize(at.cuda_stream());
      EXPECT_EQ(bytes_from_device(outputs[g]), want[g]) << pass << ' ' << g;
      EXPECT_EQ(result(&ahead, orders[1 - g]), want[1 - g]) << "between recordings";
    }
  }
  EXPECT_EQ(graphs[0].launched(), 3);
}

TEST_P(DecodeAheadCuda, OthersDecodeForThemselves) {
  DecodeAhead small(*runtime_, kWidth * kWidth - 1);
  const Context at = with(&small);
  EXPECT_FALSE(small.takes(at, weights_[0], type()));
  EXPECT_EQ(result(&small, {0, 1}), result(nullptr, {0, 1}));
  EXPECT_EQ(small.found() + small.decoded(), 0);
  DecodeAhead ahead(*runtime_, kWidth * kWidth);
  EXPECT_TRUE(ahead.takes(at, weights_[0], type()));
  EXPECT_FALSE(ahead.takes(at, weights_[0], DType::f32));
  EXPECT_FALSE(ahead.takes(c(), weights_[0], type()));  // another runtime's
  EXPECT_FALSE(ahead.takes(at, random({kWidth, kWidth}, 1, 1.0F, DType::f32), type()));
  EXPECT_THROW(DecodeAhead(host_.runtime, 32), Error);
}

TEST_P(DecodeAheadCuda, PlanReachesTheSamePeak) {
  std::size_t peaks[2];
  for (int real = 0; real < 2; ++real) {
    Runtime r(real ? Device::cuda(0) : Device::cuda(0).planned(), std::size_t{64} << 20, 1, type());
    DecodeAhead ahead(r, kWidth * kWidth);
    Context at(r);
    at.decode_ahead = &ahead;
    const Tensor w = at.empty({kWidth, kWidth}, "w", DType::q4_0);
    const Tensor x = at.empty({kRows, kWidth}, "x");
    Tensor y = at.like(x, "y");
    linear_forward(at, y, x, w, {});
    linear_adjoint(at, y, x, w, Write::overwrite);
    cuda::synchronize(r.cuda_stream());
    peaks[real] = r.memory().high_water();
    EXPECT_EQ(r.memory().at_peak(Account::workspace), 2 * OffsetAllocator::rounded(2 * kWidth * kWidth));
  }
  EXPECT_EQ(peaks[0], peaks[1]);
}

}  // namespace
}  // namespace rankine
