#include "engine/tape/tape.h"

#include <gtest/gtest.h>

#include <cstring>
#include <stdexcept>

#include "engine/tape/recompute.h"

namespace rankine {
namespace {

class Tapes : public ::testing::Test {
 protected:
  Tensor tensor(std::int64_t n) const { return c.empty({n}, "t"); }
  Runtime runtime{Device::cpu(), Memory::kUnlimited, 1};
  Context c{runtime};
  Tape tape;
  int first = 0, second = 0;  // two owners
};

struct One {
  Tensor x;
};
struct Two {
  Tensor x;
  int n;
};
struct Many {
  Tensor a, b;
  std::vector<Tensor> list;
  std::array<Tensor, 2> pair;
  float factor;
  Tensor undefined;
};

TEST_F(Tapes, PopsInTheMirrorOrder) {
  tape.push(&first, "first", Two{tensor(1), 10});
  tape.push(&second, "second", Two{tensor(2), 20});
  EXPECT_EQ(tape.depth(), 2U);
  EXPECT_EQ((tape.pop<Two>(&second, "second").n), 20);
  EXPECT_EQ((tape.pop<Two>(&first, "first").n), 10);
  EXPECT_TRUE(tape.empty());
}

std::string misuse(const std::function<void()>& call) {
  try {
    call();
  } catch (const std::logic_error& e) {
    return e.what();
  }
  return "nothing was thrown";
}

TEST_F(Tapes, SomebodyElsesFrameThrowsWithBothNames) {
  tape.push(&first, "block.norm", One{tensor(1)});
  tape.push(&second, "block.attention", One{tensor(1)});
  const std::string message = misuse([&] { tape.pop<One>(&first, "block.norm"); });
  EXPECT_NE(message.find("block.norm wants its frame"), std::string::npos) << message;
  EXPECT_NE(message.find("block.attention"), std::string::npos) << message;
  EXPECT_EQ(tape.depth(), 2U);  // nothing was lost
}

TEST_F(Tapes, AnotherTypeAndAnEmptyTapeThrow) {
  tape.push(&first, "layer", One{tensor(1)});
  EXPECT_NE(misuse([&] { tape.pop<Two>(&first, "layer"); }).find("with another type"), std::string::npos);
  tape.clear();
  EXPECT_NE(misuse([&] { tape.pop<One>(&first, "layer"); }).find("the tape is empty"), std::string::npos);
}

TEST_F(Tapes, SaveWithoutATapeKeepsNothingAndRestoreThrows) {
  save(c, &first, "layer", One{tensor(1)});
  EXPECT_NE(misuse([&] { restore<One>(c, &first, "layer"); }).find("backward of layer without a tape"),
            std::string::npos);
  const Context taped = c.with_tape(tape);
  save(taped, &first, "layer", One{tensor(16)});
  EXPECT_EQ(tape.bytes(), 64U);
  EXPECT_EQ(restore<One>(taped, &first, "layer").x.numel(), 16);
  EXPECT_EQ(taped.without_tape().tape(), nullptr);
}

TEST_F(Tapes, BytesCountAStorageOnce) {
  const Tensor x = tensor(16), y = tensor(32);
  tape.push(&first, "norm", One{x});
  tape.push(&first, "qkv", Many{x, x.slice(0, 4), {y, y}, {x, y}, 1.0F, Tensor()});
  EXPECT_EQ(tape.bytes(), (16U + 32U) * 4);
  const auto by_layer = tape.bytes_by_layer();
  EXPECT_EQ(by_layer.at("norm"), 64U);  // the first frame that saved it pays
  EXPECT_EQ(by_layer.at("qkv"), 128U);
}

TEST_F(Tapes, AFrameHoldsItsMemoryUntilItIsPopped) {
  tape.push(&first, "layer", One{tensor(16)});
  EXPECT_EQ(runtime.memory().held(), 64U);
  tape.pop<One>(&first, "layer");
  EXPECT_EQ(runtime.memory().held(), 0U);
}

// A toy layer: y = (x + side) * u with u random per element (a dropout of a kind), dx = dy * u; it saves u.
class Toy {
 public:
  Tensor forward(const Context& c, const Tensor& x) { return run(c, x, nullptr); }
  Tensor forward(const Context& c, const Tensor& x, const Tensor& side) { return run(c, x, &side); }
  Tensor backward(const Context& c, const Tensor& dy) {
    const One saved = restore<One>(c, this, "toy");
    Tensor dx = c.like(dy, "dx");
    for (std::int64_t i = 0; i < dy.numel(); ++i)
      dx.data<float>()[i] = dy.data<float>()[i] * saved.x.data<float>()[i];
    return dx;
  }
  Tensor backward(const Context& c, const Tensor& dy, Tensor& dside) {
    Tensor dx = backward(c, dy);
    for (std::int64_t i = 0; i < dx.numel(); ++i) dside.data<float>()[i] += dx.data<float>()[i];
    return dx;
  }
  int runs = 0;

 private:
  Tensor run(const Context& c, const Tensor& x, const Tensor* side) {
    ++runs;
    Tensor u = c.like(x, "u"), y = c.like(x, "y");
    HostRandom random(c.random(purpose("toy"), 0));
    for (std::int64_t i = 0; i < x.numel(); ++i) {
      u.data<float>()[i] = random.uniform();
      const float in = x.data<float>()[i] + (side ? side->data<float>()[i] : 0.0F);
      y.data<float>()[i] = in * u.data<float>()[i];
    }
    save(c, this, "toy", One{u});
    return y;
  }
};

bool same(const Tensor& a, const Tensor& b) { return std::memcmp(a.raw(), b.raw(), a.bytes()) == 0; }

class Recomputes : public Tapes {
 protected:
  Tensor input(std::uint32_t id) const {
    Tensor x = tensor(100);
    HostRandom random({1, purpose("input"), 0, id});
    for (float& v : x.span<float>()) v = random.uniform() - 0.5F;
    return x;
  }
};

TEST_F(Recomputes, GivesTheSameBitsAndKeepsLess) {
  const Tensor x = input(1), dy = input(2);
  c.seed = 42;
  c.step = 7;
  Tensor y[2], dx[2];
  std::size_t kept[2];
  for (const bool on : {false, true}) {
    Tape own;
    Context taped = c.with_tape(own);
    Toy toy;
    Recompute<Toy> layer(toy, on);
    y[on] = layer.forward(taped, x);
    kept[on] = own.bytes_by_layer().count("recompute");
    EXPECT_EQ(own.depth(), 1U);
    dx[on] = layer.backward(taped, dy);
    EXPECT_TRUE(own.empty());
    EXPECT_EQ(toy.runs, on ? 2 : 1);
  }
  EXPECT_TRUE(same(y[0], y[1]));
  EXPECT_TRUE(same(dx[0], dx[1]));
  EXPECT_EQ(kept[0], 0U);
  EXPECT_EQ(kept[1], 1U);  // only the input, which the caller holds anyway
}

TEST_F(Recomputes, SideInputsAreReplayedToo) {
  const Tensor x = input(1), side = input(2), dy = input(3);
  Tensor dx[2], dside[2];
  for (const bool on : {false, true}) {
    Tape own;
    Context taped = c.with_tape(own);
    Toy toy;
    Recompute<Toy, 1> layer(toy, on);
    const Tensor y = layer.forward(taped, x, side);
    dside[on] = input(4);
    dx[on] = layer.backward(taped, dy, dside[on]);
    EXPECT_TRUE(own.empty());
  }
  EXPECT_TRUE(same(dx[0], dx[1]));
  EXPECT_TRUE(same(dside[0], dside[1]));
}

TEST_F(Recomputes, NestsAndRunsWithoutATape) {
  const Tensor x = input(1), dy = input(2);
  Toy toy;
  Recompute<Toy> inner(toy, true);
  Recompute<Recompute<Toy>> outer(inner, true);
  Context taped = c.with_tape(tape);
  const Tensor y = outer.forward(taped, x);
  const Tensor dx = outer.backward(taped, dy);
  EXPECT_EQ(toy.runs, 3);  // forward, the outer replay, the inner replay
  EXPECT_TRUE(tape.empty());
  Toy plain;
  Context quiet = c.without_tape();
  EXPECT_TRUE(same(Recompute<Toy>(plain, true).forward(quiet, x), y));
  EXPECT_EQ(plain.runs, 1);
}

}  // namespace
}  // namespace rankine
