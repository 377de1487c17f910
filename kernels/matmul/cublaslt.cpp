#include "kernels/matmul/cublaslt.h"

#include <cublasLt.h>

#include <map>
#include <mutex>
#include <tuple>

#include "kernels/common/vendor_library.h"

namespace rankine::cuda {
namespace {

struct Api : VendorLibrary {
  Api() : VendorLibrary(join("libcublasLt.so.", CUBLAS_VER_MAJOR)) {}
  RANKINE_VENDOR_FUNCTION(cublasLtCreate)
  RANKINE_VENDOR_FUNCTION(cublasLtGetStatusString)
  RANKINE_VENDOR_FUNCTION(cublasLtGetVersion)
  RANKINE_VENDOR_FUNCTION(cublasLtMatmul)
  RANKINE_VENDOR_FUNCTION(cublasLtMatmulAlgoGetHeuristic)
  RANKINE_VENDOR_FUNCTION(cublasLtMatmulDescCreate)
  RANKINE_VENDOR_FUNCTION(cublasLtMatmulDescDestroy)
  RANKINE_VENDOR_FUNCTION(cublasLtMatmulDescSetAttribute)
  RANKINE_VENDOR_FUNCTION(cublasLtMatmulPreferenceCreate)
  RANKINE_VENDOR_FUNCTION(cublasLtMatmulPreferenceDestroy)
  RANKINE_VENDOR_FUNCTION(cublasLtMatmulPreferenceSetAttribute)
  RANKINE_VENDOR_FUNCTION(cublasLtMatrixLayoutCreate)
  RANKINE_VENDOR_FUNCTION(cublasLtMatrixLayoutDestroy)
  RANKINE_VENDOR_FUNCTION(cublasLtMatrixLayoutSetAttribute)
};
const Api& api() {
  static const Api loaded;
  return loaded;
}

void check(std::string_view op, cublasStatus_t status) {
  require<Error>(status == CUBLAS_STATUS_SUCCESS, op,
                 ": cuBLASLt says: ", api().cublasLtGetStatusString(status));
}

// Owner of a cuBLASLt object.
template <class Handle, auto kDestroy>
class Owned {
 public:
  Owned() = default;
  ~Owned() {
    if (handle_) (api().*kDestroy)(handle_);
  }
  Owned(const Owned&) = delete;
  Owned& operator=(const Owned&) = delete;
  Handle* out() { return &handle_; }
  Handle get() const { return handle_; }

 private:
  Handle handle_ = nullptr;
};
using Description = Owned<cublasLtMatmulDesc_t, &Api::cublasLtMatmulDescDestroy>;
using Layout = Owned<cublasLtMatrixLayout_t, &Api::cublasLtMatrixLayoutDestroy>;
using Preference = Owned<cublasLtMatmulPreference_t, &Api::cublasLtMatmulPreferenceDestroy>;

cudaDataType_t type_of(DType t) {
  return t == DType::f32 ? CUDA_R_32F : t == DType::f16 ? CUDA_R_16F : CUDA_R_16BF;
}

// Of a pointer, up to the 256 bytes that cuBLASLt asks about.
std::uint32_t alignment_of(const void* p) {
  const auto bits = reinterpret_cast<std::uintptr_t>(p) | 256U;
  return static_cast<std::uint32_t>(bits & (~bits + 1));
}

// cuBLASLt is column-major: our row-major C is its Cᵀ (N, M) = Bᵀ Aᵀ, and a matrix of rows is one of columns.
class Product {
 public:
  Product(std::string_view op, const Gemm& g, int segment, bool accumulate)
      : op_(op), g_(g), s_(g.segments[segment]) {
    const bool ta = g.a == Major::mn, tb = g.b == Major::k;
    check(op, api().cublasLtMatmulDescCreate(description_.out(), CUBLAS_COMPUTE_32F, CUDA_R_32F));
    set(CUBLASLT_MATMUL_DESC_TRANSA, tb ? CUBLAS_OP_T : CUBLAS_OP_N);
    set(CUBLASLT_MATMUL_DESC_TRANSB, ta ? CUBLAS_OP_T : CUBLAS_OP_N);
    if (g.bias.data && segment == 0) {
      set(CUBLASLT_MATMUL_DESC_EPILOGUE, CUBLASLT_EPILOGUE_BIAS);
      set(CUBLASLT_MATMUL_DESC_BIAS_POINTER, g.bias.data);
      set(CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE, type_of(g.bias.type));
    }
    lay_out(b_, g.type, tb ? s_.k : g.n, tb ? g.n : s_.k, s_.b_pitch, g.batch.b_stride);
    lay_out(a_, g.type, ta ? g.m : s_.k, ta ? s_.k : g.m, s_.a_pitch, g.batch.a_stride);
    lay_out(c_, g.out.type, g.n, g.m, g.out.pitch, g.batch.out_stride);
    beta_ = accumulate ? 1.0F : 0.0F;
  }

  // False when there is no kernel.
  bool find(cublasLtHandle_t handle, cublasLtMatmulAlgo_t& algorithm) const {
    Preference preference;
    check(op_, api().cublasLtMatmulPreferenceCreate(preference.out()));
    const auto prefer = [&](cublasLtMatmulPreferenceAttributes_t what, auto value) {
      check(op_, api().cublasLtMatmulPreferenceSetAttribute(preference.get(), what, &value, sizeof value));
    };
    prefer(CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, std::uint64_t{0});
    prefer(CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK, std::uint32_t{CUBLASLT_REDUCTION_SCHEME_NONE});
    prefer(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, alignment_of(s_.b));
    prefer(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, alignment_of(s_.a));
    prefer(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, alignment_of(g_.out.data));
    prefer(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, alignment_of(g_.out.data));
    cublasLtMatmulHeuristicResult_t result{};
    int found = 0;
    const cublasStatus_t status =
        api().cublasLtMatmulAlgoGetHeuristic(handle, description_.get(), b_.get(), a_.get(), c_.get(),
                                             c_.get(), preference.get(), 1, &result, &found);
    if (status == CUBLAS_STATUS_NOT_SUPPORTED || (status == CUBLAS_STATUS_SUCCESS && found == 0))
      return false;
    check(op_, status);
    algorithm = result.algo;
    return true;
  }

  void run(cublasLtHandle_t handle, CudaStream stream, const cublasLtMatmulAlgo_t& algorithm) const {
    check(op_,
          api().cublasLtMatmul(handle, description_.get(), &s_.scale, s_.b, b_.get(), s_.a, a_.get(), &beta_,
                               g_.out.data, c_.get(), g_.out.data, c_.get(), &algorithm, nullptr, 0, stream));
  }

 private:
  template <class V>
  void set(cublasLtMatmulDescAttributes_t what, V value) {
    check(op_, api().cublasLtMatmulDescSetAttribute(description_.get(), what, &value, sizeof value));
  }
  void lay_out(Layout& to, DType type, std::int64_t rows, std::int64_t columns, std::int64_t pitch,
               std::int64_t stride) {
    check(op_, api().cublasLtMatrixLayoutCreate(to.out(), type_of(type), static_cast<std::uint64_t>(rows),
                                                static_cast<std::uint64_t>(columns), pitch));
    if (g_.batch.count == 1) return;
    const auto count = static_cast<std::int32_t>(g_.batch.count);
    check(op_, api().cublasLtMatrixLayoutSetAttribute(to.get(), CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT, &count,
                                                      sizeof count));
    check(op_, api().cublasLtMatrixLayoutSetAttribute(to.get(), CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET,
                                                      &stride, sizeof stride));
  }

  std::string_view op_;
  const Gemm& g_;
  const GemmSegment& s_;
  Description description_;
  Layout a_, b_, c_;
  float beta_ = 0;
};

// Asking for an algorithm costs more than a launch, so answers are kept; they hold for a process and a
// device.
class Algorithms {
 public:
  using Key =
      std::tuple<DType, Major, Major, DType, bool, bool, DType, std::array<std::int64_t, 10>, std::uint32_t>;

  explicit Algorithms(std::string_view op) { check(op, api().cublasLtCreate(&handle_)); }
  cublasLtHandle_t handle() const { return handle_; }

  const cublasLtMatmulAlgo_t* find(const Key& key, const Product& product) {
    const std::lock_guard lock(mutex_);
    auto at = known_.find(key);
    if (at == known_.end()) {
      Answer answer;
      answer.has_kernel = product.find(handle_, answer.algorithm);
      at = known_.emplace(key, answer).first;
    }
    return at->second.has_kernel ? &at->second.algorithm : nullptr;
  }

 private:
  struct Answer {
    bool has_kernel = false;
    cublasLtMatmulAlgo_t algorithm{};
  };
  cublasLtHandle_t handle_ = nullptr;
  std::mutex mutex_;
  std::map<Key, Answer> known_;
};

Algorithms::Key key_of(const Gemm& g, int segment, bool accumulate) {
  const GemmSegment& s = g.segments[segment];
  return {g.type,
          g.a,
          g.b,
          g.out.type,
          accumulate,
          g.bias.data && segment == 0,
          g.bias.type,
          {g.m, g.n, s.k, s.a_pitch, s.b_pitch, g.out.pitch, g.batch.count, g.batch.a_stride,
           g.batch.b_stride, g.batch.out_stride},
          alignment_of(s.a) | alignment_of(s.b) << 10 | alignment_of(g.out.data) << 20};
}

}  // namespace

std::string cublaslt_version() {
  return api().state([] { return api().cublasLtGetVersion(); });
}

bool cublaslt_gemm(CudaStream stream, std::string_view op, const Gemm& g) {
  if (!api().complete()) return false;
  static Algorithms algorithms(op);  // lives as long as the process: the driver may be gone before it
  std::array<const cublasLtMatmulAlgo_t*, kGemmSegments> chosen{};
  for (int i = 0; i < g.count; ++i) {
    const bool accumulate = i > 0 || g.out.accumulate;
    if (g.segments[i].k == 0) return false;
    chosen[i] = algorithms.find(key_of(g, i, accumulate), Product(op, g, i, accumulate));
    if (!chosen[i]) return false;
  }
  for (int i = 0; i < g.count; ++i)
    Product(op, g, i, i > 0 || g.out.accumulate).run(algorithms.handle(), stream, *chosen[i]);
  return g.count > 0;
}

}  // namespace rankine::cuda
