#include "kernels/common/row_chunks.h"
#include "kernels/random/random_impl.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/random/random_cpu.cpp"
#include "kernels/common/simd_targets.h"

#include <hwy/foreach_target.h>

#include "kernels/common/simd-inl.h"

HWY_BEFORE_NAMESPACE();
namespace rankine::HWY_NAMESPACE {
namespace {

using U32 = hn::RebindToUnsigned<F32>;
constexpr int kBlocks =
    16;  // generated side by side: plain loops over them, which compilers turn into vectors

// philox::generate for kBlocks blocks from `block` on; `out` gets 4 * kBlocks words in order of the elements.
void generate(std::uint32_t* HWY_RESTRICT out, const RandomStream& s, std::uint32_t block) {
  HWY_ALIGN std::uint32_t x[4][kBlocks];
  for (int i = 0; i < kBlocks; ++i) {
    x[0][i] = block + static_cast<std::uint32_t>(i);
    x[1][i] = s.sample;
    x[2][i] = s.step;
    x[3][i] = s.purpose;
  }
  auto k0 = static_cast<std::uint32_t>(s.seed), k1 = static_cast<std::uint32_t>(s.seed >> 32);
  for (int round = 0; round < 10; ++round) {
    for (int i = 0; i < kBlocks; ++i) {
      const std::uint64_t p0 = std::uint64_t{0xD2511F53U} * x[0][i];
      const std::uint64_t p1 = std::uint64_t{0xCD9E8D57U} * x[2][i];
      x[0][i] = static_cast<std::uint32_t>(p1 >> 32) ^ x[1][i] ^ k0;
      x[1][i] = static_cast<std::uint32_t>(p1);
      x[2][i] = static_cast<std::uint32_t>(p0 >> 32) ^ x[3][i] ^ k1;
      x[3][i] = static_cast<std::uint32_t>(p0);
    }
    k0 += 0x9E3779B9U;
    k1 += 0xBB67AE85U;
  }
  for (int i = 0; i < kBlocks; ++i) {
    for (int j = 0; j < 4; ++j) out[4 * i + j] = x[j][i];
  }
}

// body(words, first element, count) for the elements of blocks [begin, end), by pieces of 4 * kBlocks words.
template <class Body>
HWY_INLINE void for_words(const RandomStream& s, std::int64_t n, std::int64_t begin, std::int64_t end,
                          const Body& body) {
  HWY_ALIGN std::uint32_t words[4 * kBlocks];
  for (std::int64_t block = begin; block < end; block += kBlocks) {
    generate(words, s, static_cast<std::uint32_t>(block));
    const std::int64_t first = 4 * block;
    body(words, first, std::min(4 * std::min(block + kBlocks, end), n) - first);
  }
}

HWY_INLINE VecF uniform(const std::uint32_t* words) {
  const hn::RebindToSigned<F32> d;
  const auto mantissa = hn::BitCast(d, hn::ShiftRight<9>(hn::LoadU(U32(), words)));
  return hn::Mul(hn::Add(hn::ConvertTo(F32(), mantissa), set(0.5F)), set(0x1p-23F));
}

void uniform_blocks(float* y, std::int64_t n, const RandomStream& s, UniformRange range, std::int64_t begin,
                    std::int64_t end) {
  const VecF low = set(range.low), width = set(range.high - range.low);
  for_words(s, n, begin, end,
            [&](const std::uint32_t* words, std::int64_t first, std::int64_t count) HWY_ATTR {
              for_vectors(count, [&](auto io, std::int64_t i) HWY_ATTR {
                io.put(hn::MulAdd(uniform(words + i), width, low), y + first + i);
              });
            });
}

void dropout_blocks(const DropoutArgs& a, const RandomStream& s, std::int64_t begin, std::int64_t end) {
  const VecF p = set(a.p), scale = set(1.0F / (1.0F - a.p));
  for_words(s, a.n, begin, end,
            [&](const std::uint32_t* words, std::int64_t first, std::int64_t count) HWY_ATTR {
              for_vectors(count, [&](auto io, std::int64_t i) HWY_ATTR {
                const VecF kept = hn::Mul(io.get(a.x + first + i), scale);
                io.put(hn::IfThenElseZero(hn::Ge(uniform(words + i), p), kept), a.y + first + i);
              });
            });
}

}  // namespace
}  // namespace rankine::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace rankine::cpu {

HWY_EXPORT(uniform_blocks);
HWY_EXPORT(dropout_blocks);

namespace {
constexpr std::int64_t blocks_of(std::int64_t n) { return (n + 3) / 4; }
constexpr std::int64_t kBlockGrain = kGrain / 8;    // blocks of four words each
constexpr std::int64_t kNormalGrain = kGrain / 16;  // logarithms, sines and cosines cost more
}  // namespace

void fill_uniform(ThreadPool& pool, float* y, std::int64_t n, const RandomStream& stream,
                  UniformRange range) {
  pool.parallel_for(blocks_of(n), kBlockGrain, [&](std::int64_t begin, std::int64_t end) {
    HWY_DYNAMIC_DISPATCH(uniform_blocks)(y, n, stream, range, begin, end);
  });
}

// Scalar on purpose: the numbers are those of philox::to_normal to the bit, whatever the vector width.
void fill_normal(ThreadPool& pool, float* y, std::int64_t n, const RandomStream& stream) {
  pool.parallel_for(blocks_of(n), kNormalGrain, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t block = begin; block < end; ++block) {
      const auto four = philox::to_normal(philox::generate(stream, static_cast<std::uint32_t>(block)));
      std::copy_n(four.begin(), std::min<std::int64_t>(4, n - 4 * block), y + 4 * block);
    }
  });
}

void dropout(ThreadPool& pool, const DropoutArgs& a, const RandomStream& stream) {
  pool.parallel_for(blocks_of(a.n), kBlockGrain, [&](std::int64_t begin, std::int64_t end) {
    HWY_DYNAMIC_DISPATCH(dropout_blocks)(a, stream, begin, end);
  });
}

}  // namespace rankine::cpu
#endif
