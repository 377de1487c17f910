#include "engine/tape/tape.h"

#include <gtest/gtest.h>

#include <cstring>
#include <stdexcept>

#include "engine/tape/page_store.h"
#include "engine/tape/unit.h"
#include "tests/core/page_support.h"

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
  tape.push(c, &first, "first", Two{tensor(1), 10});
  tape.push(c, &second, "second", Two{tensor(2), 20});
  EXPECT_EQ(tape.depth(), 2U);
  EXPECT_EQ((tape.pop<Two>(c, &second, "second").n), 20);
  EXPECT_EQ((tape.pop<Two>(c, &first, "first").n), 10);
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
  tape.push(c, &first, "block.norm", One{tensor(1)});
  tape.push(c, &second, "block.attention", One{tensor(1)});
  const std::string message = misuse([&] { tape.pop<One>(c, &first, "block.norm"); });
  EXPECT_NE(message.find("block.norm wants its frame"), std::string::npos) << message;
  EXPECT_NE(message.find("block.attention"), std::string::npos) << message;
  EXPECT_EQ(tape.depth(), 2U);  // nothing was lost
}

TEST_F(Tapes, AnotherTypeAndAnEmptyTapeThrow) {
  tape.push(c, &first, "layer", One{tensor(1)});
  EXPECT_NE(misuse([&] { tape.pop<Two>(c, &first, "layer"); }).find("with another type"), std::string::npos);
  tape.pop<One>(c, &first, "layer");
  EXPECT_NE(misuse([&] { tape.pop<One>(c, &first, "layer"); }).find("the tape is empty"), std::string::npos);
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
  tape.push(c, &first, "norm", One{x});
  tape.push(c, &first, "qkv", Many{x, x.slice(0, 4), {y, y}, {x, y}, 1.0F, Tensor()});
  EXPECT_EQ(tape.bytes(), (16U + 32U) * 4);
  const auto by_layer = tape.bytes_by_layer();
  EXPECT_EQ(by_layer.at("norm"), 64U);  // the first frame that saved it pays
  EXPECT_EQ(by_layer.at("qkv"), 128U);
}

TEST_F(Tapes, AFrameHoldsItsMemoryUntilItIsPopped) {
  tape.push(c, &first, "layer", One{tensor(16)});
  EXPECT_EQ(runtime.memory().held(), 64U);
  tape.pop<One>(c, &first, "layer");
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

class Units : public Tapes {
 protected:
  Tensor input(std::uint32_t id, std::int64_t n = 100) const {
    Tensor x = tensor(n);
    HostRandom random({1, purpose("input"), 0, id});
    for (float& v : x.span<float>()) v = random.uniform() - 0.5F;
    return x;
  }
  static StepMemory recomputing(bool on) {
    StepMemory memory;
    memory.policy.others.recompute = on;
    return memory;
  }
};

TEST_F(Units, RecomputeGivesTheSameBitsAndKeepsLess) {
  const Tensor x = input(1), dy = input(2);
  c.seed = 42;
  c.step = 7;
  Tensor y[2], dx[2];
  std::size_t kept[2];
  for (const bool on : {false, true}) {
    StepMemory memory = recomputing(on);
    Tape own(&memory);
    Context taped = c.with_tape(own);
    Toy toy;
    Unit<Toy> layer(toy, "toys.0");
    y[on] = layer.forward(taped, x);
    kept[on] = own.bytes_by_layer().count("toys.0");
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

TEST_F(Units, SideInputsAreReplayedToo) {
  const Tensor x = input(1), side = input(2), dy = input(3);
  Tensor dx[2], dside[2];
  for (const bool on : {false, true}) {
    StepMemory memory = recomputing(on);
    Tape own(&memory);
    Context taped = c.with_tape(own);
    Toy toy;
    Unit<Toy, 1> layer(toy, "toys.0");
    const Tensor y = layer.forward(taped, x, side);
    dside[on] = input(4);
    dx[on] = layer.backward(taped, dy, dside[on]);
    EXPECT_TRUE(own.empty());
    EXPECT_EQ(toy.runs, on ? 2 : 1);
  }
  EXPECT_TRUE(same(dx[0], dx[1]));
  EXPECT_TRUE(same(dside[0], dside[1]));
}

// The policy of a unit is found by its place in the forward pass.
TEST_F(Units, EachHasItsOwnPolicyAndWithoutATapeNone) {
  const Tensor x = input(1), dy = input(2);
  StepMemory memory;
  memory.policy.units = {{false, false}, {true, false}};
  Toy toys[3];
  const auto unit = [&](int i) { return Unit<Toy>(toys[i], "toy"); };
  {
    Tape own(&memory);
    Context recording = c.with_tape(own);
    Tensor h = x;
    for (int i = 0; i < 3; ++i) h = unit(i).forward(recording, h);
    Tensor d = dy;
    for (int i = 3; i-- > 0;) d = unit(i).backward(recording, d);
    EXPECT_TRUE(own.empty());
  }
  EXPECT_EQ(toys[0].runs, 1);
  EXPECT_EQ(toys[1].runs, 2);
  EXPECT_EQ(toys[2].runs, 1);
  unit(1).forward(c.without_tape(), x);
  EXPECT_EQ(toys[1].runs, 3);
}

// Frames in front of the first unit are paged and counted with it, those behind one with that one.
TEST_F(Units, AFrameOutsideBelongsToTheUnitBeforeItOrToTheFirst) {
  const testing_support::ScratchFolder folder;
  StepMemory memory;
  memory.policy.units = {{false, true}, {false, false}};
  memory.pages = std::make_shared<PageStore>(runtime, PageStore::Limits{0, 1 << 20, folder.path()});
  const auto big = [&](std::uint32_t id) { return input(id, 1000); };  // enough for a page
  const Tensor x = big(1);
  Toy toys[2];
  {
    Tape own(&memory);
    const Context recording = c.with_tape(own);
    save(recording, &first, "in front", One{big(2)});
    Tensor h = Unit<Toy>(toys[0], "toys.0").forward(recording, x);
    save(recording, &second, "between", One{big(3)});
    h = Unit<Toy>(toys[1], "toys.1").forward(recording, h);
    save(recording, &first, "behind", One{big(4)});
    EXPECT_TRUE(same(restore<One>(recording, &first, "behind").x, big(4)));
    toys[1].backward(recording, x);
    EXPECT_TRUE(same(restore<One>(recording, &second, "between").x, big(3)));
    toys[0].backward(recording, x);
    EXPECT_TRUE(same(restore<One>(recording, &first, "in front").x, big(2)));
  }
  EXPECT_EQ(memory.pages->counters().pages_out, 3U);  // in front, of the unit, between
  EXPECT_EQ(memory.units[0].saved, 3 * x.bytes());
  EXPECT_EQ(memory.units[1].saved, 2 * x.bytes());
}

// ---- derived storages ----

class Derives : public Tapes {
 protected:
  // y = 2 x and how to make it again; counts how often it was.
  Tensor doubled(const Context& k, const Tensor& x) {
    Tensor y = k.like(x, "doubled");
    twice(y, x);
    derive(k, y, {x}, [this](const Context&, Tensor& out, const std::vector<Tensor>& from) {
      ++made;
      twice(out, from[0]);
    });
    return y;
  }
  static void twice(Tensor& y, const Tensor& x) {
    for (std::int64_t i = 0; i < x.numel(); ++i) y.data<float>()[i] = 2 * x.data<float>()[i];
  }
  Tensor numbers(std::int64_t n) const {
    Tensor x = tensor(n);
    for (std::int64_t i = 0; i < n; ++i) x.data<float>()[i] = static_cast<float>(i + 1);
    return x;
  }
  int made = 0;
};

TEST_F(Derives, AStorageIsNotKeptButMadeAgain) {
  const Context taped = c.with_tape(tape);
  {
    const Tensor x = numbers(16);
    const Tensor y = doubled(taped, x);
    save(taped, &first, "norm", One{x});
    save(taped, &second, "linear", One{y.reshape({4, 4})});
  }
  EXPECT_EQ(tape.bytes(), 64U);
  EXPECT_EQ(runtime.memory().held(), 64U);
  const One again = restore<One>(taped, &second, "linear");
  EXPECT_EQ(again.x.shape(), Shape({4, 4}));
  EXPECT_EQ(again.x.data<float>()[15], 32);
  EXPECT_EQ(made, 1);
  EXPECT_EQ(restore<One>(taped, &first, "norm").x.data<float>()[15], 16);
}

TEST_F(Derives, KeepsWhatItIsMadeOfWhenNobodyElseDoes) {
  const Context taped = c.with_tape(tape);
  {
    const Tensor x = numbers(16), y = doubled(taped, x);
    save(taped, &second, "linear", One{y});
  }
  EXPECT_EQ(tape.bytes_by_layer().at("linear"), 64U);
  EXPECT_EQ(restore<One>(taped, &second, "linear").x.data<float>()[0], 2);
}

TEST_F(Derives, AChainIsMadeAgainFromItsEndAndOnceForAll) {
  const Context taped = c.with_tape(tape);
  {
    const Tensor x = numbers(16), y = doubled(taped, x), z = doubled(taped, y);
    save(taped, &first, "a", One{z});
    save(taped, &second, "b", Two{z, 1});
  }
  EXPECT_EQ(tape.bytes(), 64U);
  const Two b = restore<Two>(taped, &second, "b");
  const One a = restore<One>(taped, &first, "a");
  EXPECT_EQ(b.x.data<float>()[3], 16);
  EXPECT_EQ(a.x.storage(), b.x.storage());
  EXPECT_EQ(made, 2);
}

TEST_F(Derives, IsKeptWhenItsSourceIsGone) {
  const Context taped = c.with_tape(tape);
  Tensor y;
  {
    const Tensor x = numbers(16);
    y = doubled(taped, x);
  }
  save(taped, &first, "linear", One{y});
  y = {};
  EXPECT_EQ(restore<One>(taped, &first, "linear").x.data<float>()[1], 4);
  EXPECT_EQ(made, 0);
}

TEST_F(Derives, AChangeInPlaceIsRepeatedOrRefused) {
  const Context taped = c.with_tape(tape);
  {
    const Tensor x = numbers(16);
    Tensor y = doubled(taped, x);
    derive_in_place(taped, y, {x}, [](const Context&, Tensor& out, const std::vector<Tensor>& from) {
      for (std::int64_t i = 0; i < 16; ++i) out.data<float>()[i] += from[0].data<float>()[i];
    });
    for (std::int64_t i = 0; i < 16; ++i) y.data<float>()[i] += x.data<float>()[i];
    save(taped, &first, "rotary", One{y});
  }
  EXPECT_EQ(restore<One>(taped, &first, "rotary").x.data<float>()[4], 15);

  const Tensor x = numbers(16);
  Tensor y = doubled(taped, x);
  y.data<float>()[0] = 7;
  EXPECT_NE(misuse([&] { save(taped, &first, "linear", One{y}); }).find("was changed since"),
            std::string::npos);
}

}  // namespace
}  // namespace rankine
