// The pickle interpreter: every opcode, every limit, and that nothing runs.
#include "io/formats/pickle.h"

#include "engine/core/error.h"
#include "tests/formats/format_files.h"
#include "tests/formats/torch_files.h"

namespace rankine {
namespace {

using test::little;
using test::p_global;
using test::p_int;
using test::p_text;
using Kind = PickleValue::Kind;

Pickle run(const std::string& program) { return read_pickle(test::as_bytes(program), "f"); }
Pickle run_body(const std::string& body) { return run(test::p_program(body)); }
std::string error_of(const std::string& body) {
  return test::message_of<DataError>([&] { run_body(body); });
}

// A value in short: t(1,"a"), {k:v}, module.name, call(callee,arguments).
std::string shown(const Pickle& p, PickleId id) {
  const PickleValue& v = p[id];
  const auto list = [&](const char* open, const char* close) {
    std::string out = open;
    for (std::size_t i = 0; i < v.items.size(); ++i) out += join(i > 0 ? "," : "", shown(p, v.items[i]));
    return out + close;
  };
  switch (v.kind) {
    case Kind::none:
      return "None";
    case Kind::boolean:
      return v.integer != 0 ? "True" : "False";
    case Kind::integer:
      return std::to_string(v.integer);
    case Kind::other_number:
      return "#";
    case Kind::text:
      return "'" + std::string(v.text) + "'";
    case Kind::tuple:
      return list("(", ")");
    case Kind::list:
      return list("[", "]");
    case Kind::dict:
      return list("{", "}");
    case Kind::global:
      return std::string(v.module) + "." + std::string(v.text);
    case Kind::persistent:
      return list("id", "");
    case Kind::call:
      return list("call(", ")");
  }
  return "?";
}
std::string value_of(const std::string& body) {
  const std::string program = test::p_program(body);  // the values point into it
  const Pickle p = run(program);
  return shown(p, p.root);
}

TEST(Pickle, Scalars) {
  EXPECT_EQ(value_of("N"), "None");
  EXPECT_EQ(value_of("\x88"), "True");
  EXPECT_EQ(value_of("\x89"), "False");
  EXPECT_EQ(value_of("K\xC8"), "200");
  EXPECT_EQ(value_of("M\xE8\x03"), "1000");
  EXPECT_EQ(value_of("J\xFE\xFF\xFF\xFF"), "-2");
  EXPECT_EQ(value_of(std::string("\x8A\0", 2)), "0");
  EXPECT_EQ(value_of("\x8A\x01\xFF"), "-1");
  EXPECT_EQ(value_of(std::string("\x8A\x02\xFF\0", 4)), "255");
  EXPECT_EQ(value_of(p_int(std::numeric_limits<std::int64_t>::min())), "-9223372036854775808");
  EXPECT_EQ(value_of("\x8A\x09" + std::string(9, 'x')), "#");
  EXPECT_EQ(value_of("G" + std::string(8, '\0')), "#");
}

TEST(Pickle, Texts) {
  EXPECT_EQ(value_of(p_text("é")), "'é'");
  EXPECT_EQ(value_of(std::string("\x8C\x02") + "ab"), "'ab'");
  EXPECT_EQ(value_of("\x8D" + little(1, 8) + "a"), "'a'");
  EXPECT_EQ(value_of("U\x01\xFF"), "'\xFF'");  // bytes may be anything
  EXPECT_EQ(value_of("C\x01z"), "'z'");
  EXPECT_EQ(value_of("T" + little(2, 4) + "xy"), "'xy'");
  EXPECT_EQ(value_of("B" + little(1, 4) + "b"), "'b'");
  EXPECT_EQ(value_of("\x8E" + little(1, 8) + "b"), "'b'");
  EXPECT_NE(error_of(p_text("\xFF")).find("not UTF-8"), std::string::npos);
  EXPECT_NE(error_of("T" + little(0xFFFFFFFF, 4)).find("negative length"), std::string::npos);
  EXPECT_NE(error_of("\x8D" + little(~0ULL, 8)).find("does not fit"), std::string::npos);
}

TEST(Pickle, Containers) {
  EXPECT_EQ(value_of(")"), "()");
  EXPECT_EQ(value_of("K\x01\x85"), "(1)");
  EXPECT_EQ(value_of("K\x01K\x02\x86"), "(1,2)");
  EXPECT_EQ(value_of("K\x01K\x02K\x03\x87"), "(1,2,3)");
  EXPECT_EQ(value_of("(K\x01K\x02t"), "(1,2)");
  EXPECT_EQ(value_of("]K\x01"
                     "a(K\x02K\x03"
                     "e"),
            "[1,2,3]");
  EXPECT_EQ(value_of("}K\x01K\x02s(K\x03K\x04u"), "{1,2,3,4}");
  EXPECT_EQ(value_of("\x8F(K\x01\x90"), "[1]");
  EXPECT_EQ(value_of("(K\x01\x91"), "[1]");
  EXPECT_EQ(value_of("K\x01K\x02"
                     "0"),
            "1");
  EXPECT_EQ(value_of("K\x01(K\x02"
                     "1"),
            "1");
  EXPECT_EQ(value_of("K\x01(0"), "1");  // POP of a mark
  EXPECT_EQ(value_of("K\x01"
                     "2\x86"),
            "(1,1)");
  EXPECT_EQ(value_of("\x95" + little(2, 8) + "K\x01"), "1");
}

TEST(Pickle, Memo) {
  EXPECT_EQ(value_of(std::string("K\x07q\0h\0\x86", 7)), "(7,7)");
  EXPECT_EQ(value_of("K\x07r" + little(1, 4) + "j" + little(1, 4) + "\x86"), "(7,7)");
  EXPECT_EQ(value_of(std::string("K\x07\x94K\x08\x94h\0h\x01\x86\x87", 12)), "(7,8,(7,8))");
  // What is remembered is the object, so later changes show.
  EXPECT_EQ(value_of(std::string("]q\0K\x01"
                                 "ah\0\x86",
                                 9)),
            "([1],[1])");
  EXPECT_NE(error_of("h\x05").find("memo number 5 was never set"), std::string::npos);
  EXPECT_NE(error_of("Nr" + little(0xFFFFFFFF, 4)).find("memo number 4294967295"), std::string::npos);
  EXPECT_NE(error_of(std::string("q\0", 2)).find("stack is empty"), std::string::npos);
}

TEST(Pickle, ObjectsAreNeverMade) {
  EXPECT_EQ(value_of(p_global("a.b", "C") + "K\x01\x85R"), "call(a.b.C,(1))");
  EXPECT_EQ(value_of(p_global("a.b", "C") + ")\x81"), "call(a.b.C,())");
  EXPECT_EQ(value_of(p_text("a") + p_text("B") + "\x93"), "a.B");
  EXPECT_EQ(value_of("K\x01Q"), "id1");
  // Their state, items and elements are dropped.
  EXPECT_EQ(value_of(p_global("a", "C") + ")R}b(K\x01K\x02u(K\x03"
                                          "e"),
            "call(a.C,())");
  // A call of what is no global at all.
  EXPECT_EQ(value_of("K\x01)R"), "call(1,())");
  const std::string ordered = p_global("collections", "OrderedDict");
  EXPECT_EQ(value_of(ordered + ")R"), "{}");
  EXPECT_EQ(value_of(ordered + ")RK\x01K\x02s}b"), "{1,2}");
  EXPECT_EQ(value_of(ordered + "](K\x01K\x02\x86](K\x03K\x04"
                               "ee\x85R"),
            "{1,2,3,4}");
  EXPECT_NE(error_of(ordered + "K\x01\x85R").find("list of pairs"), std::string::npos);
  EXPECT_NE(error_of(ordered + "](K\x01"
                               "e\x85R")
                .find("list of pairs"),
            std::string::npos);
  EXPECT_NE(error_of("K\x01}b").find("attributes"), std::string::npos);
}

TEST(Pickle, AttacksAreNamed) {
  for (const auto& [module, name] :
       std::vector<std::pair<std::string, std::string>>{{"os", "system"},
                                                        {"posix", "system"},
                                                        {"nt", "system"},
                                                        {"os.path", "join"},
                                                        {"subprocess", "Popen"},
                                                        {"builtins", "eval"},
                                                        {"__builtin__", "exec"},
                                                        {"builtins", "__import__"},
                                                        {"sys", "exit"},
                                                        {"runpy", "run_path"},
                                                        {"pickle", "loads"},
                                                        {"webbrowser", "open"}}) {
    EXPECT_NE(error_of(p_global(module, name) + p_text("x") + "\x85R").find("attack"), std::string::npos)
        << module;
    EXPECT_NE(error_of(p_text(module) + p_text(name) + "\x93").find("attack"), std::string::npos) << module;
  }
  EXPECT_EQ(value_of(p_global("builtins", "set")), "builtins.set");
}

TEST(Pickle, OtherOpcodes) {
  // Text-mode opcodes, INST, OBJ, PERSID, EXT1-3, NEWOBJ_EX, LONG4, the buffers of protocol 5, and no opcode.
  for (const char opcode : std::string("SIFLVdlgpioP\x82\x83\x84\x92\x8B\x96\x97\x98\x01\xFF"))
    EXPECT_NE(error_of(join("N", opcode, std::string(16, '\n'))).find("not one that checkpoints use"),
              std::string::npos)
        << static_cast<int>(opcode);
  EXPECT_NE(test::message_of<DataError>([] { run("\x80\x01N."); }).find("protocol 1"), std::string::npos);
  EXPECT_NE(test::message_of<DataError>([] { run("\x80\x06N."); }).find("protocol 6"), std::string::npos);
}

TEST(Pickle, StackErrors) {
  for (const std::string& body : std::vector<std::string>{"",
                                                          "0",
                                                          "2",
                                                          "\x85",
                                                          "N\x86",
                                                          "t",
                                                          "e",
                                                          "u",
                                                          "1",
                                                          "s",
                                                          "a",
                                                          "R",
                                                          "b",
                                                          "Q",
                                                          "\x93",
                                                          "NN",
                                                          "(N",
                                                          "N(",
                                                          "]s",
                                                          "]K\x01s",
                                                          "}K\x01"
                                                          "a",
                                                          "NNNs",
                                                          "}(Nu",
                                                          "NNa",
                                                          "K\x01(\x85",
                                                          "](K\x01"
                                                          "a",
                                                          "N(0"
                                                          "0",
                                                          "K\x01K\x02\x93"})
    EXPECT_THROW(run_body(body), DataError) << body;
  EXPECT_EQ(error_of("N\x86"), "f: byte 3: pickle: 2 values are needed, the stack has 1");
}

TEST(Pickle, EveryTruncation) {
  const std::string program = test::p_program(
      test::p_dict({p_text("a"), test::p_tensor(test::p_storage("FloatStorage", "0", 6), 0, {2, 3}, {3, 1}),
                    p_text("b"), "N"}));
  EXPECT_EQ(run(program).size, program.size());
  EXPECT_EQ(run(program + "more").size, program.size());
  for (std::size_t size = 0; size < program.size(); ++size)
    EXPECT_THROW(run(program.substr(0, size)), DataError) << size;
}

TEST(Pickle, DeepNesting) {
  // No depth is too deep, because nothing here calls itself.
  const int depth = 300'000;
  std::string body = ")";
  for (int i = 0; i < depth; ++i) body += "\x85";
  EXPECT_EQ(run_body(body).values.size(), depth + 1U);
  std::string lists;
  for (int i = 0; i < depth; ++i) lists += "](";
  for (int i = 0; i < depth; ++i) lists += "e";
  EXPECT_EQ(run_body(lists).values.size(), static_cast<std::size_t>(depth));
}

TEST(Pickle, SelfReference) {
  const Pickle p = run_body(std::string("]q\0h\0a", 6));
  EXPECT_EQ(p[p.root].items, std::vector<PickleId>{p.root});
}

TEST(Pickle, Bombs) {
  // Lists of lists of the same list: written out it would have 10^40 elements.
  std::string laughs = "]\x94";
  for (int i = 0; i < 40; ++i) {
    laughs += "](";
    for (int k = 0; k < 10; ++k) laughs += std::string("h") + static_cast<char>(i);
    laughs += "e\x94";
  }
  laughs += "(";
  for (int i = 0; i < 41; ++i) laughs += "1(";  // drop all but the last by marks
  EXPECT_THROW(run_body(laughs), DataError);
  std::string kept = laughs.substr(0, laughs.size() - 83);
  EXPECT_EQ(run_body("(" + kept + "t").values.size(), 42U);

  // The same list taken as pairs again and again.
  std::string pairs = p_global("collections", "OrderedDict") + "\x94](";
  for (int i = 0; i < 1000; ++i) pairs += ")N\x86";
  pairs +=
      "e\x94"
      "0"
      "0(";
  for (int i = 0; i < 1000; ++i) pairs += std::string("h\0h\x01\x85R", 6);
  EXPECT_NE(error_of(pairs + "t").find("more pairs"), std::string::npos);

  EXPECT_NE(error_of(std::string(kMaxPickleStack + 1, 'N')).find("on the stack"), std::string::npos);
  EXPECT_NE(error_of(std::string(kMaxPickleStack + 1, '(')).find("marks"), std::string::npos);
  std::string many;
  for (std::size_t i = 0; i <= kMaxPickleValues; ++i) many += "N0";
  EXPECT_NE(error_of(many).find("more than 2000000 values"), std::string::npos);
}

TEST(Pickle, GlobalNames) {
  EXPECT_NE(error_of("cmodule").find("does not end"), std::string::npos);
  EXPECT_NE(error_of("c" + std::string(2000, 'm') + "\nx\n").find("does not end"), std::string::npos);
  EXPECT_NE(error_of("c\xFF\nx\n").find("not UTF-8"), std::string::npos);
}

}  // namespace
}  // namespace rankine
