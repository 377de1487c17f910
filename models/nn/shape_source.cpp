#include "models/nn/shape_source.h"

#include "engine/core/error.h"
#include "models/nn/load.h"

namespace rankine {

void ShapeSource::Lister::weight(Weight& w) { out_[w.path()] = {FileDType::f16, file_shape(w), {}}; }

TensorBytes ShapeSource::load(std::string_view name) const {
  throw ConfigError(join(name_, ": known by its sizes alone, so ", name, " has no numbers; plan can use it"));
}

}  // namespace rankine
