// Python pickles as data: a stack machine that builds values and never calls anything.
//
// Reads what protocols 2 to 4 write in binary form (python/cpython, Lib/pickletools.py). A global is a pair
// of names; calling one (REDUCE, NEWOBJ) makes a value of kind `call` that holds the callee and its
// arguments, and nothing happens. The one callee with a meaning is collections.OrderedDict, a dict. What is
// set on any other call afterwards (BUILD, SETITEMS, APPENDS) is dropped.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace rankine {

using PickleId = std::uint32_t;  // index into Pickle::values

struct PickleValue {
  enum class Kind : std::uint8_t {
    none,
    boolean,  // integer: 0 or 1
    integer,
    other_number,  // a float, or an integer of more than 8 bytes: its value is not kept
    text,          // text: str, or bytes
    tuple,         // items
    list,          // items; also sets
    dict,          // items: key, value, key, value, ... in the order written
    global,        // module, text: two names
    persistent,    // items: the id
    call,          // items: callee, tuple of arguments (or whatever stood in its place)
  };
  Kind kind = Kind::none;
  std::int64_t integer = 0;
  std::string_view text, module;  // inside the parsed bytes
  std::vector<PickleId> items;    // may lead back to the value itself
};

struct Pickle {
  std::vector<PickleValue> values;
  PickleId root = 0;
  std::size_t size = 0;  // bytes up to and including STOP; more may follow

  const PickleValue& operator[](PickleId id) const { return values[id]; }
  bool is_global(PickleId id, std::string_view module, std::string_view name) const;
};

// At most this many values, and places on the stack: far more than a checkpoint of the largest model has.
inline constexpr std::size_t kMaxPickleValues = 2'000'000;
inline constexpr std::size_t kMaxPickleStack = 1'000'000;

// Interprets the pickle at the start of `bytes`, which stands at offset `base` of file `name`. Work and
// memory are proportional to its length. Throws DataError "name: byte N: what is wrong" for: an end before
// STOP, opcodes of protocols 0, 1 and 5 and those that load code by number, operands that do not fit, a stack
// that is empty where a value is needed, memo numbers that were never set or above the length, text that is
// not UTF-8, passed limits, and globals of modules that run programs (os, subprocess, ...) or builtins that
// run text (eval, exec, ...): a file that names them was made to attack other readers. They could do nothing
// here, and neither can those that the list does not know.
Pickle read_pickle(std::span<const std::byte> bytes, const std::string& name, std::uint64_t base = 0);

}  // namespace rankine
