// What a kernel knows about its thread, and the calls in which threads meet.
//
// A call that a thread of its mask cannot reach is a Fault, never a hang. Only __syncthreads* and __syncwarp
// order memory, as the CUDA guide has it; shuffles and votes do not.
#pragma once

#include <cstring>

#include "kernels/emulator/include/emulator.h"

namespace rankine::emulator {

struct Index {
  unsigned x, y, z;
  operator uint3() const { return {x, y, z}; }
  operator dim3() const { return {x, y, z}; }
};

// The same all through a kernel, hence const; calls rather than variables, which would be traced as memory.
__attribute__((const)) Index thread_index();
__attribute__((const)) Index block_index();
__attribute__((const)) Index block_extent();
__attribute__((const)) Index grid_extent();

enum class Shuffle : std::uint8_t { index, up, down, exclusive };
enum class Vote : std::uint8_t { ballot, any, all };
enum class Count : std::uint8_t { none, any, all, sum };

RANKINE_EMULATOR_NOT_TAIL int block_barrier(Count count, int predicate, Where where);
RANKINE_EMULATOR_NOT_TAIL void warp_barrier(unsigned mask, Where where);
RANKINE_EMULATOR_NOT_TAIL unsigned warp_vote(Vote vote, unsigned mask, int predicate, Where where);
struct ShuffleCall {
  Shuffle kind;
  unsigned mask, lane;
  int width;
};
RANKINE_EMULATOR_NOT_TAIL std::uint64_t warp_shuffle(const ShuffleCall& call, std::uint64_t bits,
                                                     Where where);
unsigned active_mask();
[[noreturn]] RANKINE_EMULATOR_NOT_TAIL void trap(Where where);

template <class T>
RANKINE_EMULATOR_INLINE T shuffle(const ShuffleCall& call, T value, Where where) {
  static_assert(sizeof(T) <= 8);
  std::uint64_t bits = 0;
  std::memcpy(&bits, &value, sizeof(T));
  bits = warp_shuffle(call, bits, where);
  std::memcpy(static_cast<void*>(&value), &bits, sizeof(T));
  return value;
}

}  // namespace rankine::emulator

#define threadIdx (::rankine::emulator::thread_index())
#define blockIdx (::rankine::emulator::block_index())
#define blockDim (::rankine::emulator::block_extent())
#define gridDim (::rankine::emulator::grid_extent())
inline constexpr int warpSize = 32;

using RankineWhere = rankine::emulator::Where;

RANKINE_EMULATOR_INLINE void __syncthreads(RankineWhere w = RankineWhere::here()) {
  rankine::emulator::block_barrier(rankine::emulator::Count::none, 0, w);
}
RANKINE_EMULATOR_INLINE int __syncthreads_or(int p, RankineWhere w = RankineWhere::here()) {
  return rankine::emulator::block_barrier(rankine::emulator::Count::any, p, w);
}
RANKINE_EMULATOR_INLINE int __syncthreads_and(int p, RankineWhere w = RankineWhere::here()) {
  return rankine::emulator::block_barrier(rankine::emulator::Count::all, p, w);
}
RANKINE_EMULATOR_INLINE int __syncthreads_count(int p, RankineWhere w = RankineWhere::here()) {
  return rankine::emulator::block_barrier(rankine::emulator::Count::sum, p, w);
}
RANKINE_EMULATOR_INLINE void __syncwarp(unsigned mask = 0xFFFFFFFFU, RankineWhere w = RankineWhere::here()) {
  rankine::emulator::warp_barrier(mask, w);
}
template <class T>
RANKINE_EMULATOR_INLINE T __shfl_sync(unsigned mask, T value, int lane, int width = 32,
                                      RankineWhere w = RankineWhere::here()) {
  return rankine::emulator::shuffle(
      {rankine::emulator::Shuffle::index, mask, static_cast<unsigned>(lane), width}, value, w);
}
template <class T>
RANKINE_EMULATOR_INLINE T __shfl_up_sync(unsigned mask, T value, unsigned delta, int width = 32,
                                         RankineWhere w = RankineWhere::here()) {
  return rankine::emulator::shuffle({rankine::emulator::Shuffle::up, mask, delta, width}, value, w);
}
template <class T>
RANKINE_EMULATOR_INLINE T __shfl_down_sync(unsigned mask, T value, unsigned delta, int width = 32,
                                           RankineWhere w = RankineWhere::here()) {
  return rankine::emulator::shuffle({rankine::emulator::Shuffle::down, mask, delta, width}, value, w);
}
template <class T>
RANKINE_EMULATOR_INLINE T __shfl_xor_sync(unsigned mask, T value, int lane_mask, int width = 32,
                                          RankineWhere w = RankineWhere::here()) {
  return rankine::emulator::shuffle(
      {rankine::emulator::Shuffle::exclusive, mask, static_cast<unsigned>(lane_mask), width}, value, w);
}
RANKINE_EMULATOR_INLINE unsigned __ballot_sync(unsigned mask, int p, RankineWhere w = RankineWhere::here()) {
  return rankine::emulator::warp_vote(rankine::emulator::Vote::ballot, mask, p, w);
}
RANKINE_EMULATOR_INLINE int __any_sync(unsigned mask, int p, RankineWhere w = RankineWhere::here()) {
  return static_cast<int>(rankine::emulator::warp_vote(rankine::emulator::Vote::any, mask, p, w));
}
RANKINE_EMULATOR_INLINE int __all_sync(unsigned mask, int p, RankineWhere w = RankineWhere::here()) {
  return static_cast<int>(rankine::emulator::warp_vote(rankine::emulator::Vote::all, mask, p, w));
}
RANKINE_EMULATOR_INLINE unsigned __activemask() { return rankine::emulator::active_mask(); }
RANKINE_EMULATOR_INLINE void __trap(RankineWhere w = RankineWhere::here()) { rankine::emulator::trap(w); }
RANKINE_EMULATOR_INLINE void __threadfence() {}
RANKINE_EMULATOR_INLINE void __threadfence_block() {}
