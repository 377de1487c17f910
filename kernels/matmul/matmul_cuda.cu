#include "kernels/matmul/decode_cuda.h"
#include "kernels/matmul/matmul_impl.h"

namespace rankine::cuda {

const void* read_weight(CudaStream stream, const StoredWeight& w) {
  if (w.stored == w.type) return w.data;
  decode_weight(stream, w.decoded, w.type, w.data, w.stored, w.out, w.in);
  return w.decoded;
}

void linear_forward(CudaStream stream, const LinearArgs& a) {
  const std::int64_t in = a.w.in, out = a.w.out;
  const void* w = read_weight(stream, a.w);
  gemm(stream, "linear_forward",
       {.type = a.w.type,
        .a = Major::k,
        .b = Major::k,
        .m = a.rows,
        .n = out,
        .segments = {{{a.from, in, w, in, in}}},
        .count = 1,
        .out = {a.to, a.w.type, out, a.accumulate},
        .bias = a.bias,
        .partial = a.partial});
}

void linear_adjoint(CudaStream stream, const LinearArgs& a) {
  const std::int64_t in = a.w.in, out = a.w.out;
  const void* w = read_weight(stream, a.w);
  gemm(stream, "linear_adjoint",
       {.type = a.w.type,
        .a = Major::k,
        .b = Major::mn,
        .m = a.rows,
        .n = in,
        .segments = {{{a.from, out, w, in, out}}},
        .count = 1,
        .out = {a.to, a.w.type, in, a.accumulate},
        .partial = a.partial});
}

void linear_weight_grad(CudaStream stream, const LinearGradArgs& a) {
  gemm(stream, "linear_weight_grad",
       {.type = a.type,
        .a = Major::mn,
        .b = Major::mn,
        .m = a.out,
        .n = a.in,
        .segments = {{{a.dy, a.out, a.x, a.in, a.rows}}},
        .count = 1,
        .out = {a.dw, DType::f32, a.in, true},
        .partial = a.partial});
}

void batched_matmul(CudaStream stream, const BatchedArgs& a) {
  const bool ta = a.ta == Transpose::yes, tb = a.tb == Transpose::yes;
  gemm(stream, "batched_matmul",
       {.type = a.type,
        .a = ta ? Major::mn : Major::k,
        .b = tb ? Major::k : Major::mn,
        .m = a.m,
        .n = a.n,
        .segments = {{{a.a, ta ? a.m : a.k, a.b, tb ? a.k : a.n, a.k}}},
        .count = 1,
        .out = {a.y, a.type, a.n},
        .batch = {a.batch, a.m * a.k, a.k * a.n, a.m * a.n},
        .partial = a.partial});
}

}  // namespace rankine::cuda
