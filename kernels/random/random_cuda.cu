// CUDA side of random.h: a thread makes eight numbers from two blocks of four words.
// Uniform numbers and dropout masks are the host's to the bit, before rounding to a half type; normal numbers
// differ from the host's by the last places of the device's logarithm, sine and cosine.
#include "kernels/common/pointwise.cuh"
#include "kernels/random/philox.cuh"
#include "kernels/random/random_impl.h"

namespace rankine::cuda {
namespace {

// numbers(x, words): four numbers of a block of words; `x` holds the four elements of the input where there
// is one.
struct Uniform {
  float low, width;
  __device__ void operator()(float (&x)[4], const Words& words) const {
    for (int j = 0; j < 4; ++j) x[j] = fmaf(to_uniform(words.w[j]), width, low);
  }
};
struct Gaussian {
  __device__ void operator()(float (&x)[4], const Words& words) const {
    for (int pair = 0; pair < 4; pair += 2) {
      const float radius = sqrtf(-2.0F * logf(to_uniform(words.w[pair])));
      float sine, cosine;
      sincosf(6.283185307179586F * to_uniform(words.w[pair + 1]), &sine, &cosine);
      x[pair] = radius * cosine;
      x[pair + 1] = radius * sine;
    }
  }
};
struct Dropout {
  float p, scale;
  __device__ void operator()(float (&x)[4], const Words& words) const {
    for (int j = 0; j < 4; ++j) x[j] = to_uniform(words.w[j]) >= p ? x[j] * scale : 0.0F;
  }
};

template <class T, class Numbers>
struct Fill {
  T* y;
  const T* x;  // null: no input
  RandomStream stream;
  Numbers numbers;
  __device__ void block(float (&v)[4], std::int64_t i) const {
    numbers(v, generate(stream, static_cast<std::uint32_t>(i / 4)));
  }
  __device__ void eight(std::int64_t i) const {
    Eight e{};
    if (x) e = load8(x + i);
#pragma unroll
    for (int half = 0; half < 8; half += 4) {
      float v[4] = {e.x[half], e.x[half + 1], e.x[half + 2], e.x[half + 3]};
      block(v, i + half);
      for (int j = 0; j < 4; ++j) e.x[half + j] = v[j];
    }
    store8(y + i, e);
  }
  __device__ void one(std::int64_t i) const {
    const float in = x ? to_float(x[i]) : 0.0F;
    float v[4] = {in, in, in, in};
    block(v, i);
    const int j = static_cast<int>(i % 4);
    y[i] = from_float<T>(j == 0 ? v[0] : j == 1 ? v[1] : j == 2 ? v[2] : v[3]);
  }
};
template <class Numbers>
void fill(std::string_view op, CudaStream cuda, const RandomArgs& a, const RandomStream& stream,
          const Numbers& numbers) {
  with_float_type(op, a.type, [&]<class T>(T) {
    for_each8(op, cuda, a.n, aligned16({a.y, a.x}),
              Fill<T, Numbers>{static_cast<T*>(a.y), static_cast<const T*>(a.x), stream, numbers});
  });
}

}  // namespace

void fill_uniform(CudaStream cuda, const RandomArgs& a, const RandomStream& stream, UniformRange range) {
  fill("fill_uniform", cuda, a, stream, Uniform{range.low, range.high - range.low});
}
void fill_normal(CudaStream cuda, const RandomArgs& a, const RandomStream& stream) {
  fill("fill_normal", cuda, a, stream, Gaussian{});
}
void dropout(CudaStream cuda, const RandomArgs& a, const RandomStream& stream, float p) {
  fill("dropout", cuda, a, stream, Dropout{p, 1.0F / (1.0F - p)});
}

}  // namespace rankine::cuda
