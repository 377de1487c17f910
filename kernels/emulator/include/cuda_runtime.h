// Stands in for CUDA's header of the same name when kernels are compiled as plain C++
// (docs/writing-kernels.md).
#pragma once

#include "kernels/emulator/include/cuda_runtime_api.h"
#include "kernels/emulator/include/emulator.h"
#include "kernels/emulator/include/emulator_atomics.h"
#include "kernels/emulator/include/emulator_device.h"
#include "kernels/emulator/include/emulator_math.h"
#include "kernels/emulator/include/emulator_types.h"
