// LoRA, DoRA, PiSSA and their dropouts on one layer of three outputs, against the same layer in double.
#include "engine/core/block_formats.h"
#include "engine/tape/tape.h"
#include "engine/train/param_arena.h"
#include "kernels/elementwise/elementwise.h"
#include "models/nn/adapter_weights.h"
#include "models/nn/conv.h"
#include "models/nn/principal.h"
#include "tests/models/adapter_reference.h"
#include "tests/models/model_support.h"

namespace rankine {
namespace {
using namespace testing_support;

constexpr std::int64_t kIn = 32, kSamples = 2, kTokens = 3;
const std::vector<LinearOutput> kOutputs{{"q", 7}, {"k", 5, false}, {"v", 9}};

struct Variant {
  std::string name;
  LoraSpec q, v;  // k has no adapter
  DType stored = DType::f32;
};

Variant variant(std::string name, const std::function<void(LoraSpec&)>& change, DType stored = DType::f32) {
  Variant made{std::move(name), {}, {}, stored};
  for (LoraSpec* spec : {&made.q, &made.v}) {
    spec->rank = spec == &made.q ? 3 : 2;
    spec->alpha = 5;
    change(*spec);
  }
  return made;
}

// Gives every weight seeded values: matrices in `stored`, vectors in fp32.
class Filler final : public ModelVisitor {
 public:
  Filler(const Context& c, DType stored) : c_(c), stored_(stored) {}
  void weight(Weight& w) override {
    const Tensor values = random_tensor(c_, w.shape(), ++id_, 0.5F);
    w.set_value(w.kind() == WeightKind::matrix ? stored_as(c_, values, stored_) : values);
    weights.push_back(&w);
  }
  std::vector<Weight*> weights;

 private:
  const Context& c_;
  DType stored_;
  std::uint32_t id_ = 40;
};

Doubles decoded(const Context& c, const Tensor& t) {
  Tensor y = c.empty(t.shape(), "decoded");
  copy(c, y, t);
  return to_double(y);
}

class AdapterVariants : public ::testing::Test {
 protected:
  AdapterVariants() {
    c.seed = 11;
    c.step = 4;
    c.training = true;
  }

  void attach(SharedLinear& layer, const Variant& v) {
    auto set = std::make_unique<LoraSet>(layer.path(0), Shape{kIn});
    set->add("q", 0, 7, v.q);
    set->add("v", 2, 9, v.v);
    layer.adapters().push_back(std::move(set));
  }

  // Away from where training starts: with B = 0 half of the gradients are zero.
  void move(ParamArena& arena) {
    Tensor value = arena.value();
    add(c, value, value, random_tensor(c, {arena.numel()}, 7, 0.3F));
  }

  ReferenceLinear reference_of(SharedLinear& layer) {
    ReferenceLinear ref{kIn, kSamples, {}, {}, {}, {}, layer.path(0)};
    for (int i = 0; i < layer.outputs(); ++i) ref.weights.push_back(decoded(c, layer.weight(i).value()));
    for (LoraMember& m : layer.adapters()[0]->members()) {
      const LoraSet& set = *layer.adapters()[0];
      ReferenceMember r{
          m.output, m.spec.rank, m.spec.scale(), to_double(set.down_value(m)), to_double(m.up.value), {}, {},
          {},       {}};
      if (set.pissa()) {
        r.initial_down = to_double(set.initial_down(m));
        r.initial_up = to_double(m.initial_up);
      }
      if (m.spec.dora) {
        r.magnitude = to_double(m.magnitude.value);
        r.inverse_norm = ref.inverse_norms(r);
      }
      ref.members.push_back(std::move(r));
      ref.dropout = m.spec.dropout;
    }
    return ref;
  }

  ::testing::AssertionResult near(const Tensor& got, const Doubles& want) {
    return all_close(got.span<float>(), std::span<const double>(want), kernel_tolerance(DType::f32));
  }

  Runtime runtime{Device::cpu()};
  Context c{runtime};
};

TEST_F(AdapterVariants, OutputsAndGradientsAreThoseOfTheFormula) {
  const auto dora = [](LoraSpec& s) { s.dora = true; };
  const auto pissa = [](LoraSpec& s) { s.init = LoraInit::pissa; };
  const auto drop = [](LoraSpec& s) { s.dropout.input = 0.4F; };
  std::vector<Variant> variants{
      variant("lora", [](LoraSpec&) {}),
      variant("rslora", [](LoraSpec& s) { s.rank_stabilised = true; }),
      variant("input dropout", drop),
      variant("neuron and input dropout", [&](LoraSpec& s) { drop(s), s.dropout.neuron = 0.3F; }),
      variant("dora", dora),
      variant("dora on half weights", dora, DType::f16),
      variant("dora, rslora, dropout",
              [&](LoraSpec& s) { dora(s), drop(s), s.rank_stabilised = true, s.dropout.neuron = 0.2F; }),
      variant("pissa", pissa),
      variant(
          "pissa with dropout on bf16 weights", [&](LoraSpec& s) { pissa(s), drop(s); }, DType::bf16)};
  variants.push_back(variant("dora on one of two", drop));
  variants.back().q.dora = true;
  for (const Variant& v : variants) {
    SCOPED_TRACE(v.name);
    SharedLinear layer(kIn, kOutputs);
    Filler filler(c, v.stored);
    layer.visit(filler);
    attach(layer, v);
    ParamArena arena(c, layer.adapters()[0]->params());
    layer.init_adapters(c, 5);
    move(arena);
    arena.zero_grad(c);
    ReferenceLinear ref = reference_of(layer);
    ref.biases = {to_double(filler.weights[1]->value()), {}, to_double(filler.weights[4]->value())};

    const Tensor x = random_tensor(c, {kSamples, kTokens, kIn}, 1);
    Tape tape;
    const Context recording = c.with_tape(tape);
    const std::vector<Tensor> ys = layer.forward(recording, x);
    Doubles rx = to_double(x);
    const std::vector<Doubles> want = ref.forward(c, rx);
    std::vector<Tensor> dys;
    for (std::size_t i = 0; i < ys.size(); ++i) {
      EXPECT_TRUE(near(ys[i], want[i])) << "y " << i;
      dys.push_back(random_tensor(c, ys[i].shape(), 20 + static_cast<std::uint32_t>(i)));
    }
    const Tensor dx = layer.backward(recording, dys);
    EXPECT_TRUE(tape.empty());

    const auto loss = [&] {
      double sum = 0;
      const std::vector<Doubles> at = ref.forward(c, rx);
      for (std::size_t i = 0; i < at.size(); ++i) {
        for (std::size_t k = 0; k < at[i].size(); ++k) sum += at[i][k] * double(dys[i].data<float>()[k]);
      }
      return sum;
    };
    EXPECT_TRUE(near(dx, differences(rx, loss))) << "dx";
    LoraSet& set = *layer.adapters()[0];
    for (std::size_t k = 0; k < set.members().size(); ++k) {
      LoraMember& m = set.members()[k];
      ReferenceMember& r = ref.members[k];
      EXPECT_TRUE(near(set.down().grad.slice(m.first, m.first + m.spec.rank), differences(r.down, loss)));
      EXPECT_TRUE(near(m.up.grad, differences(r.up, loss)));
      if (m.spec.dora) {
        EXPECT_TRUE(near(m.magnitude.grad, differences(r.magnitude, loss)));
      }
    }
  }
}

TEST_F(AdapterVariants, TrainingStartsAtTheFrozenModel) {
  c.training = false;
  for (const bool dora : {true, false}) {
    SharedLinear plain(kIn, kOutputs), layer(kIn, kOutputs);
    for (SharedLinear* l : {&plain, &layer}) {
      Filler filler(c, DType::f16);
      l->visit(filler);
    }
    attach(layer, variant("", [&](LoraSpec& s) {
             s.dora = dora;
             s.init = dora ? LoraInit::kaiming : LoraInit::pissa;
           }));
    ParamArena arena(c, layer.adapters()[0]->params());
    layer.init_adapters(c, 5);
    const Tensor x = random_tensor(c, {4, kIn}, 3);
    const std::vector<Tensor> ys = layer.forward(c, x), base = plain.forward(c, x);
    for (std::size_t i = 0; i < ys.size(); ++i) EXPECT_TRUE(near(ys[i], to_double(base[i])));

    // A user's strength of 0 is the base, 1 the adapter.
    move(arena);
    layer.adapters()[0]->set_strength(0);
    EXPECT_TRUE(near(layer.forward(c, x)[0], to_double(base[0])));
    layer.adapters()[0]->set_strength(1e-6F);
    EXPECT_TRUE(near(layer.forward(c, x)[0], to_double(base[0])));
    layer.adapters()[0]->set_strength(1);
    EXPECT_FALSE(near(layer.forward(c, x)[0], to_double(base[0])));
  }
}

TEST_F(AdapterVariants, NormsFollowTheParametersBits) {
  const Tensor w = random_tensor(c, {6, kIn}, 1), down = random_tensor(c, {2, kIn}, 2);
  Tensor up = random_tensor(c, {6, 2}, 3);
  DoraNorm norm;
  const Tensor first = norm.inverse(c, w, {down, up, 1});
  const Doubles before = to_double(first);
  EXPECT_EQ(norm.inverse(c, w, {down, up, 1}).storage(), first.storage()) << "unchanged: not computed again";
  EXPECT_NE(norm.inverse(c, w, {down, up, 2}).storage(), first.storage());
  up.data<float>()[7] += 0.5F;
  const Tensor second = norm.inverse(c, w, {down, up, 1});
  EXPECT_EQ(to_double(first), before) << "a frame on the tape keeps what forward used";
  for (int i = 0; i < 6; ++i)
    EXPECT_EQ(second.data<float>()[i] == first.data<float>()[i], i != 3) << "row " << i;
}

TEST_F(AdapterVariants, BaseNormsOfStoredTypes) {
  const Tensor w = random_tensor(c, {5, 64}, 1);
  for (const DType type : {DType::f16, DType::bf16, DType::q8_0, DType::q4_0, DType::nf4}) {
    if (is_block(type) && !can_encode(type)) continue;
    Tensor stored = c.empty(w.shape(), "w", type);
    std::vector<float> values(w.data<float>(), w.data<float>() + w.numel());
    if (is_block(type)) {
      encode_blocks(type, values, static_cast<std::byte*>(stored.raw()));
      decode_blocks(type, static_cast<const std::byte*>(stored.raw()), values);
    } else {
      copy(c, stored, w);
      Tensor back = c.like(w, "back");
      copy(c, back, stored);
      values.assign(back.data<float>(), back.data<float>() + back.numel());
    }
    Doubles want(5);
    for (std::size_t k = 0; k < values.size(); ++k) want[k / 64] += double(values[k]) * double(values[k]);
    for (double& x : want) x = std::sqrt(x);
    EXPECT_TRUE(near(DoraNorm().base(c, stored), want)) << name_of(type);
  }
}

TEST_F(AdapterVariants, RowsOfNothingStayNothing) {
  Tensor w = random_tensor(c, {3, kIn}, 1), row = w.slice(1, 2);
  fill(c, row, 0);
  Tensor up = c.empty({3, 2}, "up");
  fill(c, up, 0);
  DoraNorm norm;
  const Tensor inverse = norm.inverse(c, w, {random_tensor(c, {2, kIn}, 2), up, 1});
  EXPECT_EQ(inverse.data<float>()[1], 0);
  EXPECT_GT(inverse.data<float>()[0], 0);
}

// Samples keep their masks however they are cut into micro-batches.
TEST_F(AdapterVariants, InputDropoutBelongsToTheSample) {
  SharedLinear layer(kIn, kOutputs);
  Filler filler(c, DType::f32);
  layer.visit(filler);
  attach(layer, variant("", [](LoraSpec& s) { s.dropout.input = 0.5F; }));
  ParamArena arena(c, layer.adapters()[0]->params());
  layer.init_adapters(c, 5);
  move(arena);
  const Tensor x = random_tensor(c, {kSamples, kTokens, kIn}, 1);
  const Tensor both = layer.forward(c, x)[0];
  for (std::int64_t n = 0; n < kSamples; ++n) {
    Context own = c;
    own.first_sample = static_cast<std::uint32_t>(n);
    const Tensor y = layer.forward(own, x.slice(n, n + 1))[0];
    EXPECT_TRUE(near(y, to_double(both.slice(n, n + 1))));
  }
  Context other = c;
  other.step += 1;
  EXPECT_FALSE(near(layer.forward(other, x)[0], to_double(both)));
  other.training = false;
  const Tensor quiet = layer.forward(other, x)[0];
  other.step += 1;
  EXPECT_TRUE(near(layer.forward(other, x)[0], to_double(quiet)));
}

// The forecast and the run ask for the same memory, also where DoRA keeps its norms.
TEST_F(AdapterVariants, APlanIsTheRun) {
  const auto peak = [](Device device) {
    Runtime runtime(device);
    Context c(runtime);
    c.training = true;
    SharedLinear layer(kIn, kOutputs);
    class Empty final : public ModelVisitor {
     public:
      explicit Empty(const Context& c) : c_(c) {}
      void weight(Weight& w) override {
        Tensor t = c_.empty(w.shape(), w.path());
        fill(c_, t, 0.1F);
        w.set_value(t);
      }

     private:
      const Context& c_;
    } empty(c);
    layer.visit(empty);
    auto set = std::make_unique<LoraSet>("q", Shape{kIn});
    LoraSpec spec;
    spec.rank = 4;
    spec.dora = true;
    spec.dropout.input = 0.1F;
    set->add("q", 0, 7, spec);
    set->add("v", 2, 9, spec);
    layer.adapters().push_back(std::move(set));
    ParamArena arena(c, layer.adapters()[0]->params());
    layer.init_adapters(c, 1);
    for (c.step = 0; c.step < 2; ++c.step) {
      Tensor value = arena.value(), x = c.empty({kSamples, kTokens, kIn}, "x");
      fill(c, x, 0.1F);
      add_scaled(c, value, value, 0.5F);
      for (int micro = 0; micro < 2; ++micro) {
        Tape tape;
        const Context recording = c.with_tape(tape);
        const std::vector<Tensor> ys = layer.forward(recording, x);
        layer.backward(recording, ys);
      }
    }
    return std::pair(runtime.memory().high_water(), runtime.cost().flops());
  };
  EXPECT_EQ(peak(Device::cpu()), peak(Device::cpu().planned()));
}

TEST_F(AdapterVariants, RefusesWhatHasNoMeaning) {
  LoraSpec dora, pissa, drop;
  dora.dora = true;
  pissa.init = LoraInit::pissa;
  drop.dropout.input = 0.1F;
  LoraSet conv("conv", Shape{3, 3, 4}), set("q", Shape{kIn});
  for (const LoraSpec& s : {dora, pissa, drop}) EXPECT_THROW(conv.add("conv", 0, 7, s), ConfigError);
  set.add("q", 0, 7, dora);
  EXPECT_THROW(set.add("k", 1, 7, pissa), Error) << "one init per set";
  pissa.dora = true;
  EXPECT_THROW(LoraSet("q", Shape{kIn}).add("q", 0, 7, pissa), ConfigError);

  SharedLinear layer(kIn, kOutputs);
  Filler filler(c, DType::f32);
  layer.visit(filler);
  std::vector<Param*> params;
  for (const char* name : {"a", "b"}) {
    auto own = std::make_unique<LoraSet>(name, Shape{kIn});
    own->add(name, 0, 7, dora);
    for (Param* p : own->params()) params.push_back(p);
    layer.adapters().push_back(std::move(own));
  }
  ParamArena arena(c, params);
  EXPECT_THROW(layer.adapters()[0]->init(c, 1), std::logic_error) << "without weights";
  layer.init_adapters(c, 1);
  EXPECT_THROW(layer.forward(c, random_tensor(c, {2, kIn}, 1)), Error) << "two adapters under one norm";
}

// What leaves for a file is the difference from the frozen weight, and a plain member takes it back.
TEST_F(AdapterVariants, LeaveForFilesAndComeBack) {
  c.training = false;
  for (const char* kind : {"lora", "dora", "pissa"}) {
    SCOPED_TRACE(kind);
    LoraSpec spec;
    spec.rank = 3;
    spec.alpha = 5;
    spec.dora = kind == std::string("dora");
    spec.init = kind == std::string("pissa") ? LoraInit::pissa : LoraInit::kaiming;
    SharedLinear from(kIn, kOutputs), to(kIn, kOutputs);
    for (SharedLinear* l : {&from, &to}) {
      Filler filler(c, DType::f32);
      l->visit(filler);
    }
    const auto attached = [&](SharedLinear& layer, const LoraSpec& s) -> LoraSet& {
      layer.adapters().push_back(std::make_unique<LoraSet>("q", Shape{kIn}));
      layer.adapters()[0]->add("v", 2, 9, s);
      return *layer.adapters()[0];
    };
    LoraSet& set = attached(from, spec);
    ParamArena arena(c, set.params());
    from.init_adapters(c, 5);
    move(arena);
    const AdapterWeights weights = adapter_weights(set, set.members()[0], "some.module");
    EXPECT_EQ(weights.module, "some.module");
    EXPECT_EQ(weights.rank(), set.pissa() ? 6 : 3);

    LoraSpec plain;
    plain.rank = static_cast<int>(weights.rank());
    plain.alpha = 7;  // not the file's: `up` takes the difference
    plain.dora = spec.dora;
    LoraSet& back = attached(to, plain);
    ParamArena place(c, back.params());
    if (set.pissa()) {
      EXPECT_THROW(set_adapter_weights(set, set.members()[0], weights), DataError);
    }
    set_adapter_weights(back, back.members()[0], weights);
    const Tensor x = random_tensor(c, {4, kIn}, 1);
    EXPECT_TRUE(near(to.forward(c, x)[2], to_double(from.forward(c, x)[2])));

    AdapterWeights wrong = weights;
    wrong.a.cols -= 1;
    EXPECT_THROW(set_adapter_weights(back, back.members()[0], wrong), DataError);
    wrong = weights;
    wrong.magnitude.resize(spec.dora ? 0 : 9);
    EXPECT_THROW(set_adapter_weights(back, back.members()[0], wrong), DataError);
  }
}

TEST_F(AdapterVariants, WeightsTrainedInFull) {
  SharedLinear layer(kIn, kOutputs);
  Filler filler(c, DType::f32);
  layer.visit(filler);
  std::vector<Param*> params;
  for (Weight* w : filler.weights) params.push_back(&w->train({}));
  ParamArena arena(c, params);
  for (Weight* w : filler.weights) copy(c, w->param().value, w->initial());
  arena.zero_grad(c);
  const Tensor x = random_tensor(c, {kSamples, kTokens, kIn}, 1);
  Tape tape;
  const Context recording = c.with_tape(tape);
  const std::vector<Tensor> ys = layer.forward(recording, x);
  layer.backward(recording, ys);
  for (int i : {0, 2}) {
    // dW = yᵀ x and db the column sums of y, for dy = y.
    const Doubles y = to_double(ys[i]), xs = to_double(x);
    const std::int64_t out = layer.out_features(i);
    Doubles dw(static_cast<std::size_t>(out * kIn)), db(static_cast<std::size_t>(out));
    for (std::int64_t t = 0; t < kSamples * kTokens; ++t) {
      for (std::int64_t o = 0; o < out; ++o) {
        db[o] += y[t * out + o];
        for (std::int64_t k = 0; k < kIn; ++k) dw[o * kIn + k] += y[t * out + o] * xs[t * kIn + k];
      }
    }
    const std::size_t at = i == 0 ? 0 : 3;  // k has no bias
    EXPECT_TRUE(near(filler.weights[at]->grad(), dw));
    EXPECT_TRUE(near(filler.weights[at + 1]->grad(), db));
  }
}

// W = sum of sigma_j u_j v_jᵀ with known orthonormal u and v (discrete cosines).
TEST(Principal, FindsTheLargestDirections) {
  Runtime runtime(Device::cpu());
  const Context c(runtime);
  constexpr int kOut = 40, kDirections = 24;
  const auto cosine = [](int n, int j, int k) {
    return std::sqrt((j ? 2.0 : 1.0) / n) * std::cos(3.14159265358979323846 / n * (k + 0.5) * j);
  };
  const auto sigma = [](int j) { return 3.0 * std::pow(0.8, (j * 7) % kDirections); };
  Tensor w = c.empty({kOut, kIn}, "w");
  for (int o = 0; o < kOut; ++o) {
    for (int k = 0; k < kIn; ++k) {
      double sum = 0;
      for (int j = 0; j < kDirections; ++j) sum += sigma(j) * cosine(kOut, j, o) * cosine(kIn, j, k);
      w.data<float>()[o * kIn + k] = static_cast<float>(sum);
    }
  }
  const PrincipalParts parts = principal_parts(c, w, {5, 8, 1, "w"});
  for (int r = 0; r < 5; ++r) {
    EXPECT_NEAR(parts.values[r], 3.0 * std::pow(0.8, r), 1e-5);
    int j = 0;
    while ((j * 7) % kDirections != r) ++j;
    double left = 0, right = 0;
    for (int o = 0; o < kOut; ++o) left += parts.left[r * kOut + o] * cosine(kOut, j, o);
    for (int k = 0; k < kIn; ++k) right += parts.right[r * kIn + k] * cosine(kIn, j, k);
    // 8 iterations leave (0.8^8)^16 of the first direction that is not kept: far below fp32.
    EXPECT_NEAR(left * right, 1, 1e-4) << "direction " << r;
  }
  const PrincipalParts again = principal_parts(c, w, {5, 8, 1, "w"});
  EXPECT_EQ(again.left, parts.left);
  Runtime single(Device::cpu(), Memory::kUnlimited, 1);
  EXPECT_EQ(principal_parts(Context(single), w, {5, 8, 1, "w"}).right, parts.right)
      << "threads change no bit";
  EXPECT_THROW(principal_parts(c, w, {33, 8, 1, "w"}), ConfigError);
}

// All directions of a small weight: the parts are the weight.
TEST(Principal, OfFullRankIsTheWeight) {
  Runtime runtime(Device::cpu());
  const Context c(runtime);
  const Tensor w = random_tensor(c, {6, 9}, 1);
  const PrincipalParts parts = principal_parts(c, w, {6, 8, 1, "w"});
  Doubles sum(54);
  for (int r = 0; r < 6; ++r) {
    for (int o = 0; o < 6; ++o) {
      for (int k = 0; k < 9; ++k)
        sum[o * 9 + k] += parts.values[r] * parts.left[r * 6 + o] * parts.right[r * 9 + k];
    }
  }
  EXPECT_TRUE(all_close(w.span<float>(), std::span<const double>(sum), kernel_tolerance(DType::f32)));
}

}  // namespace
}  // namespace rankine
