// Tests of the CUDA kernels: the same on a card (label gpu) and in the emulator (label emulator), which runs
// each under several orders of threads. Values cross to the device and back by copies alone.
#pragma once

#include <cuda_runtime_api.h>

#include <cstdlib>
#include <fstream>

#include "engine/core/cuda_device.h"
#include "engine/core/transfer.h"
#include "tests/kernels/pointwise_support.h"
#ifdef RANKINE_EMULATED
#include <emulator.h>
#endif

namespace rankine::testing_support {

// What a CUDA test is run with: the type of activations, and the order of threads (0 on a card: its own).
struct GpuCase {
  DType dtype;
  unsigned seed;
};
inline std::string gpu_case_name(const ::testing::TestParamInfo<GpuCase>& info) {
  return std::string(name_of(info.param.dtype)) + "_order" + std::to_string(info.param.seed);
}
inline std::vector<GpuCase> gpu_cases(std::initializer_list<DType> types) {
  std::vector<GpuCase> cases;
#ifdef RANKINE_EMULATED
  for (const DType t : types) {
    for (const unsigned seed : {1U, 2U, 3U}) cases.push_back({t, seed});
  }
#else
  for (const DType t : types) cases.push_back({t, 0});
#endif
  return cases;
}

// TEST_P(Family, Name) plus INSTANTIATE_TEST_SUITE_P(Types, Family, gpu_types(), gpu_case_name).
class OnGpu : public ::testing::TestWithParam<GpuCase> {
 protected:
  void SetUp() override {
    if (cuda::device_count() == 0) GTEST_SKIP() << "no CUDA device: the kernels of this build were NOT run";
#ifdef RANKINE_EMULATED
    emulator::set_seed(GetParam().seed);
#endif
    runtime_ = std::make_unique<Runtime>(Device::cuda(0), std::size_t{256} << 20, 1);
    context_ = std::make_unique<Context>(*runtime_);
  }
  // Errors that a kernel left behind belong to the test that ran it. RANKINE_ERRORS names a file that gets a
  // line per test: its name, its case, and the largest error it saw, in units of the largest value of that
  // tensor.
  void TearDown() override {
    if (context_) cuda::synchronize(context_->cuda_stream());
    const char* file = std::getenv("RANKINE_ERRORS");
    if (!file || worst_ < 0) return;
    const auto* info = ::testing::UnitTest::GetInstance()->current_test_info();
    std::ofstream(file, std::ios::app)
        << info->test_suite_name() << ' ' << info->name() << ' ' << worst_ << '\n';
  }

  // Large shapes are for one order of threads of each type, another for each: smaller ones are run in all.
  bool takes_large() const {
    const unsigned seed = GetParam().seed;
    return seed == 0 || seed == (type() == DType::f32 ? 1U : type() == DType::f16 ? 2U : 3U);
  }
  const Context& c() const { return *context_; }
  DType type() const { return GetParam().dtype; }
  Tolerance tolerance() const { return kernel_tolerance(type()); }

  // A tensor of the device with these values, rounded to `dtype`; and what came of them, exactly.
  Tensor to_device(Shape shape, const Doubles& values, DType dtype) const;
  Tensor to_device(Shape shape, const Doubles& values) const { return to_device(shape, values, type()); }
  Tensor raw_to_device(const Tensor& host) const {  // any type, bits as they are
    Tensor t = c().empty(host.shape(), "test", host.dtype());
    upload(t, {static_cast<const std::byte*>(host.raw()), host.bytes()});
    return t;
  }
  Tensor random(Shape shape, std::uint32_t id, float scale = 1.0F) const {
    return random(shape, id, scale, type());
  }
  Tensor random(Shape shape, std::uint32_t id, float scale, DType dtype) const {
    return to_device(shape, to_double(random_tensor(host_.c, shape, id, scale)), dtype);
  }
  // Every element a NaN: what a kernel must overwrite.
  Tensor garbage(Shape shape, DType dtype) const {
    return to_device(shape, Doubles(static_cast<std::size_t>(shape.numel()), NAN), dtype);
  }
  Tensor garbage(Shape shape) const { return garbage(shape, type()); }

  Doubles from_device(const Tensor& t) const;
  std::vector<std::byte> bytes_from_device(const Tensor& t) const {
    std::vector<std::byte> bytes(t.bytes());
    download(bytes, t);
    return bytes;
  }
  ::testing::AssertionResult close_to(const Tensor& got, const Doubles& want) const {
    const Doubles values = from_device(got);
    double unit = 0, error = 0;
    for (std::size_t i = 0; i < std::min(values.size(), want.size()); ++i) {
      unit = std::max(unit, std::abs(want[i]));
      error = std::max(error, std::abs(values[i] - want[i]));
    }
    if (unit > 0) worst_ = std::max(worst_, error / unit);
    return close(values, want, kernel_tolerance(got.dtype() == DType::f32 ? type() : got.dtype()));
  }

  // A plan of this device must forecast the memory of `call`, scratch included, to the byte.
  void expect_forecast(const std::function<void(const Context&)>& call) const {
    Runtime plan(Device::cuda(0).planned()), real(Device::cuda(0), std::size_t{64} << 20, 1);
    call(Context(plan));
    call(Context(real));
    cuda::synchronize(real.cuda_stream());
    EXPECT_EQ(plan.memory().high_water(), real.memory().high_water());
    EXPECT_EQ(plan.memory().held(), 0U);
  }

  Cpu host_{1};

 private:
  mutable double worst_ = -1;
  std::unique_ptr<Runtime> runtime_;
  std::unique_ptr<Context> context_;
};

inline Tensor OnGpu::to_device(Shape shape, const Doubles& values, DType dtype) const {
  return raw_to_device(stored_as(host_.c, tensor_of(host_.c, shape, values), dtype));
}

inline Doubles OnGpu::from_device(const Tensor& t) const {
  const std::vector<std::byte> bytes = bytes_from_device(t);
  Doubles values(static_cast<std::size_t>(t.numel()));
  for (std::size_t i = 0; i < values.size(); ++i) {
    const auto read = [&]<class T>(T) {
      T x;
      std::memcpy(&x, bytes.data() + i * sizeof(T), sizeof(T));
      return static_cast<double>(to_float(x));
    };
    values[i] = t.dtype() == DType::f16    ? read(Half{})
                : t.dtype() == DType::bf16 ? read(BFloat16{})
                                           : read(0.0F);
  }
  return values;
}

// y (rows, cols) · down (rank, cols)ᵀ.
inline Doubles middle_of(const Doubles& y, const Doubles& down, std::int64_t cols) {
  Doubles s;
  for (std::size_t row = 0; row < y.size(); row += cols) {
    for (std::size_t rank = 0; rank < down.size(); rank += cols) {
      double sum = 0;
      for (std::int64_t i = 0; i < cols; ++i) sum += y[row + i] * down[rank + i];
      s.push_back(sum);
    }
  }
  return s;
}

inline auto gpu_types() { return ::testing::ValuesIn(gpu_cases({DType::f16, DType::bf16})); }
inline auto gpu_float_types() {
  return ::testing::ValuesIn(gpu_cases({DType::f32, DType::f16, DType::bf16}));
}

}  // namespace rankine::testing_support
