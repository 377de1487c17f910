// Nearest-neighbour enlargement: one thread per element written, or per eight channels.
#include "kernels/common/launch.cuh"
#include "kernels/common/numeric.cuh"
#include "kernels/resample/resample_impl.h"

namespace rankine::cuda {
namespace {

// An element of a map of `channels` units.
struct MapIndex {
  std::int64_t channel, col, row, sample;
  __device__ MapIndex(std::int64_t i, std::int64_t channels, std::int64_t width, std::int64_t height)
      : channel(i % channels), col(i / channels % width), row(i / channels / width % height) {
    sample = i / channels / width / height;
  }
};

// As in Upsample.
__device__ std::int64_t source(std::int64_t i, std::int64_t in, std::int64_t out) { return i * in / out; }
__device__ std::int64_t first_reader(std::int64_t i, std::int64_t in, std::int64_t out) {
  return (i * out + in - 1) / in;
}

// A copy needs the size of a unit alone: 16 bytes of channels, or one number.
template <class Unit>
struct Enlarge {
  Unit* y;
  const Unit* x;
  Upsample u;
  __device__ void operator()(std::int64_t i) const {
    const MapIndex at(i, u.channels, u.out_w, u.out_h);
    const std::int64_t row = source(at.row, u.in_h, u.out_h), col = source(at.col, u.in_w, u.out_w);
    y[i] = x[((at.sample * u.in_h + row) * u.in_w + col) * u.channels + at.channel];
  }
};
template <class Unit>
void enlarge(CudaStream stream, void* y, const void* x, const Upsample& u) {
  for_each("upsample_nearest_forward", stream, u.out_elements(),
           Enlarge<Unit>{static_cast<Unit*>(y), static_cast<const Unit*>(x), u});
}

// Sums over the pixels that read the element, row by row.
template <class T, int kChannels>
struct SumReaders {
  T* dx;
  const T* dy;
  Upsample u;
  __device__ void operator()(std::int64_t i) const {
    const MapIndex at(i, u.channels / kChannels, u.in_w, u.in_h);
    const std::int64_t bottom = first_reader(at.row + 1, u.in_h, u.out_h);
    const std::int64_t left = first_reader(at.col, u.in_w, u.out_w);
    const std::int64_t right = first_reader(at.col + 1, u.in_w, u.out_w);
    Eight sum{};
    for (std::int64_t row = first_reader(at.row, u.in_h, u.out_h); row < bottom; ++row) {
      for (std::int64_t col = left; col < right; ++col) {
        add(sum, dy + ((at.sample * u.out_h + row) * u.out_w + col) * u.channels + at.channel * kChannels);
      }
    }
    if constexpr (kChannels == 8) {
      store8(dx + i * 8, sum);
    } else {
      dx[i] = from_float<T>(sum.x[0]);
    }
  }
  __device__ static void add(Eight& sum, const T* from) {
    if constexpr (kChannels == 8) {
      const Eight e = load8(from);
#pragma unroll
      for (int j = 0; j < 8; ++j) sum.x[j] += e.x[j];
    } else {
      sum.x[0] += to_float(*from);
    }
  }
};
template <class T, int kChannels>
void sum_readers(CudaStream stream, void* dx, const void* dy, const Upsample& u) {
  for_each("upsample_nearest_adjoint", stream, u.in_elements() / kChannels,
           SumReaders<T, kChannels>{static_cast<T*>(dx), static_cast<const T*>(dy), u});
}

template <class T>
bool in_eights(const void* a, const void* b, const Upsample& u) {
  return aligned8<T>(a, u.channels) && aligned8<T>(b, u.channels);
}

}  // namespace

void upsample_nearest_forward(CudaStream stream, void* y, const void* x, DType type, const Upsample& u) {
  with_float_type("upsample_nearest_forward", type, [&](auto t) {
    using T = decltype(t);
    if (!in_eights<T>(y, x, u)) return enlarge<T>(stream, y, x, u);
    Upsample units = u;
    units.channels = u.channels * static_cast<std::int64_t>(sizeof(T)) / 16;
    enlarge<uint4>(stream, y, x, units);
  });
}

void upsample_nearest_adjoint(CudaStream stream, void* dx, const void* dy, DType type, const Upsample& u) {
  with_float_type("upsample_nearest_adjoint", type, [&](auto t) {
    using T = decltype(t);
    in_eights<T>(dx, dy, u) ? sum_readers<T, 8>(stream, dx, dy, u) : sum_readers<T, 1>(stream, dx, dy, u);
  });
}

}  // namespace rankine::cuda
