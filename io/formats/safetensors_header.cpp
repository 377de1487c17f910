#include "io/formats/safetensors_header.h"

#include <nlohmann/json.hpp>
#include <optional>
#include <set>

#include "engine/core/error.h"
#include "io/formats/shown_text.h"

namespace rankine::safetensors_detail {
namespace {

constexpr int kMaxDepth = 16;  // a header that means something has 3
constexpr std::string_view kMetadata = "__metadata__";

// Follows the JSON as it is read: the only way to see duplicate keys, and nothing is built that the file
// could make arbitrarily deep. A handler throws; the parser has no state that could leak.
class Reader : public nlohmann::json_sax<nlohmann::json> {
 public:
  Reader(Table& table, const std::string& file) : table_(table), file_(file) {}

  bool start_object(std::size_t) override {
    if (depth_ == 0) return enter();
    if (depth_ == 1) return begin_entry();
    return begin_nested("an object");
  }
  bool end_object() override {
    --depth_;
    if (depth_ == 1 && entry_ != nullptr) finish_entry();
    return true;
  }
  bool start_array(std::size_t) override {
    if (depth_ == 2 && list_expected()) {
      list_.emplace();
      return enter();
    }
    return begin_nested("a list");
  }
  bool end_array() override {
    --depth_;
    if (list_ && depth_ == 2) finish_list();
    return true;
  }
  bool key(string_t& text) override {
    if (depth_ == 1) {
      name_ = text;
      field_.clear();
      check(names_.insert(text).second, "appears twice");
    } else if (depth_ == 2) {
      field_ = text;
      check(fields_.insert(text).second, "appears twice");
    }
    return true;
  }
  bool string(string_t& text) override {
    if (depth_ == 2 && in_metadata()) {
      table_.metadata[field_] = text;
      return true;
    }
    if (depth_ == 2 && field_ == "dtype") {
      entry_->dtype = text;
      return true;
    }
    return scalar("a string");
  }
  bool number_unsigned(number_unsigned_t value) override {
    if (!list_) return scalar("a number");
    list_->push_back(value);
    return true;
  }
  bool number_integer(number_integer_t) override { return scalar("a number with a sign"); }
  bool number_float(number_float_t, const string_t&) override {
    return scalar("a number with a fraction or exponent, or above 2^64,");
  }
  bool null() override { return scalar("null"); }
  bool boolean(bool) override { return scalar("a boolean"); }
  bool binary(binary_t&) override { return scalar("binary data"); }
  bool parse_error(std::size_t at, const std::string&, const nlohmann::detail::exception& e) override {
    throw DataError(
        join(file_, ": byte ", 8 + (at == 0 ? 0 : at - 1), ": the header is not valid JSON: ", reason(e)));
  }

 private:
  // Without the library's own prefix "[json.exception...] parse error at line 1, column 7: ".
  static std::string reason(const nlohmann::detail::exception& e) {
    const std::string_view text = e.what();
    const auto at = text.find(": ");
    return std::string(at == std::string_view::npos ? text : text.substr(at + 2));
  }

  bool in_metadata() const { return name_ == kMetadata; }
  bool list_expected() const { return !in_metadata() && (field_ == "shape" || field_ == "data_offsets"); }
  bool field_is_known() const { return in_metadata() || field_ == "dtype" || list_expected(); }

  template <class... Parts>
  void check(bool ok, const Parts&... parts) const {
    if (ok) return;
    const std::string field = field_.empty() ? std::string() : join(' ', shown_text(field_));
    throw DataError(join(file_, ": ", depth_ == 0 ? "header" : shown_text(name_), field, ": ", parts...));
  }

  bool enter() {
    ++depth_;
    check(depth_ <= kMaxDepth, "nested more than ", kMaxDepth, " deep");
    return true;
  }
  // A value inside an unknown field is skipped; anywhere else only the expected kind may stand.
  bool scalar(std::string_view kind) {
    check(!list_, kind, " stands where a whole number, zero or more, is expected");
    check(depth_ > 2 || (depth_ == 2 && !field_is_known()), kind, " is not allowed here");
    return true;
  }
  bool begin_nested(std::string_view kind) {
    scalar(kind);
    return enter();
  }
  bool begin_entry() {
    fields_.clear();
    entry_ = in_metadata() ? nullptr : &table_.entries[name_];
    return enter();
  }
  void finish_list() {
    if (field_ == "shape") {
      entry_->shape = std::move(*list_);
    } else {
      check(list_->size() == 2, "must be two numbers, begin and end; got ", list_->size());
      entry_->begin = (*list_)[0];
      entry_->end = (*list_)[1];
    }
    list_.reset();
  }
  void finish_entry() {
    field_.clear();
    for (const char* field : {"dtype", "shape", "data_offsets"})
      check(fields_.find(field) != fields_.end(), "has no \"", field, "\"");
    entry_ = nullptr;
  }

  Table& table_;
  const std::string& file_;
  int depth_ = 0;
  std::string name_, field_;  // the keys at depth 1 and 2
  std::set<std::string, std::less<>> names_, fields_;
  Entry* entry_ = nullptr;  // null outside of tensors
  std::optional<std::vector<std::uint64_t>> list_;
};

}  // namespace

Table read_header(std::string_view text, const std::string& name) {
  // The JSON library skips a byte order mark, and takes a NUL for the end of the text.
  const std::size_t first = text.find_first_not_of(" \t\r\n");
  require<DataError>(first != std::string_view::npos && text[first] == '{', name, ": byte ",
                     8 + (first == std::string_view::npos ? 0 : first), ": the header must begin with '{'");
  const std::size_t nul = text.find('\0');
  require<DataError>(nul == std::string_view::npos, name, ": byte ", 8 + nul, ": a NUL byte in the header");
  Table table;
  Reader reader(table, name);
  nlohmann::json::sax_parse(text, &reader);
  return table;
}

}  // namespace rankine::safetensors_detail
