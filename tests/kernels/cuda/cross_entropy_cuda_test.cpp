// cross_entropy on CUDA: see cross_entropy_test.cpp for the same on the CPU.
#include "kernels/loss/loss.h"
#include "kernels/loss/loss_ref.h"
#include "tests/kernels/gpu_support.h"

namespace rankine {
namespace {
using namespace testing_support;

class CrossEntropyCuda : public OnGpu {
 protected:
  Tensor ints(const std::vector<std::int32_t>& values) const {
    Tensor t = host_.c.empty({static_cast<std::int64_t>(values.size())}, "ints", DType::i32);
    std::copy(values.begin(), values.end(), t.data<std::int32_t>());
    return raw_to_device(t);
  }
  std::vector<std::int32_t> ints_from(const Tensor& t) const {
    std::vector<std::int32_t> values(t.numel());
    const auto bytes = bytes_from_device(t);
    std::memcpy(values.data(), bytes.data(), bytes.size());
    return values;
  }

  // Runs rows of logits and compares with the reference; rows of weight 0 must give zeros.
  void check(const Tensor& logits, const std::vector<std::int32_t>& targets, const Doubles& weights) const {
    const std::int64_t rows = logits.rows(), vocabulary = logits.cols();
    const Tensor on_device = ints(targets), w = to_device({rows}, weights, DType::f32);
    Tensor loss = garbage({rows}, DType::f32), dlogits = garbage(logits.shape()), none;
    Tensor correct = ints(std::vector<std::int32_t>(rows, -1));
    cross_entropy(c(), loss, dlogits, logits, on_device, w, &correct);
    const Doubles x = from_device(logits);
    Doubles want, dwant;
    std::vector<std::int32_t> hits;
    for (std::int64_t r = 0; r < rows; ++r) {
      const Doubles row(x.begin() + r * vocabulary, x.begin() + (r + 1) * vocabulary);
      Doubles gradient;
      want.push_back(weights[r] * ref::cross_entropy(row, static_cast<std::size_t>(targets[r]), gradient));
      for (const double g : gradient) dwant.push_back(weights[r] * g);
      hits.push_back(std::max_element(row.begin(), row.end()) - row.begin() == targets[r]);
    }
    EXPECT_TRUE(close(from_device(loss), want, kernel_tolerance(DType::f32)));
    EXPECT_TRUE(close_to(dlogits, dwant));
    EXPECT_EQ(ints_from(correct), hits);
    Tensor value = garbage({rows}, DType::f32), inside = to_device(logits.shape(), x);
    cross_entropy(c(), value, none, logits, on_device, w);  // the value alone
    EXPECT_EQ(bytes_from_device(value), bytes_from_device(loss));
    cross_entropy(c(), value, inside, inside, on_device, w);  // in place
    EXPECT_EQ(bytes_from_device(inside), bytes_from_device(dlogits));
  }
};
INSTANTIATE_TEST_SUITE_P(Types, CrossEntropyCuda, gpu_float_types(), gpu_case_name);

TEST_P(CrossEntropyCuda, MatchesTheReference) {
  for (const std::int64_t vocabulary : {1, 7, 40, 1000, 1031, 8200}) {
    SCOPED_TRACE(vocabulary);
    const std::int64_t rows = vocabulary > 1031 ? 1 : 3;
    std::vector<std::int32_t> targets;
    Doubles weights;
    for (std::int64_t r = 0; r < rows; ++r) {
      targets.push_back(static_cast<std::int32_t>((r * 7919 + vocabulary - 1) % vocabulary));
      weights.push_back(r == 1 ? 0 : 0.25 + 0.5 * double(r));  // the second row is ignored
    }
    check(random({rows, vocabulary}, 1, 5.0F), targets, weights);
  }
}

// Logits of +-1e4 (exp of any of them overflows or is zero), all equal ones, and masked ones of -infinity.
TEST_P(CrossEntropyCuda, TakesLargeEqualAndMaskedLogits) {
  Doubles x;
  for (int i = 0; i < 40; ++i) x.push_back(i % 2 == 0 ? 1e4 : -1e4);
  for (int i = 0; i < 40; ++i) x.push_back(-1e4);
  for (int i = 0; i < 40; ++i) x.push_back(i < 8 || i % 3 == 0 ? -INFINITY : 0.125 * i);
  check(to_device({3, 40}, x), {2, 0, 38}, {1, 1, 0.5});
}

TEST_P(CrossEntropyCuda, NanAndWrongTargetsStayVisible) {
  Doubles x(4 * 8, 0.5);
  x[3] = NAN, x[8 + 5] = NAN, x[16] = INFINITY;
  const Tensor logits = to_device({4, 8}, x), weights = to_device({4}, {1, 0, 1, 1}, DType::f32);
  Tensor loss = garbage({4}, DType::f32), dlogits = garbage({4, 8}), correct = ints({-1, -1, -1, -1});
  cross_entropy(c(), loss, dlogits, logits, ints({0, 0, 1, 8}), weights, &correct);
  const Doubles got = from_device(loss), gradient = from_device(dlogits);
  EXPECT_TRUE(std::isnan(got[0]) && std::isnan(got[2]) && std::isnan(got[3]));
  EXPECT_EQ(got[1], 0);
  for (int i = 0; i < 8; ++i) {
    EXPECT_EQ(gradient[8 + i], 0);  // ignored, whatever its logits are
    EXPECT_TRUE(std::isnan(gradient[24 + i]));
  }
  EXPECT_EQ(ints_from(correct), (std::vector<std::int32_t>{0, 0, 0, 0}));
}

TEST_P(CrossEntropyCuda, WrongTensorsAreNamed) {
  Tensor logits = garbage({2, 4}), loss = garbage({2}, DType::f32), other = garbage({2, 5});
  Tensor mixed = garbage({2, 4}, type() == DType::f16 ? DType::bf16 : DType::f16);
  const Tensor targets = ints({0, 1}), weights = to_device({2}, {1, 1}, DType::f32);
  const auto call = [&](Tensor& l, Tensor& d, const Tensor& t, const Tensor& w) {
    expect_shape_error("cross_entropy", [&] { cross_entropy(c(), l, d, logits, t, w); });
  };
  call(mixed, logits, targets, weights);
  call(loss, mixed, targets, weights);
  call(loss, other, targets, weights);
  call(loss, logits, weights, weights);
  call(loss, logits, targets, mixed);
  Tensor none, nothing = c().empty({0, 4}, "logits", type()), no_loss = c().empty({0}, "loss");
  EXPECT_NO_THROW(cross_entropy(c(), no_loss, nothing, nothing, c().empty({0}, "targets", DType::i32),
                                c().empty({0}, "weights")));
}

}  // namespace
}  // namespace rankine
