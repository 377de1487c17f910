// CUDA side of dora.h.
#include "kernels/common/column_sums.cuh"
#include "kernels/common/pointwise.cuh"
#include "kernels/dora/dora_impl.h"

namespace rankine::cuda {
namespace {

template <class T>
struct InverseNorm {
  float* inverse;
  const float* base;
  const T *cross, *up, *up_gram;
  std::int64_t out, rank;
  float scale;
  __device__ void operator()(std::int64_t i) const {
    float square = base[i] * base[i];
    for (std::int64_t r = 0; r < rank; ++r) {
      const float b = to_float(up[i * rank + r]);
      square += scale * b * (2.0F * to_float(cross[r * out + i]) + scale * to_float(up_gram[i * rank + r]));
    }
    inverse[i] = square > 0 ? 1.0F / sqrtf(square) : 0.0F;
  }
};

template <class T>
struct ProductTerms {
  const T *a, *b;
  std::int64_t cols;
  template <int kWidth>
  struct Own {
    const T *a, *b;
    std::int64_t cols;
    __device__ void add(float (&sums)[1][kWidth], std::int64_t row) const {
      const auto u = load_as<kWidth>(a + row * cols), v = load_as<kWidth>(b + row * cols);
#pragma unroll
      for (int e = 0; e < kWidth; ++e) sums[0][e] = fmaf(u.x[e], v.x[e], sums[0][e]);
    }
  };
  template <int kWidth>
  __device__ Own<kWidth> at(std::int64_t, std::int64_t col) const {
    return {a + col, b + col, cols};
  }
};
struct AddScaledSum {
  float* dm;
  const float* inverse;
  __device__ void operator()(std::int64_t, std::int64_t col, const float (&sums)[1]) const {
    dm[col] += inverse[col] * sums[0];
  }
};

}  // namespace

void dora_inverse_norms(CudaStream stream, const DoraNormArgs& a) {
  with_float_type("dora_inverse_norms", a.type, [&]<class T>(T) {
    for_each("dora_inverse_norms", stream, a.out,
             InverseNorm<T>{a.inverse, a.base, static_cast<const T*>(a.cross), static_cast<const T*>(a.up),
                            static_cast<const T*>(a.up_gram), a.out, a.rank, a.scale});
  });
}

void dora_magnitude_grad(CudaStream stream, const DoraMagnitudeArgs& a) {
  constexpr std::string_view kName = "dora_magnitude_grad";
  const ColumnBlocks blocks{1, a.rows, a.cols};
  with_float_type(kName, a.type, [&]<class T>(T) {
    const ProductTerms<T> terms{static_cast<const T*>(a.dy), static_cast<const T*>(a.y), a.cols};
    if (aligned8<T>(a.dy, a.cols) && aligned8<T>(a.y, a.cols)) {
      column_partials<8, 1>(kName, stream, blocks, a.partial, terms);
    } else {
      column_partials<1, 1>(kName, stream, blocks, a.partial, terms);
    }
  });
  finish_columns<1>(kName, stream, {a.partial, 1, blocks.chunks(), a.cols}, AddScaledSum{a.dm, a.inverse});
}

}  // namespace rankine::cuda
