// The PTX instructions that kernels use beyond CUDA C++, with the meaning of the PTX ISA (9.7.9 cp.async,
// 9.7.15 ldmatrix and mma). ldmatrix and mma are calls of the whole warp: all 32 lanes, at the same line.
#pragma once

#include <cstdint>

#include "kernels/emulator/include/emulator.h"

namespace rankine::emulator {

// Copies `bytes` (4, 8 or 16) from global to shared memory: the first `valid_bytes`, zeros after them. Both
// addresses are multiples of `bytes`. It lands at the wait that covers its group: until then the destination
// holds garbage and reading it is a Fault.
RANKINE_EMULATOR_NOT_TAIL void cp_async(void* shared, const void* global, int bytes, int valid_bytes,
                                        Where where = Where::here());
void cp_async_commit();
// Waits until at most `pending_groups_allowed` of this thread's newest groups are under way.
void cp_async_wait(int pending_groups_allowed);

// Loads `matrices` (1, 2 or 4) 8x8 matrices of 16-bit elements. Lane 8 i + j gives the address of row j of
// matrix i (16 bytes, aligned). Lane l receives in r[i] elements (l/4, 2(l%4)) and the next of its row, or
// with `trans` of the transposed matrix.
RANKINE_EMULATOR_NOT_TAIL void ldmatrix(std::uint32_t* r, int matrices, const void* row, bool trans,
                                        Where where = Where::here());

enum class MmaType : std::uint8_t { f16, bf16 };
// D (16,8) = A (16,k) B (k,8) + C (16,8) over one warp; products exact, sums fp32 in the order of k.
// With g = lane/4, t = lane%4: c[0..1] is row g, columns 2t..2t+1; c[2..3] row g+8. a[0] row g, columns
// 2t..2t+1; a[1] row g+8; a[2..3] the same with columns +8. b[0] rows 2t..2t+1 of column g; b[1] rows +8.
RANKINE_EMULATOR_NOT_TAIL void mma_m16n8k16(float (&d)[4], const std::uint32_t (&a)[4],
                                            const std::uint32_t (&b)[2], const float (&c)[4], MmaType type,
                                            Where where = Where::here());
RANKINE_EMULATOR_NOT_TAIL void mma_m16n8k8(float (&d)[4], const std::uint32_t (&a)[2], const std::uint32_t& b,
                                           const float (&c)[4], MmaType type, Where where = Where::here());
// fp16 in and out; sums in fp32, rounded once.
RANKINE_EMULATOR_NOT_TAIL void mma_m16n8k16_f16acc(std::uint32_t (&d)[2], const std::uint32_t (&a)[4],
                                                   const std::uint32_t (&b)[2], const std::uint32_t (&c)[2],
                                                   Where where = Where::here());

// 2^x, and 0 where the result would be subnormal (ex2.approx.ftz).
float ex2(float x);

}  // namespace rankine::emulator
