#include "bench/kernel_cases.h"

#include <algorithm>
#include <map>
#include <utility>

#include "bench/operations.h"

namespace rankine::bench {
namespace {

// The largest shape of a quick run: a few tiles, every path of a kernel that follows from alignment.
Sizes quick_limit(Family family) {
  switch (family) {
    case Family::linear:
      return {16, 64, 64, 3};
    case Family::stored:
      return {16, 256, 32, 100};
    case Family::conv:
      return {1, 4, 32, 32, 2};
    case Family::attention:
      return {1, 16, 16, 2, 2, 160, 1};
    case Family::group_norm:
      return {1, 4, 64, 1};
    case Family::rope:
      return {8, 2, 128, 128};
    case Family::embedding:
      return {8, 64, 64};
    case Family::latent:
    case Family::map:
    case Family::resize:
      return {2, 4, 16};
    case Family::parameters:
      return {4096};
    default:
      return {8, 64};
  }
}

Sizes shrunk(Family family, Sizes n) {
  const Sizes limit = quick_limit(family);
  for (int i = 0; i < kSizes; ++i) n[i] = std::min(n[i], limit[i]);
  return n;
}

bool wanted(const CaseFilter& f, const KernelCase& k) {
  if (k.operation->where == Operation::cuda_only && !f.cuda) return false;
  if (k.operation->takes && !k.operation->takes(k.n)) return false;
  return k.label().find(f.contains) != std::string::npos;
}

class Cases {
 public:
  explicit Cases(const CaseFilter& f) : filter_(f) {}

  // One model at one batch.
  void add(const ModelShapes& model, int batch) {
    if (!filter_.quick) seen_.clear();  // quick: what is shrunk to the same is run once for all models
    for (const Operation& op : operations()) {
      for (const CaseShape& shape : model.shapes) {
        if (shape.family == op.family) add(model, batch, op, shape);
      }
    }
  }
  std::vector<KernelCase> list;

 private:
  void add(const ModelShapes& model, int batch, const Operation& op, const CaseShape& shape) {
    Sizes n = shape.n;
    n[0] *= batch;
    if (filter_.quick) n = shrunk(op.family, n);
    std::fill(n.begin() + op.sizes, n.end(), 0);
    const KernelCase k{&op, model.name, batch, n, double(shape.count)};
    if (!wanted(filter_, k)) return;
    const auto [at, is_new] = seen_.emplace(std::pair(&op, n), list.size());
    if (is_new)
      list.push_back(k);
    else
      list[at->second].count += k.count;
  }

  const CaseFilter& filter_;
  std::map<std::pair<const Operation*, Sizes>, std::size_t> seen_;
};

std::string product(const Sizes& n) { return join(n[0], " ", n[1], "->", n[2]); }

}  // namespace

const std::vector<Operation>& operations() {
  static const std::vector<Operation> all = [] {
    std::vector<Operation> list;
    for (const auto part :
         {product_operations(), stored_operations(), conv_operations(), norm_operations(), gate_operations(),
          sequence_operations(), loss_operations(), map_operations(), flat_operations()})
      list.insert(list.end(), part.begin(), part.end());
    return list;
  }();
  return all;
}

std::string KernelCase::shape() const {
  switch (operation->family) {
    case Family::linear:
      return product(n) + (n[3] > 1 ? join(" x", n[3]) : "");
    case Family::stored:
      return join(product(n), " ", name_of(static_cast<DType>(n[3])));
    case Family::conv:
      return join(n[0], "x", n[1], "x", n[1], " ", n[2], "->", n[3], n[4] > 1 ? " /2" : "");
    case Family::attention:
      return join(n[0], "x", n[1], "x", n[2], " ", n[3], "/", n[4], "x", n[5], n[6] ? " causal" : "");
    case Family::group_norm:
      return join(n[0], "x", n[1], "x", n[1], " ", n[2], n[3] ? " silu" : "");
    case Family::rope:
      return join(n[0], " ", n[1], "x", n[2], " of ", n[3]);
    case Family::embedding:
      return join(n[0], " of ", n[1], "x", n[2]);
    case Family::latent:
    case Family::map:
    case Family::resize:
      return join(n[0], "x", n[1], "x", n[1], " ", n[2]);
    case Family::parameters:
      return join(n[0]);
    default:
      return join(n[0], "x", n[1]);
  }
}

std::string KernelCase::label() const { return join(model, " b", batch, " ", operation->name, " ", shape()); }

std::vector<KernelCase> kernel_cases(const CaseFilter& filter) {
  for (const std::string& name : filter.models) {
    const bool known = std::any_of(model_shapes().begin(), model_shapes().end(),
                                   [&](const ModelShapes& m) { return m.name == name; });
    require<ConfigError>(known, "--model: no shapes of ", name,
                         "; expected sd15, sdxl, llama7b, llama1b, chatglm3, short or generate");
  }
  Cases cases(filter);
  for (const ModelShapes& model : model_shapes()) {
    if (!filter.models.empty() &&
        std::find(filter.models.begin(), filter.models.end(), model.name) == filter.models.end())
      continue;
    for (const int batch : model.batches) {
      if (filter.batch == 0 || filter.batch == batch) cases.add(model, batch);
    }
  }
  return std::move(cases.list);
}

}  // namespace rankine::bench
