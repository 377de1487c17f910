#include "bench/roofline.h"

#ifdef RANKINE_WITH_CBLAS
#include <cblas.h>
#include <dlfcn.h>
#endif

#include <algorithm>
#include <limits>
#include <vector>

#include "engine/core/context.h"
#include "kernels/matmul/gemm.h"

namespace rankine::bench {

double best_seconds(const std::function<void()>& f, double budget) {
  using Clock = std::chrono::steady_clock;
  const auto seconds = [](Clock::duration d) { return std::chrono::duration<double>(d).count(); };
  const auto start = Clock::now();
  double best = 1e30;
  for (int i = 0; i < 3 || seconds(Clock::now() - start) < budget; ++i) {
    const auto before = Clock::now();
    f();
    best = std::min(best, seconds(Clock::now() - before));
  }
  return best;
}

namespace {

// Square matrices of fp32.
struct Square {
  const float *a, *b;
  float* c;
  std::int64_t n;
};

#ifdef RANKINE_WITH_CBLAS
// Every CBLAS links; those that bring threads of their own are told to use one.
void use_one_blas_thread() {
  for (const char* name : {"openblas_set_num_threads", "MKL_Set_Num_Threads", "bli_thread_set_num_threads"}) {
    if (void* f = dlsym(RTLD_DEFAULT, name)) reinterpret_cast<void (*)(int)>(f)(1);
  }
}

double blas_seconds(ThreadPool& pool, const Square& s, double budget) {
  use_one_blas_thread();
  const int columns = static_cast<int>(s.n);
  return best_seconds(
      [&] {
        pool.parallel_for(s.n, 1, [&](std::int64_t begin, std::int64_t end) {
          cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, static_cast<int>(end - begin), columns,
                      columns, 1, s.a + begin * s.n, columns, s.b, columns, 0, s.c + begin * s.n, columns);
        });
      },
      budget);
}
#else
double blas_seconds(ThreadPool&, const Square&, double) { return std::numeric_limits<double>::infinity(); }
#endif

}  // namespace

SgemmRate measure_sgemm_rate(ThreadPool& pool, std::int64_t edge, double seconds) {
  const std::int64_t n = edge;
  Runtime runtime(Device::cpu(), Memory::kUnlimited, 1);
  const Context c(runtime);
  Tensor x[3] = {c.empty({n, n}, "a"), c.empty({n, n}, "b"), c.empty({n, n}, "c")};
  Tensor scratch = c.workspace({pool.size(), cpu::gemm_scratch(n)}, "scratch");
  HostRandom random({1, purpose("roofline"), 0, 0});
  for (Tensor& t : x) {
    for (float& v : t.span<float>()) v = random.uniform();
  }
  const float *a = x[0].data<float>(), *b = x[1].data<float>();
  float* y = x[2].data<float>();
  const double flops = 2.0 * double(n) * double(n) * double(n);

  const cpu::Term term{{cpu::Gather::plain(a, n, n, n)}, cpu::Right::by_row(DType::f32, b, n), n};
  const double own = best_seconds(
      [&] {
        cpu::gemm(pool, {n, n, {&term, 1}, {y, n}}, scratch.data<float>());
      },
      seconds);
  return {flops / own, flops / blas_seconds(pool, {a, b, y, n}, seconds)};
}

}  // namespace rankine::bench
