#include "models/nn/principal.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "engine/core/transfer.h"
#include "kernels/matmul/matmul.h"
#include "kernels/random/random.h"

namespace rankine {
namespace {

// Vectors as rows.
struct Rows {
  std::int64_t count, length;
  std::vector<double> values;
  double* row(std::int64_t i) { return values.data() + i * length; }
};

double dot(const double* a, const double* b, std::int64_t n) {
  double sum = 0;
  for (std::int64_t k = 0; k < n; ++k) sum += a[k] * b[k];
  return sum;
}

std::vector<double> as_doubles(const std::vector<float>& x) { return {x.begin(), x.end()}; }

Rows rows_of(const Tensor& t) { return {t.dim(0), t.dim(1), as_doubles(floats_of(t))}; }

void store(const Rows& rows, Tensor& t) {
  set_floats(t, std::vector<float>(rows.values.begin(), rows.values.end()));
}

// Gram-Schmidt, twice over each row: once loses orthogonality where rows are nearly dependent. A row that is
// nothing but the others becomes zero.
void orthonormalise(Rows& q) {
  for (std::int64_t i = 0; i < q.count; ++i) {
    double* x = q.row(i);
    const double before = std::sqrt(dot(x, x, q.length));
    for (int pass = 0; pass < 2; ++pass) {
      for (std::int64_t j = 0; j < i; ++j) {
        const double p = dot(x, q.row(j), q.length);
        for (std::int64_t k = 0; k < q.length; ++k) x[k] -= p * q.row(j)[k];
      }
    }
    const double norm = std::sqrt(dot(x, x, q.length));
    const double factor = norm > 1e-7 * before ? 1 / norm : 0;  // products are fp32
    for (std::int64_t k = 0; k < q.length; ++k) x[k] *= factor;
  }
}

void rotate(double* a, double* b, std::int64_t n, double cosine, double sine) {
  for (std::int64_t k = 0; k < n; ++k) {
    const double x = a[k], y = b[k];
    a[k] = cosine * x - sine * y;
    b[k] = sine * x + cosine * y;
  }
}

// Rotates pairs of rows of y until all are orthogonal, and the rows of q along: yᵀ q stays what it was.
void jacobi(Rows& y, Rows& q) {
  constexpr int kMaxSweeps = 40;
  constexpr double kOrthogonal = 1e-14;
  bool rotated = true;
  for (int sweep = 0; sweep < kMaxSweeps && rotated; ++sweep) {
    rotated = false;
    for (std::int64_t i = 0; i + 1 < y.count; ++i) {
      for (std::int64_t j = i + 1; j < y.count; ++j) {
        const double a = dot(y.row(i), y.row(i), y.length), b = dot(y.row(j), y.row(j), y.length);
        const double p = dot(y.row(i), y.row(j), y.length);
        if (p == 0 || std::abs(p) <= kOrthogonal * std::sqrt(a * b)) continue;
        const double zeta = (b - a) / (2 * p);
        const double tangent = (zeta >= 0 ? 1 : -1) / (std::abs(zeta) + std::hypot(1, zeta));
        const double cosine = 1 / std::hypot(1, tangent);
        rotate(y.row(i), y.row(j), y.length, cosine, cosine * tangent);
        rotate(q.row(i), q.row(j), q.length, cosine, cosine * tangent);
        rotated = true;
      }
    }
  }
}

PrincipalParts largest(Rows& y, Rows& q, int rank) {
  std::vector<double> norms;
  for (std::int64_t i = 0; i < y.count; ++i) norms.push_back(std::sqrt(dot(y.row(i), y.row(i), y.length)));
  std::vector<std::int64_t> order(static_cast<std::size_t>(y.count));
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(),
                   [&](std::int64_t a, std::int64_t b) { return norms[a] > norms[b]; });
  PrincipalParts parts;
  for (int r = 0; r < rank; ++r) {
    const std::int64_t i = order[r];
    const double* right = q.row(i);
    const double* top = std::max_element(right, right + q.length,
                                         [](double a, double b) { return std::abs(a) < std::abs(b); });
    const double sign = *top < 0 ? -1 : 1, inverse = norms[i] > 0 ? sign / norms[i] : 0;
    parts.values.push_back(norms[i]);
    for (std::int64_t k = 0; k < y.length; ++k) parts.left.push_back(inverse * y.row(i)[k]);
    for (std::int64_t k = 0; k < q.length; ++k) parts.right.push_back(sign * right[k]);
  }
  return parts;
}

}  // namespace

PrincipalParts principal_parts(const Context& c, const Tensor& w, const PrincipalOptions& options) {
  if (c.device().is_cuda() && !c.planning()) {
    Runtime runtime(Device::cpu());
    const Context host(runtime);
    return principal_parts(host, copy_to(host.memory(), w), options);
  }
  const std::int64_t out = w.dim(0), in = w.dim(1), most = std::min(out, in);
  require<ConfigError>(options.rank >= 1 && options.rank <= most, "pissa: rank of ", options.name,
                       " must be in [1, ", most, "], the directions of ", w.shape(), ", got ", options.rank);
  // A few directions more than asked for let those at the edge settle.
  const std::int64_t count = std::min<std::int64_t>(most, options.rank + std::max(8, options.rank / 2));
  Tensor q = c.workspace({count, in}, "pissa right", c.activations()),
         y = c.workspace({count, out}, "pissa left", c.activations());
  fill_normal(c, q, RandomStream{options.seed, purpose(options.name), 0, 0});
  for (int i = 0; i < options.iterations; ++i) {
    linear_forward(c, y, q, w, {});
    if (!c.planning()) {
      Rows left = rows_of(y);
      orthonormalise(left);
      store(left, y);
    }
    linear_adjoint(c, q, y, w, Write::overwrite);
    if (!c.planning()) {
      Rows right = rows_of(q);
      orthonormalise(right);
      store(right, q);
    }
  }
  linear_forward(c, y, q, w, {});
  if (c.planning()) return {};
  Rows left = rows_of(y), right = rows_of(q);
  jacobi(left, right);
  return largest(left, right, options.rank);
}

}  // namespace rankine
