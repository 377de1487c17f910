// Small state dicts for the two targets of the PyTorch reader.
#pragma once

#include <string>
#include <vector>

#include "tests/formats/torch_files.h"

namespace rankine::fuzz {

inline std::vector<std::string> torch_objects() {
  using namespace test;
  const std::string storage = p_storage("FloatStorage", "0", 8), half = p_storage("HalfStorage", "0", 8);
  const std::string tensor = p_tensor(storage, 0, {2, 3}, {3, 1}), view = p_tensor(half, 1, {2, 2}, {1, 2});
  const std::string raw = p_global("torch._utils", "_rebuild_tensor_v3") +
                          p_tuple({p_storage("UntypedStorage", "0", 16), p_int(0), p_ints({4}), p_ints({1}),
                                   "\x89", "N", p_global("torch", "uint32")}) +
                          "R";
  const std::string parameter = p_global("torch._utils", "_rebuild_parameter") +
                                p_tuple({tensor, "\x88", p_global("collections", "OrderedDict") + ")R"}) +
                                "R";
  return {p_dict({p_text("a"), tensor, p_text("b"), view}),
          p_dict({p_text("state_dict"), p_dict({p_text("w"), parameter})}),
          p_dict({p_text("x"), raw, p_text("epoch"), "K\x03"}),
          std::string(
              "\x95\x10\0\0\0\0\0\0\0}\x94\x8C\x01z\x94(NeJ\x01\x02\x03\x04G12345678\x8A\x02\xFF\x7Fl", 36),
          p_global("argparse", "Namespace") + ")\x81}(" + p_text("k") + "]K\x01" + "a](K\x02K\x03" + "eub"};
}

}  // namespace rankine::fuzz
