#include "engine/core/context.h"

#include <gtest/gtest.h>

namespace rankine {
namespace {

TEST(Op, AccountsCostsByName) {
  Runtime runtime(Device::cpu(), Memory::kUnlimited, 1);
  const Context c(runtime);
  for (int i = 0; i < 3; ++i) {
    const Op op(c, "matmul", {10, 4});
    EXPECT_FALSE(op.planned());
  }
  { const Op op(c, "norm", {5, 8}); }
  const auto& lines = runtime.cost().lines();
  ASSERT_EQ(lines.size(), 2U);
  EXPECT_EQ(lines.find("matmul")->second.calls, 3U);
  EXPECT_EQ(lines.find("matmul")->second.cost.flops, 30);
  EXPECT_GT(lines.find("matmul")->second.seconds, 0);
  EXPECT_EQ(runtime.cost().flops(), 35);
  EXPECT_EQ(runtime.cost().bytes(), 20);
  EXPECT_NE(runtime.cost().report().find("matmul"), std::string::npos);
  runtime.cost().clear();
  EXPECT_EQ(runtime.cost().flops(), 0);
}

TEST(Op, APlanAccountsWithoutTime) {
  Runtime plan(Device::cuda(0).planned());
  const Context c(plan);
  {
    const Op op(c, "matmul", {10, 4});
    EXPECT_TRUE(op.planned());
  }
  EXPECT_EQ(plan.cost().flops(), 10);
  EXPECT_EQ(plan.cost().lines().begin()->second.seconds, 0);
}

TEST(Context, ServicesAndStreams) {
  Runtime runtime(Device::cpu(), Memory::kUnlimited, 2);
  Context c(runtime);
  EXPECT_EQ(c.pool().size(), 2);
  EXPECT_EQ(c.tape(), nullptr);
  const Tensor t = c.empty({2, 3}, "t", DType::f16);
  EXPECT_EQ(t.storage()->account(), Account::activations);
  EXPECT_EQ(c.like(t, "u").dtype(), DType::f16);
  EXPECT_EQ(c.workspace({4}, "w").storage()->account(), Account::workspace);
  c.seed = 9;
  c.step = 3;
  c.first_sample = 4;
  const RandomStream s = c.random(purpose("noise"), 2);
  EXPECT_EQ(s.seed, 9U);
  EXPECT_EQ(s.step, 3U);
  EXPECT_EQ(s.sample, 6U);
}

TEST(Phases, AreAddedUpByNameAndOnlyWhenAsked) {
  Runtime runtime(Device::cpu(), Memory::kUnlimited, 1), plan(Device::cpu().planned());
  const Context c(runtime);
  c.phase("unheard");
  EXPECT_TRUE(runtime.phases().take(c.device(), nullptr).empty());
  runtime.phases().set(Phases::Detail::inside);
  for (const char* name : {"forward", "backward", "forward", ""}) {
    c.phase(name);
    const auto start = std::chrono::steady_clock::now();
    while (std::chrono::steady_clock::now() - start < std::chrono::milliseconds(2)) {
    }
  }
  const std::vector<Phases::Line> lines = runtime.phases().take(c.device(), nullptr);
  ASSERT_EQ(lines.size(), 2U);
  EXPECT_EQ(lines[0].name, "forward");
  EXPECT_GE(lines[0].seconds, 0.004);
  EXPECT_EQ(lines[1].name, "backward");
  EXPECT_GE(lines[1].seconds, 0.002);
  EXPECT_TRUE(runtime.phases().take(c.device(), nullptr).empty());
  plan.phases().set(Phases::Detail::inside);
  Context(plan).phase("forward");
  EXPECT_TRUE(plan.phases().take(plan.device(), nullptr).empty());
}

TEST(Device, Names) {
  EXPECT_EQ(Device::cpu().to_string(), "cpu");
  EXPECT_EQ(Device::cuda(1).planned().to_string(), "plan(cuda:1)");
  EXPECT_FALSE(Device::cpu() == Device::cpu().planned());
}

}  // namespace
}  // namespace rankine
