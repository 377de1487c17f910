#include <algorithm>
#include <cmath>

#include "kernels/common/row_chunks.h"
#include "kernels/optim/optim_impl.h"

namespace rankine::cpu {
namespace {

double sum_of_squares(const float* x, std::int64_t n, float scale) {
  double sum = 0;
  std::int64_t i = 0;
  for (; i + 8 <= n; i += 8) {
    float part = 0;
    for (std::int64_t k = i; k < i + 8; ++k) part += x[k] * scale * (x[k] * scale);
    sum += double(part);
  }
  for (; i < n; ++i) sum += double(x[i] * scale * (x[i] * scale));
  return sum;
}

// What the step does with a gradient of this norm.
void finish(StepState& s, double norm, float loss, const UpdateSpec& spec) {
  const bool finite = std::isfinite(norm) && std::isfinite(loss);
  s.norm = float(norm);
  s.loss = loss;
  s.found_inf = finite ? 0.0F : 1.0F;
  if (!finite) {
    s.skipped += 1;
    return;
  }
  const double clip = s.max_norm > 0 ? std::min(1.0, double(s.max_norm) / (norm + 1e-6)) : 1.0;
  const double t = double(s.updates) + 1;
  s.updates = float(t);
  s.factor = float(double(s.grad_scale) * clip);
  s.inverse_bias = float(1 / (1 - std::pow(double(spec.beta1), t)));
  s.root_bias = float(1 / std::sqrt(1 - std::pow(double(spec.beta2), t)));
  s.ema_weight = float(1 - std::min(double(spec.ema_decay), t / (9 + t)));
}

template <class T>
void write_copy(const UpdateCopy& copy, const float* value, std::int64_t begin, std::int64_t end) {
  auto* to = static_cast<T*>(copy.to);
  for (std::int64_t i = begin; i < end; ++i) {
    const std::int64_t at = copy.cols == 0 ? i : i / copy.cols * copy.pitch + i % copy.cols;
    const float x = copy.scale * value[i];
    if constexpr (std::is_same_v<T, Half>)
      to[at] = to_half(x);
    else if constexpr (std::is_same_v<T, BFloat16>)
      to[at] = to_bfloat16(x);
    else
      to[at] = x;
  }
}

AdamWFactors factors_of(const StepState& s, const UpdateRun& run, const UpdateSpec& spec) {
  const double b1 = spec.beta1, b2 = spec.beta2, t = s.updates;
  const double lr = float(double(s.lr) * run.lr_scale);
  return {spec.beta1,
          float(1 - b1),
          spec.beta2,
          float(1 - b2),
          float(1 - lr * run.weight_decay),
          float(lr / (1 - std::pow(b1, t))),
          float(1 / std::sqrt(1 - std::pow(b2, t))),
          spec.eps,
          s.factor};
}

void update_run(ThreadPool& pool, const UpdateArgs& args, const UpdateRun& run, const UpdateSpec& spec) {
  const StepState& s = *args.state;
  const AdamWArgs& all = args.adamw;
  const AdamWArgs a{all.value + run.first, all.m + run.first, all.v + run.first, all.grad + run.first,
                    run.count};
  adamw_run(pool, a, factors_of(s, run, spec));
  pool.parallel_for(run.count, kGrain, [&](std::int64_t begin, std::int64_t end) {
    for (const UpdateCopy& copy : run.copies) {
      if (!copy.to) continue;
      visit_float("adamw_update", copy.type, [&]<class T>() { write_copy<T>(copy, a.value, begin, end); });
    }
    if (!args.ema) return;
    float* ema = args.ema + run.first;
    for (std::int64_t i = begin; i < end; ++i) ema[i] += s.ema_weight * (a.value[i] - ema[i]);
  });
}

}  // namespace

void grad_stats(ThreadPool& pool, const GradStatsArgs& a, const UpdateSpec& spec) {
  const std::int64_t parts = stats_partials(false, a.n);
  pool.parallel_for(parts, 1, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t p = begin; p < end; ++p) {
      const std::int64_t first = p * kStatsChunk, n = std::min(kStatsChunk, a.n - first);
      a.partial[p] = sum_of_squares(a.grad + first, n, a.state->grad_scale);
    }
  });
  double sum = 0;
  for (std::int64_t p = 0; p < parts; ++p) sum += a.partial[p];
  finish(*a.state, std::sqrt(sum), a.loss ? *a.loss : 0.0F, spec);
}

void adamw_update(ThreadPool& pool, const UpdateArgs& a, const UpdateSpec& spec) {
  if (a.state->found_inf != 0) return;
  for (std::int64_t i = 0; i < a.run_count; ++i) update_run(pool, a, a.runs[i], spec);
}

}  // namespace rankine::cpu
