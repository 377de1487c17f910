// CUDA side of rope.h: a block takes a row, a thread one unit of a head at a time: kVector pairs, or kVector
// numbers that pass through.
#include "kernels/common/launch.cuh"
#include "kernels/common/numeric.cuh"
#include "kernels/rope/rope_impl.h"

namespace rankine::cuda {
namespace {

struct TableEntry {
  RopeTable a;
  __device__ void operator()(std::int64_t at) const {
    const std::int64_t row = at / a.pairs, i = at % a.pairs;
    const float angle = static_cast<float>(a.positions[row]) * a.inv_freq[i];
    float* out = a.cos_sin + row * 2 * a.pairs + i;
    out[0] = static_cast<float>(a.factor * cos(double{angle}));
    out[a.pairs] = static_cast<float>(a.factor * sin(double{angle}));
  }
};

template <class T>
struct Rotation {
  T* y;
  const T* x;
  const float* cos_sin;
  std::int64_t rows;
  float direction;
  int heads, head_dim, first, rotary_dims;
  bool interleaved, copy;  // copy: numbers that are not turned, when y is not x
};

// kVector numbers of a row: one or eight.
template <int kVector>
struct Numbers {
  float x[kVector];
};
template <int kVector, class T>
__device__ __forceinline__ Numbers<kVector> load(const T* p) {
  Numbers<kVector> n;
  if constexpr (kVector == 8) {
    const Eight e = load8(p);
#pragma unroll
    for (int i = 0; i < 8; ++i) n.x[i] = e.x[i];
  } else {
    n.x[0] = to_float(p[0]);
  }
  return n;
}
template <int kVector, class T>
__device__ __forceinline__ void store(T* p, const Numbers<kVector>& n) {
  if constexpr (kVector == 8) {
    Eight e;
#pragma unroll
    for (int i = 0; i < 8; ++i) e.x[i] = n.x[i];
    store8(p, e);
  } else {
    p[0] = from_float<T>(n.x[0]);
  }
}

// Turns pairs [i, i + kVector) of a head that begins at x, by the angles of its row.
template <int kVector, class T>
__device__ __forceinline__ void turn(const Rotation<T>& a, T* y, const T* x, const float* angles, int i) {
  const int pairs = a.rotary_dims / 2, at = a.first + (a.interleaved ? 2 * i : i);
  const int next = at + (a.interleaved ? kVector : pairs);
  const auto cosine = load<kVector>(angles + i), sine = load<kVector>(angles + pairs + i);
  Numbers<kVector> lo = load<kVector>(x + at), hi = load<kVector>(x + next), u, v;
#pragma unroll
  for (int j = 0; j < kVector; ++j) {
    const auto number = [&](int k) { return k < kVector ? lo.x[k] : hi.x[k - kVector]; };
    const float from_u = a.interleaved ? number(2 * j) : lo.x[j];
    const float from_v = a.interleaved ? number(2 * j + 1) : hi.x[j];
    u.x[j] = from_u * cosine.x[j] - from_v * (a.direction * sine.x[j]);
    v.x[j] = from_v * cosine.x[j] + from_u * (a.direction * sine.x[j]);
  }
#pragma unroll
  for (int j = 0; j < kVector; ++j) {
    const auto number = [&](int k) { return k % 2 == 0 ? u.x[k / 2] : v.x[k / 2]; };
    lo.x[j] = a.interleaved ? number(j) : u.x[j];
    hi.x[j] = a.interleaved ? number(kVector + j) : v.x[j];
  }
  store(y + at, lo);
  store(y + next, hi);
}

template <int kVector, class T>
__global__ void __launch_bounds__(kThreads) rotate_kernel(Rotation<T> a) {
  const int turns = a.rotary_dims / 2 / kVector, rest = a.copy ? (a.head_dim - a.rotary_dims) / kVector : 0;
  const int units = a.heads * (turns + rest);
  for (std::int64_t row = blockIdx.x; row < a.rows; row += gridDim.x) {
    const std::int64_t at = row * a.heads * a.head_dim;
    for (int i = static_cast<int>(threadIdx.x); i < units; i += static_cast<int>(blockDim.x)) {
      const std::int64_t head = at + i / (turns + rest) * a.head_dim;
      const int unit = i % (turns + rest);
      if (unit < turns) {
        turn<kVector>(a, a.y + head, a.x + head, a.cos_sin + row * a.rotary_dims, unit * kVector);
      } else {
        const int before = (unit - turns) * kVector;
        const std::int64_t d = head + (before < a.first ? before : before + a.rotary_dims);
        store(a.y + d, load<kVector>(a.x + d));
      }
    }
  }
}

template <int kVector, class T>
void launch_rotation(CudaStream stream, const Rotation<T>& a) {
  const int most = a.heads * (a.head_dim / kVector);
  launch({.op = "rope",
          .grid = static_cast<unsigned>(std::min<std::int64_t>(a.rows, 65536)),
          .block = static_cast<unsigned>(std::clamp((most + 31) / 32 * 32, 32, kThreads)),
          .stream = stream,
          .sizes = {a.rows, a.heads, a.head_dim, a.rotary_dims}},
         rotate_kernel<kVector, T>, a);
}

}  // namespace

void rope_table(CudaStream stream, const RopeTable& a) {
  for_each("rope_table", stream, a.rows * a.pairs, TableEntry{a});
}

void rope_rotate(CudaStream stream, const RopeRotationArgs& a) {
  const RopeSpec& s = a.spec;
  require<ShapeError>(s.heads * s.head_dim <= INT32_MAX, "rope: rows of ", s.heads * s.head_dim,
                      " numbers are too long");
  if (a.rows == 0) return;
  const auto i32 = [](std::int64_t n) { return static_cast<int>(n); };
  with_float_type("rope", a.dtype, [&](auto number) {
    using T = decltype(number);
    const Rotation<T> r{static_cast<T*>(a.y),
                        static_cast<const T*>(a.x),
                        a.cos_sin,
                        a.rows,
                        a.direction,
                        s.heads,
                        i32(s.head_dim),
                        i32(s.first),
                        i32(s.rotary_dims),
                        s.pairing == RopeSpec::interleaved,
                        a.y != a.x};
    const bool eights = s.rotary_dims % 16 == 0 && s.first % 8 == 0 && aligned8<T>(a.y, s.head_dim) &&
                        aligned8<T>(a.x, s.head_dim) && aligned8<float>(a.cos_sin, s.rotary_dims);
    eights ? launch_rotation<8>(stream, r) : launch_rotation<1>(stream, r);
  });
}

}  // namespace rankine::cuda
