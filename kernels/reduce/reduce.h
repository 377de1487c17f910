// Reductions in a fixed order that does not depend on the number of threads: sums run over fixed-size chunks
// whose partial results are added in sequence, in double.
#pragma once

#include "kernels/common/checks.h"

namespace rankine {

// x of any shape, fp32; on CUDA also fp16 or bf16. There eight neighbours are squared and added in fp32
// first. These return to the host, so a CUDA device is waited for; on a plan device they return 0.
double sum(const Context& c, const Tensor& x);
double sum_of_squares(const Context& c, const Tensor& x);

// total (1) += sum of x (any shape), both fp32, in double inside and rounded once: a loss, where it is. Meant
// for a few numbers: on CUDA one block of threads adds them.
void add_sum(const Context& c, Tensor& total, const Tensor& x);

// db (C) += sum over rows of dy (..., C): the gradient of a bias. db fp32; dy too, or on CUDA fp16 or bf16,
// summed in fp32.
void add_column_sums(const Context& c, Tensor& db, const Tensor& dy);

}  // namespace rankine
