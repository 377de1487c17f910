#include "io/config/yaml_tree.h"

#include <yaml-cpp/anchor.h>
#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/yaml.h>

#include <algorithm>
#include <map>
#include <sstream>

#include "io/config/run_config.h"
#include "io/config/utf8.h"

namespace rankine::config {
namespace {

constexpr std::size_t kMaxDepth = 32;
constexpr std::size_t kMaxNodes = 50'000;
constexpr std::size_t kMaxAliases = 64;

std::size_t count_nodes(const YamlNode& node) {
  std::size_t n = 1;
  for (const YamlNode& item : node.items) n += count_nodes(item);
  for (const YamlEntry& entry : node.entries) n += 1 + count_nodes(entry.value);
  return n;
}

std::size_t depth_of(const YamlNode& node) {
  std::size_t deepest = 0;
  for (const YamlNode& item : node.items) deepest = std::max(deepest, depth_of(item));
  for (const YamlEntry& entry : node.entries) deepest = std::max(deepest, depth_of(entry.value));
  return deepest + 1;
}

// Offset of the first byte that is not UTF-8 (or is a NUL), or npos.
std::size_t find_bad_utf8(std::string_view s) {
  std::size_t i = 0;
  while (i < s.size()) {
    const std::size_t length = s[i] == '\0' ? 0 : utf8_length(s.substr(i));
    if (length == 0) return i;
    i += length;
  }
  return std::string_view::npos;
}

// True when the scalar that starts at `offset` is in quotes that never close. The parser takes such a scalar
// for good when the text ends with a line break. An anchor may stand before the quote.
bool is_unclosed(std::string_view text, std::size_t offset) {
  if (offset < text.size() && text[offset] == '&') {
    offset = text.find_first_of(" \t\r\n", offset);
    offset = offset == std::string_view::npos ? offset : text.find_first_not_of(" \t\r\n", offset);
  }
  if (offset >= text.size() || (text[offset] != '"' && text[offset] != '\'')) return false;
  const char quote = text[offset];
  for (std::size_t i = offset + 1; i < text.size(); ++i) {
    if (quote == '"' && text[i] == '\\') {
      ++i;
    } else if (text[i] == quote) {
      if (quote == '"' || i + 1 >= text.size() || text[i + 1] != quote) return false;
      ++i;
    }
  }
  return true;
}

// The parser turns the escapes "\_" and "\N" (no-break space, next line) into one byte of Latin-1 instead of
// UTF-8.
std::string repair_escapes(const std::string& value) {
  if (find_bad_utf8(value) == std::string_view::npos) return value;
  std::string out;
  for (std::string_view rest = value; !rest.empty();) {
    const std::size_t length = utf8_length(rest);
    if (length == 0) out += '\xC2';
    out += rest.substr(0, length == 0 ? 1 : length);
    rest.remove_prefix(length == 0 ? 1 : length);
  }
  return out;
}

std::string explain(const std::string& message) {
  if (message == "illegal map value")
    return "a ':' where no key can stand; check the indentation, or quote the value";
  if (message == "end of map not found") return "text that belongs to no key; check the indentation";
  if (message == "unknown token") return "no value starts with this character; quote the value";
  return message;
}

// Turns the parser's events into YamlNodes. A map waits for a key, then for its value.
class TreeBuilder : public YAML::EventHandler {
 public:
  TreeBuilder(std::string_view text, int source, Problems& problems)
      : text_(text), source_(source), problems_(problems) {
    line_starts_.push_back(0);
    for (std::size_t i = 0; i < text.size(); ++i)
      if (text[i] == '\n') line_starts_.push_back(i + 1);
  }

  YamlNode take_root() { return std::move(root_); }
  bool any_document() const { return documents_ > 0; }

  void OnDocumentStart(const YAML::Mark& mark) override {
    if (++documents_ > 1) stop(place(mark), "a second document starts here; a run file holds one");
  }
  void OnDocumentEnd() override {}
  void OnNull(const YAML::Mark& mark, YAML::anchor_t anchor) override { add_leaf(node_at(mark), anchor); }
  void OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                const std::string& value) override {
    YamlNode node = node_at(mark);
    node.kind = YamlNode::Kind::scalar;
    node.text = repair_escapes(value);
    node.quoted = tag == "!";
    if (node.quoted && is_unclosed(text_, offset_of(mark)))
      stop(node.at, "not valid YAML: this quote never closes");
    refuse_tag(tag, node.at);
    add_leaf(std::move(node), anchor);
  }
  void OnAlias(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    if (++aliases_ > kMaxAliases) stop(place(mark), join("more than ", kMaxAliases, " aliases"));
    const auto found = anchors_.find(anchor);
    if (found == anchors_.end()) stop(place(mark), "an alias inside its own anchor");
    YamlNode copy = found->second;
    count(count_nodes(copy) - 1, place(mark));
    if (open_.size() + depth_of(copy) > kMaxDepth) stop(place(mark), too_deep());
    add_leaf(std::move(copy), YAML::NullAnchor);
  }
  void OnSequenceStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                       YAML::EmitterStyle::value) override {
    open(mark, tag, anchor, YamlNode::Kind::sequence);
  }
  void OnSequenceEnd() override { close(); }
  void OnMapStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                  YAML::EmitterStyle::value) override {
    open(mark, tag, anchor, YamlNode::Kind::map);
  }
  void OnMapEnd() override { close(); }

 private:
  struct Open {
    YamlNode node;
    YAML::anchor_t anchor;
    bool has_key = false;
    bool repeated = false;  // the key stands twice or is refused: its value is dropped
    std::string key;
    Location key_at;
    std::map<std::string, Location> seen;
  };

  static std::string too_deep() { return join("nested deeper than ", kMaxDepth, " levels"); }
  std::size_t offset_of(const YAML::Mark& mark) const {
    const auto line = static_cast<std::size_t>(mark.line);
    return line < line_starts_.size() ? line_starts_[line] + static_cast<std::size_t>(mark.column)
                                      : text_.size();
  }
  Location place(const YAML::Mark& mark) const { return {source_, mark.line + 1, mark.column + 1}; }
  YamlNode node_at(const YAML::Mark& mark) const {
    YamlNode node;
    node.at = place(mark);
    return node;
  }
  [[noreturn]] void stop(const Location& at, std::string message) {
    problems_.add(at, "", std::move(message));
    problems_.throw_if_any();
    throw std::logic_error("Problems::throw_if_any: a problem was added but not thrown");
  }
  void count(std::size_t n, const Location& at) {
    nodes_ += n;
    if (nodes_ > kMaxNodes) stop(at, join("more than ", kMaxNodes, " values"));
  }
  void refuse_tag(const std::string& tag, const Location& at) {
    if (!tag.empty() && tag != "?" && tag != "!") problems_.add(at, "", "tags are not allowed: " + tag);
  }
  void open(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor, YamlNode::Kind kind) {
    if (!open_.empty() && open_.back().node.kind == YamlNode::Kind::map && !open_.back().has_key)
      stop(place(mark), "a key must be plain text, not a list or a map");
    if (open_.size() >= kMaxDepth) stop(place(mark), too_deep());
    count(1, place(mark));
    refuse_tag(tag, place(mark));
    Open level{node_at(mark), anchor};
    level.node.kind = kind;
    open_.push_back(std::move(level));
  }
  void close() {
    Open level = std::move(open_.back());
    open_.pop_back();
    attach(std::move(level.node), level.anchor);
  }
  void add_leaf(YamlNode node, YAML::anchor_t anchor) {
    count(1, node.at);
    if (!open_.empty() && open_.back().node.kind == YamlNode::Kind::map && !open_.back().has_key)
      return take_key(node);
    attach(std::move(node), anchor);
  }
  void take_key(const YamlNode& node) {
    if (node.kind != YamlNode::Kind::scalar) stop(node.at, "a key must be plain text");
    Open& level = open_.back();
    level.has_key = true;
    level.key = node.text;
    level.key_at = node.at;
    const auto [first, fresh] = level.seen.emplace(node.text, node.at);
    level.repeated = !fresh || node.text == "<<";
    if (node.text == "<<") {
      problems_.add(node.at, node.text, "merge keys are not allowed; write the keys out");
    } else if (!fresh) {
      const std::string where = problems_.place(first->second);
      problems_.add(node.at, node.text,
                    join("the key stands twice, first on ", where, ", again on ", problems_.place(node.at),
                         "; keep one"));
    }
  }
  void attach(YamlNode node, YAML::anchor_t anchor) {
    if (anchor != YAML::NullAnchor) anchors_[anchor] = node;
    if (open_.empty()) {
      root_ = std::move(node);
      return;
    }
    Open& level = open_.back();
    if (level.node.kind == YamlNode::Kind::sequence) {
      level.node.items.push_back(std::move(node));
      return;
    }
    if (!level.repeated) level.node.entries.push_back({level.key, level.key_at, std::move(node)});
    level.has_key = false;
  }

  std::string_view text_;
  int source_;
  Problems& problems_;
  std::vector<std::size_t> line_starts_;
  YamlNode root_;
  std::vector<Open> open_;
  std::map<YAML::anchor_t, YamlNode> anchors_;
  int documents_ = 0;
  std::size_t nodes_ = 0;
  std::size_t aliases_ = 0;
};

void check_text(std::string_view text, int source, Problems& problems) {
  if (text.size() > kMaxRunFileBytes) {
    problems.add({source, 0, 0}, "", join("too large: ", text.size(), " bytes, at most ", kMaxRunFileBytes));
    problems.throw_if_any();
  }
  const std::size_t bad = find_bad_utf8(text);
  if (bad == std::string_view::npos) return;
  const std::string_view before = text.substr(0, bad);
  const auto line = static_cast<int>(std::count(before.begin(), before.end(), '\n')) + 1;
  const std::size_t line_start = before.rfind('\n') == std::string_view::npos ? 0 : before.rfind('\n') + 1;
  problems.add({source, line, static_cast<int>(bad - line_start) + 1}, "",
               "the text is not UTF-8; save the file as UTF-8", Problems::Excerpt::hide);
  problems.throw_if_any();
}

}  // namespace

YamlNode parse_yaml(std::string_view text, int source, Problems& problems) {
  check_text(text, source, problems);
  std::istringstream stream{std::string(text)};
  TreeBuilder builder(text, source, problems);
  try {
    YAML::Parser parser(stream);
    while (parser.HandleNextDocument(builder)) {
    }
  } catch (const YAML::Exception& e) {
    problems.add({source, e.mark.line + 1, e.mark.column + 1}, "", "not valid YAML: " + explain(e.msg));
    problems.throw_if_any();
  }
  YamlNode root = builder.take_root();
  if (!builder.any_document()) root.at = {source, 1, 1};
  return root;
}

}  // namespace rankine::config
