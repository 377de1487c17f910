// CUDA side of elementwise.h: fp32, grid-stride.
#include "kernels/common/launch.cuh"
#include "kernels/common/numeric.cuh"
#include "kernels/common/row_chunks.h"
#include "kernels/elementwise/elementwise_impl.h"

namespace rankine::cuda {
namespace {

struct Fill {
  float* y;
  float value;
  __device__ void operator()(std::int64_t i) const { y[i] = value; }
};
// y = a x + b z; the operations on two tensors are cases of it.
struct Combine {
  float* y;
  const float* x;
  const float* z;
  float a, b;
  __device__ void operator()(std::int64_t i) const { y[i] = a * x[i] + b * z[i]; }
};
struct Scale {
  float* y;
  const float* x;
  float s;
  __device__ void operator()(std::int64_t i) const { y[i] = s * x[i]; }
};
struct Multiply {
  float* y;
  const float* a;
  const float* b;
  __device__ void operator()(std::int64_t i) const { y[i] = a[i] * b[i]; }
};
struct Lerp {
  float* y;
  const float* x;
  float weight;
  __device__ void operator()(std::int64_t i) const { y[i] += weight * (x[i] - y[i]); }
};

template <class To, class From>
struct Convert {
  To* y;
  const From* x;
  __device__ void operator()(std::int64_t i) const { y[i] = from_float<To>(to_float(x[i])); }
};

// The element of v (samples, channels) that belongs to element i of a map.
__device__ std::int64_t per_sample(const SampleMap& size, std::int64_t i) {
  return i / (size.space * size.channels) * size.channels + i % size.channels;
}
struct AddPerSample {
  float* y;
  const float* v;
  SampleMap size;
  __device__ void operator()(std::int64_t i) const { y[i] += v[per_sample(size, i)]; }
};
struct MultiplyPerSample {
  float* y;
  const float* v;
  SampleMap size;
  __device__ void operator()(std::int64_t i) const { y[i] *= v[per_sample(size, i)]; }
};

// partial[chunk, channel] = sum over the chunk's rows: one thread per partial sum, neighbours on neighbouring
// channels.
struct ChunkSum {
  float* partial;
  const float* x;
  SampleMap size;
  std::int64_t height, chunks;
  __device__ void operator()(std::int64_t i) const {
    const std::int64_t channel = i % size.channels, chunk = i / size.channels % chunks;
    const std::int64_t sample = i / size.channels / chunks;
    const std::int64_t end = min(size.space, (chunk + 1) * height);
    float sum = 0;
    for (std::int64_t r = chunk * height; r < end; ++r)
      sum += x[(sample * size.space + r) * size.channels + channel];
    partial[i] = sum;
  }
};
struct CombineChunks {
  float* out;
  const float* partial;
  std::int64_t chunks, channels;
  __device__ void operator()(std::int64_t i) const {
    const std::int64_t sample = i / channels, channel = i % channels;
    double sum = 0;
    for (std::int64_t k = 0; k < chunks; ++k) sum += partial[(sample * chunks + k) * channels + channel];
    out[i] = static_cast<float>(sum);
  }
};

struct AddTable {
  float* y;
  const float* table;
  std::int64_t each;
  __device__ void operator()(std::int64_t i) const { y[i] += table[i % each]; }
};
struct SumOverSamples {
  float* dtable;
  const float* dy;
  std::int64_t samples, each;
  __device__ void operator()(std::int64_t i) const {
    float sum = dtable[i];
    for (std::int64_t s = 0; s < samples; ++s) sum += dy[s * each + i];
    dtable[i] = sum;
  }
};

struct Concat {
  float* y;
  const float* a;
  const float* b;
  ChannelSplit size;
  __device__ void operator()(std::int64_t i) const {
    const std::int64_t row = i / (size.a + size.b), col = i % (size.a + size.b);
    y[i] = col < size.a ? a[row * size.a + col] : b[row * size.b + col - size.a];
  }
};
struct Split {
  float* a;
  float* b;
  const float* y;
  ChannelSplit size;
  __device__ void operator()(std::int64_t i) const {
    const std::int64_t row = i / (size.a + size.b), col = i % (size.a + size.b);
    if (col < size.a) {
      a[row * size.a + col] = y[i];
    } else {
      b[row * size.b + col - size.a] = y[i];
    }
  }
};

// The factors travel with the launch, a few samples at a time: no copy, nothing to keep alive.
constexpr std::int64_t kFactors = 64;
struct Mix {
  float* y;
  const float* x;
  const float* z;
  std::int64_t each;
  float a[kFactors], b[kFactors];
  __device__ void operator()(std::int64_t i) const { y[i] = a[i / each] * x[i] + b[i / each] * z[i]; }
};

}  // namespace

void fill(CudaStream stream, float* y, std::int64_t n, float value) {
  for_each("fill", stream, n, Fill{y, value});
}

void copy(CudaStream stream, void* y, DType dtype, Typed x, std::int64_t n) {
  if (dtype == x.dtype) {
    const auto bytes = static_cast<std::size_t>(n) * size_of(dtype);
    const cudaError_t status = cudaMemcpyAsync(y, x.data, bytes, cudaMemcpyDeviceToDevice, stream);
    require<Error>(status == cudaSuccess, "copy: ", cudaGetErrorString(status));
    return;
  }
  with_float_type("copy", dtype, [&](auto to) {
    with_float_type("copy", x.dtype, [&](auto from) {
      using To = decltype(to);
      using From = decltype(from);
      for_each("copy", stream, n, Convert<To, From>{static_cast<To*>(y), static_cast<const From*>(x.data)});
    });
  });
}

void scale(CudaStream stream, float* y, const float* x, std::int64_t n, float s) {
  for_each("scale", stream, n, Scale{y, x, s});
}

void add(CudaStream stream, float* y, const float* a, const float* b, std::int64_t n) {
  for_each("add", stream, n, Combine{y, a, b, 1.0F, 1.0F});
}

void add_scaled(CudaStream stream, float* y, const float* x, std::int64_t n, float s) {
  for_each("add_scaled", stream, n, Combine{y, y, x, 1.0F, s});
}

void multiply(CudaStream stream, float* y, const float* a, const float* b, std::int64_t n) {
  for_each("multiply", stream, n, Multiply{y, a, b});
}

void lerp(CudaStream stream, float* y, const float* x, std::int64_t n, float weight) {
  for_each("lerp", stream, n, Lerp{y, x, weight});
}

void add_per_sample(CudaStream stream, float* y, const float* v, SampleMap size) {
  for_each("add_per_sample", stream, size.samples * size.space * size.channels, AddPerSample{y, v, size});
}

void multiply_per_sample(CudaStream stream, float* y, const float* v, SampleMap size) {
  for_each("multiply_per_sample", stream, size.samples * size.space * size.channels,
           MultiplyPerSample{y, v, size});
}

void sum_per_sample(CudaStream stream, const SampleSums& args) {
  const SampleMap& size = args.size;
  const RowChunks chunks{size.space, size.channels};
  for_each("sum_per_sample", stream, size.samples * chunks.count() * size.channels,
           ChunkSum{args.partial, args.x, size, chunks.height(), chunks.count()});
  for_each("sum_per_sample", stream, size.samples * size.channels,
           CombineChunks{args.out, args.partial, chunks.count(), size.channels});
}

void add_to_each_sample(CudaStream stream, float* y, const float* table, std::int64_t samples,
                        std::int64_t each) {
  for_each("add_to_each_sample", stream, samples * each, AddTable{y, table, each});
}

void sum_over_samples(CudaStream stream, float* dtable, const float* dy, std::int64_t samples,
                      std::int64_t each) {
  for_each("sum_over_samples", stream, each, SumOverSamples{dtable, dy, samples, each});
}

void concat_channels(CudaStream stream, float* y, const float* a, const float* b, ChannelSplit size) {
  for_each("concat_channels", stream, size.rows * (size.a + size.b), Concat{y, a, b, size});
}

void split_channels(CudaStream stream, float* a, float* b, const float* y, ChannelSplit size) {
  for_each("split_channels", stream, size.rows * (size.a + size.b), Split{a, b, y, size});
}

void mix_per_sample(CudaStream stream, const SampleMix& args) {
  for (std::int64_t first = 0; first < args.samples; first += kFactors) {
    const std::int64_t count = std::min(kFactors, args.samples - first), offset = first * args.each;
    Mix mix{args.y + offset, args.x + offset, args.z + offset, args.each, {}, {}};
    std::copy_n(args.a + first, count, mix.a);
    std::copy_n(args.b + first, count, mix.b);
    for_each("mix_per_sample", stream, count * args.each, mix);
  }
}

}  // namespace rankine::cuda
