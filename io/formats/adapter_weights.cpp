#include "io/formats/adapter_weights.h"

#include <algorithm>
#include <cmath>
#include <map>

#include "engine/core/error.h"
#include "engine/core/half.h"

namespace rankine {
namespace {

float as_stored(float x, FileDType dtype) {
  if (dtype == FileDType::f16) return to_float(to_half(x));
  return dtype == FileDType::bf16 ? to_float(to_bfloat16(x)) : x;
}

bool all_finite(std::span<const float> values, FileDType dtype) {
  return std::all_of(values.begin(), values.end(),
                     [dtype](float x) { return std::isfinite(as_stored(x, dtype)); });
}

void check_matrix(const AdapterMatrix& m, FileDType stored, const std::string& what) {
  require<DataError>(m.rows > 0 && m.cols > 0, what, " is ", m.rows, "x", m.cols);
  require<DataError>(static_cast<std::int64_t>(m.values.size()) / m.cols == m.rows &&
                         static_cast<std::int64_t>(m.values.size()) % m.cols == 0,
                     what, " is ", m.rows, "x", m.cols, " and has ", m.values.size(), " numbers");
  require<DataError>(all_finite(m.values, stored), what, " holds a number that is not finite in ",
                     name_of(stored));
}

bool changes_anything(const AdapterWeights& m) {
  const auto nonzero = [](const AdapterMatrix& x) {
    return std::any_of(x.values.begin(), x.values.end(), [](float v) { return v != 0; });
  };
  return !m.magnitude.empty() || (nonzero(m.a) && nonzero(m.b));
}

// Of the product scale · b_ij, so that it does not matter where the scale stands.
bool close(std::span<const float> a, float scale_a, std::span<const float> b, float scale_b,
           FileDType stored) {
  const double relative = stored == FileDType::f32 ? 1e-6 : stored == FileDType::f16 ? 1e-3 : 1e-2;
  double unit = 0;
  for (const float x : a) unit = std::max(unit, std::abs(static_cast<double>(x) * scale_a));
  // fp16 has nothing between 0 and 6e-8.
  const double least = stored == FileDType::f16 ? 6e-8 * std::abs(static_cast<double>(scale_b)) : 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    const double error = std::abs(static_cast<double>(a[i]) * scale_a - static_cast<double>(b[i]) * scale_b);
    if (!(error <= relative * unit + least)) return false;
  }
  return true;
}

void check_same(const AdapterWeights& want, const AdapterWeights& got, FileDType stored,
                const std::string& what) {
  require<DataError>(got.a.rows == want.a.rows && got.a.cols == want.a.cols && got.b.rows == want.b.rows &&
                         got.b.cols == want.b.cols && got.magnitude.size() == want.magnitude.size(),
                     what, " came back with another size");
  require<DataError>(close(want.a.values, 1, got.a.values, 1, stored) &&
                         close(want.b.values, want.scale, got.b.values, got.scale, stored) &&
                         close(want.magnitude, 1, got.magnitude, 1, stored),
                     what, " came back with other numbers");
}

}  // namespace

void check_adapter(std::span<const AdapterWeights> modules, FileDType stored, std::string_view where) {
  require<DataError>(stored == FileDType::f32 || stored == FileDType::f16 || stored == FileDType::bf16, where,
                     ": an adapter is stored as F32, F16 or BF16, not ", name_of(stored));
  require<DataError>(!modules.empty(), where, ": holds no adapted module");
  std::map<std::string_view, int> seen;
  for (const AdapterWeights& m : modules) {
    require<DataError>(!m.module.empty(), where, ": a module has no name");
    const std::string what = join(where, ": ", m.module);
    require<DataError>(++seen[m.module] == 1, what, " stands twice");
    check_matrix(m.a, stored, what + ": A");
    check_matrix(m.b, stored, what + ": B");
    require<DataError>(m.a.rows == m.b.cols, what, ": rank ", m.a.rows, " of A differs from rank ", m.b.cols,
                       " of B");
    require<DataError>(std::isfinite(m.scale) && m.scale != 0, what, ": scale is ", m.scale);
    require<DataError>(m.magnitude.empty() || static_cast<std::int64_t>(m.magnitude.size()) == m.b.rows, what,
                       ": ", m.magnitude.size(), " magnitudes for ", m.b.rows, " rows");
    require<DataError>(all_finite(m.magnitude, stored), what, ": a magnitude is not finite in ",
                       name_of(stored));
  }
}

AdapterMatrix adapter_matrix(const TensorSource& source, const std::string& name) {
  const TensorInfo& info = source.at(name);
  require<DataError>(info.shape.size() == 2, source.describe(), ": ", name, ": expected a matrix, got ",
                     info.shape.size(), " dimensions");
  return {info.shape[0], info.shape[1], read_as_float(source, name)};
}

void check_reloaded(std::span<const AdapterWeights> written, std::span<const AdapterWeights> read,
                    FileDType stored, std::string_view where) {
  std::map<std::string_view, const AdapterWeights*> got;
  for (const AdapterWeights& m : read) got[m.module] = &m;
  require<DataError>(got.size() == written.size(), where, ": ", written.size(), " modules were written, ",
                     got.size(), " came back");
  for (const AdapterWeights& m : written) {
    const auto it = got.find(m.module);
    require<DataError>(it != got.end(), where, ": ", m.module, " did not come back");
    check_same(m, *it->second, stored, join(where, ": ", m.module));
  }
  require<DataError>(std::any_of(read.begin(), read.end(), changes_anything), where,
                     ": the adapter changes nothing: every product of its matrices is zero");
}

}  // namespace rankine
