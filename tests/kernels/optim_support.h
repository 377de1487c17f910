// A run of optimizer steps with everything adamw_update can do, beside the reference in double: the same on
// every device.
#pragma once

#include "engine/core/transfer.h"
#include "kernels/optim/optim.h"
#include "kernels/optim/optim_ref.h"
#include "tests/kernels/pointwise_support.h"

namespace rankine::testing_support {

inline Tensor upload_numbers(const Context& c, const Doubles& values) {
  const std::vector<float> numbers(values.begin(), values.end());
  Tensor t = c.empty({static_cast<std::int64_t>(numbers.size())}, "test");
  upload(t, std::as_bytes(std::span<const float>(numbers)));
  return t;
}
inline std::vector<std::byte> download_bytes(const Context& c, const Tensor& t) {
  std::vector<std::byte> bytes(t.bytes());
  download(bytes, t);
  return bytes;
}
template <class T>
std::vector<T> download_all(const Context& c, const Tensor& t) {
  std::vector<T> numbers(static_cast<std::size_t>(t.numel()));
  download(std::as_writable_bytes(std::span<T>(numbers)), t);
  return numbers;
}
inline Doubles download_numbers(const Context& c, const Tensor& t) {
  const auto numbers = download_all<float>(c, t);
  return {numbers.begin(), numbers.end()};
}

// An arena of three groups with a hole of five numbers that nothing updates. Segments begin and end anywhere;
// the second crosses two tiles.
struct OptimRun {
  static constexpr std::int64_t kNumel = 4096 * 2 + 61;
  static constexpr UpdateSpec kSpec{0.9F, 0.99F, 1e-8F, 0.8F};

  explicit OptimRun(const Context& context, DType type) : c(context) {
    const Doubles start = numbers(1, 1);
    value = upload_numbers(c, start);
    ema = upload_numbers(c, start);
    m = upload_numbers(c, Doubles(kNumel));
    v = upload_numbers(c, Doubles(kNumel));
    state = make_step_state(c, {});
    want.resize(kNumel);
    for (std::int64_t i = 0; i < kNumel; ++i) want[i] = {start[i], 0, 0}, want_ema.push_back(start[i]);
    segments.push_back({0, 6, 1.0F, 0.1F, {{{garbage({6}, type), 0.5F}, {}}}});
    segments.push_back(
        {6, 8190, 16.0F, 0.0F, {{{garbage({8190}, type)}, {garbage({819, 24}, type), 2.0F, 10, 14}}}});
    segments.push_back({8201, 52, 0.5F, 0.2F, {{{garbage({52}, type)}, {garbage({52}, DType::f32), 3.0F}}}});
  }
  static Doubles numbers(std::uint32_t id, float scale) {
    HostRandom random({5, purpose("optim"), 0, id});
    Doubles d(kNumel);
    for (double& x : d) x = scale * (2 * random.uniform() - 1);
    return d;
  }
  // NaNs, with more of them before and behind, which nothing may touch.
  static constexpr std::int64_t kGuard = 64;
  Tensor garbage(Shape shape, DType type) {
    Tensor all = c.empty({shape.numel() + 2 * kGuard}, "copy", type);
    const std::vector<std::byte> ones(all.bytes(), std::byte{0xFF});
    upload(all, ones);
    guarded.push_back(all);
    return all.flat(kGuard, shape);
  }
  void expect_guards() const {
    for (const Tensor& all : guarded) {
      const auto bytes = download_bytes(c, all);
      const std::size_t guard = kGuard * size_of(all.dtype());
      for (std::size_t i = 0; i < guard; ++i) {
        ASSERT_EQ(bytes[i], std::byte{0xFF}) << "written before the copy";
        ASSERT_EQ(bytes[bytes.size() - 1 - i], std::byte{0xFF}) << "written behind the copy";
      }
    }
  }

  // One step of both; the gradient of the arena is scaled as by a loss scale of 1024.
  void step(int i, Doubles grad, double loss) {
    StepState inputs;
    inputs.lr = 1e-2F / static_cast<float>(i);
    inputs.grad_scale = 1.0F / 1024;
    inputs.max_norm = i % 2 ? 3.0F : 0.0F;
    set_step_inputs(c, state, inputs.lr, inputs.grad_scale, inputs.max_norm);
    const UpdatePlan plan(c, kNumel, segments);
    const Tensor g = upload_numbers(c, grad);
    grad_stats(c, state, g, upload_numbers(c, {loss}), kSpec);
    adamw_update(c, {value, m, v, g, ema}, state, plan, kSpec);
    for (double& x : grad) x = static_cast<float>(x);
    ref::grad_stats(reference, grad, loss, inputs, static_cast<double>(kSpec.ema_decay));
    if (!reference.bad) update_reference(grad, inputs.lr);
  }
  void update_reference(const Doubles& grad, float lr) {
    for (const UpdateSegment& s : segments) {
      ref::AdamWSpec spec{lr * s.lr_scale,
                          kSpec.beta1,
                          kSpec.beta2,
                          kSpec.eps,
                          s.weight_decay,
                          static_cast<float>(reference.factor),
                          static_cast<std::int64_t>(reference.updates)};
      for (std::int64_t i = s.first; i < s.first + s.count; ++i) {
        want[i] = ref::adamw_step(want[i], grad[i], spec);
        want_ema[i] += reference.ema_weight * (want[i].value - want_ema[i]);
      }
    }
  }
  // Clipped and unclipped steps, a gradient with an infinity, a NaN, a loss that is not finite.
  void run() {
    for (int i = 1; i <= 6; ++i) {
      Doubles grad = numbers(100 + static_cast<std::uint32_t>(i), 1024);
      if (i == 2) grad[8200] = INFINITY;
      if (i == 4) grad[17] = NAN;
      step(i, grad, i == 5 ? INFINITY : 1.0);
    }
  }

  void expect_reference() const {
    Doubles want_value, want_m, want_v;
    for (const auto& p : want) want_value.push_back(p.value), want_m.push_back(p.m), want_v.push_back(p.v);
    const Tolerance tol = kernel_tolerance(DType::f32);
    EXPECT_TRUE(close(download_numbers(c, value), want_value, tol));
    EXPECT_TRUE(close(download_numbers(c, m), want_m, tol));
    EXPECT_TRUE(close(download_numbers(c, v), want_v, tol));
    EXPECT_TRUE(close(download_numbers(c, ema), want_ema, tol));
    const StepState s = read_step_state(c, state);
    EXPECT_EQ(s.updates, 3);
    EXPECT_EQ(s.skipped, 3);
    EXPECT_EQ(s.found_inf, 0);
    EXPECT_EQ(s.loss, 1);
    EXPECT_NEAR(s.norm, reference.norm, 1e-5 * reference.norm);
    EXPECT_NEAR(s.factor, reference.factor, 1e-6 * reference.factor);
    EXPECT_NEAR(s.ema_weight, reference.ema_weight, 1e-6);
  }
  // Copies hold the scaled values, rounded once; the rest of a wider matrix is not touched.
  void expect_copies() const {
    expect_guards();
    const auto values = download_all<float>(c, value);
    for (const UpdateSegment& s : segments) {
      for (const UpdateSegment::Copy& copy : s.copies) {
        if (!copy.to.defined()) continue;
        visit_float("copy", copy.to.dtype(), [&]<class T>() { expect_copy<T>(s, copy, values); });
      }
    }
  }
  template <class T>
  void expect_copy(const UpdateSegment& s, const UpdateSegment::Copy& copy,
                   const std::vector<float>& values) const {
    const auto got = download_all<T>(c, copy.to);
    const std::int64_t cols = copy.cols == 0 ? s.count : copy.cols;
    const std::int64_t pitch = copy.cols == 0 ? s.count : copy.to.dim(1);
    std::int64_t written = 0;
    for (std::size_t i = 0; i < got.size(); ++i) {
      const auto row = static_cast<std::int64_t>(i) / pitch, column = static_cast<std::int64_t>(i) % pitch;
      const std::int64_t from = column - copy.first_column;
      if (from < 0 || from >= cols) {
        ASSERT_TRUE(std::isnan(to_float(got[i]))) << "element " << i << " was written";
        continue;
      }
      const float x = copy.scale * values[static_cast<std::size_t>(s.first + row * cols + from)];
      ASSERT_EQ(to_float(got[i]), to_float(rounded<T>(x))) << "element " << i;
      ++written;
    }
    EXPECT_EQ(written, s.count);
  }
  template <class T>
  static T rounded(float x) {
    if constexpr (std::is_same_v<T, Half>)
      return to_half(x);
    else if constexpr (std::is_same_v<T, BFloat16>)
      return to_bfloat16(x);
    else
      return x;
  }
  std::vector<std::vector<std::byte>> all_bytes() const {
    std::vector<std::vector<std::byte>> all;
    for (const Tensor& t : {value, m, v, ema, state}) all.push_back(download_bytes(c, t));
    for (const UpdateSegment& s : segments) {
      for (const auto& copy : s.copies) {
        if (copy.to.defined()) all.push_back(download_bytes(c, copy.to));
      }
    }
    return all;
  }

  const Context& c;
  Tensor value, m, v, ema, state;
  std::vector<UpdateSegment> segments;
  std::vector<Tensor> guarded;
  std::vector<ref::AdamWParameter<double>> want;
  Doubles want_ema;
  ref::Step<double> reference;
};

}  // namespace rankine::testing_support
