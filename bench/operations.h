// How each operation of the engine is called by the bench: one table per group, joined by operations(). A
// maker asks `o` for tensors of the shape and gives back the call. tests/bench holds that no door of kernels/
// is left out.
#pragma once

#include "bench/kernel_cases.h"
#include "bench/operands.h"

namespace rankine::bench {

std::span<const Operation> product_operations();
std::span<const Operation> stored_operations();
std::span<const Operation> conv_operations();
std::span<const Operation> norm_operations();
std::span<const Operation> gate_operations();
std::span<const Operation> sequence_operations();
std::span<const Operation> loss_operations();
std::span<const Operation> map_operations();
std::span<const Operation> flat_operations();

}  // namespace rankine::bench
