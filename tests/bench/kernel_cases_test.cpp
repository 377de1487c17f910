// The tables of rankine-bench kernels: no operation of the engine is left out, and every case runs.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <regex>
#include <set>

#include "bench/kernels_bench.h"

namespace rankine::bench {
namespace {
namespace fs = std::filesystem;

// Doors in kernels/<family>/<family>.h: functions of a Context at the start of a line.
std::set<std::string> doors() {
  const std::regex door(R"(^(?:void|double|bool) (\w+)\(const Context& c,)");
  std::set<std::string> names;
  for (const fs::directory_entry& folder : fs::directory_iterator(fs::path(RANKINE_SOURCE_DIR) / "kernels")) {
    if (!folder.is_directory()) continue;
    std::ifstream header(folder.path() / (folder.path().filename().string() + ".h"));
    std::smatch found;
    for (std::string line; std::getline(header, line);) {
      if (std::regex_search(line, found, door)) names.insert(found[1]);
    }
  }
  return names;
}

TEST(KernelCases, NoOperationIsLeftOut) {
  // Not work of their own: three numbers are set; decode_weight and a product beside each other.
  const std::set<std::string> excepted{"set_step_inputs", "with_decoded_ahead"};
  std::set<std::string> measured;
  for (const KernelCase& k : kernel_cases({.cuda = true})) measured.emplace(k.operation->name);
  const std::set<std::string> all = doors();
  EXPECT_GT(all.size(), 60U);
  for (const std::string& name : all) {
    EXPECT_TRUE(measured.contains(name) || excepted.contains(name))
        << name << " has no case: add it to bench/operations_*.cpp";
  }
}

TEST(KernelCases, EveryBlockTypeIsDecoded) {
  std::set<std::int64_t> types;
  for (const KernelCase& k : kernel_cases({.contains = "decode_weight", .models = {"llama7b"}}))
    types.insert(k.n[3]);
  for (int t = 0; t <= static_cast<int>(DType::nf4_dq); ++t) {
    const auto type = static_cast<DType>(t);
    EXPECT_EQ(types.contains(t), is_block(type)) << name_of(type);
  }
}

// A batch multiplies rows; what an operation does not depend on is one case, with all counts.
TEST(KernelCases, ShapesFollowTheTable) {
  const auto rows_of = [](int batch) {
    std::vector<KernelCase> cases;
    for (const KernelCase& k :
         kernel_cases({.contains = "linear_forward", .models = {"sd15"}, .batch = batch})) {
      if (k.operation->name == "linear_forward" && k.n[1] == 320 && k.n[2] == 320) cases.push_back(k);
    }
    return cases;
  };
  ASSERT_EQ(rows_of(1).size(), 1U);
  EXPECT_EQ(rows_of(1)[0].n[0], 4096);
  EXPECT_EQ(rows_of(1)[0].count, 40);  // 15 that share their x, 25 that do not
  ASSERT_EQ(rows_of(4).size(), 1U);
  EXPECT_EQ(rows_of(4)[0].n[0], 4 * 4096);
  EXPECT_EQ(rows_of(4)[0].label(), "sd15 b4 linear_forward 16384 320->320");
  EXPECT_THROW(kernel_cases({.models = {"sd3"}}), ConfigError);
}

// The products of one forward pass of LLaMA 2 7B: 2 FLOPs per token of each weight that is no table.
TEST(KernelCases, CountsAddUpToTheModel) {
  double flops = 0;
  for (const KernelCase& k : kernel_cases({.contains = " linear_forward", .models = {"llama7b"}})) {
    if (k.operation->family == Family::linear)
      flops += k.count * 2.0 * double(k.n[0]) * double(k.n[1]) * double(k.n[2]);
  }
  const double weights = 32.0 * (4.0 * 4096 * 4096 + 3.0 * 4096 * 11008) + 4096.0 * 32000;
  EXPECT_DOUBLE_EQ(flops, 2 * 4096 * weights);
}

TEST(Timing, IsTheMedianOfRounds) {
  const Timing odd = timing_of({5, 1, 2}, 4);
  EXPECT_EQ(odd.seconds, 2);
  EXPECT_EQ(odd.calls, 12);
  EXPECT_EQ(timing_of({4, 1, 2, 3}, 1).seconds, 2.5);
  EXPECT_EQ(timing_of({1, 2, 3, 4, 5, 6, 7, 8}, 1).spread, (6.0 - 3.0) / 4.5);
}

TEST(Ceilings, BoundIsTheLongerOfArithmeticAndTraffic) {
  Ceilings c{};
  c.flops = 100, c.bytes = 10;
  EXPECT_EQ(bound_of({200, 10}, c).seconds, 2);
  EXPECT_FALSE(bound_of({200, 10}, c).by_bytes);
  EXPECT_EQ(bound_of({200, 50}, c).seconds, 5);
  EXPECT_TRUE(bound_of({200, 50}, c).by_bytes);
}

TEST(Devices, AreNamedOrRefused) {
  EXPECT_EQ(bench_device("cpu"), Device::cpu());
  for (const char* name : {"gpu", "cuda:", "cuda:x", "cuda:1x", "cuda:-1", "cuda:99"})
    EXPECT_THROW(bench_device(name), ConfigError) << name;
}

// Operands are random and of the sizes a plan forecasts; a set that shares has the first one's activations.
TEST(Operands, SetsShareWhatTheySay) {
  Runtime runtime(Device::cpu(), Memory::kUnlimited, 1);
  Operands first(Context(runtime), 4);
  const Tensor x = first.activations({8, 8}), w = first.weight({8, 8});
  EXPECT_NE(x.span<float>()[0], 0);
  EXPECT_NE(x.span<float>()[0], x.span<float>()[1]);
  EXPECT_EQ(first.bytes(), 64 * (4 + 2));
  EXPECT_EQ(first.own_bytes(), 64 * 2);
  Operands second(first, Sharing::activations, 1), third(first, Sharing::nothing, 2);
  EXPECT_EQ(second.activations({8, 8}).raw(), x.raw());
  EXPECT_NE(second.weight({8, 8}).raw(), w.raw());
  EXPECT_NE(third.activations({8, 8}).raw(), x.raw());
}

TEST(KernelsBench, EveryCaseRunsOnTheCpu) {
  KernelsOptions o;
  o.quick = true;
  o.threads = 1;
  o.seconds = 1e-6;
  const KernelsResult result = measure_kernels(o);
  EXPECT_GT(result.lines.size(), 150U);
  for (const KernelLine& l : result.lines) {
    SCOPED_TRACE(l.what.label());
    EXPECT_TRUE(l.skipped.empty()) << l.skipped;
    EXPECT_GT(l.cost.bytes, 0);
    EXPECT_GT(l.time.seconds, 0);
    EXPECT_GT(l.time.calls, 2);
  }
  EXPECT_GT(result.ceilings.flops, 0);
  EXPECT_GT(result.ceilings.bytes, 0);
}

// What a reader of the table is told of adapters follows from its lines.
TEST(KernelsBench, AdaptersAreComparedWithFrozenLinears) {
  std::vector<KernelLine> lines;
  for (const KernelCase& k : kernel_cases({.models = {"llama1b"}})) {
    if (k.operation->family != Family::linear) continue;
    const std::string_view name = k.operation->name;
    const double seconds = name == "linear_forward" || name == "linear_adjoint"                   ? 10
                           : name == "lowrank_linear_forward" || name == "lowrank_linear_adjoint" ? 11
                                                                                                  : 1;
    lines.push_back({k, {}, {seconds, 0, 1}, {}, 1, Sharing::nothing});
  }
  const std::vector<AdapterCost> costs = adapter_costs(lines);
  ASSERT_EQ(costs.size(), 1U);
  EXPECT_EQ(costs[0].model, "llama1b b1");
  // Of 154 linears, 88 share their x with one other: 110 middles forward; backward has as many dA, and an
  // up_backward each.
  EXPECT_NEAR(costs[0].forward, (154 * 11.0 + 110) / (154 * 10.0), 1e-12);
  EXPECT_NEAR(costs[0].both, (2 * 154 * 11.0 + 110 + 154 + 110) / (2 * 154 * 10.0), 1e-12);
}

}  // namespace
}  // namespace rankine::bench
