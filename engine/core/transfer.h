// Bytes between the host and a tensor of any device. Both calls return when the bytes are there; on a plan
// device they do nothing. Throw ShapeError when the sizes differ.
#pragma once

#include <span>

#include "engine/core/context.h"

namespace rankine {

void upload(const Context& c, Tensor& to, std::span<const std::byte> from);
void download(const Context& c, std::span<std::byte> to, const Tensor& from);

}  // namespace rankine
