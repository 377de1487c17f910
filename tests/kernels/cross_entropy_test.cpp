#include <limits>

#include "kernels/loss/loss.h"
#include "kernels/loss/loss_ref.h"
#include "tests/kernels/pointwise_support.h"

namespace rankine {
namespace {

using namespace testing_support;

// Rows of logits with their targets and weights, and what a call makes of them.
struct Rows {
  Tensor logits, targets, weights, loss, dlogits, correct;

  Rows(const Context& c, std::int64_t rows, std::int64_t vocabulary, float magnitude = 5.0F)
      : logits(random_tensor(c, {rows, vocabulary}, 1, magnitude)),
        targets(c.empty({rows}, "targets", DType::i32)),
        weights(c.empty({rows}, "weights")),
        loss(c.empty({rows}, "loss")),
        dlogits(c.like(logits, "dlogits")),
        correct(c.empty({rows}, "correct", DType::i32)) {
    for (std::int64_t r = 0; r < rows; ++r) {
      targets.data<std::int32_t>()[r] = static_cast<std::int32_t>((r * 7919 + vocabulary - 1) % vocabulary);
      weights.data<float>()[r] = 0.25F + 0.5F * static_cast<float>(r % 3);
    }
  }
  void run(const Context& c) { cross_entropy(c, loss, dlogits, logits, targets, weights, &correct); }

  std::vector<std::int32_t> hits() const {
    return {correct.data<std::int32_t>(), correct.data<std::int32_t>() + correct.numel()};
  }
};

struct Oracle {
  Doubles loss, dlogits;
  std::vector<std::int32_t> correct;

  explicit Oracle(const Rows& in) {
    for (std::int64_t r = 0; r < in.logits.rows(); ++r) {
      const float* x = in.logits.data<float>() + r * in.logits.cols();
      const Doubles row(x, x + in.logits.cols());
      const auto target = static_cast<std::size_t>(in.targets.data<std::int32_t>()[r]);
      const double weight = in.weights.data<float>()[r];
      Doubles gradient;
      loss.push_back(weight * ref::cross_entropy(row, target, gradient));
      for (const double g : gradient) dlogits.push_back(weight * g);
      correct.push_back(std::max_element(row.begin(), row.end()) - row.begin() == std::ptrdiff_t(target));
    }
  }
};

class CrossEntropy : public EachTarget {};
INSTANTIATE_TEST_SUITE_P(Targets, CrossEntropy, ::testing::ValuesIn(targets()), target_name);

TEST_P(CrossEntropy, MatchesTheReference) {
  for (const auto& [rows, vocabulary] :
       {std::pair<std::int64_t, std::int64_t>{1, 1}, {3, 2}, {7, 17}, {40, 31}, {5, 1025}, {4, 32003}}) {
    SCOPED_TRACE(join(rows, " ", vocabulary));
    Rows in(c, rows, vocabulary);
    const Oracle want(in);
    in.run(c);
    EXPECT_TRUE(matches(in.loss, want.loss));
    EXPECT_TRUE(matches(in.dlogits, want.dlogits));
    EXPECT_EQ(in.hits(), want.correct);
    Tensor value = c.like(in.loss, "loss"), none;
    cross_entropy(c, value, none, in.logits, in.targets, in.weights);  // the value alone
    EXPECT_TRUE(same_bits(value, in.loss));
    cross_entropy(c, value, in.logits, in.logits, in.targets, in.weights);  // in place
    EXPECT_TRUE(same_bits(value, in.loss) && same_bits(in.logits, in.dlogits));
  }
}

// Logits of +-1e4: exp of any of them overflows or is zero.
TEST_P(CrossEntropy, TakesLargeLogits) {
  Rows in(c, 6, 50, 1e4F);
  for (std::int64_t i = 0; i < 50; ++i) {
    in.logits.data<float>()[i] = i % 2 == 0 ? 1e4F : -1e4F;
    in.logits.data<float>()[50 + i] = -1e4F;
  }
  const Oracle want(in);
  in.run(c);
  EXPECT_TRUE(matches(in.loss, want.loss));
  EXPECT_TRUE(matches(in.dlogits, want.dlogits));
}

// The sum over a large vocabulary of equal logits is V: fp32 lanes alone would lose digits of ln V's
// argument.
TEST_P(CrossEntropy, LargeVocabulariesKeepTheirDigits) {
  constexpr std::int64_t kVocabulary = 150528;
  Rows in(c, 1, kVocabulary);
  std::fill_n(in.logits.data<float>(), kVocabulary, 0.3F);
  in.weights.data<float>()[0] = 1;
  in.run(c);
  EXPECT_NEAR(in.loss.data<float>()[0], std::log(double(kVocabulary)), 1e-6);
}

TEST_P(CrossEntropy, CorrectMeansTheFirstMaximum) {
  Rows in(c, 4, 20, 1.0F);
  const std::int32_t target[] = {5, 9, 0, 19};
  std::copy_n(target, 4, in.targets.data<std::int32_t>());
  float* x = in.logits.data<float>();
  x[5] = x[9] = 2;            // row 0: the first of two
  x[20 + 5] = x[20 + 9] = 2;  // row 1: the second of two
  x[40] = 2;
  x[60 + 19] = 2;
  x[60 + 3] = std::numeric_limits<float>::quiet_NaN();  // row 3: nobody knows
  in.run(c);
  EXPECT_EQ(in.hits(), (std::vector<std::int32_t>{1, 0, 1, 0}));
  EXPECT_TRUE(std::isnan(in.loss.data<float>()[3]));
  EXPECT_FALSE(std::isnan(in.loss.data<float>()[2]));
}

TEST_P(CrossEntropy, RowsOfWeightZeroGiveZeros) {
  Rows in(c, 2, 33);
  in.weights.data<float>()[0] = 0;
  in.logits.data<float>()[4] = std::numeric_limits<float>::infinity();
  in.run(c);
  EXPECT_EQ(in.loss.data<float>()[0], 0);
  EXPECT_NE(in.loss.data<float>()[1], 0);
  for (std::int64_t i = 0; i < 33; ++i) EXPECT_EQ(in.dlogits.data<float>()[i], 0);
}

TEST(CrossEntropyReference, GradientIsTheDerivative) {
  Doubles gradient;
  const Doubles logits{0.3, -2, 1.7, 0.9};
  ref::cross_entropy(logits, 3, gradient);
  const auto value = [](const Doubles& x) {
    Doubles unused;
    return Doubles{ref::cross_entropy(x, 3, unused)};
  };
  EXPECT_TRUE(close(gradient, differences(value, logits, {1}), kGradcheck));
}

TEST(CrossEntropyChecks, ThreadsDoNotChangeBits) {
  expect_same_bits_for_threads([](const Context& c) {
    Rows in(c, 37, 4099);
    in.run(c);
    return in.loss;
  });
  expect_same_bits_for_threads([](const Context& c) {
    Rows in(c, 37, 4099);
    in.run(c);
    return in.dlogits;
  });
}

TEST(CrossEntropyChecks, WrongTensorsAreNamed) {
  Cpu cpu;
  const Context& c = cpu.c;
  Rows in(c, 3, 5), other(c, 4, 5);
  const auto refused = [&](Rows& r) { expect_shape_error("cross_entropy", [&] { r.run(c); }); };
  for (Tensor Rows::*part : {&Rows::loss, &Rows::dlogits, &Rows::targets, &Rows::weights, &Rows::correct}) {
    Rows mixed = in;
    mixed.*part = other.*part;
    refused(mixed);
  }
  Rows wrong_type = in;
  wrong_type.targets = in.weights;
  refused(wrong_type);
  for (const std::int32_t bad : {-1, 5}) {
    in.targets.data<std::int32_t>()[2] = bad;
    refused(in);
    try {
      in.run(c);
    } catch (const ShapeError& e) {
      EXPECT_NE(std::string(e.what()).find(join("target ", bad, " of row 2")), std::string::npos) << e.what();
    }
  }
}

TEST(CrossEntropyChecks, PlanAccountsOnly) {
  expect_planned("cross_entropy", [](const Context& c) {
    Tensor loss = c.empty({3}, "loss"), logits = c.empty({3, 5}, "logits"), none;
    cross_entropy(c, loss, none, logits, c.empty({3}, "targets", DType::i32), c.empty({3}, "weights"));
  });
}

}  // namespace
}  // namespace rankine
