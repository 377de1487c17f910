#include "io/formats/pickle.h"

#include <algorithm>
#include <array>
#include <limits>

#include "engine/core/error.h"
#include "io/config/utf8.h"
#include "io/formats/byte_reader.h"
#include "io/formats/shown_text.h"

namespace rankine {
namespace {

using Kind = PickleValue::Kind;

constexpr PickleId kUnset = std::numeric_limits<PickleId>::max();

// Modules (with all below them) that no model needs and every attack does.
bool is_hostile(std::string_view module, std::string_view name) {
  static constexpr std::array<std::string_view, 20> kModules{
      "os",  "posix", "nt",   "subprocess", "sys", "socket",    "runpy",  "shutil", "pty",     "webbrowser",
      "bdb", "pdb",   "code", "ctypes",     "pip", "importlib", "timeit", "pickle", "_pickle", "commands"};
  static constexpr std::array<std::string_view, 8> kBuiltins{"eval", "exec",       "execfile",   "compile",
                                                             "open", "__import__", "breakpoint", "apply"};
  if (module == "builtins" || module == "__builtin__" || module == "__builtins__")
    return std::find(kBuiltins.begin(), kBuiltins.end(), name) != kBuiltins.end();
  const std::string_view top = module.substr(0, module.find('.'));
  return std::find(kModules.begin(), kModules.end(), top) != kModules.end();
}

class Machine {
 public:
  Machine(std::span<const std::byte> bytes, const std::string& name, std::uint64_t base)
      : in_(bytes, name, base) {}

  Pickle run() {
    bool stopped = false;
    while (!stopped) {
      opcode_at_ = in_.offset();
      const std::uint8_t opcode = in_.u8("opcode");
      stopped = opcode == '.';
      if (!stopped) step(opcode);
    }
    if (stack_.size() != 1 || !marks_.empty())
      fail(join("ends with ", stack_.size(), " values and ", marks_.size(),
                " marks on the stack, expected one value"));
    out_.root = stack_[0];
    out_.size = in_.position();
    return std::move(out_);
  }

 private:
  [[noreturn]] void fail(const std::string& what) const { in_.fail_at(opcode_at_, "pickle: " + what); }

  // ---- the stack ----

  // Values above the last mark; those below are out of reach until it is taken away.
  std::size_t reachable() const { return stack_.size() - (marks_.empty() ? 0 : marks_.back()); }
  void push(PickleId id) {
    if (stack_.size() >= kMaxPickleStack) fail(join("more than ", kMaxPickleStack, " values on the stack"));
    stack_.push_back(id);
  }
  PickleId top() const {
    if (reachable() == 0) fail("a value is needed, and the stack is empty");
    return stack_.back();
  }
  PickleId pop() {
    const PickleId id = top();
    stack_.pop_back();
    return id;
  }
  void mark() {
    if (marks_.size() >= kMaxPickleStack) fail(join("more than ", kMaxPickleStack, " marks"));
    marks_.push_back(stack_.size());
  }
  std::vector<PickleId> pop_to_mark() {
    if (marks_.empty()) fail("a mark is needed, and there is none");
    const auto begin = stack_.begin() + static_cast<std::ptrdiff_t>(marks_.back());
    std::vector<PickleId> items(begin, stack_.end());
    stack_.erase(begin, stack_.end());
    marks_.pop_back();
    return items;
  }
  std::vector<PickleId> pop_n(std::size_t n) {
    if (reachable() < n) fail(join(n, " values are needed, the stack has ", reachable()));
    std::vector<PickleId> items(stack_.end() - static_cast<std::ptrdiff_t>(n), stack_.end());
    stack_.resize(stack_.size() - n);
    return items;
  }

  // ---- values ----

  PickleValue& make(Kind kind) {
    if (out_.values.size() >= kMaxPickleValues) fail(join("more than ", kMaxPickleValues, " values"));
    push(static_cast<PickleId>(out_.values.size()));
    out_.values.push_back({});
    out_.values.back().kind = kind;
    return out_.values.back();
  }
  void make_integer(std::int64_t value, Kind kind = Kind::integer) { make(kind).integer = value; }
  void make_items(Kind kind, std::vector<PickleId> items) { make(kind).items = std::move(items); }
  void make_text(std::string_view text, bool utf8) {
    if (utf8 && !is_utf8(text)) fail("text that is not UTF-8");
    make(Kind::text).text = text;
  }
  void make_long(std::uint64_t size) {
    const auto bytes = in_.take(size, "integer");
    if (size > 8) return make_integer(0, Kind::other_number);
    const bool negative = size > 0 && std::to_integer<int>(bytes.back()) >= 128;
    std::uint64_t value = negative ? ~std::uint64_t{0} : 0;
    for (std::size_t i = bytes.size(); i-- > 0;)
      value = value << 8 | std::to_integer<std::uint64_t>(bytes[i]);
    make_integer(static_cast<std::int64_t>(value));
  }
  void make_global(std::string_view module, std::string_view name) {
    if (is_hostile(module, name)) {
      fail(join("asks for ", shown_text(module), " ", shown_text(name),
                ", which runs programs: this is no model but an attack; do not load it elsewhere"));
    }
    PickleValue& value = make(Kind::global);
    value.module = module;
    value.text = name;
  }
  std::string_view line() {
    std::size_t n = 0;
    while (n < in_.left() && n <= kMaxName && in_.peek(n) != '\n') ++n;
    if (n == in_.left() || n > kMaxName) fail("the name of a global does not end");
    const std::string_view text = in_.text(n, "name");
    in_.u8("line end");
    if (!is_utf8(text)) fail("text that is not UTF-8");
    return text;
  }
  void global_from_stack() {
    const auto names = pop_n(2);
    const PickleValue &module = out_[names[0]], &name = out_[names[1]];
    if (module.kind != Kind::text || name.kind != Kind::text) fail("the name of a global must be text");
    make_global(module.text, name.text);
  }

  // REDUCE and NEWOBJ: nothing is called.
  void call() {
    auto items = pop_n(2);
    if (!out_.is_global(items[0], "collections", "OrderedDict"))
      return make_items(Kind::call, std::move(items));
    make_items(Kind::dict, pairs_of(items[1]));
  }
  // The items of OrderedDict([(key, value), ...]); none for OrderedDict().
  std::vector<PickleId> pairs_of(PickleId arguments) {
    std::vector<PickleId> items;
    const PickleValue& tuple = out_[arguments];
    if (tuple.kind != Kind::tuple || tuple.items.size() > 1)
      fail("OrderedDict: expected at most one argument");
    if (tuple.items.empty()) return items;
    const PickleValue& list = out_[tuple.items[0]];
    if (list.kind != Kind::list) fail("OrderedDict: expected a list of pairs");
    // The list stays, so that the same one could be taken again and again.
    copied_ += list.items.size();
    if (copied_ > in_.position()) fail("OrderedDict: more pairs than the pickle has bytes");
    for (const PickleId id : list.items) {
      const PickleValue& pair = out_[id];
      if ((pair.kind != Kind::tuple && pair.kind != Kind::list) || pair.items.size() != 2)
        fail("OrderedDict: expected a list of pairs");
      items.insert(items.end(), pair.items.begin(), pair.items.end());
    }
    return items;
  }

  // Adds to the container on top; a call takes anything and keeps nothing.
  void extend(Kind kind, const std::vector<PickleId>& items) {
    PickleValue& target = out_.values[top()];
    if (target.kind == Kind::call) return;
    if (target.kind != kind) fail(kind == Kind::dict ? "no dict to add to" : "no list to add to");
    if (kind == Kind::dict && items.size() % 2 != 0) fail("a key without a value");
    target.items.insert(target.items.end(), items.begin(), items.end());
  }
  void build() {
    pop();
    const Kind kind = out_[top()].kind;
    if (kind != Kind::call && kind != Kind::dict) fail("sets attributes of something that has none");
  }

  // ---- the memo ----

  // Writers number what they keep from 0 on, so a number is less than the bytes it took to get there.
  void put(std::uint64_t number) {
    const std::size_t limit = std::min(in_.position(), kMaxPickleValues);
    if (number >= limit) fail(join("memo number ", number, ", here it must be below ", limit));
    if (number >= memo_.size()) memo_.resize(number + 1, kUnset);
    if (memo_[number] == kUnset) ++memo_used_;
    memo_[number] = top();
  }
  void get(std::uint64_t number) {
    if (number >= memo_.size() || memo_[number] == kUnset)
      fail(join("memo number ", number, " was never set"));
    push(memo_[number]);
  }

  // ---- opcodes ----

  void step(std::uint8_t opcode) {
    if (step_stack(opcode) || step_scalar(opcode) || step_text(opcode) || step_container(opcode)) return;
    fail(join("opcode ", static_cast<int>(opcode), " is not one that checkpoints use"));
  }

  bool step_stack(std::uint8_t opcode) {
    switch (opcode) {
      case 0x80: {  // PROTO
        const int version = in_.u8("protocol");
        if (version < 2 || version > 5) fail(join("protocol ", version, ", expected 2 to 5"));
        return true;
      }
      case 0x95:  // FRAME
        if (in_.u64("frame") > in_.left()) fail("a frame that does not fit the file");
        return true;
      case '(':  // MARK
        return mark(), true;
      case '0':  // POP: a mark on top counts as a value
        return marks_.empty() || reachable() > 0 ? void(pop()) : marks_.pop_back(), true;
      case '1':  // POP_MARK
        return pop_to_mark(), true;
      case '2':  // DUP
        return push(top()), true;
      case 'q':  // BINPUT
        return put(in_.u8("memo number")), true;
      case 'r':  // LONG_BINPUT
        return put(in_.u32("memo number")), true;
      case 0x94:  // MEMOIZE
        return put(memo_used_), true;
      case 'h':  // BINGET
        return get(in_.u8("memo number")), true;
      case 'j':  // LONG_BINGET
        return get(in_.u32("memo number")), true;
      default:
        return false;
    }
  }

  bool step_scalar(std::uint8_t opcode) {
    switch (opcode) {
      case 'N':  // NONE
        return make(Kind::none), true;
      case 0x88:  // NEWTRUE
      case 0x89:  // NEWFALSE
        return make_integer(opcode == 0x88 ? 1 : 0, Kind::boolean), true;
      case 'K':  // BININT1
        return make_integer(in_.u8("integer")), true;
      case 'M':  // BININT2
        return make_integer(in_.u16("integer")), true;
      case 'J':  // BININT
        return make_integer(static_cast<std::int32_t>(in_.u32("integer"))), true;
      case 0x8A:  // LONG1
        return make_long(in_.u8("length")), true;
      case 'G':  // BINFLOAT
        return in_.take(8, "number"), make(Kind::other_number), true;
      default:
        return false;
    }
  }

  bool step_text(std::uint8_t opcode) {
    switch (opcode) {
      case 0x8C:  // SHORT_BINUNICODE
        return make_text(in_.text(in_.u8("length"), "text"), true), true;
      case 'X':  // BINUNICODE
        return make_text(in_.text(in_.u32("length"), "text"), true), true;
      case 0x8D:  // BINUNICODE8
        return make_text(in_.text(in_.u64("length"), "text"), true), true;
      case 'U':  // SHORT_BINSTRING
      case 'C':  // SHORT_BINBYTES
        return make_text(in_.text(in_.u8("length"), "text"), false), true;
      case 'T': {  // BINSTRING, the one signed length
        const std::uint32_t length = in_.u32("length");
        if (length > 0x7FFFFFFF) fail("text of a negative length");
        return make_text(in_.text(length, "text"), false), true;
      }
      case 'B':  // BINBYTES
        return make_text(in_.text(in_.u32("length"), "text"), false), true;
      case 0x8E:  // BINBYTES8
        return make_text(in_.text(in_.u64("length"), "text"), false), true;
      default:
        return false;
    }
  }

  bool step_container(std::uint8_t opcode) {
    switch (opcode) {
      case '}':  // EMPTY_DICT
        return make(Kind::dict), true;
      case ']':   // EMPTY_LIST
      case 0x8F:  // EMPTY_SET
        return make(Kind::list), true;
      case ')':  // EMPTY_TUPLE
        return make(Kind::tuple), true;
      case 0x85:  // TUPLE1
      case 0x86:  // TUPLE2
      case 0x87:  // TUPLE3
        return make_items(Kind::tuple, pop_n(opcode - 0x84U)), true;
      case 't':  // TUPLE
        return make_items(Kind::tuple, pop_to_mark()), true;
      case 0x91:  // FROZENSET
        return make_items(Kind::list, pop_to_mark()), true;
      case 's':  // SETITEM
        return extend(Kind::dict, pop_n(2)), true;
      case 'u':  // SETITEMS
        return extend(Kind::dict, pop_to_mark()), true;
      case 'a':  // APPEND
        return extend(Kind::list, pop_n(1)), true;
      case 'e':   // APPENDS
      case 0x90:  // ADDITEMS
        return extend(Kind::list, pop_to_mark()), true;
      case 'c': {  // GLOBAL
        const std::string_view module = line();
        return make_global(module, line()), true;
      }
      case 0x93:  // STACK_GLOBAL
        return global_from_stack(), true;
      case 'R':   // REDUCE
      case 0x81:  // NEWOBJ
        return call(), true;
      case 'b':  // BUILD
        return build(), true;
      case 'Q':  // BINPERSID
        return make_items(Kind::persistent, pop_n(1)), true;
      default:
        return false;
    }
  }

  static constexpr std::size_t kMaxName = 1024;

  ByteReader in_;
  Pickle out_;
  std::vector<PickleId> stack_;
  std::vector<std::size_t> marks_;  // heights of the stack
  std::vector<PickleId> memo_;
  std::size_t memo_used_ = 0;
  std::size_t copied_ = 0;
  std::uint64_t opcode_at_ = 0;
};

}  // namespace

bool Pickle::is_global(PickleId id, std::string_view module, std::string_view name) const {
  const PickleValue& value = values[id];
  return value.kind == Kind::global && value.module == module && value.text == name;
}

Pickle read_pickle(std::span<const std::byte> bytes, const std::string& name, std::uint64_t base) {
  return Machine(bytes, name, base).run();
}

}  // namespace rankine
