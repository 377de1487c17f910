// CUDA side of GEGLU and SwiGLU with the middle of the adapters that read their result.
#include "kernels/activation/activation_impl.h"
#include "kernels/activation/curves.cuh"
#include "kernels/common/middle.cuh"

namespace rankine::cuda {
namespace {

template <class T>
struct Gated {
  T* y;
  const T* gate;
  const T* other;
  std::int64_t rows, half, pitch;
};
template <class T, class Curve, int kTiles>
__global__ void __launch_bounds__(kThreads) gated_middle_kernel(Gated<T> a, MiddleTarget<T> m) {
  const MiddleLane lane = middle_lane();
  MiddleSums<T, kTiles> sums;
  for (std::int64_t turn = 0; turn < a.half; turn += kMiddleStride) {
    const std::int64_t col = lane.col + turn;
    uint4 packed[2] = {};
#pragma unroll
    for (int n = 0; n < 2; ++n) {
      const std::int64_t row = lane.row + 8 * n;
      if (row >= a.rows || col >= a.half) continue;
      Eight e = load8(a.gate + row * a.pitch + col);
      const Eight f = load8(a.other + row * a.pitch + col);
#pragma unroll
      for (int k = 0; k < 8; ++k) e.x[k] = Curve::value(e.x[k]) * f.x[k];
      packed[n] = pack8<T>(e);
      store16(a.y + row * a.half + col, packed[n]);
    }
    sums.add(m, a.half, col, packed);
  }
  sums.store(m, a.rows, shared_memory<float>());
}

template <class Curve>
void gated_middle(std::string_view op, CudaStream stream, const GatedArgs& a, const MiddleArgs& m) {
  const GatedRows& size = a.size;
  if (size.rows * size.half == 0) return;
  with_half_type(op, a.type, [&]<class T>(T) {
    const Gated<T> args{static_cast<T*>(a.y),
                        static_cast<const T*>(a.gate),
                        static_cast<const T*>(a.other),
                        size.rows,
                        size.half,
                        a.pitch};
    if (m.rank <= 16) {
      launch(middle_launch<1>(op, stream, size.rows, size.half, m.rank), gated_middle_kernel<T, Curve, 1>,
             args, middle_target<T>(m));
    } else {
      launch(middle_launch<4>(op, stream, size.rows, size.half, m.rank), gated_middle_kernel<T, Curve, 4>,
             args, middle_target<T>(m));
    }
  });
}

}  // namespace

void geglu_forward_with_middle(CudaStream stream, const GatedArgs& a, const MiddleArgs& m) {
  gated_middle<GeluErf>("geglu_forward_with_middle", stream, a, m);
}
void swiglu_forward_with_middle(CudaStream stream, const GatedArgs& a, const MiddleArgs& m) {
  gated_middle<Silu>("swiglu_forward_with_middle", stream, a, m);
}

}  // namespace rankine::cuda
