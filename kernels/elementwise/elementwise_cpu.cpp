#include "kernels/common/column_sums.h"
#include "kernels/elementwise/elementwise_impl.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/elementwise/elementwise_cpu.cpp"
#include "kernels/common/simd_targets.h"

#include <hwy/foreach_target.h>

#include "kernels/common/simd-inl.h"

HWY_BEFORE_NAMESPACE();
namespace rankine::HWY_NAMESPACE {
namespace {

void fill(float* y, std::int64_t n, float value) {
  map(y, n, [v = set(value)]() HWY_ATTR { return v; });
}
void scale(float* y, const float* x, std::int64_t n, float s) {
  map(
      y, n, [f = set(s)](VecF a) HWY_ATTR { return hn::Mul(a, f); }, x);
}
void add(float* y, const float* a, const float* b, std::int64_t n) {
  map(
      y, n, [](VecF p, VecF q) HWY_ATTR { return hn::Add(p, q); }, a, b);
}
void add_scaled(float* y, const float* x, std::int64_t n, float s) {
  map(
      y, n, [f = set(s)](VecF p, VecF q) HWY_ATTR { return hn::MulAdd(q, f, p); }, y, x);
}
void multiply(float* y, const float* a, const float* b, std::int64_t n) {
  map(
      y, n, [](VecF p, VecF q) HWY_ATTR { return hn::Mul(p, q); }, a, b);
}
void lerp(float* y, const float* x, std::int64_t n, float weight) {
  map(
      y, n, [w = set(weight)](VecF p, VecF q) HWY_ATTR { return hn::MulAdd(w, hn::Sub(q, p), p); }, y, x);
}
void mix(float* y, const float* x, const float* z, std::int64_t n, float a, float b) {
  map(
      y, n, [f = set(a), g = set(b)](VecF p, VecF q) HWY_ATTR { return hn::MulAdd(f, p, hn::Mul(g, q)); }, x,
      z);
}
void from_half(float* y, const Half* x, std::int64_t n) { decode(y, x, n); }
void from_bfloat(float* y, const BFloat16* x, std::int64_t n) { decode(y, x, n); }
void to_half_row(Half* y, const float* x, std::int64_t n) { encode(y, x, n); }
void to_bfloat_row(BFloat16* y, const float* x, std::int64_t n) { encode(y, x, n); }

}  // namespace
}  // namespace rankine::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace rankine::cpu {

HWY_EXPORT(fill);
HWY_EXPORT(scale);
HWY_EXPORT(add);
HWY_EXPORT(add_scaled);
HWY_EXPORT(multiply);
HWY_EXPORT(lerp);
HWY_EXPORT(mix);
HWY_EXPORT(from_half);
HWY_EXPORT(from_bfloat);
HWY_EXPORT(to_half_row);
HWY_EXPORT(to_bfloat_row);

void fill(ThreadPool& pool, float* y, std::int64_t n, float value) {
  pool.parallel_for(n, kGrain, [&](std::int64_t begin, std::int64_t end) {
    HWY_DYNAMIC_DISPATCH(fill)(y + begin, end - begin, value);
  });
}

namespace {

void decode_range(float* y, Typed x, std::int64_t begin, std::int64_t n) {
  if (x.dtype == DType::f16) {
    HWY_DYNAMIC_DISPATCH(from_half)(y, static_cast<const Half*>(x.data) + begin, n);
  } else {
    HWY_DYNAMIC_DISPATCH(from_bfloat)(y, static_cast<const BFloat16*>(x.data) + begin, n);
  }
}

void encode_range(void* y, DType dtype, std::int64_t begin, const float* x, std::int64_t n) {
  if (dtype == DType::f16) {
    HWY_DYNAMIC_DISPATCH(to_half_row)(static_cast<Half*>(y) + begin, x, n);
  } else {
    HWY_DYNAMIC_DISPATCH(to_bfloat_row)(static_cast<BFloat16*>(y) + begin, x, n);
  }
}

// One range of a copy. Between the two half formats the numbers go through a small fp32 buffer.
void copy_range(void* y, DType dtype, Typed x, std::int64_t begin, std::int64_t n) {
  if (dtype == x.dtype) {
    const auto offset = static_cast<std::size_t>(begin) * size_of(dtype);
    std::memmove(static_cast<char*>(y) + offset, static_cast<const char*>(x.data) + offset,
                 static_cast<std::size_t>(n) * size_of(dtype));
  } else if (dtype == DType::f32) {
    decode_range(static_cast<float*>(y) + begin, x, begin, n);
  } else if (x.dtype == DType::f32) {
    encode_range(y, dtype, begin, static_cast<const float*>(x.data) + begin, n);
  } else {
    constexpr std::int64_t kBuffer = 1024;
    float buffer[kBuffer];
    for (std::int64_t at = begin; at < begin + n; at += kBuffer) {
      const std::int64_t width = std::min(kBuffer, begin + n - at);
      decode_range(buffer, x, at, width);
      encode_range(y, dtype, at, buffer, width);
    }
  }
}

}  // namespace

void copy(ThreadPool& pool, void* y, DType dtype, Typed x, std::int64_t n) {
  pool.parallel_for(
      n, kGrain, [&](std::int64_t begin, std::int64_t end) { copy_range(y, dtype, x, begin, end - begin); });
}

void scale(ThreadPool& pool, float* y, const float* x, std::int64_t n, float s) {
  pool.parallel_for(n, kGrain, [&](std::int64_t begin, std::int64_t end) {
    HWY_DYNAMIC_DISPATCH(scale)(y + begin, x + begin, end - begin, s);
  });
}

void add(ThreadPool& pool, float* y, const float* a, const float* b, std::int64_t n) {
  pool.parallel_for(n, kGrain, [&](std::int64_t begin, std::int64_t end) {
    HWY_DYNAMIC_DISPATCH(add)(y + begin, a + begin, b + begin, end - begin);
  });
}

void add_scaled(ThreadPool& pool, float* y, const float* x, std::int64_t n, float s) {
  pool.parallel_for(n, kGrain, [&](std::int64_t begin, std::int64_t end) {
    HWY_DYNAMIC_DISPATCH(add_scaled)(y + begin, x + begin, end - begin, s);
  });
}

void multiply(ThreadPool& pool, float* y, const float* a, const float* b, std::int64_t n) {
  pool.parallel_for(n, kGrain, [&](std::int64_t begin, std::int64_t end) {
    HWY_DYNAMIC_DISPATCH(multiply)(y + begin, a + begin, b + begin, end - begin);
  });
}

void lerp(ThreadPool& pool, float* y, const float* x, std::int64_t n, float weight) {
  pool.parallel_for(n, kGrain, [&](std::int64_t begin, std::int64_t end) {
    HWY_DYNAMIC_DISPATCH(lerp)(y + begin, x + begin, end - begin, weight);
  });
}

void multiply_per_sample(ThreadPool& pool, float* y, const float* v, SampleMap size) {
  const std::int64_t channels = size.channels;
  pool.parallel_for(size.samples * size.space, grain_of(channels), [&](std::int64_t begin, std::int64_t end) {
    const auto multiply_row = HWY_DYNAMIC_DISPATCH(multiply);
    for (std::int64_t r = begin; r < end; ++r) {
      multiply_row(y + r * channels, y + r * channels, v + r / size.space * channels, channels);
    }
  });
}

void add_per_sample(ThreadPool& pool, float* y, const float* v, SampleMap size) {
  const std::int64_t channels = size.channels;
  pool.parallel_for(size.samples * size.space, grain_of(channels), [&](std::int64_t begin, std::int64_t end) {
    const auto add_row = HWY_DYNAMIC_DISPATCH(add);
    for (std::int64_t r = begin; r < end; ++r) {
      add_row(y + r * channels, y + r * channels, v + r / size.space * channels, channels);
    }
  });
}

void sum_per_sample(ThreadPool& pool, const SampleSums& args) {
  const SampleMap& size = args.size;
  column_sums(pool,
              {args.out, args.x, args.partial, size.samples, size.space, size.channels, Write::overwrite});
}

// Both run over the elements of the table, all samples per range: the table's part stays in cache.
void add_to_each_sample(ThreadPool& pool, float* y, const float* table, std::int64_t samples,
                        std::int64_t each) {
  pool.parallel_for(each, grain_of(samples), [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t s = 0; s < samples; ++s) {
      float* row = y + s * each + begin;
      HWY_DYNAMIC_DISPATCH(add)(row, row, table + begin, end - begin);
    }
  });
}

void sum_over_samples(ThreadPool& pool, float* dtable, const float* dy, std::int64_t samples,
                      std::int64_t each) {
  pool.parallel_for(each, grain_of(samples), [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t s = 0; s < samples; ++s) {
      HWY_DYNAMIC_DISPATCH(add)(dtable + begin, dtable + begin, dy + s * each + begin, end - begin);
    }
  });
}

void concat_channels(ThreadPool& pool, float* y, const float* a, const float* b, ChannelSplit size) {
  const std::int64_t width = size.a + size.b;
  pool.parallel_for(size.rows, grain_of(width), [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t r = begin; r < end; ++r) {
      std::copy_n(a + r * size.a, size.a, y + r * width);
      std::copy_n(b + r * size.b, size.b, y + r * width + size.a);
    }
  });
}

void split_channels(ThreadPool& pool, float* a, float* b, const float* y, ChannelSplit size) {
  const std::int64_t width = size.a + size.b;
  pool.parallel_for(size.rows, grain_of(width), [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t r = begin; r < end; ++r) {
      std::copy_n(y + r * width, size.a, a + r * size.a);
      std::copy_n(y + r * width + size.a, size.b, b + r * size.b);
    }
  });
}

void mix_per_sample(ThreadPool& pool, const SampleMix& args) {
  pool.parallel_for(args.samples * args.each, kGrain, [&](std::int64_t begin, std::int64_t end) {
    while (begin < end) {  // a range may span samples
      const std::int64_t sample = begin / args.each;
      const std::int64_t stop = std::min(end, (sample + 1) * args.each);
      HWY_DYNAMIC_DISPATCH(mix)
      (args.y + begin, args.x + begin, args.z + begin, stop - begin, args.a[sample], args.b[sample]);
      begin = stop;
    }
  });
}

}  // namespace rankine::cpu
#endif
