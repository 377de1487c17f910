// The cases of `rankine-bench kernels`: every operation of the engine at the shapes of published models. Both
// sides are tables: kernel_shapes.cpp says which shapes a model's training step has, operations_*.cpp how an
// operation is called. A case is an operation at a shape of its family.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "engine/core/dtype.h"

namespace rankine::bench {

class Operands;

// What the numbers of a shape are. The first counts samples or rows: a batch multiplies it.
enum class Family : std::uint8_t {
  linear,         // rows, in, out, linears that read the same x
  stored,         // rows, in, out, number of DType: a weight that is not of the activations' type
  conv,           // samples, edge, in, out, stride
  attention,      // samples, queries, keys, heads, key heads, head size, 1 if causal
  group_norm,     // samples, edge, channels, 1 if SiLU follows
  layer_norm,     // rows, columns
  rms_norm,       // rows, columns
  geglu,          // rows, columns of y
  swiglu,         // rows, columns of y
  pointwise,      // rows, columns
  rope,           // rows, heads, head size, dimensions turned
  embedding,      // rows, vocabulary, columns
  timesteps,      // samples, columns
  cross_entropy,  // rows, vocabulary
  latent,         // samples, edge, channels
  map,            // samples, edge, channels
  resize,         // samples, edge before, channels
  parameters,     // numbers trained
};
inline constexpr int kSizes = 7;
using Sizes = std::array<std::int64_t, kSizes>;

struct CaseShape {
  Family family;
  Sizes n;
  int count = 1;  // times in one step, or as many as one sample needs
};

struct ModelShapes {
  std::string_view name;
  std::span<const CaseShape> shapes;
  std::vector<int> batches;
};
// sd15 (512 px), sdxl (1024 px), llama7b and chatglm3 (4096 tokens), llama1b (2048), short (256 tokens of a
// 7B model), generate (one token).
const std::vector<ModelShapes>& model_shapes();

// One call of an operation on operands that `make` filled.
using Call = std::function<void()>;
using MakeCall = std::function<Call(Operands& o, const Sizes& n)>;

struct Operation {
  enum Where : std::uint8_t { anywhere, cuda_only };
  std::string_view name;  // that of its door
  Family family;
  int sizes;  // how many of the shape's numbers it depends on
  MakeCall make;
  bool (*takes)(const Sizes& n) = nullptr;  // null: every shape
  Where where = anywhere;
};
const std::vector<Operation>& operations();

struct KernelCase {
  const Operation* operation;
  std::string_view model;
  int batch;
  Sizes n;
  double count;
  std::string shape() const;  // "4096 320->320"
  std::string label() const;  // "sd15 b1 linear_forward 4096 320->320"
};

struct CaseFilter {
  std::string contains{};             // in label()
  std::vector<std::string> models{};  // empty: all
  int batch = 0;                      // 0: all
  bool cuda = false;
  bool quick = false;  // tiny shapes, to see that everything runs
};
// In the order of the tables. Shapes that an operation cannot tell apart are one case, their counts added.
std::vector<KernelCase> kernel_cases(const CaseFilter& filter);

}  // namespace rankine::bench
