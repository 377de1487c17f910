// CUDA side of elementwise.h: fp32 arithmetic on fp32, fp16 or bf16.
#include "kernels/common/column_sums.cuh"
#include "kernels/common/pointwise.cuh"
#include "kernels/elementwise/elementwise_impl.h"

namespace rankine::cuda {
namespace {

template <class T>
struct Fill {
  T* y;
  float value;
  __device__ void one(std::int64_t i) const { y[i] = from_float<T>(value); }
  __device__ void eight(std::int64_t i) const {
    store8(y + i, Eight{{value, value, value, value, value, value, value, value}});
  }
};
// y = a x + b z; the operations on two tensors are cases of it.
struct Combine {
  float a, b;
  __device__ void operator()(float (&y)[1], const float (&x)[2]) const { y[0] = a * x[0] + b * x[1]; }
};
struct Scale {
  float s;
  __device__ void operator()(float (&y)[1], const float (&x)[1]) const { y[0] = s * x[0]; }
};
struct Multiply {
  __device__ void operator()(float (&y)[1], const float (&x)[2]) const { y[0] = x[0] * x[1]; }
};
struct Lerp {  // of y towards x
  float weight;
  __device__ void operator()(float (&y)[1], const float (&x)[2]) const {
    y[0] = x[0] + weight * (x[1] - x[0]);
  }
};

template <class To, class From>
struct Convert {
  To* y;
  const From* x;
  __device__ void one(std::int64_t i) const { y[i] = from_float<To>(to_float(x[i])); }
  __device__ void eight(std::int64_t i) const { store8(y + i, load8(x + i)); }
};

// Where element i of y finds its number in v: in a row of `channels` per `each` elements (the vectors of
// samples), or in a table of `each` that all samples share (channels 0).
struct Place {
  std::int64_t each, channels;
  __device__ std::int64_t of(std::int64_t i) const {
    return channels == 0 ? i % each : i / each * channels + i % channels;
  }
};
struct Plus {
  __device__ float operator()(float a, float b) const { return a + b; }
};
struct Times {
  __device__ float operator()(float a, float b) const { return a * b; }
};
template <class T, class V, class Op>
struct WithVector {
  T* y;
  const V* v;
  Place place;
  __device__ void one(std::int64_t i) const {
    y[i] = from_float<T>(Op()(to_float(y[i]), to_float(v[place.of(i)])));
  }
  __device__ void eight(std::int64_t i) const {
    Eight e = load8(y + i);
    const Eight f = load8(v + place.of(i));
#pragma unroll
    for (int k = 0; k < 8; ++k) e.x[k] = Op()(e.x[k], f.x[k]);
    store8(y + i, e);
  }
};
template <class Op>
void with_vector(std::string_view name, CudaStream stream, const Broadcast& b, std::int64_t n, Place place) {
  with_float_type(name, b.type, [&]<class T>(T t) {
    with_float_or(t, b.v.dtype, [&]<class V>(V) {
      const bool eights = (place.channels == 0 ? place.each : place.channels) % 8 == 0;
      for_each8(name, stream, n, eights && aligned16({b.y, b.v.data}),
                WithVector<T, V, Op>{static_cast<T*>(b.y), static_cast<const V*>(b.v.data), place});
    });
  });
}

template <class Out>
struct StoreSum {
  Out* out;
  std::int64_t cols;
  __device__ void operator()(std::int64_t sample, std::int64_t col, const float (&sums)[1]) const {
    out[sample * cols + col] = from_float<Out>(sums[0]);
  }
};

template <class T>
struct SumOverSamples {
  float* dtable;
  const T* dy;
  std::int64_t samples, each;
  __device__ void one(std::int64_t i) const {
    float sum = dtable[i];
    for (std::int64_t s = 0; s < samples; ++s) sum += to_float(dy[s * each + i]);
    dtable[i] = sum;
  }
  __device__ void eight(std::int64_t i) const {
    Eight sum = load8(dtable + i);
#pragma unroll 2  // four spill on sm_90
    for (std::int64_t s = 0; s < samples; ++s) {
      const Eight e = load8(dy + s * each + i);
#pragma unroll
      for (int k = 0; k < 8; ++k) sum.x[k] += e.x[k];
    }
    store8(dtable + i, sum);
  }
};

// Moves units of 2, 4 or 16 bytes; size in units.
template <class Unit, bool kJoin>
struct Move {
  Unit* y;
  Unit* a;
  Unit* b;
  ChannelSplit size;
  __device__ void operator()(std::int64_t i) const {
    const std::int64_t row = i / (size.a + size.b), col = i % (size.a + size.b);
    Unit* part = col < size.a ? a + row * size.a + col : b + row * size.b + col - size.a;
    if constexpr (kJoin) {
      y[i] = *part;
    } else {
      *part = y[i];
    }
  }
};
template <class Unit, bool kJoin>
void move_units(std::string_view name, CudaStream stream, const ChannelMove& m) {
  const std::int64_t per = static_cast<std::int64_t>(sizeof(Unit)) / m.bytes;  // elements of a unit
  const ChannelSplit size{m.size.rows, m.size.a / per, m.size.b / per};
  for_each(
      name, stream, size.rows * (size.a + size.b),
      Move<Unit, kJoin>{static_cast<Unit*>(m.y), static_cast<Unit*>(m.a), static_cast<Unit*>(m.b), size});
}
template <bool kJoin>
void move_channels(std::string_view name, CudaStream stream, const ChannelMove& m) {
  const bool wide =
      m.size.a * m.bytes % 16 == 0 && m.size.b * m.bytes % 16 == 0 && aligned16({m.y, m.a, m.b});
  if (wide) return move_units<uint4, kJoin>(name, stream, m);
  if (m.bytes == 4) return move_units<std::uint32_t, kJoin>(name, stream, m);
  move_units<std::uint16_t, kJoin>(name, stream, m);
}

template <class To, class From>
struct Mix {
  To* y;
  const From* x;
  const From* z;
  std::int64_t each;
  const float* a;
  const float* b;
  __device__ void one(std::int64_t i) const {
    y[i] = from_float<To>(a[i / each] * to_float(x[i]) + b[i / each] * to_float(z[i]));
  }
  __device__ void eight(std::int64_t i) const {
    Eight e = load8(x + i);
    const Eight f = load8(z + i);
    const float left = a[i / each], right = b[i / each];
#pragma unroll
    for (int k = 0; k < 8; ++k) e.x[k] = left * e.x[k] + right * f.x[k];
    store8(y + i, e);
  }
};
template <class To, class From>
void mix(CudaStream stream, const TypedMix& m) {
  const bool eights = m.each % 8 == 0 && aligned16({m.y, m.x, m.z});
  for_each8("mix_per_sample", stream, m.samples * m.each, eights,
            Mix<To, From>{static_cast<To*>(m.y), static_cast<const From*>(m.x), static_cast<const From*>(m.z),
                          m.each, m.a, m.b});
}

}  // namespace

void fill(CudaStream stream, void* y, DType dtype, std::int64_t n, float value) {
  with_float_type("fill", dtype, [&]<class T>(T) {
    for_each8("fill", stream, n, aligned16({y}), Fill<T>{static_cast<T*>(y), value});
  });
}

void copy(CudaStream stream, void* y, DType dtype, Typed x, std::int64_t n) {
  if (dtype == x.dtype) return copy_bytes(stream, y, x.data, bytes_of(dtype, n));
  with_float_type("copy", dtype, [&]<class To>(To) {
    with_float_type("copy", x.dtype, [&]<class From>(From) {
      if constexpr (!std::is_same_v<To, From>) {
        for_each8("copy", stream, n, aligned16({y, x.data}),
                  Convert<To, From>{static_cast<To*>(y), static_cast<const From*>(x.data)});
      }
    });
  });
}

void scale(CudaStream stream, const Pointwise& p, float s) {
  map_elements<1, 1>("scale", stream, {p.n, p.type}, {p.y}, {p.x}, Scale{s});
}
void add(CudaStream stream, const Pointwise& p) {
  map_elements<1, 2>("add", stream, {p.n, p.type}, {p.y}, {p.x, p.z}, Combine{1.0F, 1.0F});
}
void add_scaled(CudaStream stream, const Pointwise& p, float s) {
  map_elements<1, 2>("add_scaled", stream, {p.n, p.type}, {p.y}, {p.y, p.x}, Combine{1.0F, s});
}
void multiply(CudaStream stream, const Pointwise& p) {
  map_elements<1, 2>("multiply", stream, {p.n, p.type}, {p.y}, {p.x, p.z}, Multiply{});
}
void lerp(CudaStream stream, const Pointwise& p, float weight) {
  map_elements<1, 2>("lerp", stream, {p.n, p.type}, {p.y}, {p.y, p.x}, Lerp{weight});
}

void add_per_sample(CudaStream stream, const Broadcast& b, SampleMap size) {
  with_vector<Plus>("add_per_sample", stream, b, size.samples * size.space * size.channels,
                    {size.space * size.channels, size.channels});
}
void multiply_per_sample(CudaStream stream, const Broadcast& b, SampleMap size) {
  with_vector<Times>("multiply_per_sample", stream, b, size.samples * size.space * size.channels,
                     {size.space * size.channels, size.channels});
}
void add_to_each_sample(CudaStream stream, const Broadcast& b, std::int64_t samples, std::int64_t each) {
  with_vector<Plus>("add_to_each_sample", stream, b, samples * each, {each, 0});
}

void sum_per_sample(CudaStream stream, const TypedSums& a) {
  constexpr std::string_view kName = "sum_per_sample";
  const ColumnBlocks blocks{a.size.samples, a.size.space, a.size.channels};
  with_float_type(kName, a.x.dtype, [&]<class T>(T t) {
    const PlainTerms<T> terms{static_cast<const T*>(a.x.data), blocks.rows, blocks.cols};
    if (aligned8<T>(a.x.data, blocks.cols)) {
      column_partials<8, 1>(kName, stream, blocks, a.partial, terms);
    } else {
      column_partials<1, 1>(kName, stream, blocks, a.partial, terms);
    }
    with_float_or(t, a.out_type, [&]<class Out>(Out) {
      finish_columns<1>(kName, stream, {a.partial, blocks.samples, blocks.chunks(), blocks.cols},
                        StoreSum<Out>{static_cast<Out*>(a.out), blocks.cols});
    });
  });
}

void sum_over_samples(CudaStream stream, float* dtable, Typed dy, std::int64_t samples, std::int64_t each) {
  with_float_type("sum_over_samples", dy.dtype, [&]<class T>(T) {
    for_each8("sum_over_samples", stream, each, each % 8 == 0 && aligned16({dtable, dy.data}),
              SumOverSamples<T>{dtable, static_cast<const T*>(dy.data), samples, each});
  });
}

void concat_channels(CudaStream stream, const ChannelMove& m) {
  move_channels<true>("concat_channels", stream, m);
}
void split_channels(CudaStream stream, const ChannelMove& m) {
  move_channels<false>("split_channels", stream, m);
}

void mix_per_sample(CudaStream stream, const TypedMix& args) {
  with_float_type("mix_per_sample", args.type, [&]<class To>(To t) {
    with_float_or(t, args.in_type, [&]<class From>(From) { mix<To, From>(stream, args); });
  });
}

}  // namespace rankine::cuda
