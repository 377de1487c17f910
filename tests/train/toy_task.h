// A small task written with the real kernels: a two-layer network that learns a fixed function from noisy
// inputs. Its batches and noise are functions of (seed, step, sample), as the Task contract asks.
#pragma once

#include <set>

#include "engine/train/task.h"

namespace rankine::testing_support {

struct ToyOptions {
  std::int64_t batch = 8;
  std::int64_t accumulation = 1;
  std::int64_t width = 16;
  std::set<std::int64_t> bad_gradient;  // steps whose gradient gets a NaN
  std::set<std::int64_t> bad_loss;      // steps whose loss is infinite while the gradient is fine
  std::string why_not_finite;
  bool result_is_folder = false;
  std::string extra_fact;  // one more line of the fingerprint
};

class ToyTask final : public Task {
 public:
  explicit ToyTask(ToyOptions options = {});

  std::vector<Param*> params() override { return {&w1_, &b1_, &w2_, &b2_}; }
  void init_params(Context& c) override;
  std::int64_t steps_per_epoch() const override { return 10; }
  std::string unit() const override { return "img"; }
  StepStats train_step(Context& c, std::int64_t step, Tensor& loss) override;
  std::string why_not_finite(Context&, std::int64_t step) override {
    return options_.why_not_finite.empty() ? "" : join(options_.why_not_finite, " in step ", step);
  }
  std::optional<double> validate(Context& c) override;
  std::vector<std::filesystem::path> preview(Context& c, std::int64_t step,
                                             const std::filesystem::path& folder) override;
  void save_result(Context& c, const std::filesystem::path& path,
                   const std::map<std::string, std::string>& facts) override;
  std::string fingerprint() const override;

  static constexpr std::int64_t kInputs = 8;

 private:
  struct Batch {
    Tensor x, y;
  };
  Batch make_batch(Context& c, std::string_view what, float noise) const;
  // Adds the mean loss times `weight` of each sample; with gradients when `train`.
  void run(Context& c, const Batch& batch, float weight, Tensor& loss, bool train);

  ToyOptions options_;
  Param w1_, b1_, w2_, b2_;
};

}  // namespace rankine::testing_support
