// Bytes between the host and a tensor, wherever it lives. On CUDA they move in the order of its memory's
// stream: an upload is queued and returns, a download waits for all that was queued before it. On a plan
// device nothing is moved and values come back empty. All throw ShapeError when sizes or types do not match.
#pragma once

#include <span>
#include <vector>

#include "engine/core/tensor.h"

namespace rankine {

void upload(Tensor& to, std::span<const std::byte> from);
void download(std::span<std::byte> to, const Tensor& from);

// A copy of `t`, in its type, in memory of the host: what happens once, before training, happens there.
Tensor copy_to(Memory& host, const Tensor& t);

// The elements of an f32, f16 or bf16 tensor as fp32 (none on a plan device), and back, rounded to its type.
std::vector<float> floats_of(const Tensor& t);
void set_floats(Tensor& to, std::span<const float> values);
// The same for i32.
std::vector<std::int32_t> ints_of(const Tensor& t);
void set_ints(Tensor& to, std::span<const std::int32_t> values);

}  // namespace rankine
