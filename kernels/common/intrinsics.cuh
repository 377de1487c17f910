// Tensor-core and copy instructions of sm_80 and later. The only file with PTX; emulated, each is a function
// of kernels/emulator. Fragment layouts are those of the PTX ISA (mma.m16n8k16, .m16n8k8; ldmatrix), with g =
// lane / 4 and t = lane % 4:
//   a[0] rows g, columns 2t, 2t+1    a[1] rows g+8    a[2] columns +8    a[3] rows g+8, columns +8
//   b[0] rows 2t, 2t+1, column g     b[1] rows +8
//   d[0], d[1] row g, columns 2t, 2t+1                d[2], d[3] row g+8
#pragma once

#include "kernels/common/numeric.cuh"
#ifdef RANKINE_EMULATED
#include <emulator_intrinsics.h>
#endif

namespace rankine::cuda {

#ifdef RANKINE_EMULATED
template <class T>
inline constexpr auto kMmaType = std::is_same_v<T, __half> ? emulator::MmaType::f16 : emulator::MmaType::bf16;
#else
__device__ __forceinline__ std::uint32_t shared_address(const void* p) {
  return static_cast<std::uint32_t>(__cvta_generic_to_shared(p));
}
#endif

// Starts a copy of 16 bytes; with `valid` false zeros are written and `global` is not read. Both aligned
// to 16.
__device__ __forceinline__ void cp_async16(void* shared, const void* global, bool valid = true) {
#ifdef RANKINE_EMULATED
  emulator::cp_async(shared, global, 16, valid ? 16 : 0);
#else
  const int bytes = valid ? 16 : 0;
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;\n" ::"r"(shared_address(shared)), "l"(global),
               "r"(bytes)
               : "memory");
#endif
}
__device__ __forceinline__ void cp_async_commit() {
#ifdef RANKINE_EMULATED
  emulator::cp_async_commit();
#else
  asm volatile("cp.async.commit_group;\n" ::: "memory");
#endif
}
// Waits until at most kPending of this thread's committed groups are unfinished.
template <int kPending>
__device__ __forceinline__ void cp_async_wait() {
#ifdef RANKINE_EMULATED
  emulator::cp_async_wait(kPending);
#else
  asm volatile("cp.async.wait_group %0;\n" ::"n"(kPending) : "memory");
#endif
}

// Loads kMatrices 8x8 matrices of 16-bit numbers. Lane 8m + i gives the address of row i of matrix m (lanes
// beyond are ignored, but give valid addresses), aligned to 16 bytes; register m of lane l gets columns 2(l %
// 4), +1 of row l / 4 of matrix m, or of its transpose.
enum class Transposed : bool { no, yes };
template <int kMatrices, Transposed kTrans = Transposed::no>
__device__ __forceinline__ void ldmatrix(std::uint32_t (&r)[kMatrices], const void* row) {
  static_assert(kMatrices == 1 || kMatrices == 2 || kMatrices == 4);
#ifdef RANKINE_EMULATED
  emulator::ldmatrix(r, kMatrices, row, kTrans == Transposed::yes);
#else
  const std::uint32_t at = shared_address(row);
  if constexpr (kMatrices == 4 && kTrans == Transposed::no) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];\n"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                 : "r"(at)
                 : "memory");
  } else if constexpr (kMatrices == 4) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];\n"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                 : "r"(at)
                 : "memory");
  } else if constexpr (kMatrices == 2 && kTrans == Transposed::no) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x2.shared.b16 {%0,%1}, [%2];\n"
                 : "=r"(r[0]), "=r"(r[1])
                 : "r"(at)
                 : "memory");
  } else if constexpr (kMatrices == 2) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x2.trans.shared.b16 {%0,%1}, [%2];\n"
                 : "=r"(r[0]), "=r"(r[1])
                 : "r"(at)
                 : "memory");
  } else if constexpr (kTrans == Transposed::no) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x1.shared.b16 {%0}, [%1];\n" : "=r"(r[0]) : "r"(at) : "memory");
  } else {
    asm volatile("ldmatrix.sync.aligned.m8n8.x1.trans.shared.b16 {%0}, [%1];\n"
                 : "=r"(r[0])
                 : "r"(at)
                 : "memory");
  }
#endif
}

// d (16 x 8, fp32) += a (16 x 16) · b (16 x 8), of fp16 or bf16 numbers.
template <class T>
__device__ __forceinline__ void mma_16x8x16(float (&d)[4], const std::uint32_t (&a)[4],
                                            const std::uint32_t (&b)[2]) {
#ifdef RANKINE_EMULATED
  emulator::mma_m16n8k16(d, a, b, d, kMmaType<T>);
#else
  if constexpr (std::is_same_v<T, __half>) {
    asm volatile(
        "mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, "
        "{%0,%1,%2,%3};\n"
        : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
  } else {
    asm volatile(
        "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, "
        "{%0,%1,%2,%3};\n"
        : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
  }
#endif
}
// d (16 x 8, fp32) += a (16 x 8) · b (8 x 8): the tail of a sum that is a multiple of 8 only.
template <class T>
__device__ __forceinline__ void mma_16x8x8(float (&d)[4], const std::uint32_t (&a)[2], std::uint32_t b) {
#ifdef RANKINE_EMULATED
  emulator::mma_m16n8k8(d, a, b, d, kMmaType<T>);
#else
  if constexpr (std::is_same_v<T, __half>) {
    asm volatile(
        "mma.sync.aligned.m16n8k8.row.col.f32.f16.f16.f32 {%0,%1,%2,%3}, {%4,%5}, {%6}, {%0,%1,%2,%3};\n"
        : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
        : "r"(a[0]), "r"(a[1]), "r"(b));
  } else {
    asm volatile(
        "mma.sync.aligned.m16n8k8.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5}, {%6}, {%0,%1,%2,%3};\n"
        : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
        : "r"(a[0]), "r"(a[1]), "r"(b));
  }
#endif
}
// d (16 x 8, fp16 pairs: d[0] row g, d[1] row g+8) += a · b, accumulated in fp16: twice the rate on GeForce
// cards.
__device__ __forceinline__ void mma_16x8x16_f16(std::uint32_t (&d)[2], const std::uint32_t (&a)[4],
                                                const std::uint32_t (&b)[2]) {
#ifdef RANKINE_EMULATED
  emulator::mma_m16n8k16_f16acc(d, a, b, d);
#else
  asm volatile("mma.sync.aligned.m16n8k16.row.col.f16.f16.f16.f16 {%0,%1}, {%2,%3,%4,%5}, {%6,%7}, {%0,%1};\n"
               : "+r"(d[0]), "+r"(d[1])
               : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
#endif
}

// 2^x, to 2 units in the last place; -inf gives 0.
__device__ __forceinline__ float exp2_approx(float x) {
#ifdef RANKINE_EMULATED
  return emulator::ex2(x);
#else
  float y;
  asm("ex2.approx.ftz.f32 %0, %1;\n" : "=f"(y) : "f"(x));
  return y;
#endif
}

}  // namespace rankine::cuda
