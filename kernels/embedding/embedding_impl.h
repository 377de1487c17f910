// What each device implements for embedding.h: plain pointers, sizes already checked. Internal to this
// folder.
#pragma once

#include "kernels/embedding/embedding.h"

namespace rankine {

namespace cpu {
void check_ids(std::string_view op, const std::int32_t* ids, std::int64_t n,
               std::int64_t vocabulary);  // throws ShapeError
void embedding_forward(ThreadPool& pool, float* y, const Tensor& table, const std::int32_t* ids,
                       std::int64_t n);
void embedding_weight_grad(ThreadPool& pool, float* dtable, const float* dy, const std::int32_t* ids,
                           std::int64_t n, std::int64_t cols);
void timestep_embedding(ThreadPool& pool, float* y, const float* t, std::int64_t n, std::int64_t half,
                        float max_period);
}  // namespace cpu

}  // namespace rankine
