// Internal to the readers of PyTorch files: element types by the names that pickles give them.
#pragma once

#include <optional>
#include <string_view>

#include "io/formats/tensor_source.h"

namespace rankine::torch_detail {

struct ElementType {
  FileDType dtype = FileDType::other;
  std::size_t size = 0;  // bytes per element, also of types that the engine cannot decode
};

// Storage classes ("FloatStorage", ...; UntypedStorage counts bytes) and dtypes ("float32", ...) of module
// `torch`. Nothing for any other name.
std::optional<ElementType> storage_type(std::string_view name);
std::optional<ElementType> dtype_named(std::string_view name);

}  // namespace rankine::torch_detail
